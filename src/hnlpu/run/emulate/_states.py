"""What a network keeps between positions, in the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Append, Keeps, Replace, Ring, State

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class States:
    """What a network keeps after `position` positions: entries [kept, ...] of every state."""

    position: int
    entries: Mapping[str, Array]


Run = Callable[[Mapping[str, Array], States], tuple[tuple[Array, ...], States]]
"""Inputs [n, ...] by name, and states, to outputs [n, ...] and the states behind them."""


def initial(state: State, value: np.generic) -> Array:
    """Entries [kept, ...] of a state at the start of a sequence, `value` in all places."""
    kept = 0 if isinstance(state.keeps, Append) else most_kept(state.keeps)
    return np.full((kept or 0, *state.shape), value, value.dtype)


def most_kept(keeps: Keeps) -> int | None:
    """Entries that the next position may read, None for all."""
    match keeps:
        case Replace():
            return 1
        case Ring(length):
            return length
        case Append(window):
            return window
        case _:
            assert_never(keeps)


def still_kept(entries: Array, keeps: Keeps) -> Array:
    """Of entries [n, ...], a copy of those that the next position may read."""
    most = most_kept(keeps)
    return entries[0 if most is None else max(0, len(entries) - most) :].copy()
