"""Workers whose process is killed at work, once or always: for tests that it makes no difference."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.masks import Workers


@dataclass(frozen=True)
class Killed:
    """A job whose process is killed when it comes to its `n`th input, `times` times."""

    job: Callable[[Any], Any]
    marks: Path
    n: int
    times: int

    def __call__(self, numbered: tuple[int, Any]) -> Any:
        number, item = numbered
        if number == self.n:
            for mark in (self.marks / str(k) for k in range(self.times)):
                try:
                    mark.touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        return self.job(item)


@dataclass(frozen=True)
class KilledAtWork(Workers):
    """`workers` that lose a process on the way."""

    workers: Workers
    marks: Path
    n: int = 2
    times: int = 1

    def map(self, job: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[Any]:
        return self.workers.map(Killed(job, self.marks, self.n, self.times), enumerate(inputs))


def refuse(item: object) -> object:
    """A job that finds something wrong with its input."""
    raise DoesNotFit(f"job {item}: does not fit; choose another")


def double(number: int) -> int:
    return 2 * number
