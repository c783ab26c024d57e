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
    """Holds the process's matrix library to one thread while anybody is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._controller: Any = None
        self._limit: Any = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._controller = self._controller or ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limit.restore_original_limits()


one_blas_thread = _OneThread()
"""Context in which matrix products of the process run on their caller's thread."""


def in_parallel(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Results of `work` in the order of `items`, on as many threads as there are cores."""
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)
