"""Partial sums of the chips of a row or a column -> the sum that all of them have.

    direct    every chip sends its part to each peer, and all add                 rounded once
    scatter   each number has an owner, which adds the parts and sends the sum    rounded twice
    ring      a part goes around, from the owner's next to the owner              rounded at each hop
    line      parts flow from both ends to the middle, and the sum flows back     rounded at each hop

The order of adding is that of places.  Whole numbers are added without rounding, so that `exact`
does not depend on the way; narrower formats round what is sent, own parts too, so that every chip
has the same sum.
"""

from __future__ import annotations

import itertools
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.exchange._formats import Format, sent
from hnlpu.arithmetic.fixed_point import clipped

Int64 = npt.NDArray[np.int64]

Way = Literal["direct", "scatter", "ring", "line"]
WAYS: tuple[Way, ...] = ("direct", "scatter", "ring", "line")


def summed(parts: Int64, form: Format, way: Way) -> Int64:
    """The sum [..., n] of values [chips, ..., n] by place, saturated, in a format that rounds.

    `exact` sums of other numbers than values are `parts.sum(0)`, whatever the way.
    """
    if len(parts) == 1:
        return np.asarray(parts[0])
    match way:
        case "direct":
            return clipped(sent(parts, form).sum(0))
        case "scatter":
            return _by_owner(parts, form)
        case "ring":
            return _around(parts, form)
        case "line":
            return _to_the_middle(parts, form)
        case _:
            assert_never(way)


def summed_over_grid(parts: Int64, form: Format, ways: tuple[Way, Way]) -> Int64:
    """The sum [..., n] of values [rows, columns, ..., n] of all chips: over rows, then over columns.

    `ways` are those of a row and of a column.  Where rows scatter, columns add only what each chip of a row
    owns, before it goes around the row.
    """
    by_row, by_column = ways
    if by_row != "scatter" or parts.shape[1] == 1:
        return summed(np.stack([summed(row, form, by_row) for row in parts]), form, by_column)
    out = np.empty(parts.shape[2:], np.int64)
    for first, behind in owned(parts.shape[-1], parts.shape[1]):
        rows = clipped(sent(parts[..., first:behind], form).sum(1))
        out[..., first:behind] = sent(summed(rows, form, by_column), form)
    return out


def owned(numbers: int, chips: int) -> list[tuple[int, int]]:
    """First number and the one behind the last of those that each chip adds up."""
    return list(itertools.pairwise(numbers * place // chips for place in range(chips + 1)))


def _by_owner(parts: Int64, form: Format) -> Int64:
    out = np.empty(parts.shape[1:], np.int64)
    for first, behind in owned(parts.shape[-1], len(parts)):
        total = clipped(sent(parts[..., first:behind], form).sum(0))
        out[..., first:behind] = sent(total, form)
    return out


def _around(parts: Int64, form: Format) -> Int64:
    chips = len(parts)
    out = np.empty(parts.shape[1:], np.int64)
    for owner, (first, behind) in enumerate(owned(parts.shape[-1], chips)):
        some = parts[..., first:behind]
        total = sent(some[(owner + 1) % chips], form)
        for step in range(2, chips + 1):
            total = sent(clipped(total + some[(owner + step) % chips]), form)
        out[..., first:behind] = total
    return out


def _to_the_middle(parts: Int64, form: Format) -> Int64:
    middle = len(parts) // 2
    sides = []
    for side in (parts[:middle], parts[:middle:-1]):
        if len(side):
            total = sent(side[0], form)
            for part in side[1:]:
                total = sent(clipped(total + part), form)
            sides.append(total)
    return sent(clipped(np.sum(sides, 0) + parts[middle]), form)
