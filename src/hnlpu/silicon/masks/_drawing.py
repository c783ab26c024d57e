"""Tiles of a build -> the files of a folder of masks, format by format, into an `Output`.

Tiles are drawn by workers, a few million digits at a time, and put in order: the same build gives the
same bytes, whoever draws.  Where they go is the output's: to new files, or beside those that are there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import BinaryIO, TypeVar

import numpy as np

from hnlpu._workers import Workers
from hnlpu.silicon.embed import Layout, Scheme, TileShape
from hnlpu.silicon.hardwire import Build, Progress
from hnlpu.silicon.masks._cells import TileSource, base_name, chip_name, shared_layouts
from hnlpu.silicon.masks._chip_geometry import around, layout_boxes
from hnlpu.silicon.masks._draw_jobs import (
    DrawGds,
    DrawJob,
    DrawOasis,
    DrawText,
    DrawViaMap,
    jobs,
    names_in_gds,
)
from hnlpu.silicon.masks._drc_script import drc_script
from hnlpu.silicon.masks._gds import GdsCell, GdsWriter, PlacedCell, gds_cell
from hnlpu.silicon.masks._layer_files import PROPERTIES, TABLE, layer_properties, layer_table
from hnlpu.silicon.masks._layers import LayerMap, Layers
from hnlpu.silicon.masks._lef import macro_lef_lines, macro_name
from hnlpu.silicon.masks._lef_technology import technology_file, technology_lef_lines
from hnlpu.silicon.masks._oasis_bytes import layout_payload, placement_record
from hnlpu.silicon.masks._oasis_write import (
    Box,
    CellName,
    CellPlace,
    LayerName,
    OasisWriter,
    box_around,
    cell_record,
)
from hnlpu.silicon.masks._output import Output, write_lines
from hnlpu.silicon.masks._record import Format, build_digest, encode_cells, encode_names
from hnlpu.silicon.place import PlacedTile, Tile, chip_plan

Result = TypeVar("Result")


class Drawing:
    """One run: the build, where to, who draws, and how far it is."""

    def __init__(
        self, build: Build, output: Output, workers: Workers, with_base: bool, layers: Layers,
        progress: Progress | None, total: int,
    ):  # fmt: skip
        self._build, self._output, self._workers = build, output, workers
        self._layers = LayerMap(build.manifest.technology, layers)
        self._with_base, self._progress, self._total = with_base, progress, total
        self._done = 0
        self._source = TileSource(build)
        self._digest = build_digest(build)

    def write(self, name: Format, tiles: Sequence[Tile]) -> None:
        """All tiles in one format."""
        for chip, group in groupby(tiles, key=lambda tile: tile.chip):
            of_chip = list(group)
            if name == "oasis":
                self._oasis(chip, of_chip)
            elif name == "gds":
                self._gds(chip, of_chip)
            elif name == "via-map":
                self._via_map(chip, of_chip)
            else:
                self._texts(name, of_chip)

    def _drawn(
        self, draw: Callable[[DrawJob], list[Result]], tiles: Sequence[Tile]
    ) -> Iterator[tuple[Tile, Result]]:
        batches = list(jobs(tiles))
        for job, results in zip(batches, self._workers.map(draw, batches), strict=True):
            yield from zip(job.tiles, results, strict=True)
            self._done += job.digits
            if self._progress:
                self._progress(chip_name(job.tiles[0].chip), self._done, self._total)

    def _places(self, chip: int, tiles: Sequence[Tile]) -> list[PlacedTile]:
        """Where the tiles lie on the whole die, whether all are written or not."""
        return tile_places(self._build, chip, tiles)

    def _programmable(self, tiles: Sequence[Tile]) -> tuple[str, ...]:
        """Names of the layers that weights decide: those of a scheme, whatever the kind of array."""
        return self._source.scheme(tiles[0].kind).programmable

    def write_layers(self, tiles: Sequence[Tile], formats: Sequence[Format]) -> None:
        """What tools need to know of the layers, and the rules as a script for every mask file."""
        programmable = self._programmable(tiles)
        named = self._layers.named(programmable)
        self._whole(PROPERTIES, layer_properties(named))
        self._whole(TABLE, layer_table(named))
        suffix = "oas" if "oasis" in formats else "gds" if "gds" in formats else None
        for chip in dict.fromkeys(tile.chip for tile in tiles) if suffix else ():
            script = drc_script(
                self._layers, f"{chip_name(chip)}.{suffix}",
                with_base=self._with_base, programmable=programmable,
            )  # fmt: skip
            self._whole(f"{chip_name(chip)}.drc", script.encode("ascii"))

    def _oasis(self, chip: int, tiles: Sequence[Tile]) -> None:
        with self._output.open(f"{chip_name(chip)}.oas") as file:
            cells = self._oasis_file(file, chip, tiles)
        self._whole(f"{chip_name(chip)}.cells.json", encode_cells(cells))

    def _oasis_file(self, file: BinaryIO, chip: int, tiles: Sequence[Tile]) -> dict[str, CellPlace]:
        """Where each cell lies in it."""
        top, numbers = chip_name(chip), self._source.numbers(chip)
        cells: dict[str, CellPlace] = {}
        boxes: dict[str, Box | None] = {}
        layers = [
            LayerName(layer.full_name, *layer.key)
            for layer in self._layers.named(self._programmable(tiles))
        ]
        properties = oasis_properties(self._build, self._digest, chip, self._layers.layers)
        writer = OasisWriter(file, properties, top=top, layers=layers)

        def put(name: str, record: bytes, box: Box | None) -> None:
            boxes[name] = box
            cells[name] = writer.put_cell(record, CellName(name, numbers[name], box))

        def put_layout(name: str, layout: Layout) -> None:
            payload = layout_payload(self._layers.layout(layout), writer.texts)
            put(name, cell_record(numbers[name], payload), around(layout_boxes(layout)))

        for name, scheme, shape in self._bases(tiles):
            put_layout(name, scheme.base(shape))
        used: set[str] = set()
        draw = DrawOasis(self._build.directory, self._digest, self._layers.layers)
        for tile, drawn in self._drawn(draw, tiles):
            put(tile.name, drawn.record, drawn.box)
            used |= drawn.shared
        for name, layout in self._shared(tiles):
            if name in used:
                put_layout(name, layout)
        places = [
            (name, placed.x, placed.y)
            for placed in self._places(chip, tiles)
            for name in self._names(placed.tile)
        ]
        payload = b"".join(placement_record(numbers[name], x, y) for name, x, y in places)
        put(top, cell_record(numbers[top], payload), _box_of_placed(places, boxes))
        writer.end()
        return cells

    def _shared(self, tiles: Sequence[Tile]) -> Iterator[tuple[str, Layout]]:
        """Cells that tiles may place."""
        for kind in sorted({tile.kind for tile in tiles}):
            yield from shared_layouts(self._source.scheme(kind)).items()

    def _bases(self, tiles: Sequence[Tile]) -> Iterator[tuple[str, Scheme, TileShape]]:
        """Fixed metal below the tiles: names, and what to draw it with."""
        if self._with_base:
            for kind, rows, blocks in sorted(
                {(t.kind, t.shape.rows, t.shape.blocks) for t in tiles}
            ):
                scheme, shape = self._source.scheme(kind), TileShape(rows, blocks)
                yield base_name(scheme, shape), scheme, shape

    def _names(self, tile: Tile) -> Iterator[str]:
        yield tile.name
        if self._with_base:
            yield base_name(self._source.scheme(tile.kind), tile.shape)

    def _gds(self, chip: int, tiles: Sequence[Tile]) -> None:
        technology, names = self._build.manifest.technology, names_in_gds(self._source, chip)
        written: dict[str, str] = {}
        with self._output.open(f"{chip_name(chip)}.gds") as file:
            writer = GdsWriter(file)

            def put(name: str, cell: GdsCell) -> None:
                writer.put_cell(cell)
                written[names[name]] = name

            for name, scheme, shape in self._bases(tiles):
                base = scheme.base(shape)
                put(name, gds_cell(technology, names[name], base, layers=self._layers))
            draw = DrawGds(self._build.directory, self._digest, self._layers.layers)
            for tile, cell in self._drawn(draw, tiles):
                put(tile.name, cell)
            places = [
                PlacedCell(names[name], placed.x, placed.y, name)
                for placed in self._places(chip, tiles)
                for name in self._names(placed.tile)
            ]
            top = chip_name(chip)
            put(top, gds_cell(technology, names[top], Layout(), places))
            writer.end()
        self._whole(f"{chip_name(chip)}.names.json", encode_names(written))

    def _via_map(self, chip: int, tiles: Sequence[Tile]) -> None:
        with (
            self._output.open(f"{chip_name(chip)}.via-map.npz") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
            draw = DrawViaMap(self._build.directory, self._digest)
            for _, arrays in self._drawn(draw, tiles):
                for name, data in arrays.items():
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)

    def _texts(self, name: Format, tiles: Sequence[Tile]) -> None:
        draw = DrawText(self._build.directory, self._digest, name)
        many = self._build.manifest.placement.chips > 1
        for tile, text in self._drawn(draw, tiles):
            prefix = f"{chip_name(tile.chip)}." if many else ""
            self._whole(f"{prefix}{tile.name}.{name}", text.encode("ascii"))
        if name == "def":
            for tile in tiles:
                scheme = self._source.scheme(tile.kind)
                self._once(technology_file(scheme.technology), technology_lef_lines(scheme))
                macro = f"{macro_name(scheme, tile.shape)}.lef"
                self._once(macro, macro_lef_lines(scheme, tile.shape))

    def _once(self, name: str, lines: Iterator[str]) -> None:
        """A text file that many tiles share."""
        if name not in self._output.names:
            with self._output.open(name) as file:
                write_lines(file, lines)

    def _whole(self, name: str, content: bytes) -> None:
        with self._output.open(name) as file:
            file.write(content)


def _box_of_placed(
    places: Sequence[tuple[str, int, int]], boxes: Mapping[str, Box | None]
) -> Box | None:
    """The box around cells at their places."""
    found = [
        (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
        for name, x, y in places
        if (box := boxes[name]) is not None
    ]
    return box_around([np.array(found).reshape(-1, 4)])


def oasis_properties(build: Build, digest: str, chip: int, layers: Layers) -> dict[str, str]:
    """What an OASIS file says of itself."""
    manifest = build.manifest
    return {
        "hnlpu_build": digest,
        "hnlpu_chip": f"{chip} of {manifest.placement.chips}",
        "hnlpu_layers": layers,
        "hnlpu_scheme": manifest.placement.scheme,
        "hnlpu_technology": manifest.technology.name,
    }


def tile_places(build: Build, chip: int, tiles: Sequence[Tile]) -> list[PlacedTile]:
    """The places of some tiles of a chip on its die."""
    plan = chip_plan(build.manifest.placement, build.manifest.technology, chip)
    wanted = {tile.name for tile in tiles}
    return [placed for placed in plan.tiles if placed.tile.name in wanted]
