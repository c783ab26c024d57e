"""A whole chip as its mask file has it -> KLayout's own netlist and spaces, with no help of ours.

Every tile and the fixed metal below it become a cell of their own, for KLayout to extract once: a
net that goes on from one tile to another, whatever joins them, shows in the chip's own circuit.
Where only borders are extracted, the verdict on joined nets is the same and comes many times sooner: a net
in two tiles has a shape of one that touches a shape of the other, both lie in the boxes of both tiles, and
shapes there are taken whole.  Thousands of times slower than what judges a build every day (`masks._chip_check`), which it
is there to confirm: `benchmarks/chip_netlist.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hnlpu.silicon.embed import LayerKey
from hnlpu.silicon.masks._klayout import klayout
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Metal, ViaLayer

if TYPE_CHECKING:
    import klayout.db as db


BESIDE = "beside "
RUN = 2
"""Tiles of a shelf that are judged at once, so that their nets fit in memory."""


@dataclass(frozen=True)
class WholeChip:
    """Nets that KLayout found, those of them that are in two tiles, and rules that are broken."""

    nets: int
    joined: int
    violations: int


def judge_file(layers: LayerMap, oasis: Path, borders_only: bool = False) -> WholeChip:
    """KLayout's verdict on a chip's OASIS file, written on `layers` with its fixed metal.

    With `borders_only` nets, widths and spaces are those of shapes in the frames of tiles and within
    reach of another tile.  Raises ToolMissing without KLayout.
    """
    layout = klayout().Layout()
    layout.read(str(oasis))
    return judge_layout(layers, layout, borders_only)


def judge_layout(layers: LayerMap, layout: db.Layout, borders_only: bool = False) -> WholeChip:
    """The same of a layout whose top cell places tiles and fixed metal; it is changed.

    Some tiles at a time, each once.  Around them stands what any other tile has within reach of them:
    every shape that touches their surroundings, whole.
    """
    top = layout.top_cell()
    tiles = _join_tiles(layout)
    nets: dict[str, int] = {}
    joined = violations = 0
    for run in _runs(tiles):
        beside = _neighbours(layers, layout, run, tiles)
        top.clear_insts()
        held = [_edge(layers, layout, tile, tiles) for tile in run] if borders_only else run
        _place(top, (*held, *beside))
        violations += sum(_violations(layers, layout, top))
        counted, both = _count_nets(layers, layout, top)
        nets |= {name: n for name, n in counted.items() if not name.startswith(BESIDE)}
        joined += both
        top.clear_insts()
        for tile in (*held, *beside) if borders_only else beside:
            tile.cell.delete()
    return WholeChip(sum(nets.values()), joined, violations)


def _place(top: db.Cell, tiles: Sequence[_Tile]) -> None:
    kdb = klayout()
    for tile in tiles:
        top.insert(kdb.CellInstArray(tile.cell.cell_index(), kdb.Trans(tile.x, tile.y)))


def _runs(tiles: Sequence[_Tile]) -> Iterator[list[_Tile]]:
    """All tiles, some of a shelf at a time."""
    shelf: list[_Tile] = []
    lowest_top = -math.inf
    for tile in sorted(tiles, key=lambda tile: (tile.y, tile.x)):
        if shelf and (tile.y >= lowest_top or len(shelf) == RUN):
            yield shelf
            shelf = []
        lowest_top = min(lowest_top, tile.top) if shelf else tile.top
        shelf.append(tile)
    if shelf:
        yield shelf


def _neighbours(
    layers: LayerMap, layout: db.Layout, run: Sequence[_Tile], tiles: Sequence[_Tile]
) -> list[_Tile]:
    """What other tiles have within reach of a run, each as a cell where its tile stands."""
    around = klayout().Box()
    for tile in run:
        around += tile.box.enlarged(_reach(layers))
    return [
        _part(layers, layout, tile, f"{BESIDE}{tile.cell.name}", [around])
        for tile in tiles
        if tile not in run and tile.box.touches(around)
    ]


def _edge(layers: LayerMap, layout: db.Layout, tile: _Tile, tiles: Sequence[_Tile]) -> _Tile:
    """What a tile has in its frame and within reach of any other, as a cell where the tile stands."""
    kdb, reach, box = klayout(), _reach(layers), tile.box
    boxes = [
        kdb.Box(box.left, box.bottom, box.left + reach, box.top),
        kdb.Box(box.right - reach, box.bottom, box.right, box.top),
        kdb.Box(box.left, box.bottom, box.right, box.bottom + reach),
        kdb.Box(box.left, box.top - reach, box.right, box.top),
    ]
    others = (other.box.enlarged(reach) for other in tiles if other is not tile)
    boxes += [other for other in others if other.touches(box)]
    return _part(layers, layout, tile, f"edge of {tile.cell.name}", boxes)


def _reach(layers: LayerMap) -> int:
    return 2 * max(round(layer.space.value) for layer in layers.technology.layers)


def _part(
    layers: LayerMap, layout: db.Layout, tile: _Tile, name: str, boxes: Sequence[db.Box]
) -> _Tile:
    """A cell of every shape of a tile that touches one of these boxes of the chip, whole."""
    kdb = klayout()
    cell = layout.create_cell(name)
    for layer in layers.technology.layers:
        for key in _keys(layers, layer):
            index = layout.layer(*key)
            for box in boxes:
                within = box.moved(-tile.x, -tile.y)
                shapes = kdb.Region(tile.cell.begin_shapes_rec_touching(index, within))
                cell.shapes(index).insert(shapes)
    return _Tile(cell, tile.x, tile.y)


def _keys(layers: LayerMap, layer: Metal | ViaLayer) -> list[LayerKey]:
    """Numbers of a layer in the file: fixed and programmable shapes may share them."""
    return sorted({layers.key((layer.gds_layer, kind)) for kind in (FIXED, PROGRAMMABLE)})


@dataclass(frozen=True)
class _Tile:
    """A cell with a tile and the fixed metal below it, and where it stands."""

    cell: db.Cell
    x: int
    y: int

    @property
    def box(self) -> db.Box:
        """The box around all its shapes, on the chip."""
        return self.cell.bbox().moved(self.x, self.y)

    @property
    def top(self) -> int:
        return int(self.box.top)


def _join_tiles(layout: db.Layout) -> list[_Tile]:
    """Each tile and the fixed metal below it as one cell; shapes outside of tiles stay on top."""
    kdb, top = klayout(), layout.top_cell()
    parts: dict[tuple[int, int], list[db.Cell]] = {}
    for instance in top.each_inst():
        for x, y in _places(instance):
            parts.setdefault((x, y), []).append(instance.cell)
    found = []
    for number, ((x, y), cells) in enumerate(sorted(parts.items())):
        tile = layout.create_cell(f"tile-{number}")
        for cell in cells:
            tile.insert(kdb.CellInstArray(cell.cell_index(), kdb.Trans()))
        found.append(_Tile(tile, x, y))
    return found


def _places(instance: db.Instance) -> Iterator[tuple[int, int]]:
    """Where an instance, or each of an array of them, stands."""
    at = instance.trans.disp
    for i in range(max(1, instance.na)):
        for k in range(max(1, instance.nb)):
            yield (
                at.x + i * instance.a.x + k * instance.b.x,
                at.y + i * instance.a.y + k * instance.b.y,
            )


def _count_nets(layers: LayerMap, layout: db.Layout, top: db.Cell) -> tuple[dict[str, int], int]:
    """Nets by cell, and how many are in two tiles."""
    t, kdb = layers.technology, klayout()
    extraction = kdb.LayoutToNetlist(kdb.RecursiveShapeIterator(layout, top, []))
    extraction.threads = 1
    held: dict[str, list[Any]] = {}
    for layer in t.layers:
        held[layer.name] = [
            extraction.make_layer(layout.layer(*key), f"{layer.name} {n}")
            for n, key in enumerate(_keys(layers, layer))
        ]
        for region in held[layer.name]:
            extraction.connect(region)
        for a, b in itertools.combinations(held[layer.name], 2):
            extraction.connect(a, b)
    for cut, below, above in ((t.lower_cut, t.lower, t.stub), (t.upper_cut, t.stub, t.upper)):
        for via, metal in itertools.product(held[cut.name], (*held[below.name], *held[above.name])):
            extraction.connect(via, metal)
    extraction.extract_netlist()
    netlist = extraction.netlist()
    nets = {circuit.name: sum(1 for _ in circuit.each_net()) for circuit in netlist.each_circuit()}
    chip = netlist.circuit_by_name(top.name)
    ends = (net.subcircuit_pin_count() for net in chip.each_net()) if chip else ()
    return nets, sum(count > 1 for count in ends)


def _violations(layers: LayerMap, layout: db.Layout, top: db.Cell) -> Iterator[int]:
    """How often each metal and cut of the merged chip is too narrow or too near to another."""
    for layer in layers.technology.layers:
        region = klayout().Region()
        for key in _keys(layers, layer):
            region.insert(top.begin_shapes_rec(layout.layer(*key)))
        region.merge()
        width = layer.width if isinstance(layer, Metal) else layer.size
        yield region.width_check(round(width.value)).count()
        yield region.space_check(round(layer.space.value)).count()
