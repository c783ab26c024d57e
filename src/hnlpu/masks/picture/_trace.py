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

from hnlpu.embed import Label, LayerKey, Layout, Rectangles, Scheme
from hnlpu.masks.picture._metal import Box, within
from hnlpu.technology import FIXED, PROGRAMMABLE, Cut, Metal


@dataclass(frozen=True)
class Trace:
    """Rectangles of the weight's net by layer, cut to its row; `label` is the pin where it began."""

    row: Box
    label: Label
    shapes: dict[LayerKey, Rectangles]

    def of(self, layer: Metal | Cut, *datatypes: int) -> Rectangles:
        """Those on a layer, int32 [n, 4]."""
        found = [self.shapes.get((layer.gds_layer, datatype)) for datatype in datatypes]
        return np.concatenate([np.empty((0, 4), np.int32), *[f for f in found if f is not None]])

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


def trace(
    scheme: Scheme, layouts: Sequence[Layout], label: Label, row: Box, *, most: int = 64
) -> Trace:
    """Follow the metal in the box `row` from a pin; ends after `most` steps at the latest."""
    t = scheme.technology
    here = within(layouts, row)
    # from the silicon up, so that even places are cuts and each lies between its neighbours
    stack = [
        [(layer.gds_layer, kind) for kind in (FIXED, PROGRAMMABLE)]
        for layer in (t.port_cut, t.lower, t.lower_cut, t.stub, t.upper_cut, t.upper)
    ]
    shapes = [[here.get(key, np.empty((0, 4), np.int32)) for key in level] for level in stack]
    reached = [[np.zeros(len(found), bool) for found in level] for level in shapes]
    start = next(n for n, level in enumerate(stack) if level[0][0] == label.layer[0])
    grown = {start: [_holds(found, label, row) for found in shapes[start]]}
    for _ in range(most):
        if not grown:
            break
        following: dict[int, list[npt.NDArray[np.bool_]]] = {}
        for level, marks in grown.items():
            new = [mark & ~seen for mark, seen in zip(marks, reached[level], strict=True)]
            edge = np.concatenate([f[mark] for f, mark in zip(shapes[level], new, strict=True)])
            for seen, mark in zip(reached[level], new, strict=True):
                seen |= mark
            if not len(edge):
                continue
            for other in _neighbours(level, len(stack)):
                touched = [_touching(found, edge) for found in shapes[other]]
                known = following.get(other)
                following[other] = (
                    touched if known is None
                    else [a | b for a, b in zip(known, touched, strict=True)]
                )  # fmt: skip
        grown = following
    net = {
        key: found[mark]
        for level, parts, marks in zip(stack, shapes, reached, strict=True)
        for key, found, mark in zip(level, parts, marks, strict=True)
        if mark.any()
    }
    return Trace(row, label, net)


def _neighbours(level: int, count: int) -> list[int]:
    """Levels that a shape may hang together with: metals with their own too, cuts not."""
    around = [level - 1, level + 1] + ([level] if level % 2 else [])
    return [n for n in around if 0 <= n < count]


def _holds(found: Rectangles, label: Label, row: Box) -> npt.NDArray[np.bool_]:
    """Rectangles under a label; of a trunk, whose label stands at its end, those that reach there."""
    across = (found[:, 0] <= label.x) & (label.x < found[:, 2])
    if row[1] <= label.y < row[3]:
        return across & (found[:, 1] <= label.y) & (label.y < found[:, 3])
    return across & (found[:, 1] <= row[1]) & (found[:, 3] >= row[3])


def _touching(found: Rectangles, edge: Rectangles) -> npt.NDArray[np.bool_]:
    """Which of `found` share some area with any of `edge`."""
    out = np.zeros(len(found), bool)
    for x0, y0, x1, y1 in edge.tolist():
        out |= (found[:, 0] < x1) & (found[:, 2] > x0) & (found[:, 1] < y1) & (found[:, 3] > y0)
    return out
