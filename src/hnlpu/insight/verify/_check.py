"""`Check`: the outcome of one kind of check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PROBLEMS_KEPT = 20
Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """How many items a check covered and what it found wrong; `skipped` says what was left out.

    A check that covered nothing has not passed: it was skipped.
    """

    name: str
    covered: int
    unit: str
    problems: tuple[str, ...]
    skipped: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What the check came to; of one that left out a part and covered another, what that says."""
        if self.problems:
            return "failed"
        return "passed" if self.covered else "skipped"

    @property
    def passed(self) -> bool:
        """Whether it ran and nothing was wrong."""
        return self.outcome == "passed"


def collect(name: str, unit: str, found: Iterable[tuple[int, str | None]]) -> Check:
    """A check from (items covered, problem or None) as they come."""
    covered, problems = 0, []
    for count, problem in found:
        covered += count
        if problem is not None:
            problems.append(problem)
    return Check(name, covered, unit, tuple(problems[:PROBLEMS_KEPT]))
