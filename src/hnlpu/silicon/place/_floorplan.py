"""Tiles of a chip -> their places on the die, and the blocks beside them.

    +---------------------------+
    | blocks beside arrays      |   as wide as the die, each as high as its area asks
    +---------------------------+
    |  +------+  +------+       |
    |  | tile |  | tile |       |   shelves of tiles from the left, in the order data meets them
    |  +------+  +------+       |
    |  landing   landing        |   below each tile: drivers and repeaters of its trunks
    |  +------+  +-----------+  |
    |  | tile |  | tile      |  |
    |  +------+  +-----------+  |
    |  landing   landing        |
    +---------------------------+

Between two tiles, and between a tile and the die's edge or a block, there is at least the clearance
of the process (`embed.clearance_nm`).  The origin is the lower left corner of the die, in nm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hnlpu.silicon.embed import ArrayKind, Scheme, clearance_nm, open_scheme
from hnlpu.silicon.place._footprint import footprint_nm, landing_nm
from hnlpu.silicon.place._placement import Placement
from hnlpu.silicon.place._tiles import Tile, chip_tiles
from hnlpu.silicon.technology import Technology


@dataclass(frozen=True)
class PlacedTile:
    """A tile with its lower left corner and size in nm."""

    tile: Tile
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class PlacedBlock:
    """A block beside the arrays: lower left corner and size in nm."""

    name: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class DiePlan:
    """A chip's tiles and blocks; `width` and `height` in nm of all, `array_height` of the arrays."""

    chip: int
    width: int
    height: int
    array_height: int
    tiles: tuple[PlacedTile, ...]
    blocks: tuple[PlacedBlock, ...]

    @property
    def area_mm2(self) -> float:
        """Area of the whole die."""
        return self.width * self.height * 1e-12

    @property
    def array_use(self) -> float:
        """Share of the arrays' area that tiles cover."""
        covered = sum(t.width * t.height for t in self.tiles)
        return covered / max(1, self.width * self.array_height)


def chip_plan(placement: Placement, technology: Technology, chip: int) -> DiePlan:
    """The die of a chip of a placement, with all its tiles."""
    return die_plan(technology, chip, list(chip_tiles(placement, technology.array, chip)))


def die_plan(technology: Technology, chip: int, tiles: Sequence[Tile]) -> DiePlan:
    """Place `tiles` on a die of the reticle's proportions, and the blocks of the technology above."""
    schemes: dict[ArrayKind, Scheme] = {}
    for tile in tiles:
        if tile.kind not in schemes:
            schemes[tile.kind] = open_scheme(technology, tile.kind)
    longer = max(technology.die.reticle_width.value, technology.die.reticle_height.value) * 1e6
    for width in _die_widths(technology, [footprint_nm(schemes[t.kind], t.shape) for t in tiles]):
        placed, array_height = _shelves(technology, tiles, schemes, width)
        blocks = _blocks(technology, width, array_height)
        height = blocks[-1].y + blocks[-1].height if blocks else array_height
        if height <= longer:
            break
    return DiePlan(chip, width, height, array_height, tuple(placed), tuple(blocks))


def _blocks(technology: Technology, width: int, bottom: int) -> list[PlacedBlock]:
    """The blocks beside the arrays, one above the other."""
    blocks, y = [], bottom
    for block in technology.die.block:
        height = _up(block.area.value * 1e12 / width, technology)
        blocks.append(PlacedBlock(block.name, 0, y, width, height))
        y += height
    return blocks


def _up(length_nm: float, technology: Technology) -> int:
    """Up to the grid."""
    grid = round(technology.grid.value)
    return math.ceil(length_nm / grid - 1e-9) * grid


def _die_widths(technology: Technology, footprints: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The narrower side of a die: in the reticle's proportions, or as wide as the reticle.

    Shelves have gaps, so a die with the area needed may come out higher than the reticle.
    """
    die = technology.die
    area = die.other_area_mm2 * 1e12 + sum(w * h for w, h in footprints) * 1.01
    proportion = die.reticle_width.value / die.reticle_height.value
    width = math.sqrt(area * min(proportion, 1 / proportion))
    limit = min(die.reticle_width.value, die.reticle_height.value) * 1e6
    least = max((w for w, _ in footprints), default=1) + clearance_nm(technology)[0]
    narrow = max(least, min(width, limit))
    return _up(narrow, technology), _up(max(narrow, limit), technology)


def _shelves(
    technology: Technology, tiles: Sequence[Tile], schemes: Mapping[ArrayKind, Scheme], width: int
) -> tuple[list[PlacedTile], int]:
    """Tiles from the left, shelf by shelf, and the height of all shelves with what is free above."""
    dx, dy = clearance_nm(technology)
    placed = []
    x, bottom, top = dx, 0, 0
    for tile in tiles:
        scheme = schemes[tile.kind]
        wide, high = scheme.size_nm(tile.shape)
        if x + wide + dx > width and x > dx:
            x, bottom = dx, top
        y = scheme.origin_y_nm(bottom + landing_nm(technology, high))
        placed.append(PlacedTile(tile, x, y, wide, high))
        x += wide + dx
        top = max(top, y + high)
    return placed, _up(top + dy, technology)
