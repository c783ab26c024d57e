"""Tiles of a build -> a folder of mask files.

    chip-00.oas            OASIS: a cell a tile, one that places them all; with the base on request
    chip-00.cells.json     where each cell lies in it
    chip-00.gds            GDSII, the same cells
    chip-00.names.json     which cell each of its short names stands for
    chip-00.drc            the technology's rules, for KLayout to check the file beside it
    layers.lyp layers.map  names of layers, for KLayout and as a table
    chip-00.via-map.npz    arrays of numbers by tile (NumPy's format)
    NAME.def KIND.lef      a tile as DEF, and the neuron array it is routed on
    n5.tech.lef            layers, rules and vias of both
    NAME.tcl               the connection script of a tile
    masks.json             of which build they are, and the digests of all files

Tiles are drawn by workers, a few million digits at a time, and written in order: the same build
gives the same bytes, whoever draws.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from hnlpu._version import __version__
from hnlpu._whole import new_folder
from hnlpu._workers import Workers
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput, OutputExists
from hnlpu.silicon.embed import Layout, Scheme, TileShape
from hnlpu.silicon.hardwire import Build, Progress, file_sha256
from hnlpu.silicon.masks._cells import (
    TileSource,
    base_name,
    chip_name,
    shared_layouts,
)
from hnlpu.silicon.masks._draw_jobs import (
    DrawGds,
    DrawOasis,
    DrawText,
    DrawViaMap,
    Job,
    jobs,
    names_in_gds,
)
from hnlpu.silicon.masks._drc_script import drc_script
from hnlpu.silicon.masks._gds import (
    GdsCell,
    GdsWriter,
    Placement,
    gds_cell,
    require_gds_layers,
)
from hnlpu.silicon.masks._layer_files import PROPERTIES, TABLE, layer_properties, layer_table
from hnlpu.silicon.masks._layers import LayerMap, Layers, choose_layers
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
from hnlpu.silicon.masks._record import (
    RECORD,
    SCHEMA_VERSION,
    Format,
    MaskFile,
    MasksRecord,
    build_digest,
    encode_cells,
    encode_names,
    encode_record,
)
from hnlpu.silicon.place import PlacedTile, Tile, chip_plan

Result = TypeVar("Result")

BYTES_A_DIGIT: dict[str, dict[Format, float]] = {
    "taps": {"oasis": 1.1, "gds": 30, "via-map": 1.1, "def": 80, "tcl": 20},
    "regions": {"oasis": 10.5, "gds": 420, "via-map": 7, "def": 330, "tcl": 28},
}
"""About what a digit takes at most, to refuse before the disk is full."""
LEF_BYTES_A_DIGIT, DEF_BYTES_AN_INPUT = 1800, 3000
"""And a digit of a macro's LEF, which tiles of a kind and shape share; a tile's pins in DEF."""


def write_masks(
    build: Build, out: Path, tiles: Sequence[Tile], formats: Sequence[Format], workers: Workers,
    *, with_base: bool = False, layers: str | None = None, progress: Progress | None = None,
) -> MasksRecord:  # fmt: skip
    """Write `tiles`, each once, into the new folder `out`; returns what masks.json says.

    OASIS and GDSII are on the `layers` "mask" or "drawing" (default: as `choose_layers` says).
    Raises InvalidInput, OutputExists, OutputFailed, DoesNotFit (a regions row that needs more tracks
    than there are); then nothing is left.
    """
    if not tiles:
        raise InvalidInput("no tile to write")
    if build.directory in (out, *out.parents):
        raise OutputExists(f"{out}: is in the build's own folder; choose another with --output")
    technology = build.manifest.technology
    chosen = choose_layers(technology, layers)
    if "gds" in formats:
        require_gds_layers(LayerMap(technology, chosen))
    tiles = sorted(dict.fromkeys(tiles), key=lambda tile: tile.chip)  # within a chip as they came
    digits = sum(tile.shape.weights for tile in tiles)
    of_scheme = BYTES_A_DIGIT[build.manifest.placement.scheme]
    needed = digits * sum(of_scheme[name] for name in formats)
    if "def" in formats:
        macros = {(tile.kind, tile.shape) for tile in tiles}
        needed += LEF_BYTES_A_DIGIT * sum(shape.weights for _, shape in macros)
        needed += DEF_BYTES_AN_INPUT * sum(tile.shape.blocks * BLOCK for tile in tiles)
    with new_folder(out, needed) as folder:
        writing = _Writing(
            build, folder, workers, with_base, chosen, progress, digits * len(formats)
        )
        for name in formats:
            writing.write(name, tiles)
        writing.write_layers(tiles, formats)
        files = {
            path.name: MaskFile(bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in sorted(folder.iterdir())
        }
        record = MasksRecord(
            schema_version=SCHEMA_VERSION,
            generator=f"hnlpu {__version__}",
            build=build_digest(build),
            technology=technology.name,
            scheme=build.manifest.placement.scheme,
            formats=tuple(formats),
            layers=chosen,
            with_base=with_base,
            tiles={
                chip: sum(1 for _ in group) for chip, group in groupby(tiles, key=lambda t: t.chip)
            },
            digits=digits,
            files=files,
        )
        (folder / RECORD).write_bytes(encode_record(record))
    return record


class _Writing:
    """One run: the build, where to, who draws, and how far it is."""

    def __init__(
        self, build: Build, folder: Path, workers: Workers, with_base: bool, layers: Layers,
        progress: Progress | None, total: int,
    ):  # fmt: skip
        self._build, self._folder, self._workers = build, folder, workers
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
        self, draw: Callable[[Job], list[Result]], tiles: Sequence[Tile]
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
        (self._folder / PROPERTIES).write_bytes(layer_properties(named))
        (self._folder / TABLE).write_bytes(layer_table(named))
        suffix = "oas" if "oasis" in formats else "gds" if "gds" in formats else None
        for chip in dict.fromkeys(tile.chip for tile in tiles) if suffix else ():
            script = drc_script(
                self._layers, f"{chip_name(chip)}.{suffix}",
                with_base=self._with_base, programmable=programmable,
            )  # fmt: skip
            (self._folder / f"{chip_name(chip)}.drc").write_text(script, encoding="ascii")

    def _oasis(self, chip: int, tiles: Sequence[Tile]) -> None:
        with (self._folder / f"{chip_name(chip)}.oas").open("wb") as file:
            cells = self._oasis_file(file, chip, tiles)
        (self._folder / f"{chip_name(chip)}.cells.json").write_bytes(encode_cells(cells))

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
            found = self._layers.layout(layout)
            record = cell_record(numbers[name], layout_payload(found, writer.texts))
            put(name, record, _box_of(found))

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
        with (self._folder / f"{chip_name(chip)}.gds").open("wb") as file:
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
                Placement(names[name], placed.x, placed.y, name)
                for placed in self._places(chip, tiles)
                for name in self._names(placed.tile)
            ]
            top = chip_name(chip)
            put(top, gds_cell(technology, names[top], Layout(), places))
            writer.end()
        path = self._folder / f"{chip_name(chip)}.names.json"
        path.write_bytes(encode_names(written))

    def _via_map(self, chip: int, tiles: Sequence[Tile]) -> None:
        path = self._folder / f"{chip_name(chip)}.via-map.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            draw = DrawViaMap(self._build.directory, self._digest)
            for _, arrays in self._drawn(draw, tiles):
                for name, data in arrays.items():
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)

    def _texts(self, name: Format, tiles: Sequence[Tile]) -> None:
        draw = DrawText(self._build.directory, self._digest, name)
        many = self._build.manifest.placement.chips > 1
        for tile, text in self._drawn(draw, tiles):
            prefix = f"{chip_name(tile.chip)}." if many else ""
            (self._folder / f"{prefix}{tile.name}.{name}").write_text(text, encoding="ascii")
        if name == "def":
            for tile in tiles:
                scheme = self._source.scheme(tile.kind)
                self._once(technology_file(scheme.technology), technology_lef_lines(scheme))
                macro = f"{macro_name(scheme, tile.shape)}.lef"
                self._once(macro, macro_lef_lines(scheme, tile.shape))

    def _once(self, name: str, lines: Iterator[str]) -> None:
        """A text file that many tiles share."""
        if not (self._folder / name).exists():
            with (self._folder / name).open("w", encoding="ascii") as file:
                file.writelines(lines)


def _box_of(layout: Layout) -> Box | None:
    """The box around a layout's shapes; labels stand on them."""
    ends = [
        np.array([
            [g.x0, g.y0, g.x1, g.y1],
            [g.x0 + (g.columns - 1) * g.dx, g.y0 + (g.rows - 1) * g.dy,
             g.x1 + (g.columns - 1) * g.dx, g.y1 + (g.rows - 1) * g.dy],
        ])
        for g in layout.grids if g.count
    ]  # fmt: skip
    return box_around([*ends, *layout.rectangles.values()])


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
