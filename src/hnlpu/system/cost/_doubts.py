"""Doubts of a system's file -> bands of its price (Monte Carlo) and what matters most (tornado)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.quantities import Quantity
from hnlpu.system.catalog import System
from hnlpu.system.cost._assumptions import Assumptions, Doubt, Pick, assume, doubts

Outcome = Callable[[Assumptions], Mapping[str, Any]]
"""From assumptions, numbers or arrays, to named results."""


@dataclass(frozen=True)
class Band:
    """Quantiles of one result over the trials: 5, 50 and 95 %, and the mean."""

    low: float
    median: float
    high: float
    mean: float


@dataclass(frozen=True)
class Swing:
    """One result with one doubt at its low and at its high, all else at its value."""

    doubt: Doubt
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far the result moves."""
        return abs(self.at_high - self.at_low)


def triangular(
    rng: np.random.Generator, low: float, mode: float, high: float, trials: int
) -> npt.NDArray[np.float64]:
    """Draws from low to high that peak at `mode`."""
    return rng.triangular(low, mode, high, trials)


def bands(system: System, outcome: Outcome, trials: int = 2000, seed: int = 0) -> dict[str, Band]:
    """Bands of every result of `outcome`: all doubts drawn at once, independently, triangular.

    Raises InvalidInput for fewer than 20 or more than a million trials.
    """
    if not 20 <= trials <= 1_000_000:
        raise InvalidInput(f"{trials} trials: take 20 to 1,000,000")
    rng = np.random.default_rng(seed)
    drawn = {d.key: triangular(rng, d.low, d.value, d.high, trials) for d in doubts(system)}
    results = outcome(assume(system, _from(drawn)))
    found = {}
    for name, values in results.items():
        spread = np.broadcast_to(np.asarray(values, float), trials)
        low, median, high = np.quantile(spread, (0.05, 0.5, 0.95))
        found[name] = Band(float(low), float(median), float(high), float(spread.mean()))
    return found


def tornado(system: System, outcome: Outcome, name: str) -> list[Swing]:
    """How far each doubt alone moves the result `name`, the furthest first; idle ones left out."""
    swings = []
    for doubt in doubts(system):
        low, high = (
            float(outcome(assume(system, _from({doubt.key: end})))[name])
            for end in (doubt.low, doubt.high)
        )
        if low != high:
            swings.append(Swing(doubt, low, high))
    return sorted(swings, key=lambda swing: -swing.width)


def _from(given: Mapping[str, Any]) -> Pick:
    def pick(key: str, quantity: Quantity) -> Any:
        return given.get(key, quantity.value)

    return pick
