"""Pages of append states (keys and values), shared by sequences that begin alike.

    sequence ── table: page, page, page

A page holds `PAGE` consecutive positions of all of a network's append states.  A full page may be
*filed* under the page before it and its tokens; a later sequence with the same
beginning takes it over instead of computing it again.  That changes no result:
entries are the same bits however they were computed.  Filed pages that
nobody uses stay until their room is needed, the longest unused first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.run.engine._layout import PAGE

Key = tuple[int, bytes]


class PagePool:
    """The pages of one engine: who uses them, and what is filed where."""

    def __init__(self, pages: int):
        self.pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._users = [0] * pages
        self._filed: dict[Key, int] = {}
        self._key_of: dict[int, Key] = {}
        self._serial_of: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # filed and unused, oldest first
        self._next_serial = 1

    @property
    def available(self) -> int:
        """Pages that can be had now: empty ones and filed ones that nobody uses."""
        return len(self._free) + len(self._idle)

    @property
    def in_use(self) -> int:
        """Pages that sequences hold."""
        return self.pages - self.available

    def take(self) -> int | None:
        """A page to write to, or None when all are in use."""
        if self._free:
            page = self._free.pop()
        elif self._idle:
            page, _ = self._idle.popitem(last=False)
            # serials never come again, so what is filed under this page cannot be found any more
            del self._filed[self._key_of.pop(page)]
            del self._serial_of[page]
        else:
            return None
        self._users[page] = 1
        return page

    def release(self, pages: Sequence[int]) -> None:
        """One user fewer of each of these pages, the last pages to be given up first."""
        for page in reversed(pages):
            self._users[page] -= 1
            if self._users[page] == 0:
                if page in self._key_of:
                    self._idle[page] = None
                else:
                    self._free.append(page)

    def file(self, page: int, parent: int, tokens: npt.NDArray[np.int64]) -> int:
        """File a full page under serial `parent` and its `tokens`; the serial to file under next.

        Where an equal page is filed already, that one's serial is given and
        this page stays its user's own.
        """
        key = (parent, tokens.tobytes())
        found = self._filed.get(key)
        if found is not None:
            return self._serial_of[found]
        serial = self._next_serial
        self._next_serial += 1
        self._filed[key] = page
        self._key_of[page] = key
        self._serial_of[page] = serial
        return serial

    def find(self, root: int, tokens: npt.NDArray[np.int64]) -> tuple[list[int], int]:
        """The filed pages that `tokens` begin with, now used once more; and the last's serial.

        At least one token is left over, for there must be something to compute.
        """
        pages: list[int] = []
        serial = root
        for start in range(0, len(tokens) - PAGE, PAGE):
            page = self._filed.get((serial, tokens[start : start + PAGE].tobytes()))
            if page is None:
                break
            if self._users[page] == 0:
                del self._idle[page]
            self._users[page] += 1
            pages.append(page)
            serial = self._serial_of[page]
        return pages, serial

    def serial(self, page: int) -> int:
        """The serial of a filed page, which the next one is filed under."""
        return self._serial_of[page]

    def forget(self) -> None:
        """Drop what is filed and unused."""
        while self._idle:
            page, _ = self._idle.popitem()
            del self._filed[self._key_of.pop(page)]
            del self._serial_of[page]
            self._free.append(page)
