"""Legality of what weights draw, tile by tile: wires on tracks, and vias where they cross uprights.

    track  ====O======  ===X=====O===       wires of one width, `end_space` apart
    track     =====O=====X===               tracks at least `space` apart
               |   |     |                  uprights: fixed

No geometry engine: on wires that lie on tracks the rules of width, space, length, cuts and their
enclosure come down to comparing neighbours in sorted order.  What this finds legal is legal; it
may refuse what is legal in another way (two wires that touch, say), because we draw nothing such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Layout, Rectangles
from hnlpu.silicon.masks._klayout import VIOLATIONS_KEPT, Violation
from hnlpu.silicon.technology import PIN, Metal, Technology, ViaLayer

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def check_wires(technology: Technology, layout: Layout) -> list[Violation]:
    """Violations by the wires across and by the cuts on both sides of them.

    Space between the uprights is not judged: they are fixed, and KLayout judges them once.
    """
    t, shapes = technology, _by_layer(layout)
    none = np.zeros((0, 4), np.int64)
    lower, stub, upper = (shapes.get(metal.gds_layer, none) for metal in (t.lower, t.stub, t.upper))
    found = _Tracks.of(stub).check_wires(t.stub)
    for cut, below, above in ((t.lower_cut, t.lower, t.stub), (t.upper_cut, t.stub, t.upper)):
        cuts = shapes.get(cut.gds_layer, none)
        found += _Tracks.of(cuts).check_cuts(cut)
        for metal in (below, above):
            sides, ends = _enclosure(cut, below=metal is below)
            if metal is t.stub:
                bare = _uncovered(cuts, stub, sides, ends)
            else:
                uprights = lower if metal is t.lower else upper
                bare = _uncovered(_turned(cuts), _turned(uprights), sides, ends)
            found += _violations(cut, f"enclosure by {metal.name}", cuts[bare])
    return found


def _by_layer(layout: Layout) -> dict[int, Int64]:
    found: dict[int, list[Rectangles]] = {}
    for (layer, datatype), rectangles in layout.flat().items():
        if datatype != PIN:
            found.setdefault(layer, []).append(rectangles)
    return {layer: np.concatenate(parts).astype(np.int64) for layer, parts in found.items()}


def _violations(layer: Metal | ViaLayer, rule: str, boxes: Int64) -> list[Violation]:
    kept = boxes[:VIOLATIONS_KEPT].tolist()
    return [Violation(layer.name, rule, (x0, y0, x1, y1)) for x0, y0, x1, y1 in kept]


def _turned(rectangles: Int64) -> Int64:
    """With x and y exchanged."""
    return rectangles[:, [1, 0, 3, 2]]


def _enclosure(cut: ViaLayer, *, below: bool) -> tuple[int, int]:
    """Beside and along the wire."""
    sides = cut.enclosure_below if below else cut.enclosure_above
    ends = cut.end_enclosure_below if below else cut.end_enclosure_above
    return round(sides.value), round(max(sides.value, ends.value))


@dataclass(frozen=True)
class _Tracks:
    """Shapes in order of their lower edges and then of x, and where each track begins in them."""

    shapes: Int64
    first: Int64

    @classmethod
    def of(cls, shapes: Int64) -> _Tracks:
        ordered, _ = _in_order(shapes)
        return cls(ordered, np.flatnonzero(np.diff(ordered[:, 1], prepend=ordered[:1, 1] - 1)))

    def check_wires(self, metal: Metal) -> list[Violation]:
        """Width, length, and space between wires on a track and between tracks."""
        sizes = self.shapes[:, 2:] - self.shapes[:, :2]
        found = _violations(metal, "width", self.shapes[sizes.min(1) < metal.width.value])
        found += _violations(metal, "length", self.shapes[sizes.max(1) < metal.length.value])
        found += _violations(metal, "end space", self._close(metal.end_space_nm))
        found += _violations(metal, "space", self._low(metal.space.value))
        found += _violations(metal, "end space", self._cornerwise(metal.end_space_nm))
        if metal.track:
            off = (self.shapes[:, 1] - self.shapes[:1, 1]) % round(metal.track.value) != 0
            found += _violations(metal, "track", self.shapes[off])
        return found

    def check_cuts(self, cut: ViaLayer) -> list[Violation]:
        """Size, and space to the next cut of the row and to the rows above."""
        sizes = self.shapes[:, 2:] - self.shapes[:, :2]
        found = _violations(cut, "size", self.shapes[(sizes != cut.size_nm).any(1)])
        found += _violations(cut, "space", self._close(cut.space.value))
        return found + _violations(cut, "space", self._low(cut.space.value))

    def _close(self, space: float) -> Int64:
        """Shapes too near to the one before on their track."""
        begins = np.zeros(len(self.shapes), bool)
        begins[self.first] = True
        gap = self.shapes[1:, 0] - self.shapes[:-1, 2]
        return self.shapes[1:][~begins[1:] & (gap < space)]

    def _low(self, space: float) -> Int64:
        """The first shapes of tracks that are too near to any track below."""
        if not len(self.first):
            return self.shapes
        top = np.maximum.accumulate(np.maximum.reduceat(self.shapes[:, 3], self.first))
        above = self.shapes[self.first[1:]]
        return above[above[:, 1] - top[:-1] < space]

    def _cornerwise(self, space: float) -> Int64:
        """Shapes with an end that faces an end on a track above, nearer than `space` by Euclid."""
        near: list[Int64] = []
        y0 = self.shapes[self.first, 1]
        keys = _key(self.shapes[:, 1], self.shapes[:, 0])
        track = np.searchsorted(y0, self.shapes[:, 1])
        for up in range(1, len(y0)):
            here = np.flatnonzero(track + up < len(y0))
            above = y0[track[here] + up]
            rise = above - self.shapes[here, 3]
            within = rise < space
            if not within.any():
                break
            here, above, rise = here[within], above[within], rise[within]
            shapes = self.shapes[here]
            behind = np.searchsorted(keys, _key(above, shapes[:, 2]))
            last = np.searchsorted(keys, _key(above, shapes[:, 0]), side="right") - 1
            close = np.zeros(len(here), bool)
            for at, right in ((behind, True), (last, False), (last - 1, False)):
                other = self.shapes[np.clip(at, 0, len(keys) - 1)]
                gap = other[:, 0] - shapes[:, 2] if right else shapes[:, 0] - other[:, 2]
                found = (at >= 0) & (at < len(keys)) & (other[:, 1] == above) & (gap >= 0)
                close |= found & (gap**2 + rise**2 < space**2)
            near.append(shapes[close])
        return np.concatenate([self.shapes[:0], *near])


def _key(y: Int64, x: Int64) -> Int64:
    """One number that sorts by y and then by x."""
    return (y << 32) + x


def _in_order(shapes: Int64) -> tuple[Int64, Int64]:
    """Shapes by their lower and then by their left edges, and their keys."""
    keys = _key(shapes[:, 1], shapes[:, 0])
    if (keys[1:] >= keys[:-1]).all():
        return shapes, keys
    order = np.argsort(keys, kind="stable")
    return shapes[order], keys[order]


def _uncovered(cuts: Int64, wires: Int64, sides: int, ends: int) -> Bool:
    """Cuts that no one wire across reaches beyond by `ends` along it and by `sides` beside it.

    The wire is the last that begins before the cut on the last track that does.
    """
    if not len(wires):
        return np.ones(len(cuts), bool)
    ordered, keys = _in_order(wires)
    tracks = ordered[np.flatnonzero(np.diff(ordered[:, 1], prepend=ordered[0, 1] - 1)), 1]
    bare = np.empty(len(cuts), np.bool_)
    _reach(cuts, ordered, keys, tracks, sides, ends, bare)
    return bare


@njit(cache=True, nogil=True)
def _last(ascending: Int64, value: Any, hint: Any) -> Any:
    """Where the last that is at most `value` stands, -1 for none; soon found if near `hint`."""
    step, low, high = 1, hint, hint
    while low >= 0 and ascending[low] > value:
        high, low, step = low, low - step, 2 * step
    low, step = max(low, -1), 1
    while high < len(ascending) and (high < 0 or ascending[high] <= value):
        low, high, step = high, high + step, 2 * step
    high = min(high, len(ascending))
    while high - low > 1:
        middle = (low + high) >> 1
        if ascending[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _reach(
    cuts: Int64, wires: Int64, keys: Int64, tracks: Int64, sides: int, ends: int, bare: Bool
) -> None:
    """Mark in `bare` the cuts that their wire does not reach beyond."""
    track, at = 0, 0
    for n in range(len(cuts)):
        x0, y0 = cuts[n, 0] - ends, cuts[n, 1] - sides
        track = max(_last(tracks, y0, track), 0)
        at = _last(keys, (tracks[track] << 32) + x0, max(at, 0))
        bare[n] = (
            at < 0
            or wires[at, 0] > x0
            or wires[at, 2] < cuts[n, 2] + ends
            or wires[at, 1] > y0
            or wires[at, 3] < cuts[n, 3] + sides
        )
