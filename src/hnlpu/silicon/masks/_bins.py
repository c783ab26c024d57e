"""Rectangles -> strips and bins, so that what lies near a place is found without looking at all.

A layout is cut into upright strips of about equally many shapes, and the shapes of a strip are
sorted into bins: small ones, tall ones and wide ones apart, so that a trunk of a hundred rows does
not lie in a hundred bins.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Rectangles

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
Bins = tuple[Int64, Int32, Int32]
"""Frame (x0, y0, log2 of width and height, columns, rows), where each bin starts, and what lies in
them: x0, y0, x1, y1 and the rectangle's number, side by side so that a look-up reads one place."""

SHAPES_A_STRIP = 2**15  # that are looked at together, so that they stay in the cache


@dataclass(frozen=True)
class Strips:
    """Upright strips over a layout: left edge, log2 of the width, how many."""

    origin: int
    size: int
    count: int

    @classmethod
    def around(cls, boxes: Sequence[Rectangles]) -> Strips:
        left, right, count = 2**31, -(2**31), 0
        for box in boxes:
            if len(box):
                left, right = min(left, int(box[:, 0].min())), max(right, int(box[:, 2].max()))
                count += len(box)
        if not count:
            return cls(0, 30, 1)
        width = max(1, (right - left) * SHAPES_A_STRIP // count)
        size = max(10, width.bit_length() - 1)
        return cls(left, size, ((right - left) >> size) + 1)

    def sort(self, r: Rectangles, which: npt.NDArray[np.bool_] | None = None) -> Sorted:
        """Rectangles by strip, in all that they reach; of all or `which`."""
        which = np.ones(len(r), np.bool_) if which is None else which
        starts = np.zeros(self.count + 1, np.int32)
        total = _count_strips(r, which, self.origin, self.size, self.count, starts)
        boxes, numbers = np.empty((total, 4), np.int32), np.empty(total, np.int32)
        twins = np.empty((total - int(which.sum()), 2), np.int32)
        _fill_strips(
            r, which, self.origin, self.size, self.count, starts, boxes, numbers, twins
        )  # fmt: skip
        return Sorted(starts, boxes, numbers, twins)


@dataclass(frozen=True)
class Sorted:
    """Rectangles strip by strip, so that those of a strip lie side by side.

    Where each strip's begin [strips + 1]; boxes int32 [n, 4] and the number of each; and pairs
    int32 [m, 2] of neighbours in `boxes` that are the same rectangle in two strips.
    """

    starts: Int32
    boxes: Int32
    numbers: Int32
    twins: Int32

    def strip(self, s: int) -> slice:
        """Those of a strip."""
        return slice(self.starts[s], self.starts[s + 1])


class Piece:
    """Rectangles of one layer that came together, sorted into strips, and on demand into bins."""

    def __init__(self, rectangles: Rectangles, strips: Strips):
        self.rectangles = rectangles
        self.extent = _extent(rectangles)
        self.sorted = strips.sort(rectangles)
        self._bins: list[list[Bins] | None] = [None] * strips.count

    def bins(self, strip: int) -> list[Bins]:
        """The bins of a strip."""
        found = self._bins[strip]
        if found is None:
            found = self._bins[strip] = self._in_bins(strip)
        return found

    @functools.cached_property
    def _typical(self) -> tuple[int, int]:
        width, height = _sides(self._sample)
        return (int(np.median(width)), int(np.median(height))) if len(width) else (1, 1)

    @property
    def _sample(self) -> Rectangles:
        return self.rectangles[:: max(1, len(self.rectangles) // 4096)]

    @functools.cached_property
    def _sizes(self) -> Int64:
        """Log2 of the width and height of the bins for small, tall and wide ones."""
        sizes = np.full((3, 2), 7, np.int64)
        group = _classes(self._sample, *self._typical)
        for n in range(3):
            for side, length in enumerate(_sides(self._sample[group == n])):
                if len(length):
                    sizes[n, side] = max(7, int(np.median(length) * 1.4).bit_length())
        return sizes

    def _in_bins(self, strip: int) -> list[Bins]:
        here = self.sorted.strip(strip)
        boxes, numbers = self.sorted.boxes[here], self.sorted.numbers[here]
        groups = _classes(boxes, *self._typical)
        found = []
        for group in np.flatnonzero(np.bincount(groups, minlength=3)):
            frame = np.empty(6, np.int64)
            _frame(boxes, groups, group, self._sizes, frame)
            starts = np.zeros(frame[4] * frame[5] + 1, np.int32)
            items = np.empty((_count(boxes, groups, group, frame, starts), 5), np.int32)
            _fill(boxes, numbers, groups, group, frame, starts, items)
            found.append((frame, starts, items))
        return found


def _sides(r: Rectangles) -> tuple[Int32, Int32]:
    return r[:, 2] - r[:, 0], r[:, 3] - r[:, 1]


def _extent(r: Rectangles) -> Int64:
    """The longest side, and how far the rectangles reach below and above y = 0."""
    if not len(r):
        return np.zeros(3, np.int64)
    longest = max(int((r[:, 2] - r[:, 0]).max()), int((r[:, 3] - r[:, 1]).max()))
    return np.array([longest, -int(r[:, 1].min()), int(r[:, 3].max())])


def _classes(r: Rectangles, width: int, height: int) -> UInt8:
    group = np.empty(len(r), np.uint8)
    _classify(r, width, height, group)
    return group


@njit(cache=True, nogil=True)
def _classify(r: Int32, width: Any, height: Any, group: UInt8) -> None:
    """Small, tall or wide: 0, 1, 2; against what is typical and against the other side."""
    for n in range(len(r)):
        w, h = r[n, 2] - r[n, 0], r[n, 3] - r[n, 1]
        if h > 8 * height or (h > 20 * w and w <= 8 * width):
            group[n] = 1
        elif w > 8 * width or w > 40 * h:
            group[n] = 2
        else:
            group[n] = 0


@njit(cache=True, nogil=True, inline="always")
def strip_range(low: Any, high: Any, origin: Any, size: Any, count: Any) -> Any:
    """First and last strip of an interval: the outermost ones reach as far as there is anything."""
    first = (np.int64(low) - origin) >> size
    last = (np.int64(high) - origin) >> size
    return min(max(first, 0), count - 1), min(max(last, 0), count - 1)


@njit(cache=True, nogil=True)
def _count_strips(r: Int32, which: Any, origin: Any, size: Any, strips: Any, starts: Int32) -> Any:
    """Fill `starts` with the place behind each strip's last; returns how many in all."""
    for n in range(len(r)):
        if which[n]:
            first, last = strip_range(r[n, 0], r[n, 2], origin, size, strips)
            for s in range(first, last + 1):
                starts[s] += 1
    total = 0
    for s in range(strips):
        total += starts[s]
        starts[s] = total
    starts[strips] = total
    return total


@njit(cache=True, nogil=True)
def _fill_strips(
    r: Int32, which: Any, origin: Any, size: Any, strips: Any, starts: Int32,
    boxes: Int32, numbers: Int32, twins: Int32,
) -> None:  # fmt: skip
    count = 0
    for n in range(len(r) - 1, -1, -1):
        if which[n]:
            first, last = strip_range(r[n, 0], r[n, 2], origin, size, strips)
            for s in range(first, last + 1):
                starts[s] -= 1
                at = starts[s]
                for i in range(4):
                    boxes[at, i] = r[n, i]
                numbers[at] = n
                if s > first:
                    twins[count, 0], twins[count, 1] = starts[s - 1], at
                    count += 1


@njit(cache=True, nogil=True)
def _frame(boxes: Int32, groups: UInt8, group: Any, bins: Int64, frame: Int64) -> None:
    """Fill the frame of the bins of one group."""
    x0, y0, x1, y1 = np.int64(2**40), np.int64(2**40), np.int64(-(2**40)), np.int64(-(2**40))
    count = 0
    for m in range(len(boxes)):
        if groups[m] == group:
            x0, y0 = min(x0, boxes[m, 0]), min(y0, boxes[m, 1])
            x1, y1 = max(x1, boxes[m, 2]), max(y1, boxes[m, 3])
            count += 1
    across, up = bins[group, 0], bins[group, 1]
    # not so many bins that empty ones rule
    while (((x1 - x0) >> across) + 1) * (((y1 - y0) >> up) + 1) > 4 * count + 64:
        if across < up:
            across += 1
        else:
            up += 1
    frame[0], frame[1], frame[2], frame[3] = x0, y0, across, up
    frame[4], frame[5] = ((x1 - x0) >> across) + 1, ((y1 - y0) >> up) + 1


@njit(cache=True, nogil=True, inline="always")
def bin_range(low: Any, high: Any, origin: Any, size: Any, count: Any) -> Any:
    """First and last bin of an interval within the frame; none if it lies beyond."""
    first = (low - origin) >> size
    last = (high - origin) >> size
    return max(first, 0), min(last, count - 1)


@njit(cache=True, nogil=True)
def _count(boxes: Int32, groups: UInt8, group: Any, frame: Int64, starts: Int32) -> Any:
    """Fill `starts` with the place behind each bin's last; returns how many in all."""
    for m in range(len(boxes)):
        if groups[m] != group:
            continue
        c0, c1 = bin_range(boxes[m, 0], boxes[m, 2], frame[0], frame[2], frame[4])
        r0, r1 = bin_range(boxes[m, 1], boxes[m, 3], frame[1], frame[3], frame[5])
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                starts[row * frame[4] + column] += 1
    total = np.int32(0)
    for n in range(len(starts) - 1):
        total += starts[n]
        starts[n] = total
    starts[len(starts) - 1] = total
    return total


@njit(cache=True, nogil=True)
def _fill(
    boxes: Int32, numbers: Int32, groups: UInt8, group: Any,
    frame: Int64, starts: Int32, items: Int32,
) -> None:  # fmt: skip
    for m in range(len(boxes) - 1, -1, -1):
        if groups[m] != group:
            continue
        c0, c1 = bin_range(boxes[m, 0], boxes[m, 2], frame[0], frame[2], frame[4])
        r0, r1 = bin_range(boxes[m, 1], boxes[m, 3], frame[1], frame[3], frame[5])
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                at = row * frame[4] + column
                starts[at] -= 1
                to = starts[at]
                for i in range(4):
                    items[to, i] = boxes[m, i]
                items[to, 4] = numbers[m]
