"""One weight -> the metal that makes it what it is, found by following metal and cuts alone.

    trunk ── cut ── wire ── cut ── port ── cut ── silicon

The walk begins at a pin of the weight, known by its label, and stays in the weight's row of metal:
there a trunk meets no other neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Label, LayerKey, Layout, Rectangles, Scheme
from hnlpu.silicon.masks.picture._metal import Box, within
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Metal, ViaLayer

Marks = npt.NDArray[np.bool_]
NOTHING: Rectangles = np.empty((0, 4), np.int32)


@dataclass(frozen=True)
class Trace:
    """Rectangles of the weight's net by layer, cut to its row; `label` is the pin where it began."""

    row: Box
    label: Label
    shapes: dict[LayerKey, Rectangles]

    def of(self, layer: Metal | ViaLayer, *datatypes: int) -> Rectangles:
        """Those on a layer, int32 [n, 4]."""
        found = [self.shapes.get((layer.gds_layer, datatype)) for datatype in datatypes]
        return np.concatenate([NOTHING, *[f for f in found if f is not None]])

    def trunks(self, *metals: Metal) -> Rectangles:
        """Pieces of the net on these metals that run on beyond the row."""
        found = np.concatenate([self.of(metal, FIXED, PROGRAMMABLE) for metal in metals])
        return found[(found[:, 1] <= self.row[1]) & (found[:, 3] >= self.row[3])]

    @property
    def box(self) -> Box:
        """Around all of it."""
        found = np.concatenate(list(self.shapes.values()))
        x0, y0 = found[:, :2].min(0).tolist()
        x1, y1 = found[:, 2:].max(0).tolist()
        return x0, y0, x1, y1


def trace(scheme: Scheme, layouts: Sequence[Layout], label: Label, row: Box) -> Trace:
    """Follow the metal in the box `row` from a pin."""
    t = scheme.technology
    here = within(layouts, row)
    # from the silicon up, so that even levels are cuts and each lies between its neighbours
    layers = (t.port_cut, t.lower, t.lower_cut, t.stub, t.upper_cut, t.upper)
    levels = [layer.gds_layer for layer in layers]
    parts = [[here.get((n, kind), NOTHING) for kind in (FIXED, PROGRAMMABLE)] for n in levels]
    shapes = [np.concatenate(both) for both in parts]
    reached = [np.zeros(len(found), bool) for found in shapes]
    start = levels.index(label.layer[0])
    ahead = {start: _holds(shapes[start], label, row)}
    while ahead:
        touched: dict[int, Marks] = {}
        for level, marks in ahead.items():
            new = marks & ~reached[level]
            reached[level] |= new
            for other in _neighbours(level, len(levels)) if new.any() else ():
                found = _touching(shapes[other], shapes[level][new])
                touched[other] = touched.get(other, found) | found
        ahead = touched
    net = {}
    for layer, (fixed, programmable), marks in zip(levels, parts, reached, strict=True):
        net[layer, FIXED] = fixed[marks[: len(fixed)]]
        net[layer, PROGRAMMABLE] = programmable[marks[len(fixed) :]]
    net = {key: found for key, found in net.items() if len(found)}
    return Trace(row, label, net)


def _neighbours(level: int, count: int) -> list[int]:
    """Levels that a shape may hang together with: metals with their own too, cuts not."""
    around = [level - 1, level + 1] + ([level] if level % 2 else [])
    return [n for n in around if 0 <= n < count]


def _holds(found: Rectangles, label: Label, row: Box) -> Marks:
    """Rectangles under a label; of a trunk, whose label stands at its end, those that reach there."""
    across = (found[:, 0] <= label.x) & (label.x < found[:, 2])
    if row[1] <= label.y < row[3]:
        return across & (found[:, 1] <= label.y) & (label.y < found[:, 3])
    return across & (found[:, 1] <= row[1]) & (found[:, 3] >= row[3])


def _touching(found: Rectangles, edge: Rectangles) -> Marks:
    """Which of `found` share some area with any of `edge`."""
    out = np.zeros(len(found), bool)
    for x0, y0, x1, y1 in edge.tolist():
        out |= (found[:, 0] < x1) & (found[:, 2] > x0) & (found[:, 1] < y1) & (found[:, 3] > y0)
    return out
