"""A whole chip as its mask file has it -> KLayout's own netlist and spaces, with no help of ours.

Every tile and the fixed metal below it become a cell of their own, for KLayout to extract once: a
net that goes on from one tile to another, whatever joins them, shows in the chip's own circuit.
Thousands of times slower than what judges a build every day (`hnlpu.masks._chip_check`), which it
is there to confirm: `benchmarks/chip_netlist.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hnlpu.embed import LayerKey
from hnlpu.masks._klayout import klayout
from hnlpu.masks._layers import LayerMap
from hnlpu.technology import FIXED, PROGRAMMABLE, Cut, Metal

if TYPE_CHECKING:
    import klayout.db as db


@dataclass(frozen=True)
class WholeChip:
    """Nets that KLayout found, those of them that are in two tiles, and rules that are broken."""

    nets: int
    joined: int
    violations: int


def judge_file(layers: LayerMap, oasis: Path) -> WholeChip:
    """KLayout's verdict on a chip's OASIS file, written on `layers` with its fixed metal.

    Raises ToolMissing without KLayout.
    """
    layout = klayout().Layout()
    layout.read(str(oasis))
    return judge_layout(layers, layout)


def judge_layout(layers: LayerMap, layout: db.Layout) -> WholeChip:
    """The same of a layout whose top cell places tiles and fixed metal; it is changed."""
    _join_tiles(layout)
    nets, joined = _count_nets(layers, layout)
    return WholeChip(nets, joined, sum(_violations(layers, layout)))


def _keys(layers: LayerMap, layer: Metal | Cut) -> list[LayerKey]:
    """Numbers of a layer in the file: fixed and programmable shapes may share them."""
    return sorted({layers.key((layer.gds_layer, kind)) for kind in (FIXED, PROGRAMMABLE)})


def _join_tiles(layout: db.Layout) -> None:
    """Put each tile and the fixed metal below it into a cell, without labels."""
    kdb, top = klayout(), layout.top_cell()
    parts: dict[tuple[int, int], list[db.Cell]] = {}
    for instance in top.each_inst():
        for x, y in _places(instance):
            parts.setdefault((x, y), []).append(instance.cell)
    top.clear_insts()
    for number, ((x, y), cells) in enumerate(sorted(parts.items())):
        tile = layout.create_cell(f"tile-{number}")
        for cell in cells:
            tile.insert(kdb.CellInstArray(cell.cell_index(), kdb.Trans()))
        top.insert(kdb.CellInstArray(tile.cell_index(), kdb.Trans(x, y)))


def _places(instance: db.Instance) -> Iterator[tuple[int, int]]:
    """Where an instance, or each of an array of them, stands."""
    at = instance.trans.disp
    for i in range(max(1, instance.na)):
        for k in range(max(1, instance.nb)):
            yield (
                at.x + i * instance.a.x + k * instance.b.x,
                at.y + i * instance.a.y + k * instance.b.y,
            )


def _count_nets(layers: LayerMap, layout: db.Layout) -> tuple[int, int]:
    """Nets of all tiles and of the chip, and those that are in two tiles."""
    t, kdb = layers.technology, klayout()
    top = layout.top_cell()
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
    nets = joined = 0
    for circuit in extraction.netlist().each_circuit():
        own = circuit.name == top.name
        for net in circuit.each_net():
            nets += 1
            joined += own and net.subcircuit_pin_count() > 1
    return nets, joined


def _violations(layers: LayerMap, layout: db.Layout) -> Iterator[int]:
    """How often each metal and cut of the merged chip is too narrow or too near to another."""
    for layer in layers.technology.layers:
        region = klayout().Region()
        for key in _keys(layers, layer):
            region.insert(layout.top_cell().begin_shapes_rec(layout.layer(*key)))
        region.merge()
        width = layer.width if isinstance(layer, Metal) else layer.size
        yield region.width_check(round(width.value)).count()
        yield region.space_check(round(layer.space.value)).count()
