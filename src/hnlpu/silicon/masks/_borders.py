"""Two neighbouring tiles on a die -> KLayout's verdict on the metal around their border.

        +---------+     +---------+        What reaches into the window, whole: rules are checked on
        | tile a  |     | tile b  |        all of it, and a shape that touches metal or cuts of the
        |     +---|-----|---+     |        other tile, on its own layer or one that it would hang
        |     | window  |   |     |        together with, joins nets of two tiles.
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
    LayerKey,
    Layout,
    Rectangles,
    Scheme,
    TileShape,
    clearance_nm,
)
from hnlpu.silicon.masks._cells import TileSource, chip_name
from hnlpu.silicon.masks._chip_geometry import Box, gaps, near_pairs
from hnlpu.silicon.masks._judge import PROBLEMS_KEPT, Judgement
from hnlpu.silicon.masks._klayout import check_rules, joined_nets, joined_regions, to_regions
from hnlpu.silicon.masks._proof import ProofMetal
from hnlpu.silicon.place import DiePlan, PlacedTile, landing_nm
from hnlpu.silicon.technology import Technology

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

    @property
    def name(self) -> str:
        """The chip and both tiles."""
        return f"{chip_name(self.chip)} {self.first.tile.name} and {self.second.tile.name}"


@dataclass(frozen=True)
class DrawnTile:
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
        fixed = scheme.metal(at.tile.shape)
        metals.append(DrawnTile(at.tile.name, at.x, at.y, (fixed, drawn)))
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
    metals = [DrawnTile(f"{first.scheme.kind.name} below left", 0, base, first.parts)]
    metals += [
        DrawnTile(f"{second.scheme.kind.name} {name}", x, y, second.parts)
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


def _judge(
    schemes: Sequence[Scheme], metals: Sequence[DrawnTile], windows: Sequence[Box]
) -> Judgement:
    technology = schemes[0].technology
    parts = [_cut_out(metal, windows) for metal in metals]
    regions = [to_regions(part) for part in parts]
    broken = check_rules(technology, joined_regions(regions), on_die=True)
    problems = [str(violation) for violation in broken]
    problems += [
        f"a net joins {metals[a].name} and {metals[b].name} on {layer}"
        for a, b, layer in joined_nets(technology, regions)
    ]
    shapes = sum(grid.count for part in parts for grid in part.grids)
    shapes += sum(len(found) for part in parts for found in part.rectangles.values())
    return Judgement(shapes, tuple(problems[:PROBLEMS_KEPT]))


def _cut_out(metal: DrawnTile, windows: Sequence[Box]) -> Layout:
    """Every shape of a tile that reaches into a window, on the die; one in both is there twice."""
    place = np.array([metal.x, metal.y, metal.x, metal.y], np.int32)
    grids: list[Grid] = []
    found: dict[LayerKey, list[Rectangles]] = {}
    for x0, y0, x1, y1 in windows:
        window = x0 - metal.x, y0 - metal.y, x1 - metal.x, y1 - metal.y
        for part in metal.parts:
            grids += _grids_within(part.grids, window, metal.x, metal.y)
            for key, rectangles in part.rectangles.items():
                inside = (rectangles[:, :2] <= window[2:]).all(1)
                inside &= (rectangles[:, 2:] >= window[:2]).all(1)
                found.setdefault(key, []).append(rectangles[inside] + place)
    return Layout(grids, {key: np.concatenate(parts) for key, parts in found.items()})


def _grids_within(grids: Sequence[Grid], window: Box, x: int, y: int) -> Iterator[Grid]:
    """The parts of grids that reach into a window, moved to x and y."""
    for grid in _reaching(grids, window):
        columns = _steps(grid.x0, grid.x1, grid.dx, grid.columns, window[0], window[2])
        rows = _steps(grid.y0, grid.y1, grid.dy, grid.rows, window[1], window[3])
        if columns and rows:
            dx, dy = x + columns.start * grid.dx, y + rows.start * grid.dy
            yield Grid(
                grid.layer, grid.x0 + dx, grid.y0 + dy, grid.x1 + dx, grid.y1 + dy,
                len(columns), grid.dx, len(rows), grid.dy,
            )  # fmt: skip


def _reaching(grids: Sequence[Grid], window: Box) -> list[Grid]:
    """Grids whose outer box touches a window."""
    if not grids:
        return []
    ends = np.array(
        [(g.x0, g.y0, g.x1 + (g.columns - 1) * g.dx, g.y1 + (g.rows - 1) * g.dy) for g in grids]
    )
    touch = (ends[:, :2] <= window[2:]).all(1) & (ends[:, 2:] >= window[:2]).all(1)
    return [grids[n] for n in np.flatnonzero(touch).tolist()]


def _steps(low: int, high: int, step: int, count: int, first: int, last: int) -> range:
    """Which of `count` intervals, `step` apart and the first of them low to high, touch first to last."""
    if count == 1 or step == 0:
        return range(1) if low <= last and high >= first else range(0)
    begin = max(0, -(-(first - high) // step))
    return range(begin, min(count, (last - low) // step + 1))
