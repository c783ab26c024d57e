"""One claim: what is stated, what follows from physics or from other statements, and the verdict.

    need     what the design takes must be at most what is there       margin = there / taken - 1
    reach    what comes out must be at least what is stated            margin = out / stated - 1
    equal    what comes out must be what is stated, within a tolerance  margin = out / stated - 1

Where the computed number has a low and a high, the verdict may depend on which is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sense = Literal["need", "reach", "equal"]
Verdict = Literal["holds", "tight", "depends", "fails"]
TIGHT = 0.05
"""A margin below this is called tight."""
EQUAL = 0.02
"""How far a number may be from the one that it should equal, unless a claim says otherwise."""


@dataclass(frozen=True)
class Claim:
    """A claim of a design; `computed` from `low` to `high`, both in `unit`, beside `claimed`.

    `how` says what was computed from what, `remark` what follows.
    """

    topic: str
    name: str
    sense: Sense
    computed: float
    low: float
    high: float
    claimed: float
    unit: str
    how: str
    remark: str = ""
    tolerance: float = EQUAL

    def __post_init__(self) -> None:
        assert self.low <= self.computed * (1 + 1e-9), self
        assert self.computed <= self.high * (1 + 1e-9), self

    @property
    def margin(self) -> float:
        """Relative room of the computed value; negative where it does not hold."""
        return self._margin(self.computed)

    def _margin(self, computed: float) -> float:
        if self.sense == "need":
            return self.claimed / computed - 1 if computed else float("inf")
        return computed / self.claimed - 1

    @property
    def verdict(self) -> Verdict:
        """Whether it holds at its computed value and at both ends."""
        ends = [self._margin(end) for end in (self.low, self.high)]
        if self.sense == "equal":
            if max(abs(end) for end in ends) <= self.tolerance:
                return "holds"
            met = min(ends) <= self.tolerance and max(ends) >= -self.tolerance
            return "depends" if met else "fails"
        if min(ends) >= 0:
            return "tight" if self.margin < TIGHT else "holds"
        return "depends" if max(ends) >= 0 else "fails"


def need(
    topic: str, name: str, taken: float | tuple[float, float, float], there: float, unit: str,
    how: str, remark: str = "",
) -> Claim:  # fmt: skip
    """What the design takes against what is there."""
    low, value, high = _ends(taken)
    return Claim(topic, name, "need", value, low, high, there, unit, how, remark)


def reach(
    topic: str, name: str, out: float | tuple[float, float, float], stated: float, unit: str,
    how: str, remark: str = "",
) -> Claim:  # fmt: skip
    """What comes out against what is stated."""
    low, value, high = _ends(out)
    return Claim(topic, name, "reach", value, low, high, stated, unit, how, remark)


def equal(
    topic: str, name: str, out: float | tuple[float, float, float], stated: float, unit: str,
    how: str, remark: str = "", tolerance: float = EQUAL,
) -> Claim:  # fmt: skip
    """What comes out against what it should equal."""
    low, value, high = _ends(out)
    return Claim(topic, name, "equal", value, low, high, stated, unit, how, remark, tolerance)


def _ends(given: float | tuple[float, float, float]) -> tuple[float, float, float]:
    if isinstance(given, tuple):
        low, value, high = given
        return min(low, value), value, max(high, value)
    return given, given, given
