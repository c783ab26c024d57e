"""Fixed metal -> where a tile's trunks reach its edges, and the tracks on which its metal lies.

|   |   |        trunks, from the lower edge to the upper one
|  === ===       rows: the stubs' track (taps), or the tracks of wires (regions)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hnlpu.silicon.embed import Layout, Scheme, TileShape
from hnlpu.silicon.masks._scheme import Tracks
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.technology import FIXED, Metal


class Trunk(NamedTuple):
    """A wire over all rows: the label on it, its metal, its centre and its width in nm."""

    label: str
    metal: Metal
    x: int
    width: int


def trunks(scheme: Scheme, shape: TileShape) -> list[Trunk]:
    """The trunks of a tile by label, in order of the labels."""
    t, base = scheme.technology, _one_row(scheme, shape)
    metals = {metal.gds_layer: metal for metal in (t.lower, t.upper)}
    width: dict[tuple[int, int], int] = {}
    for key, boxes in base.flat().items():
        for x0, _, x1, _ in boxes.tolist():
            width[key[0], (x0 + x1) // 2] = x1 - x0
    return [
        Trunk(label.text, metals[label.layer[0]], label.x, width[label.layer[0], label.x])
        for label in base.labels
        if label.y == 0
    ]


def tracks(scheme: Scheme, shape: TileShape) -> dict[str, tuple[list[Tracks], list[Tracks]]]:
    """Of each metal by name, the tracks by x (of upright wires) and by y (of wires across).

    Upright ones of the stubs' metal are those of the metal below it, as vias between them are.
    """
    t, base = scheme.technology, _one_row(scheme, shape)
    across = list(MASK_SCHEMES[scheme.name].tracks(scheme, shape))
    lower, upper = (list(_upright(base, metal)) for metal in (t.lower, t.upper))
    return {
        t.lower.name: (lower, across),
        t.stub.name: (lower, across),
        t.upper.name: (upper, across),
    }


def _one_row(scheme: Scheme, shape: TileShape) -> Layout:
    """Fixed metal of a tile as wide: every row has the same places along x."""
    return scheme.base(TileShape(1, shape.blocks))


def _upright(base: Layout, metal: Metal) -> Iterable[Tracks]:
    """Tracks of the centres of all fixed wires, as few as grids of one step give."""
    ends: dict[tuple[int, int], tuple[int, int]] = {}
    for grid in base.grids:
        if grid.layer == (metal.gds_layer, FIXED):
            x, step = (grid.x0 + grid.x1) // 2, grid.dx
            first, last = ends.get((step, x % step), (x, x))
            ends[step, x % step] = min(first, x), max(last, x + (grid.columns - 1) * step)
    for (step, _), (first, last) in sorted(ends.items()):
        yield Tracks(first, (last - first) // step + 1, step)
