"""Two neighbouring tiles on a die -> KLayout's verdict on the metal around their border.

        +---------+     +---------+        What reaches into the window, whole: rules are checked on
        | tile a  |     | tile b  |        it, and every piece of metal is labelled with its tile.  A
        |     +---|-----|---+     |        net that has labels of both is a short.
        |     | window  |   |     |
        |     +---|-----|---+     |
        +---------+     +---------+

A chip has one such border for every pair of neighbours, and few kinds of them: two kinds of arrays,
one beside, above or cornerwise from the other.  Each kind is judged once on the chips themselves
(`judge_border`), with their weights, and once with the proof tiles of both kinds at the least
distance that a placement leaves (`judge_pair`), with all codes at the border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hnlpu.silicon.embed import (
    Grid,
    Label,
    LayerKey,
    Layout,
    Rectangles,
    Scheme,
    TileShape,
    clearance_nm,
)
from hnlpu.silicon.masks._cells import TileSource
from hnlpu.silicon.masks._chip_geometry import Box, gaps, near_pairs
from hnlpu.silicon.masks._judge import PROBLEMS_KEPT, Judgement
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist, to_regions
from hnlpu.silicon.masks._proof import ProofMetal
from hnlpu.silicon.place import DiePlan, PlacedTile, landing_nm
from hnlpu.silicon.technology import PIN, Technology

CELL_TRACKS = 10
"""Lower tracks of a weight, about."""
FLAT, HIGH = (1, 16), (8, 1)
"""Rows of metal and weights that the windows reach into the tiles."""


@dataclass(frozen=True)
class Border:
    """Two tiles of a chip that face each other; `direction` is beside, above or corner."""

    chip: int
    first: PlacedTile
    second: PlacedTile
    direction: str


@dataclass(frozen=True)
class Metal:
    """All metal of a tile, fixed and chosen by weights, with its place on the die."""

    name: str
    x: int
    y: int
    parts: Sequence[Layout]


# -- borders of a chip -----------------------------------------------------------------------


def kinds_of_border(technology: Technology, plans: Sequence[DiePlan]) -> list[Border]:
    """One border for every two kinds of arrays and direction that are neighbours on the chips.

    Of each kind that one whose tiles stand nearest to each other.
    """
    found: dict[tuple[object, ...], tuple[int, Border]] = {}
    for plan in plans:
        for first, second in _neighbours(technology, plan):
            wide, high = gaps(_outline(first), _outline(second))
            side_by_side, stacked = wide >= 0, high >= 0
            direction = {(1, 1): "corner", (1, 0): "beside"}.get((side_by_side, stacked), "above")
            key = first.tile.kind, second.tile.kind, direction
            distance = max(wide, high)
            if key not in found or distance < found[key][0]:
                found[key] = distance, Border(plan.chip, first, second, direction)
    return [border for _, border in found.values()]


def _neighbours(technology: Technology, plan: DiePlan) -> Iterator[tuple[PlacedTile, PlacedTile]]:
    """Pairs of tiles with nothing but clearance or a landing between them."""
    boxes = np.array([_outline(at) for at in plan.tiles], np.int64)
    dx, dy = clearance_nm(technology)
    highest = max((at.height for at in plan.tiles), default=0)
    reach = landing_nm(technology, highest) + 2 * dy
    pairs = near_pairs(boxes, 2 * dx, reach, kept=16 * len(boxes) + 16)
    for a, b in pairs.tolist():
        first, second = plan.tiles[a], plan.tiles[b]
        below = (first.y, first.x) <= (second.y, second.x)
        yield (first, second) if below else (second, first)


def _outline(at: PlacedTile) -> Box:
    return at.x, at.y, at.x + at.width, at.y + at.height


def judge_border(source: TileSource, border: Border) -> Judgement:
    """Rules and nets around a border of a chip, with its weights; raises ToolMissing without KLayout."""
    metals = []
    for at in (border.first, border.second):
        scheme = source.scheme(at.tile.kind)
        drawn = scheme.draw(source.read.digits(at.tile))
        fixed = source.base(at.tile.kind, at.tile.shape)
        metals.append(Metal(at.tile.name, at.x, at.y, (fixed, drawn)))
    schemes = [source.scheme(at.tile.kind) for at in (border.first, border.second)]
    between = _facing(_outline(border.first), _outline(border.second))
    return _judge(schemes, metals, _windows(schemes, between))


def judge_pair(kinds: tuple[ProofMetal, ProofMetal]) -> Judgement:
    """The same of the proof tiles of two kinds of arrays, as near to each other as a die has them.

    Around the upper right corner of one of the first kind stand three of the second:

        +-------+ +-------+
        |   2   | |   2   |
        +-------+ +-------+
        +-------+ +-------+
        |   1   | |   2   |
        +-------+ +-------+
    """
    first, second = kinds
    schemes = first.scheme, second.scheme
    dx, dy = clearance_nm(first.scheme.technology)
    width, height = first.scheme.size_nm(first.shape)
    wide, high = second.scheme.size_nm(second.shape)
    base = first.scheme.origin_y_nm(max(0, high - height))
    corner = width, base + height
    left, right = corner[0] - wide, corner[0] + dx
    above, below = (second.scheme.origin_y_nm(corner[1] + y) for y in (dy, -high))
    metals = [Metal(f"{first.scheme.kind.name} below left", 0, base, first.parts)]
    metals += [
        Metal(f"{second.scheme.kind.name} {name}", x, y, second.parts)
        for name, x, y in (
            ("below right", right, below), ("above left", left, above), ("above right", right, above)
        )
    ]  # fmt: skip
    return _judge(schemes, metals, _windows(schemes, (*corner, right, above)))


# -- windows ---------------------------------------------------------------------------------


def _facing(a: Box, b: Box) -> Box:
    """What lies between two outlines: from side to side, from end to end, or the common edge's left."""
    x0, x1 = sorted((min(a[2], b[2]), max(a[0], b[0])))
    y0, y1 = sorted((min(a[3], b[3]), max(a[1], b[1])))
    wide, high = gaps(a, b)
    return x0, y0, x0 if wide < 0 else x1, y0 if high < 0 else y1


def _windows(schemes: Sequence[Scheme], between: Box) -> tuple[Box, Box]:
    """Around what lies between tiles: a flat and wide window for ends, and a narrow and high one."""
    t = schemes[0].technology
    cell = round(CELL_TRACKS * (t.lower.width.value + t.lower.space.value))
    row = max(scheme.size_nm(TileShape(1, 1))[1] for scheme in schemes)
    x0, y0, x1, y1 = between
    (flat, wide), (high, narrow) = FLAT, HIGH
    return (
        (x0 - wide * cell, y0 - flat * row, x1 + wide * cell, y1 + flat * row),
        (x0 - narrow * cell, y0 - high * row, x1 + narrow * cell, y1 + high * row),
    )


def _judge(schemes: Sequence[Scheme], metals: Sequence[Metal], windows: Sequence[Box]) -> Judgement:
    technology = schemes[0].technology
    layout = _cut_out(technology, metals, windows)
    regions = to_regions(layout)
    broken = check_rules(technology, layout, on_die=True, regions=regions)
    problems = [str(violation) for violation in broken]
    names = {str(n): metal.name for n, metal in enumerate(metals)}
    joined = (
        net for net in extract_netlist(technology, layout, regions=regions).nets if len(net) > 1
    )
    problems += [f"a net joins {' and '.join(names[n] for n in sorted(net))}" for net in joined]
    shapes = sum(len(found) for found in layout.rectangles.values())
    return Judgement(shapes, tuple(problems[:PROBLEMS_KEPT]))


def _cut_out(technology: Technology, metals: Sequence[Metal], windows: Sequence[Box]) -> Layout:
    """Every shape that reaches into a window, on the die, metal labelled with its tile's number."""
    t = technology
    conductors = {layer.gds_layer for layer in (t.lower, t.stub, t.upper)}
    rectangles: dict[LayerKey, list[Rectangles]] = {}
    labels = []
    for n, metal in enumerate(metals):
        place = np.array([metal.x, metal.y, metal.x, metal.y], np.int32)
        for key, found in _reaching(metal, windows).items():
            on_die = found + place
            rectangles.setdefault(key, []).append(on_die)
            if key[0] in conductors:
                labels += [
                    Label((key[0], PIN), str(n), (x0 + x1) // 2, (y0 + y1) // 2)
                    for x0, y0, x1, y1 in on_die.tolist()
                ]
    return Layout(
        rectangles={key: np.concatenate(parts) for key, parts in rectangles.items()}, labels=labels
    )


def _reaching(metal: Metal, windows: Sequence[Box]) -> dict[LayerKey, Rectangles]:
    """A tile's shapes that reach into a window, each once, by layer; they count from its origin."""
    found: dict[LayerKey, list[Rectangles]] = {}
    for x0, y0, x1, y1 in windows:
        window = x0 - metal.x, y0 - metal.y, x1 - metal.x, y1 - metal.y
        for part in metal.parts:
            for key, shapes in _within(part, window):
                found.setdefault(key, []).append(shapes)
    return {key: np.unique(np.concatenate(parts), axis=0) for key, parts in found.items()}


def _within(layout: Layout, window: Box) -> Iterator[tuple[LayerKey, Rectangles]]:
    """The rectangles of a layout that reach into a window, by layer; labels are left out."""
    for grid in layout.grids:
        columns = _steps(grid.x0, grid.x1, grid.dx, grid.columns, window[0], window[2])
        rows = _steps(grid.y0, grid.y1, grid.dy, grid.rows, window[1], window[3])
        if columns and rows:
            x, y = columns.start * grid.dx, rows.start * grid.dy
            yield grid.layer, Grid(
                grid.layer, grid.x0 + x, grid.y0 + y, grid.x1 + x, grid.y1 + y,
                len(columns), grid.dx, len(rows), grid.dy,
            ).rectangles()  # fmt: skip
    for key, found in layout.rectangles.items():
        if key[1] == PIN:
            continue
        inside = (found[:, 0] <= window[2]) & (found[:, 2] >= window[0])
        inside &= (found[:, 1] <= window[3]) & (found[:, 3] >= window[1])
        if inside.any():
            yield key, found[inside]


def _steps(low: int, high: int, step: int, count: int, first: int, last: int) -> range:
    """Which of `count` intervals, `step` apart and the first of them low to high, touch first to last."""
    if count == 1 or step == 0:
        return range(1) if low <= last and high >= first else range(0)
    begin = max(0, -(-(first - high) // step))
    return range(begin, min(count, (last - low) // step + 1))
