"""How the emulator uses cores: independent sequences side by side, one thread each.

A matrix library's own threads wait for each other in spinning barriers, which
nearly stops on a machine that other jobs share; so it is held to one thread
while we work, and windows of a text are spread over ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar, cast

from threadpoolctl import ThreadpoolController

In = TypeVar("In")
Out = TypeVar("Out")


@cache
def _controller() -> Any:
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[None]:
    """Context in which matrix products of the process run on their caller's thread."""
    return cast("AbstractContextManager[None]", _controller().limit(limits=1, user_api="blas"))


def in_parallel(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Results of `work` in the order of `items`, on as many threads as there are cores."""
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)
