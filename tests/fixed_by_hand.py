"""Arrays of whole numbers of any size, with their fraction bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from by_hand import brought


@dataclass(frozen=True)
class Fixed:
    """Whole numbers [...] of Python and their fraction bits; 0 for an index."""

    x: Any
    bits: int

    def to(self, bits: int) -> Any:
        """Its numbers with other fraction bits."""
        return every(lambda v: brought(v, self.bits, bits), self.x)


def every(function: Callable[..., int], *arrays: Any) -> Any:
    """A function of each number of arrays that align."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), object)


def along(function: Callable[[list[int]], Sequence[int]], x: Any) -> Any:
    """A function of every row of the last axis."""
    rows = [list(function(row)) for row in x.reshape(-1, x.shape[-1]).tolist()]
    return np.array(rows, object).reshape(*x.shape[:-1], -1)
