"""Tiles of a build, from mask files or drawn anew -> whether their metal says the build's weights.

    bulk          every tile passes through the bytes of an OASIS file; sites of vias (or ends of
                  wires) become digits, held against the build's
    independent   fixed and programmable metal become nets by geometry and pin labels alone; what
                  they say is held against the definition of the integer weights

The first is fast and shares the scheme's tables with what draws; the second shares nothing with it
but the names of pins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedMasks, DoesNotFit
from hnlpu.silicon.embed import (
    Fault,
    LayerKey,
    Layout,
    Rectangles,
    Scheme,
    Shapes,
    TileDigits,
)
from hnlpu.silicon.masks._cells import (
    TileSource,
    base_name,
    chip_name,
    read_tile,
    shared_cells,
    tile_payload,
)
from hnlpu.silicon.masks._chip_geometry import Boxes, cell_boxes, joined, layout_boxes
from hnlpu.silicon.masks._draw_jobs import DrawJob, source_of
from hnlpu.silicon.masks._extract import Base
from hnlpu.silicon.masks._files import ChipFile
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.masks._record import read_record
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.place import Tile
from hnlpu.silicon.technology import PROGRAMMABLE

PROBLEMS_A_TILE = 5
MIXING = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)
"""Odd factors that spread the bits of a corner over 64 (those of SplitMix64 and its kin)."""
FAULTS_A_TILE = 3  # of them, before digits that differ, which tell the input as well
EXTRACTED_WHOLE = 2**27
"""A model of up to so many digits is extracted whole, of a larger one a sample of a quarter of it."""


@dataclass(frozen=True)
class TileResult:
    """What was found in a tile by the bulk reader, and by the extractor if it was `extracted`.

    `boxes` are around its metal, fixed and programmable; empty where it could not be read. `placed`
    are the cells that it shares with other tiles.
    """

    chip: int
    name: str
    digits: int
    problems: tuple[str, ...]
    extracted: bool
    net_problems: tuple[str, ...]
    boxes: Boxes
    placed: frozenset[str]


@dataclass(frozen=True)
class CheckTiles:
    """A job -> a result for each tile; reads `folder` (or draws, where it is None).

    `extract` holds (chip, name) of the tiles for the independent extractor.
    """

    directory: Path
    digest: str
    folder: Path | None
    extract: frozenset[tuple[int, str]]

    def __call__(self, job: DrawJob) -> list[TileResult]:
        """Runs in any process."""
        results = []
        with contextlib.ExitStack() as files:
            reader = _Reader(source_of(self.directory, self.digest), self.folder, files)
            for tile in job.tiles:
                extracted = (tile.chip, tile.name) in self.extract
                bulk, nets, boxes, placed = reader.problems(tile, extracted)
                results.append(
                    TileResult(
                        tile.chip, tile.name, tile.shape.weights, tuple(bulk[:PROBLEMS_A_TILE]),
                        extracted, tuple(nets[:PROBLEMS_A_TILE]), boxes, placed,
                    )
                )  # fmt: skip
        return results


class _Reader:
    """Reads tiles' metal and compares; keeps what tiles of a kind share."""

    def __init__(self, source: TileSource, folder: Path | None, open_files: contextlib.ExitStack):
        self._source, self._folder, self._open = source, folder, open_files
        self._shared: dict[Any, dict[str, LayoutCell]] = {}
        self._base_cells: dict[str, LayoutCell] = {}
        self._bases: dict[str, Base] = {}
        self._boxes: dict[str, Boxes] = {}
        self._compared: set[str] = set()
        self._files: dict[int, ChipFile] = {}
        self._map: LayerMap | None = None

    def problems(
        self, tile: Tile, extracted: bool
    ) -> tuple[list[str], list[str], Boxes, frozenset[str]]:
        """What is wrong with a tile in its metal's places and in its nets; boxes around the metal.

        And the names of the cells that it places.
        """
        scheme, digits = self._source.scheme(tile.kind), self._source.read.digits(tile)
        where = f"{chip_name(tile.chip)} {tile.name}"
        try:
            if self._folder is None:
                record = cell_record(tile.name, tile_payload(scheme, digits))
                cell = read_tile(record, self._shared_of(scheme), where)
            else:
                cell = self._file(tile.chip).tile(tile.name, where)
            fixed = self._fixed_boxes(tile, scheme)
        except DamagedMasks as error:
            return [str(error)], [], {}, frozenset()
        if cell.name != tile.name:
            return [f"{where}: its place in the file holds tile {cell.name}"], [], {}, frozenset()
        found, faults = scheme.read_rows(tile.shape, cell.single, cell.rows)
        problems = [_place(where, tile, fault) for fault in faults[:FAULTS_A_TILE]]
        problems += _differences(where, tile, found, digits.integers(), "says")
        problems += [_place(where, tile, fault) for fault in faults[FAULTS_A_TILE:PROBLEMS_A_TILE]]
        problems += _foreign_layers(where, scheme, cell)
        # what reading accepts is legal where the rules hold for any weights of the array
        try:
            self._source.require_reach(tile.kind, tile.shape)
        except DoesNotFit as error:
            problems.append(f"{where}: {error}")
        if extracted:
            problems += self._broken_rules(tile, scheme, cell, where)
        problems += self._fixed_differs(tile, scheme, where)
        nets = self._extract(tile, scheme, cell, digits, where) if extracted else []
        return problems, nets, joined(fixed, cell_boxes(cell)), cell.within

    def _broken_rules(
        self, tile: Tile, scheme: Scheme, cell: LayoutCell, where: str
    ) -> Iterator[str]:
        """Rules that the scheme looks at itself, on the tile's fixed and programmable metal."""

        def metal() -> Layout:
            return self._source.base_metal(tile.kind, tile.shape).merged(_drawn(cell))

        broken = MASK_SCHEMES[scheme.name].broken_rules(scheme, metal)
        for violation in broken[:PROBLEMS_A_TILE]:
            yield f"{where}: {violation}"

    def _fixed_boxes(self, tile: Tile, scheme: Scheme) -> Boxes:
        """Boxes around the fixed metal: that of the file if it has any, else drawn."""
        name = base_name(scheme, tile.shape)
        if name not in self._boxes:
            cell = self._base_cell(tile, name)
            self._boxes[name] = (
                layout_boxes(self._source.base(tile.kind, tile.shape))
                if cell is None
                else cell_boxes(cell)
            )
        return self._boxes[name]

    def _fixed_differs(self, tile: Tile, scheme: Scheme, where: str) -> Iterator[str]:
        """Layers of the file's fixed metal that have other shapes than are drawn, told once a cell."""
        name = base_name(scheme, tile.shape)
        cell = self._base_cell(tile, name)
        if cell is None or name in self._compared:
            return
        self._compared.add(name)
        drawn = self._source.base_metal(tile.kind, tile.shape)
        for layer, found, wanted in _differing(cell.shapes, drawn.shapes()):
            yield (
                f"{where}: the fixed metal below, {name}, has {found} shapes on layer "
                f"{layer[0]}/{layer[1]} that are not the {wanted} of its kind"
            )

    def _base_cell(self, tile: Tile, name: str) -> LayoutCell | None:
        """The cell of fixed metal in the tile's file; None where it has none."""
        if self._folder is None or name not in self._file(tile.chip).cells:
            return None
        if name not in self._base_cells:
            self._base_cells = {name: self._file(tile.chip).base(name)}
        return self._base_cells[name]

    def _base(self, tile: Tile, scheme: Scheme) -> Base:
        """Fixed metal: that of the file if it has any, else drawn."""
        name = base_name(scheme, tile.shape)
        cell = self._base_cell(tile, name)
        if cell is None:
            return self._source.base_nets(tile.kind, tile.shape)
        if name not in self._bases:
            self._bases = {name: Base(scheme.technology, cell)}
        return self._bases[name]

    def _shared_of(self, scheme: Scheme) -> dict[str, LayoutCell]:
        if scheme.kind not in self._shared:
            self._shared[scheme.kind] = shared_cells(scheme)
        return self._shared[scheme.kind]

    def _file(self, chip: int) -> ChipFile:
        if chip not in self._files:
            assert self._folder is not None
            if self._map is None:
                technology = self._source.build.manifest.technology
                self._map = LayerMap(technology, read_record(self._folder).layers)
            self._files[chip] = self._open.enter_context(ChipFile(self._folder, chip, self._map))
        return self._files[chip]

    def _extract(
        self, tile: Tile, scheme: Scheme, cell: LayoutCell, digits: TileDigits, where: str
    ) -> list[str]:
        try:
            netlist = self._base(tile, scheme).netlist(cell.shapes)
        except DamagedMasks as error:
            return [str(error)]
        decode = MASK_SCHEMES[scheme.name].decode
        found, undecoded = decode(netlist, tile.shape.rows, tile.shape.blocks)
        faults = [*netlist.faults, *undecoded]
        problems = [_place(where, tile, fault) for fault in faults[:FAULTS_A_TILE]]
        kind = tile.kind
        inputs = kind.values.by_input(found)
        sums = inputs.reshape(-1, kind.bank, kind.digits, inputs.shape[1]).sum(2)
        wanted = self._source.read.weights(tile)
        wrong = found != digits.integers()
        for neuron, member, column in np.argwhere(sums != wanted)[:PROBLEMS_A_TILE].tolist():
            row = (neuron * kind.bank + member) * kind.digits
            port = column // kind.inputs_per_port
            row += int(np.argmax(wrong[row : row + kind.digits, port]))
            problems.append(
                _place(where, tile, Fault(row, port, "")).rstrip(": ")
                + f": its nets say {sums[neuron, member, column]}, the weight is "
                f"{wanted[neuron, member, column]}"
            )
        return problems


def _foreign_layers(where: str, scheme: Scheme, cell: LayoutCell) -> Iterator[str]:
    """Layers of a tile's cell that weights have no shapes on."""
    layers = scheme.technology.layers
    own = {(t.gds_layer, PROGRAMMABLE) for t in layers if t.name in scheme.programmable}
    for layer, datatype in sorted(cell.layers - own):
        yield f"{where}: has shapes on layer {layer}/{datatype}, where no weight has any"


def _differing(found: Shapes, wanted: Shapes) -> Iterator[tuple[LayerKey, int, int]]:
    """Layers whose rectangles are not the same, in any order, and how many each side has."""
    for layer in sorted(found.keys() | wanted.keys()):
        sums = [_sum_of(shapes.get(layer, [])) for shapes in (found, wanted)]
        if sums[0] != sums[1]:
            yield layer, sums[0][0], sums[1][0]


def _sum_of(parts: Sequence[Rectangles]) -> tuple[int, int]:
    """Number of rectangles, and a sum of their hashes: equal for the same ones in any order."""
    total = 0
    for part in parts:
        mixed = np.zeros(len(part), np.uint64)
        for column, odd in zip(part.T, MIXING, strict=True):
            mixed = (mixed ^ column.astype(np.uint64)) * np.uint64(odd)
            mixed ^= mixed >> np.uint64(29)
        total += int(mixed.sum(dtype=np.uint64))
    return sum(len(part) for part in parts), total % 2**64


def _drawn(cell: LayoutCell) -> Layout:
    """The shapes of a cell that was read."""
    return Layout(rectangles={layer: np.concatenate(parts) for layer, parts in cell.shapes.items()})


def _place(where: str, tile: Tile, fault: Fault) -> str:
    """A fault in words, with tile, row and input and what of the model they are."""
    text = where
    if fault.row is not None:
        text += f": row {fault.row}"
        if 0 <= fault.row < tile.shape.rows:
            neuron, member, digit = tile.place_of(fault.row)
            parts = [f"neuron {neuron}"]
            if tile.kind.bank > 1:
                parts.append(f"expert {member}")
            if tile.kind.digits > 1:
                parts.append(f"digit {digit}")
            text += f" ({', '.join(parts)})"
    if fault.column is not None:
        text += f", input {tile.blocks[0] * 32 + fault.column * tile.kind.inputs_per_port}"
    return f"{text}: {fault.what}"


def _differences(
    where: str, tile: Tile, found: npt.NDArray[np.int32], wanted: npt.NDArray[np.int32], verb: str
) -> list[str]:
    if np.array_equal(found, wanted):
        return []
    different = np.argwhere(found != wanted)
    problems = [
        _place(
            where, tile,
            Fault(row, column, f"{verb} {found[row, column]}, the build has {wanted[row, column]}"),
        )
        for row, column in different[:PROBLEMS_A_TILE].tolist()
    ]  # fmt: skip
    if len(different) > PROBLEMS_A_TILE:
        problems.append(f"{where}: {len(different)} digits differ in all")
    return problems


def tiles_to_extract(tiles: Sequence[Tile], seed: int = 0) -> frozenset[tuple[int, str]]:
    """All tiles of a small model; of a large one the first of every kind, and others at random."""
    if sum(tile.shape.weights for tile in tiles) <= EXTRACTED_WHOLE:
        return frozenset((tile.chip, tile.name) for tile in tiles)
    chosen = {tile.kind: tile for tile in reversed(tiles)}
    found = {(tile.chip, tile.name) for tile in chosen.values()}
    room = EXTRACTED_WHOLE // 4
    for n in np.random.default_rng(seed).permutation(len(tiles)).tolist():
        room -= tiles[n].shape.weights
        if room < 0:
            break
        found.add((tiles[n].chip, tiles[n].name))
    return frozenset(found)
