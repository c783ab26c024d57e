"""Rectangles and cuts -> nets: which metal hangs together, by union-find.

Pure geometry: it knows the order of the layers and nothing of trunks, stubs or sites.

    conductor ── cut ── conductor ── cut ── conductor       from the bottom up

Two rectangles of a layer hang together if they overlap or share a piece of edge (a corner is not
enough); a cut joins what it touches above and below, and should be covered whole by one shape on
either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Rectangles
from hnlpu.silicon.masks._bins import Piece, Strips, bin_range
from hnlpu.silicon.masks._doubled import Near, mark_doubled

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]

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
        self._strips = Strips.around([*conductors, *cuts, _points(places)])
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
        net, under = state.parent, np.empty(len(state.shape), np.int32)
        _look_up(state.shape, net, under)
        return Nets(
            net,
            [[(piece.first, piece.of.rectangles) for piece in layer] for layer in state.metals],
            [[(via.of.rectangles, via.all_marks()) for via in layer] for layer in state.vias],
            under,
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
                new_metals[n] = [_Metal(total, Piece(rectangles, self._strips))]
                total += len(rectangles)
                metals[n] += new_metals[n]
        parent = np.arange(total, dtype=np.int32)
        parent[: len(old.parent)] = old.parent
        vias = [[via.copied() for via in layer] for layer in old.vias]
        new_vias: list[list[_Via]] = [[] for _ in cuts]
        for n, rectangles in enumerate(cuts):
            if len(rectangles):
                bare = BARE_ABOVE if n == 0 and self._below else BARE_BELOW | BARE_ABOVE
                new_vias[n] = [
                    _Via.of_new(
                        Piece(rectangles, self._strips),
                        bare,
                    )
                ]
                vias[n] += new_vias[n]
        shape = old.shape.copy()
        near = Near(self._strips)
        for s in range(self._strips.count):
            for n, layer in enumerate(new_metals):
                for new in layer:
                    _join_piece(new, metals[n], s, parent)
                    asked = self._asked[n].numbers[self._asked[n].strip(s)]
                    for bins in new.of.bins(s):
                        _find(self._places, asked, *bins, new.first, shape)
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
                        _mark_piece(via, other, s, near)
        for via in (via for layer in vias for via in layer):
            _join_twins(via.of.sorted.twins, via.held, parent)
        _flatten(parent)
        return _State(parent, metals, vias, shape)


def _points(places: Int64) -> Rectangles:
    found: Rectangles = np.concatenate([places, places], axis=1).astype(np.int32).reshape(-1, 4)
    return found


@dataclass(frozen=True)
class _Metal:
    """A piece of a conductor; `first` is the number of its first rectangle among all."""

    first: int
    of: Piece


@dataclass(frozen=True)
class _Via:
    """A piece of a cut layer: what is wrong with each cut, and one shape that it touches.

    By strip, as in `Piece.sorted`.
    """

    of: Piece
    marks: UInt8
    held: Int32

    @classmethod
    def of_new(cls, piece: Piece, bare: int) -> _Via:
        count = len(piece.sorted.numbers)
        return cls(piece, np.full(count, bare, np.uint8), np.full(count, -1, np.int32))

    def copied(self) -> _Via:
        return _Via(self.of, self.marks.copy(), self.held.copy())

    def all_marks(self) -> UInt8:
        """The marks of each cut."""
        found = np.zeros(len(self.of.rectangles), np.uint8)
        if self.marks.any():
            numbers = self.of.sorted.numbers
            found[numbers] = self.marks
            found[numbers[self.marks & DOUBLED != 0]] |= DOUBLED
        return found


@dataclass(frozen=True)
class _State:
    parent: Int32
    metals: list[list[_Metal]]
    vias: list[list[_Via]]
    shape: Int32


def _join_piece(new: _Metal, layer: Sequence[_Metal], s: int, parent: Int32) -> None:
    """Join a new piece with itself and with all others of its layer in strip `s`."""
    own = new.of.bins(s)
    for metal in layer:
        others = metal.of.bins(s)
        for a, of_a in enumerate(own):
            for of_b in others[a:] if metal is new else others:
                _join_touching(
                    *of_a, new.first, *of_b, metal.first, of_a is of_b, parent,
                )  # fmt: skip


def _join_via(via: _Via, metal: _Metal, s: int, parent: Int32, bare: int) -> None:
    here = via.of.sorted.strip(s)
    if here.stop > here.start:
        boxes, held, marks = via.of.sorted.boxes[here], via.held[here], via.marks[here]
        for bins in metal.of.bins(s):
            _join_cuts(boxes, *bins, metal.first, parent, held, marks, bare)


def _mark_piece(via: _Via, other: _Via, s: int, near: Near) -> None:
    """Mark cuts of two pieces (or of one) that lie on one another in strip `s`."""
    here, there = via.of.sorted.strip(s), other.of.sorted.strip(s)
    if here.stop > here.start and there.stop > there.start:
        mark_doubled(
            via.of.sorted.boxes[here], via.marks[here],
            other.of.sorted.boxes[there], other.marks[there],
            via is other, *near.table(via.of, other.of, s, there.stop - there.start),
        )  # fmt: skip


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
def _join_twins(twins: Int32, held: Int32, parent: Int32) -> None:
    """Join what cuts touch in one strip with what they touch in the next."""
    for n in range(len(twins)):
        a, b = held[twins[n, 0]], held[twins[n, 1]]
        if a >= 0 and b >= 0:
            _join(parent, a, b)


@njit(cache=True, nogil=True)
def _look_up(shape: Int32, net: Int32, under: Int32) -> None:
    """The net of each shape, -1 for none."""
    for n in range(len(shape)):
        under[n] = net[shape[n]] if shape[n] >= 0 else -1


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
            c0, c1 = bin_range(x0, x1, frame_a[0], frame_a[2], frame_a[4])
            r0, r1 = bin_range(y0, y1, frame_a[1], frame_a[3], frame_a[5])
            if c0 != corner_c or r0 != corner_r:
                continue
            c0, c1 = bin_range(x0, x1, frame[0], frame[2], frame[4])
            r0, r1 = bin_range(y0, y1, frame[1], frame[3], frame[5])
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
    cuts: Int32, frame: Int64, starts: Int32, items: Int32, first: Any, parent: Int32, held: Int32, marks: UInt8, bare: Any,
) -> None:  # fmt: skip
    """Join what each cut touches; clear `bare` of its marks if one shape covers it.

    `held` remembers one shape a cut touches.
    """
    whole = ~np.uint8(bare)
    # taken out of the loop by hand: the compiler cannot know that nothing writes to the frame
    left, bottom, across, up = frame[0], frame[1], frame[2], frame[3]
    columns, rows = frame[4], frame[5]
    for n in range(len(cuts)):
        x0, y0, x1, y1 = cuts[n, 0], cuts[n, 1], cuts[n, 2], cuts[n, 3]
        c0, c1 = bin_range(x0, x1, left, across, columns)
        r0, r1 = bin_range(y0, y1, bottom, up, rows)
        mine = held[n]
        for row in range(r0, r1 + 1):
            for bin_ in range(row * columns + c0, row * columns + c1 + 1):
                for at in range(starts[bin_], starts[bin_ + 1]):
                    bx0, by0, bx1, by1 = items[at, 0], items[at, 1], items[at, 2], items[at, 3]
                    if (x0 < bx1) & (bx0 < x1) & (y0 < by1) & (by0 < y1):
                        shape = first + items[at, 4]
                        if mine < 0:
                            mine = shape
                        else:
                            _join(parent, mine, shape)
                        if (bx0 <= x0) & (by0 <= y0) & (bx1 >= x1) & (by1 >= y1):
                            marks[n] &= whole
        held[n] = mine


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
