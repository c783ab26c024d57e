"""Where the numbers of a value lie on a grid, and how operations carry that on.

None        all of it on every chip
Shared      along one axis: a run for every column of chips, or for every chip
OfMembers   the rows of the first axis, each on the chips that have its member
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Shared:
    """Runs of an axis, counted from behind (-1 is the last), in the order of columns or of chips."""

    over: Literal["columns", "chips"]
    axis: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class OfMembers:
    """Row m of the first axis is with the member of `matrix` that number m of `chosen` names.

    Without `chosen` it is member m.
    """

    matrix: str
    chosen: str | None


Where = Shared | OfMembers | None
Lengths = tuple[int, ...]
"""A shape without axes of positions."""


def reshaped(where: Shared, old: Lengths, new: Lengths) -> Shared | None:
    """Where a value lies in another shape; None where its runs are not runs of an axis there."""
    at = len(old) + where.axis
    if math.prod(old[:at]) != 1:
        return None
    inner = math.prod(old[at + 1 :])
    flat = [(a * inner, b * inner) for a, b in where.spans]
    for axis, length in enumerate(new):
        if length == 1 and math.prod(new[axis:]) != 1:
            continue
        each = math.prod(new[axis + 1 :])
        if any(a % each or b % each for a, b in flat):
            return None
        spans = tuple((a // each, b // each) for a, b in flat)
        return Shared(where.over, axis - len(new), spans)
    return None


def length_along(where: Shared, shape: Lengths) -> int:
    """Length of a shape's axis that is shared out; 0 where it has no such axis."""
    return shape[where.axis] if len(shape) >= -where.axis else 0


def alike(where: Shared, shape: Lengths) -> bool:
    """Whether a value of a shape can lie so."""
    return length_along(where, shape) == where.spans[-1][1]
