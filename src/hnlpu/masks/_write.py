"""Tiles of a build -> a folder of mask files.

    chip-00.oas            OASIS: a cell a tile, one that places them all; with the base on request
    chip-00.cells.json     where each cell lies in it
    chip-00.gds            GDSII, the same cells
    chip-00.via-map.npz    arrays of numbers by tile (NumPy's format)
    NAME.def KIND.lef      a tile as DEF, and the neuron array it is routed on
    n5.tech.lef            layers, rules and vias of both
    NAME.tcl               the connection script of a tile
    masks.json             of which build they are, and the digests of all files

Tiles are drawn by workers, a few million digits at a time, and written in order: the same build
gives the same bytes, whoever draws.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from hnlpu._version import __version__
from hnlpu.embed import BLOCK, Layout, TileShape
from hnlpu.errors import InvalidInput, OutputExists
from hnlpu.hardwire import Build, Progress, file_sha256, open_build
from hnlpu.masks._cells import (
    TileSource,
    base_name,
    base_payload,
    chip_name,
    shared_payloads,
    tile_payload,
    used_names,
)
from hnlpu.masks._def import def_lines
from hnlpu.masks._folder import new_folder
from hnlpu.masks._gds import GdsCell, GdsWriter, Placement, gds_cell
from hnlpu.masks._lef import macro_lef_lines, macro_name
from hnlpu.masks._lef_technology import technology_file, technology_lef_lines
from hnlpu.masks._names import identifier
from hnlpu.masks._oasis_bytes import placement_record
from hnlpu.masks._oasis_write import CellPlace, OasisWriter, cell_record
from hnlpu.masks._pool import Workers
from hnlpu.masks._record import (
    RECORD,
    Format,
    MaskFile,
    MasksRecord,
    build_digest,
    encode_cells,
    encode_record,
)
from hnlpu.masks._tcl import tcl_lines
from hnlpu.masks._via_map import npy_bytes, via_map
from hnlpu.place import PlacedTile, Tile, chip_tiles, die_plan

Result = TypeVar("Result")

DIGITS_A_JOB = 2**22
BYTES_A_DIGIT: dict[str, dict[Format, float]] = {
    "taps": {"oasis": 1.1, "gds": 30, "via-map": 1.1, "def": 80, "tcl": 20},
    "regions": {"oasis": 10.5, "gds": 420, "via-map": 7, "def": 330, "tcl": 28},
}
"""About what a digit takes at most, to refuse before the disk is full."""
LEF_BYTES_A_DIGIT, DEF_BYTES_AN_INPUT = 1800, 3000
"""And a digit of a macro's LEF, which tiles of a kind and shape share; a tile's pins in DEF."""


@dataclass(frozen=True)
class Job:
    """Tiles of one chip that a worker draws together."""

    tiles: tuple[Tile, ...]

    @property
    def digits(self) -> int:
        """Digits in all tiles."""
        return sum(tile.shape.weights for tile in self.tiles)


def jobs(tiles: Sequence[Tile]) -> Iterator[Job]:
    """Tiles in runs of about `DIGITS_A_JOB` digits, none over two chips."""
    for _, of_chip in groupby(tiles, key=lambda tile: tile.chip):
        run: list[Tile] = []
        size = 0
        for tile in of_chip:
            if size and size + tile.shape.weights > DIGITS_A_JOB:
                yield Job(tuple(run))
                run, size = [], 0
            run.append(tile)
            size += tile.shape.weights
        yield Job(tuple(run))


@functools.lru_cache(maxsize=1)
def source_of(directory: Path, digest: str) -> TileSource:
    """A worker's own view of the build at `directory`, kept from job to job."""
    return TileSource(open_build(directory))


@dataclass(frozen=True)
class DrawOasis:
    """A job -> the CELL record of each tile, and the names of the shared cells that it places."""

    directory: Path
    digest: str

    def __call__(self, job: Job) -> list[tuple[bytes, set[str]]]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        found = []
        for tile in job.tiles:
            scheme, digits = source.scheme(tile.kind), source.read.digits(tile)
            record = cell_record(tile.name, tile_payload(scheme, digits))
            found.append((record, used_names(scheme, digits)))
        return found


@dataclass(frozen=True)
class DrawGds:
    """A job -> the GDSII structure of each tile."""

    directory: Path
    digest: str

    def __call__(self, job: Job) -> list[GdsCell]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        technology = source.build.manifest.technology
        return [
            gds_cell(
                technology, identifier(tile.name),
                source.scheme(tile.kind).draw(source.read.digits(tile)),
            )
            for tile in job.tiles
        ]  # fmt: skip


@dataclass(frozen=True)
class DrawViaMap:
    """A job -> the arrays of each tile as files of NumPy's format, by name."""

    directory: Path
    digest: str

    def __call__(self, job: Job) -> list[dict[str, bytes]]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        return [
            {
                f"{tile.name}.{name}": npy_bytes(array)
                for name, array in via_map(
                    source.scheme(tile.kind), source.read.digits(tile)
                ).items()
            }
            for tile in job.tiles
        ]


@dataclass(frozen=True)
class DrawText:
    """A job -> a text file of each tile, DEF or Tcl."""

    directory: Path
    digest: str
    format: Format

    def __call__(self, job: Job) -> list[str]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        lines = def_lines if self.format == "def" else tcl_lines
        return [
            "".join(lines(source.scheme(tile.kind), source.read.digits(tile), tile.name))
            for tile in job.tiles
        ]


def write_masks(
    build: Build, out: Path, tiles: Sequence[Tile], formats: Sequence[Format], workers: Workers,
    *, with_base: bool = False, progress: Progress | None = None,
) -> MasksRecord:  # fmt: skip
    """Write `tiles`, each once, into the new folder `out`; returns what masks.json says.

    Raises OutputExists, OutputFailed, DoesNotFit (a regions row that needs more tracks than there
    are); then nothing is left.
    """
    if not tiles:
        raise InvalidInput("no tile to write")
    if build.directory in (out, *out.parents):
        raise OutputExists(f"{out}: is in the build's own folder; choose another with --output")
    tiles = sorted(dict.fromkeys(tiles), key=lambda tile: tile.chip)  # within a chip as they came
    digits = sum(tile.shape.weights for tile in tiles)
    of_scheme = BYTES_A_DIGIT[build.manifest.placement.scheme]
    needed = digits * sum(of_scheme[name] for name in formats)
    if "def" in formats:
        macros = {(tile.kind, tile.shape) for tile in tiles}
        needed += LEF_BYTES_A_DIGIT * sum(shape.weights for _, shape in macros)
        needed += DEF_BYTES_AN_INPUT * sum(tile.shape.blocks * BLOCK for tile in tiles)
    with new_folder(out, needed) as folder:
        writing = _Writing(build, folder, workers, with_base, progress, digits * len(formats))
        for name in formats:
            writing.write(name, tiles)
        files = {
            path.name: MaskFile(bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in sorted(folder.iterdir())
        }
        record = MasksRecord(
            schema_version=1,
            generator=f"hnlpu {__version__}",
            build=build_digest(build),
            technology=build.manifest.technology.name,
            scheme=build.manifest.placement.scheme,
            formats=tuple(formats),
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
        self, build: Build, folder: Path, workers: Workers, with_base: bool,
        progress: Progress | None, total: int,
    ):  # fmt: skip
        self._build, self._folder, self._workers = build, folder, workers
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

    def _oasis(self, chip: int, tiles: Sequence[Tile]) -> None:
        cells: dict[str, CellPlace] = {}
        with (self._folder / f"{chip_name(chip)}.oas").open("wb") as file:
            writer = OasisWriter(file, oasis_properties(self._build, self._digest, chip))
            for name, payload in self._bases(tiles):
                cells[name] = writer.put_cell(cell_record(name, payload))
            used: set[str] = set()
            for tile, (record, names) in self._drawn(
                DrawOasis(self._build.directory, self._digest), tiles
            ):
                cells[tile.name] = writer.put_cell(record)
                used |= names
            for name, payload in self._shared(tiles):
                if name in used:
                    cells[name] = writer.put_cell(cell_record(name, payload))
            top = b"".join(
                placement_record(name, placed.x, placed.y)
                for placed in self._places(chip, tiles)
                for name in self._names(placed.tile)
            )
            cells[chip_name(chip)] = writer.put_cell(cell_record(chip_name(chip), top))
            writer.end()
        (self._folder / f"{chip_name(chip)}.cells.json").write_bytes(encode_cells(cells))

    def _shared(self, tiles: Sequence[Tile]) -> Iterator[tuple[str, bytes]]:
        """Cells that tiles may place."""
        for kind in sorted({tile.kind for tile in tiles}):
            yield from shared_payloads(self._source.scheme(kind)).items()

    def _bases(self, tiles: Sequence[Tile]) -> Iterator[tuple[str, bytes]]:
        """Fixed metal below the tiles."""
        if self._with_base:
            for kind, rows, blocks in sorted(
                {(t.kind, t.shape.rows, t.shape.blocks) for t in tiles}
            ):
                scheme = self._source.scheme(kind)
                shape = TileShape(rows, blocks)
                yield base_name(scheme, shape), base_payload(scheme, shape)

    def _names(self, tile: Tile) -> Iterator[str]:
        yield tile.name
        if self._with_base:
            yield base_name(self._source.scheme(tile.kind), tile.shape)

    def _gds(self, chip: int, tiles: Sequence[Tile]) -> None:
        technology = self._build.manifest.technology
        with (self._folder / f"{chip_name(chip)}.gds").open("wb") as file:
            writer = GdsWriter(file)
            if self._with_base:
                seen = set()
                for tile in tiles:
                    scheme = self._source.scheme(tile.kind)
                    name = identifier(base_name(scheme, tile.shape))
                    if name not in seen:
                        seen.add(name)
                        writer.put_cell(gds_cell(technology, name, scheme.base(tile.shape)))
            for _, cell in self._drawn(DrawGds(self._build.directory, self._digest), tiles):
                writer.put_cell(cell)
            places = [
                Placement(identifier(name), placed.x, placed.y)
                for placed in self._places(chip, tiles)
                for name in self._names(placed.tile)
            ]
            top = gds_cell(technology, identifier(chip_name(chip)), Layout(), places)
            writer.put_cell(top)
            writer.end()

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


def oasis_properties(build: Build, digest: str, chip: int) -> dict[str, str]:
    """What an OASIS file says of itself."""
    manifest = build.manifest
    return {
        "hnlpu_build": digest,
        "hnlpu_chip": f"{chip} of {manifest.placement.chips}",
        "hnlpu_scheme": manifest.placement.scheme,
        "hnlpu_technology": manifest.technology.name,
    }


def tile_places(build: Build, chip: int, tiles: Sequence[Tile]) -> list[PlacedTile]:
    """The places of some tiles of a chip on its die."""
    manifest = build.manifest
    plan = die_plan(
        manifest.technology, chip,
        list(chip_tiles(manifest.placement, manifest.technology.array, chip)),
    )  # fmt: skip
    wanted = {tile.name for tile in tiles}
    return [placed for placed in plan.tiles if placed.tile.name in wanted]
