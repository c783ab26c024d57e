"""The adapters of an engine: by the name that requests give, and by a key of their own.

A name may be given to another adapter while requests of the first still run; so each loading has a key,
and requests under way keep the one that they came with.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from hnlpu.errors import InvalidInput
from hnlpu.run.engine._adapter import Adapter


class LoadedAdapters:
    """Adapters that requests may name, and those whose requests have yet to end.

    `add` and `remove` may be called from any thread, `forget` from the engine's.
    """

    def __init__(self, adapters: Mapping[str, Adapter]):
        self._lock = threading.Lock()
        self._serial = 0
        self._key_of: dict[str, str] = {}
        self._roots: dict[str, int] = {}
        self.by_key: dict[str, Adapter] = {}
        for name, adapter in adapters.items():
            self.add(name, adapter)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a new request may give."""
        return tuple(self._key_of)

    def add(self, name: str, adapter: Adapter) -> None:
        """Let requests name an adapter; requests of an earlier one of that name keep theirs."""
        with self._lock:
            self._serial += 1
            key = f"{self._serial} {name}"
            # pages that other adapters computed are never found under this serial
            self._roots[key] = -self._serial
            self.by_key[key] = adapter
            self._key_of[name] = key

    def remove(self, name: str) -> None:
        """Let no new request name an adapter.  Raises InvalidInput where there is none."""
        if self._key_of.pop(name, None) is None:
            raise InvalidInput(f"adapter {name!r} is not loaded")

    def key(self, name: str) -> str:
        """The key of the adapter that is called so now.  Raises InvalidInput."""
        key = self._key_of.get(name)
        if key is None:
            raise InvalidInput(f"adapter {name!r} is not loaded")
        return key

    def root(self, key: str | None) -> int:
        """The serial that first pages are filed under: what they hold depends on the adapter."""
        return 0 if key is None else self._roots[key]

    def forget(self, used: Collection[str | None]) -> None:
        """Drop adapters that have no name any more, but for the keys that are `used`."""
        if len(self.by_key) == len(self._key_of):
            return
        with self._lock:  # one that is being added has its name, too
            kept = {*self._key_of.values(), *used}
            for key in [key for key in self.by_key if key not in kept]:
                del self.by_key[key], self._roots[key]
