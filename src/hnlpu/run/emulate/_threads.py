"""How the emulator uses cores: independent sequences side by side, one thread each.

A matrix library's own threads wait for each other in spinning barriers, which
nearly stops on a machine that other jobs share; so it is held to one thread
while we work, and windows of a text are spread over ours.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

In = TypeVar("In")
Out = TypeVar("Out")


class _OneThread:
    """Holds the process's matrix libraries to one thread while anybody is inside.

    Entered for every token, so that those that have one thread already are left alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[Any] | None = None
        self._held: list[tuple[Any, int]] = []

    def _hold(self) -> list[tuple[Any, int]]:
        """Set all to one thread; those that had more, and how many."""
        if self._libraries is None:
            found = ThreadpoolController().lib_controllers
            self._libraries = [library for library in found if library.user_api == "blas"]
        had = [(library, library.get_num_threads()) for library in self._libraries]
        held = [(library, count) for library, count in had if count != 1]
        for library, _ in held:
            library.set_num_threads(1)
        return held

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._held = self._hold()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    for library, count in self._held:
                        library.set_num_threads(count)


one_blas_thread = _OneThread()
"""Context in which matrix products of the process run on their caller's thread."""


def in_parallel(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Results of `work` in the order of `items`, on as many threads as there are cores."""
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)
