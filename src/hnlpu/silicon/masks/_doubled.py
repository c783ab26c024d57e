"""Cuts that lie on one another: a table of places, each as large as the largest cut.

Two cuts touch only if their lower left corners lie in the same place or in two beside each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.masks._bins import Piece, Strips

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]


class Near:
    """A table of the places of a strip, used again from strip to strip: empty in between."""

    def __init__(self, strips: Strips):
        self._strips = strips
        self._heads = np.zeros(0, np.int32)

    def table(self, a: Piece, b: Piece, s: int, count: int) -> tuple[Int64, Int32, Int32]:
        """Frame of the places of strip `s`, no smaller than a shape; last entered of each; chain."""
        width, low, high = np.maximum(a.extent, b.extent)
        left = self._strips.origin + (s << self._strips.size) - width
        size = max(5, int(width).bit_length())
        while (cells := self._places(size, width, -low, high)) > 2**20:
            size += 1
        if len(self._heads) < cells:
            self._heads = np.full(cells, -1, np.int32)
        columns = ((width + (1 << self._strips.size)) >> size) + 3
        frame = np.array([left, -low, size, columns], np.int64)
        return frame, self._heads, np.empty(count, np.int32)

    def _places(self, size: int, width: int, low: int, high: int) -> int:
        columns = ((width + (1 << self._strips.size)) >> size) + 3
        return int(columns * (((high - low) >> size) + 3))


@njit(cache=True, nogil=True, inline="always")
def _place(r: Int32, n: Any, frame: Int64) -> Any:
    """Where in the table a rectangle's lower left corner lies; a border is left free.

    What lies beside the strip counts to its outermost columns: near stays near.
    """
    column = (np.int64(r[n, 0]) - frame[0]) >> frame[2]
    column = min(max(column, 0), frame[3] - 3)
    row = (np.int64(r[n, 1]) - frame[1]) >> frame[2]
    return (row + 1) * frame[3] + column + 1


@njit(cache=True, nogil=True)
def mark_doubled(
    cuts: Int32, marks: UInt8, others: Int32, other_marks: UInt8, same: Any, frame: Int64, heads: Int32, chain: Int32,
) -> None:  # fmt: skip
    """Mark cuts that overlap or touch another one: their corners lie in the same place or beside.

    `chain` leads from each to the one that was entered at its place before.
    """
    if not same:
        for b in range(len(others)):
            at = _place(others, b, frame)
            chain[b] = heads[at]
            heads[at] = b
    across = frame[3]
    for a in range(len(cuts)):
        x0, y0, x1, y1 = cuts[a, 0], cuts[a, 1], cuts[a, 2], cuts[a, 3]
        here = _place(cuts, a, frame)
        for up in range(3):
            start = here + (up - 1) * across - 1
            for at in range(start, start + 3):
                b = heads[at]
                while b >= 0:
                    if (
                        (x0 <= others[b, 2]) & (others[b, 0] <= x1)
                        & (y0 <= others[b, 3]) & (others[b, 1] <= y1)
                    ):  # fmt: skip
                        marks[a] |= np.uint8(4)
                        other_marks[b] |= np.uint8(4)
                    b = chain[b]
        if same:
            chain[a] = heads[here]
            heads[here] = a
    for b in range(len(others)):
        heads[_place(others, b, frame)] = -1
