"""Tiles of a chip -> their places on the die, and the blocks beside them.

    +------------------------+
    | blocks beside arrays   |   as wide as the die, each as high as its area asks
    +------------------------+
    | tile tile tile tile t. |
    | tile tile tile tile t. |   shelves of tiles from the left, in the order data meets them
    +------------------------+

The origin of tiles is the lower left corner of the arrays, in nm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.embed import ArrayKind, Scheme, open_scheme
from hnlpu.place._tiles import Tile
from hnlpu.technology import Technology


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


def die_plan(technology: Technology, chip: int, tiles: Sequence[Tile]) -> DiePlan:
    """Place `tiles` on a die of the reticle's proportions, and the blocks of the technology above."""
    schemes: dict[ArrayKind, Scheme] = {}
    sizes = []
    for tile in tiles:
        if tile.kind not in schemes:
            schemes[tile.kind] = open_scheme(technology, tile.kind)
        sizes.append(schemes[tile.kind].size_nm(tile.shape))
    width = _die_width(technology, sizes)
    placed, array_height = _shelves(tiles, sizes, width, round(technology.grid.value))
    blocks, y = [], array_height
    for block in technology.die.block:
        height = round(block.area.value * 1e12 / width)
        blocks.append(PlacedBlock(block.name, 0, y, width, height))
        y += height
    return DiePlan(chip, width, y, array_height, tuple(placed), tuple(blocks))


def _die_width(technology: Technology, sizes: Sequence[tuple[int, int]]) -> int:
    """The narrower side of a die in the reticle's proportions that has the area needed."""
    die, grid = technology.die, technology.grid.value
    area = die.other_area_mm2 * 1e12 + sum(w * h for w, h in sizes) * 1.01
    proportion = die.reticle_width.value / die.reticle_height.value
    width = math.sqrt(area * min(proportion, 1 / proportion))
    limit = min(die.reticle_width.value, die.reticle_height.value) * 1e6
    least = max((w for w, _ in sizes), default=1)
    return math.ceil(max(least, min(width, limit)) / grid) * round(grid)


def _shelves(
    tiles: Sequence[Tile], sizes: Sequence[tuple[int, int]], width: int, grid: int
) -> tuple[list[PlacedTile], int]:
    placed = []
    x = y = shelf = 0
    for tile, (wide, high) in zip(tiles, sizes, strict=True):
        if x + wide > width:
            x, y, shelf = 0, y + shelf, 0
        placed.append(PlacedTile(tile, x, y, wide, high))
        x += wide
        shelf = max(shelf, high)
    return placed, math.ceil((y + shelf) / grid) * grid
