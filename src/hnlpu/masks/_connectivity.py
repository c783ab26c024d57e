"""Rectangles and cuts -> nets: which metal hangs together, by union-find.

Pure geometry: it knows the order of the layers and nothing of trunks, stubs or sites.

    conductor ── cut ── conductor ── cut ── conductor       from the bottom up

Two rectangles of a layer hang together if they overlap or share a piece of edge (a corner is not
enough); a cut joins what it touches above and below, and should be covered whole by one shape on
either side.  Shapes are found through bins: small ones, tall ones and wide ones apart, so that a
trunk of a hundred rows does not lie in a hundred bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from hnlpu.embed import Rectangles

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
Bins = tuple[Int64, Int32, Int32]
"""Frame (x0, y0, log2 of width and height, columns, rows), where each bin starts, and what lies in
them: x0, y0, x1, y1 and the rectangle's number, side by side so that a look-up reads one place."""

COVERED, BARE_BELOW, BARE_ABOVE, DOUBLED = 0, 1, 2, 4
"""What may be wrong with a cut: not whole on metal below or above, or on another cut."""


@dataclass(frozen=True)
class Nets:
    """Nets of a layout.

    `net` int32 [n] numbers the net of every rectangle of all conductors; `rectangles` holds them
    by layer, bottom first, in pieces with the number of each piece's first: [(first, int32 [m, 4])].
    `cuts` likewise, with uint8 marks of what is wrong with each cut; `under` int32 [m] is the net
    under each of the places asked for, or -1.
    """

    net: Int32
    rectangles: list[list[tuple[int, Rectangles]]]
    cuts: list[list[tuple[Rectangles, UInt8]]]
    under: Int32


class _Piece:
    """Rectangles of one layer that came together, binned strip by strip."""

    def __init__(self, rectangles: Rectangles, strips: _Strips):
        sample = rectangles[:: max(1, len(rectangles) // 4096)]
        width, height = sample[:, 2] - sample[:, 0], sample[:, 3] - sample[:, 1]
        typical = (int(np.median(width)), int(np.median(height))) if len(sample) else (1, 1)
        self.rectangles = rectangles
        self._group = _classes(rectangles, *typical)
        self._sizes = np.full((3, 2), 7, np.int64)
        of_sample = _classes(sample, *typical)
        for n in range(3):
            for side, length in enumerate((width[of_sample == n], height[of_sample == n])):
                if len(length):
                    self._sizes[n, side] = max(7, int(np.median(length) * 1.4).bit_length())
        self._starts, self._items = strips.sort(rectangles)
        self.bins = [self._strip(s) for s in range(strips.count)]

    def members(self, strip: int) -> Int32:
        """Numbers of the rectangles in a strip."""
        return self._items[self._starts[strip] : self._starts[strip + 1]]

    def _strip(self, strip: int) -> list[Bins]:
        members = self.members(strip)
        found = []
        for group in np.flatnonzero(np.bincount(self._group[members], minlength=3)):
            which = (self.rectangles, members, self._group, group)
            frame = np.empty(6, np.int64)
            _frame(*which, self._sizes, frame)
            starts = np.zeros(frame[4] * frame[5] + 1, np.int32)
            items = np.empty((_count(*which, frame, starts), 5), np.int32)
            _fill(*which, frame, starts, items)
            found.append((frame, starts, items))
        return found


class Fabric:
    """Conductors from the bottom up and the cuts between them, joined to nets.

    There is one cut layer fewer than conductors, or as many: then the first lies below the lowest
    conductor, joins nothing, and must be covered.  `places` int64 [m, 2] with the number of the
    conductor of each are looked up on the way.

    A fabric that many layouts share (the fixed metal of an array) is joined once; `nets` joins
    what a layout adds to it.
    """

    def __init__(
        self, conductors: Sequence[Rectangles], cuts: Sequence[Rectangles],
        layer: Int64, places: Int64,
    ):  # fmt: skip
        self._below = len(cuts) == len(conductors)
        self._strips = _Strips.around([*conductors, *cuts, _points(places)])
        self._layer, self._places = layer, places
        self._asked = [
            self._strips.sort(_points(places), layer == n) for n in range(len(conductors))
        ]
        empty = _State(
            np.zeros(0, np.int32), [[] for _ in conductors], [[] for _ in cuts],
            np.full(len(places), -1, np.int32),
        )  # fmt: skip
        self._state = self._joined(empty, conductors, cuts)

    def nets(
        self,
        conductors: Sequence[Rectangles] | None = None,
        cuts: Sequence[Rectangles] | None = None,
    ) -> Nets:
        """The nets of the fabric with more conductors and cuts on its layers."""
        state = self._state
        if conductors is not None and cuts is not None:
            state = self._joined(state, conductors, cuts)
        net = state.parent.copy()
        _flatten(net)
        shape = state.shape
        return Nets(
            net,
            [[(piece.first, piece.of.rectangles) for piece in layer] for layer in state.metals],
            [[(piece.of.rectangles, piece.marks) for piece in layer] for layer in state.vias],
            np.where(shape >= 0, net[shape] if len(net) else -1, -1).astype(np.int32),
        )

    def _joined(
        self, old: _State, conductors: Sequence[Rectangles], cuts: Sequence[Rectangles]
    ) -> _State:
        """What `old` becomes with new rectangles: each new pair of shapes is looked at once."""
        total = len(old.parent)
        metals = [list(layer) for layer in old.metals]
        new_metals: list[list[_Metal]] = [[] for _ in conductors]
        for n, rectangles in enumerate(conductors):
            if len(rectangles):
                new_metals[n] = [_Metal(total, _Piece(rectangles, self._strips))]
                total += len(rectangles)
                metals[n] += new_metals[n]
        parent = np.arange(total, dtype=np.int32)
        parent[: len(old.parent)] = old.parent
        vias = [[_Via(v.of, v.marks.copy(), v.held.copy()) for v in layer] for layer in old.vias]
        new_vias: list[list[_Via]] = [[] for _ in cuts]
        for n, rectangles in enumerate(cuts):
            if len(rectangles):
                bare = BARE_ABOVE if n == 0 and self._below else BARE_BELOW | BARE_ABOVE
                new_vias[n] = [
                    _Via(
                        _Piece(rectangles, self._strips),
                        np.full(len(rectangles), bare, np.uint8),
                        np.full(len(rectangles), -1, np.int32),
                    )
                ]
                vias[n] += new_vias[n]
        shape = old.shape.copy()
        for s in range(self._strips.count):
            for n, layer in enumerate(new_metals):
                for new in layer:
                    _join_piece(new, metals[n], s, parent)
                    starts, items = self._asked[n]
                    for bins in new.of.bins[s]:
                        _find(
                            self._places, items[starts[s] : starts[s + 1]], *bins, new.first, shape,
                        )  # fmt: skip
            for n, via_layer in enumerate(vias):
                for via in via_layer:
                    is_new = any(via is v for v in new_vias[n])
                    for side, bare in (
                        (n - self._below, BARE_BELOW),
                        (n - self._below + 1, BARE_ABOVE),
                    ):
                        if side >= 0:
                            for metal in metals[side] if is_new else new_metals[side]:
                                _join_via(via, metal, s, parent, bare)
                for via in new_vias[n]:
                    for other in via_layer:
                        _mark_piece(via, other, s)
        return _State(parent, metals, vias, shape)


@dataclass(frozen=True)
class _Metal:
    """A piece of a conductor; `first` is the number of its first rectangle among all."""

    first: int
    of: _Piece


@dataclass(frozen=True)
class _Via:
    """A piece of a cut layer: what is wrong with each cut, and one shape that it touches."""

    of: _Piece
    marks: UInt8
    held: Int32


@dataclass(frozen=True)
class _State:
    parent: Int32
    metals: list[list[_Metal]]
    vias: list[list[_Via]]
    shape: Int32


def _points(places: Int64) -> Rectangles:
    found: Rectangles = np.concatenate([places, places], axis=1).astype(np.int32).reshape(-1, 4)
    return found


def _join_piece(new: _Metal, layer: Sequence[_Metal], s: int, parent: Int32) -> None:
    """Join a new piece with itself and with all others of its layer in strip `s`."""
    own = new.of.bins[s]
    for metal in layer:
        others = metal.of.bins[s]
        for a, of_a in enumerate(own):
            for of_b in others[a:] if metal is new else others:
                _join_touching(
                    *of_a, new.first, *of_b, metal.first, of_a is of_b, parent,
                )  # fmt: skip


def _join_via(via: _Via, metal: _Metal, s: int, parent: Int32, bare: int) -> None:
    members = via.of.members(s)
    if len(members):
        for bins in metal.of.bins[s]:
            _join_cuts(
                via.of.rectangles, members, *bins, metal.first,
                parent, via.held, via.marks, bare,
            )  # fmt: skip


def _mark_piece(via: _Via, other: _Via, s: int) -> None:
    members = via.of.members(s)
    if len(members):
        for bins in other.of.bins[s]:
            _mark_doubled(
                via.of.rectangles, members, via.marks, *bins, other.marks, via is other,
            )  # fmt: skip


SHAPES_A_STRIP = 2**15  # that are looked at together, so that they stay in the cache


@dataclass(frozen=True)
class _Strips:
    """Upright strips over a layout: left edge, log2 of the width, how many."""

    origin: int
    size: int
    count: int

    @classmethod
    def around(cls, boxes: Sequence[Rectangles]) -> _Strips:
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

    def sort(
        self, r: Rectangles, which: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Int32, Int32]:
        """Rectangles by strip (in all that they reach): first places [strips + 1] and items."""
        which = np.ones(len(r), np.bool_) if which is None else which
        starts = np.zeros(self.count + 1, np.int32)
        total = _count_strips(r, which, self.origin, self.size, self.count, starts)
        items = np.empty(total, np.int32)
        _fill_strips(r, which, self.origin, self.size, self.count, starts, items)
        return starts, items


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


@njit(cache=True, nogil=True)
def _count_strips(r: Int32, which: Any, origin: Any, size: Any, strips: Any, starts: Int32) -> Any:
    """Fill `starts` with the place behind each strip's last; returns how many in all."""
    for n in range(len(r)):
        if which[n]:
            first, last = _range(r[n, 0], r[n, 2], origin, size, strips)
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
    r: Int32, which: Any, origin: Any, size: Any, strips: Any, starts: Int32, items: Int32
) -> None:
    for n in range(len(r) - 1, -1, -1):
        if which[n]:
            first, last = _range(r[n, 0], r[n, 2], origin, size, strips)
            for s in range(first, last + 1):
                starts[s] -= 1
                items[starts[s]] = n


@njit(cache=True, nogil=True)
def _frame(r: Int32, members: Int32, groups: UInt8, group: Any, bins: Int64, frame: Int64) -> Any:
    """Fill the frame of the bins of one group; returns its members."""
    x0, y0, x1, y1 = np.int64(2**40), np.int64(2**40), np.int64(-(2**40)), np.int64(-(2**40))
    count = 0
    for m in members:
        if groups[m] == group:
            x0, y0 = min(x0, r[m, 0]), min(y0, r[m, 1])
            x1, y1 = max(x1, r[m, 2]), max(y1, r[m, 3])
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
    return count


@njit(cache=True, nogil=True, inline="always")
def _range(low: Any, high: Any, origin: Any, size: Any, count: Any) -> Any:
    """First and last bin of an interval within the frame; none if it lies beyond."""
    first = (low - origin) >> size
    last = (high - origin) >> size
    return max(first, 0), min(last, count - 1)


@njit(cache=True, nogil=True)
def _count(r: Int32, members: Int32, groups: UInt8, group: Any, frame: Int64, starts: Int32) -> Any:
    """Fill `starts` with the place behind each bin's last; returns how many in all."""
    for m in members:
        if groups[m] != group:
            continue
        c0, c1 = _range(r[m, 0], r[m, 2], frame[0], frame[2], frame[4])
        r0, r1 = _range(r[m, 1], r[m, 3], frame[1], frame[3], frame[5])
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
    r: Int32, members: Int32, groups: UInt8, group: Any, frame: Int64, starts: Int32, items: Int32
) -> None:
    for n in range(len(members) - 1, -1, -1):
        m = members[n]
        if groups[m] != group:
            continue
        c0, c1 = _range(r[m, 0], r[m, 2], frame[0], frame[2], frame[4])
        r0, r1 = _range(r[m, 1], r[m, 3], frame[1], frame[3], frame[5])
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                at = row * frame[4] + column
                starts[at] -= 1
                to = starts[at]
                items[to, 0], items[to, 1], items[to, 2] = r[m, 0], r[m, 1], r[m, 2]
                items[to, 3], items[to, 4] = r[m, 3], m


@njit(cache=True, nogil=True)
def _root(parent: Int32, n: Any) -> Any:
    while parent[n] != n:
        parent[n] = parent[parent[n]]
        n = parent[n]
    return n


@njit(cache=True, nogil=True)
def _join(parent: Int32, a: Any, b: Any) -> None:
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@njit(cache=True, nogil=True)
def _flatten(parent: Int32) -> None:
    for n in range(len(parent)):
        parent[n] = _root(parent, n)


@njit(cache=True, nogil=True)
def _join_touching(
    frame_a: Int64, starts_a: Int32, items_a: Int32, first_a: Any,
    frame: Int64, starts: Int32, items: Int32, first_b: Any, same: Any, parent: Int32,
) -> None:  # fmt: skip
    """Join the rectangles of one group of bins with those of another that they touch."""
    for bin_a in range(len(starts_a) - 1):
        corner_c, corner_r = bin_a % frame_a[4], bin_a // frame_a[4]
        for at_a in range(starts_a[bin_a], starts_a[bin_a + 1]):
            x0, y0, x1, y1 = items_a[at_a, 0], items_a[at_a, 1], items_a[at_a, 2], items_a[at_a, 3]
            a = items_a[at_a, 4]
            # every shape once: in the first bin that it lies in
            c0, c1 = _range(x0, x1, frame_a[0], frame_a[2], frame_a[4])
            r0, r1 = _range(y0, y1, frame_a[1], frame_a[3], frame_a[5])
            if c0 != corner_c or r0 != corner_r:
                continue
            c0, c1 = _range(x0, x1, frame[0], frame[2], frame[4])
            r0, r1 = _range(y0, y1, frame[1], frame[3], frame[5])
            for row in range(r0, r1 + 1):
                for column in range(c0, c1 + 1):
                    bin_b = row * frame[4] + column
                    for at in range(starts[bin_b], starts[bin_b + 1]):
                        across = min(x1, items[at, 2]) - max(x0, items[at, 0])
                        up = min(y1, items[at, 3]) - max(y0, items[at, 1])
                        if across >= 0 and up >= 0 and across + up > 0:
                            b = items[at, 4]
                            if not same or b > a:
                                _join(parent, first_a + a, first_b + b)


@njit(cache=True, nogil=True)
def _join_cuts(
    cuts: Int32, members: Int32, frame: Int64, starts: Int32, items: Int32,
    first: Any, parent: Int32, held: Int32, marks: UInt8, bare: Any,
) -> None:  # fmt: skip
    """Join what each cut touches; clear `bare` of its marks if one shape covers it.

    `held` remembers one shape a cut touches.
    """
    whole = ~np.uint8(bare)
    for n in members:
        x0, y0, x1, y1 = cuts[n, 0], cuts[n, 1], cuts[n, 2], cuts[n, 3]
        c0, c1 = _range(x0, x1, frame[0], frame[2], frame[4])
        r0, r1 = _range(y0, y1, frame[1], frame[3], frame[5])
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                bin_ = row * frame[4] + column
                for at in range(starts[bin_], starts[bin_ + 1]):
                    bx0, by0, bx1, by1 = items[at, 0], items[at, 1], items[at, 2], items[at, 3]
                    if (x0 < bx1) & (bx0 < x1) & (y0 < by1) & (by0 < y1):
                        shape = first + items[at, 4]
                        if held[n] < 0:
                            held[n] = shape
                        else:
                            _join(parent, held[n], shape)
                        if (bx0 <= x0) & (by0 <= y0) & (bx1 >= x1) & (by1 >= y1):
                            marks[n] &= whole


@njit(cache=True, nogil=True)
def _mark_doubled(
    cuts: Int32, members: Int32, marks: UInt8,
    frame: Int64, starts: Int32, items: Int32, other_marks: UInt8, same: Any,
) -> None:  # fmt: skip
    """Mark cuts that overlap or touch another one."""
    for a in members:
        x0, y0, x1, y1 = cuts[a, 0], cuts[a, 1], cuts[a, 2], cuts[a, 3]
        c0, c1 = _range(x0, x1, frame[0], frame[2], frame[4])
        r0, r1 = _range(y0, y1, frame[1], frame[3], frame[5])
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                bin_ = row * frame[4] + column
                for at in range(starts[bin_], starts[bin_ + 1]):
                    bx0, by0, bx1, by1 = items[at, 0], items[at, 1], items[at, 2], items[at, 3]
                    if (x0 <= bx1) & (bx0 <= x1) & (y0 <= by1) & (by0 <= y1):
                        b = items[at, 4]
                        if not same or b > a:
                            marks[a] |= np.uint8(4)
                            other_marks[b] |= np.uint8(4)


@njit(cache=True, nogil=True)
def _find(
    places: Int64, which: Int32, frame: Int64, starts: Int32, items: Int32, first: Any, shape: Int32
) -> None:
    """Enter a shape under each of some places."""
    for n in which:
        x, y = places[n, 0], places[n, 1]
        column, row = (x - frame[0]) >> frame[2], (y - frame[1]) >> frame[3]
        if column < 0 or row < 0 or column >= frame[4] or row >= frame[5]:
            continue
        bin_ = row * frame[4] + column
        for at in range(starts[bin_], starts[bin_ + 1]):
            if items[at, 0] <= x <= items[at, 2] and items[at, 1] <= y <= items[at, 3]:
                shape[n] = first + items[at, 4]
