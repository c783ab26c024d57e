"""Placed tiles -> what is wrong with the chip between them, by geometry alone.

Every tile gives the box around its metal on each layer, fixed and programmable, as it was drawn or
read.  On the chip

    no two tiles' boxes on a layer come nearer than the layer's space    no rule is broken between
                                                                         them, no net joins two tiles
    no box leaves the die or comes near a block beside the arrays
    metal that may lie on tracks alone does so, and all of it on the grid

Boxes are whole numbers of nm; what is compared is every pair of tiles of a chip that could be near
each other.  Where boxes keep their distance, so does the metal in them, whatever the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Layout, Rectangles, largest_space_nm
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.place import DiePlan
from hnlpu.silicon.technology import PIN, Metal, Technology

Int64 = npt.NDArray[np.int64]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in nm."""
Boxes = Mapping[int, Box]
"""The box around all shapes of a cell, by GDS layer."""
PAIRS_KEPT = 1000


@dataclass(frozen=True)
class TileBoxes:
    """A tile on a die: name, place of its origin in nm, and its boxes, which count from there."""

    name: str
    x: int
    y: int
    boxes: Boxes

    def placed(self, layer: int) -> Box:
        """The box on a layer, on the die."""
        x0, y0, x1, y1 = self.boxes[layer]
        return x0 + self.x, y0 + self.y, x1 + self.x, y1 + self.y

    @property
    def outline(self) -> Box:
        """Around the metal of all layers, on the die."""
        return _join([self.placed(layer) for layer in self.boxes])


# -- boxes -----------------------------------------------------------------------------------


def cell_boxes(cell: LayoutCell) -> dict[int, Box]:
    """The box around the shapes of a cell on every layer; rows of shapes are not taken apart."""
    corners: dict[int, list[Box]] = {}
    for (layer, _), parts in cell.single.items():
        corners.setdefault(layer, []).extend(_join(part) for part in parts if len(part))
    for (layer, _), tables in cell.rows.items():
        for table in tables:
            if len(table.heads):
                corners.setdefault(layer, []).append(_around_rows(table.heads, table.columns))
    return {layer: _join(found) for layer, found in corners.items()}


def layout_boxes(layout: Layout) -> dict[int, Box]:
    """The box around the shapes of a layout on every layer; labels stand on them."""
    corners: dict[int, list[Box]] = {}
    for grid in layout.grids:
        if not grid.count:
            continue
        x1, y1 = grid.x1 + (grid.columns - 1) * grid.dx, grid.y1 + (grid.rows - 1) * grid.dy
        corners.setdefault(grid.layer[0], []).append((grid.x0, grid.y0, x1, y1))
    for (layer, datatype), rectangles in layout.rectangles.items():
        if datatype != PIN and len(rectangles):
            corners.setdefault(layer, []).append(_join(rectangles))
    return {layer: _join(found) for layer, found in corners.items()}


def joined(*boxes: Boxes) -> dict[int, Box]:
    """The boxes around several cells on one another."""
    layers = {layer for each in boxes for layer in each}
    return {n: _join([each[n] for each in boxes if n in each]) for n in sorted(layers)}


def around(boxes: Boxes) -> Box | None:
    """The box around the shapes of all layers; None if there are none."""
    return _join([*boxes.values()]) if boxes else None


def _around_rows(heads: Int64, columns: npt.NDArray[np.int32]) -> Box:
    x0, y0, width, height, dx, dy, _, behind = heads.T
    last = columns[behind - 1]
    x1, y1 = x0 + width + dx * last, y0 + height + dy * last
    return int(x0.min()), int(y0.min()), int(x1.max()), int(y1.max())


def _join(boxes: Sequence[Box] | Rectangles) -> Box:
    corners = np.asarray(boxes)
    (x0, y0), (x1, y1) = corners[:, :2].min(0).tolist(), corners[:, 2:].max(0).tolist()
    return x0, y0, x1, y1


# -- pairs -----------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _near(boxes: Int64, order: Int64, dx: float, dy: float, pairs: Int64) -> int:
    """Pairs of `boxes` [n, 4] whose gaps are under dx and dy; returns how many there are.

    `order` sorts them by x0.  As many as there is room for are entered in `pairs` [m, 2].
    """
    found = 0
    for i in range(len(order)):
        a = order[i]
        for j in range(i + 1, len(order)):
            b = order[j]
            if boxes[b, 0] - boxes[a, 2] >= dx:
                break
            if boxes[b, 1] - boxes[a, 3] < dy and boxes[a, 1] - boxes[b, 3] < dy:
                if found < len(pairs):
                    pairs[found, 0], pairs[found, 1] = a, b
                found += 1
    return found


def near_pairs(boxes: Int64, dx: float, dy: float, kept: int = PAIRS_KEPT) -> Int64:
    """Pairs of boxes [n, 4] with less than dx between their sides and dy between their ends.

    int64 [m, 2]: the first of each pair begins further left.  Boxes one before the other in a shelf
    are found in time that grows with their number times that of boxes in a column.
    """
    pairs = np.empty((kept, 2), np.int64)
    order = np.argsort(boxes[:, 0], kind="stable")
    found = _near(boxes, order, dx, dy, pairs)
    return pairs[: min(found, kept)]


def gaps(a: Box, b: Box) -> tuple[int, int]:
    """Free width and height between two boxes; negative where they overlap."""
    return max(b[0] - a[2], a[0] - b[2]), max(b[1] - a[3], a[1] - b[3])


# -- rules -----------------------------------------------------------------------------------


def chip_problems(
    technology: Technology, plan: DiePlan, tiles: Sequence[TileBoxes], where: str
) -> Iterator[str]:
    """What is wrong between tiles, and between tiles, blocks and the die's edge, with names.

    `tiles` are where they were found; the plan has the blocks, the die's size and the outlines.
    """
    tiles = [tile for tile in tiles if tile.boxes]
    for layer in technology.layers:
        here = [tile for tile in tiles if layer.gds_layer in tile.boxes]
        space = layer.end_space_nm if isinstance(layer, Metal) else layer.space.value
        yield from _too_near(layer.gds_layer, layer.name, space, here, where)
    yield from _off_tracks(technology, tiles, where)
    die = 0, 0, plan.width, plan.height
    for tile in tiles:
        if not _inside(tile.outline, die):
            yield f"{where}: tile {tile.name} sticks out of the die of {die[2]} x {die[3]} nm"
    yield from _block_problems(technology, plan, where)


def _inside(box: Box, of: Box) -> bool:
    return box[0] >= of[0] and box[1] >= of[1] and box[2] <= of[2] and box[3] <= of[3]


def _too_near(
    gds_layer: int, name: str, space: float, tiles: Sequence[TileBoxes], where: str
) -> Iterator[str]:
    if len(tiles) < 2:
        return
    boxes = np.array([tile.placed(gds_layer) for tile in tiles], np.int64)
    for a, b in near_pairs(boxes, space, space).tolist():
        wide, high = gaps(tuple(boxes[a].tolist()), tuple(boxes[b].tolist()))
        distance = float(np.hypot(max(wide, 0), max(high, 0)))
        if distance >= space:
            continue  # corner to corner
        both = f"tiles {tiles[a].name} and {tiles[b].name}"
        if distance == 0:
            what = "overlap" if wide < 0 and high < 0 else "touch"
            yield f"{where}: {both} {what} on {name}: their nets are joined"
        else:
            yield f"{where}: {both} are {distance:.4g} nm apart on {name}, which needs {space:g} nm"


def _off_tracks(technology: Technology, tiles: Sequence[TileBoxes], where: str) -> Iterator[str]:
    t, grid = technology, round(technology.grid.value)
    for tile in tiles:
        for layer in t.layers:
            if layer.gds_layer not in tile.boxes:
                continue
            x0, y0, x1, y1 = tile.placed(layer.gds_layer)
            if any(corner % grid for corner in (x0, y0, x1, y1)):
                yield f"{where}: tile {tile.name} is off the {grid} nm grid on {layer.name}"
            track = layer.track if isinstance(layer, Metal) else None
            if track and (y0 if layer is t.stub else x0) % round(track.value):
                yield f"{where}: tile {tile.name} is off the tracks of {layer.name}"


def _block_problems(technology: Technology, plan: DiePlan, where: str) -> Iterator[str]:
    space, die = largest_space_nm(technology), (0, 0, plan.width, plan.height)
    placed = [(b.name, (b.x, b.y, b.x + b.width, b.y + b.height)) for b in plan.blocks]
    for n, (name, box) in enumerate(placed):
        if not _inside(box, die):
            yield f"{where}: block {name} sticks out of the die of {die[2]} x {die[3]} nm"
        for other, its in placed[:n]:
            if max(gaps(box, its)) < 0:
                yield f"{where}: blocks {other} and {name} overlap"
        for tile in near_tiles(plan, box, space):
            yield f"{where}: block {name} lies over tile {tile} or nearer than {space:g} nm"


def near_tiles(plan: DiePlan, box: Box, space: float) -> list[str]:
    """Names of the planned tiles that a shape on the die overlaps or comes nearer to than `space`."""
    outlines = ((t.tile.name, (t.x, t.y, t.x + t.width, t.y + t.height)) for t in plan.tiles)
    return [name for name, outline in outlines if max(gaps(outline, box)) < space]
