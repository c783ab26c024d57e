"""`Check`: the outcome of one kind of check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PROBLEMS_KEPT = 20


@dataclass(frozen=True)
class Check:
    """How many items a check covered and what it found wrong; `skipped` says what was left out."""

    name: str
    covered: int
    unit: str
    problems: tuple[str, ...]
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems


def collect(name: str, unit: str, found: Iterable[tuple[int, str | None]]) -> Check:
    """A check from (items covered, problem or None) as they come."""
    covered, problems = 0, []
    for count, problem in found:
        covered += count
        if problem is not None:
            problems.append(problem)
    return Check(name, covered, unit, tuple(problems[:PROBLEMS_KEPT]))
