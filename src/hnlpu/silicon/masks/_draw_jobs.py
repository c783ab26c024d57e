"""Tiles of a build -> their pieces of mask files: jobs that any worker does.

A job is tiles of one chip, a few million digits at a time; what it gives is the same wherever it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.masks._cells import (
    TileSource,
    tile_cell,
    used_names,
)
from hnlpu.silicon.masks._def import def_lines
from hnlpu.silicon.masks._gds import (
    OWN_NAMES,
    GdsCell,
    gds_cell,
)
from hnlpu.silicon.masks._layers import LayerMap, Layers
from hnlpu.silicon.masks._names import gds_names
from hnlpu.silicon.masks._oasis_write import (
    Box,
    cell_record,
)
from hnlpu.silicon.masks._record import (
    Format,
)
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.masks._tcl import tcl_lines
from hnlpu.silicon.masks._via_map import npy_bytes
from hnlpu.silicon.place import Tile

DIGITS_A_JOB = 2**22


@dataclass(frozen=True)
class DrawJob:
    """Tiles of one chip that a worker draws together."""

    tiles: tuple[Tile, ...]

    @property
    def digits(self) -> int:
        """Digits in all tiles."""
        return sum(tile.shape.weights for tile in self.tiles)


def jobs(tiles: Sequence[Tile]) -> Iterator[DrawJob]:
    """Tiles in runs of about `DIGITS_A_JOB` digits, none over two chips."""
    for _, of_chip in groupby(tiles, key=lambda tile: tile.chip):
        run: list[Tile] = []
        size = 0
        for tile in of_chip:
            if size and size + tile.shape.weights > DIGITS_A_JOB:
                yield DrawJob(tuple(run))
                run, size = [], 0
            run.append(tile)
            size += tile.shape.weights
        yield DrawJob(tuple(run))


@functools.lru_cache(maxsize=1)
def source_of(directory: Path, digest: str) -> TileSource:
    """A worker's own view of the build at `directory`, kept from job to job."""
    return TileSource(open_build(directory))


@dataclass(frozen=True)
class OasisTile:
    """A tile's CELL record, the box around it, and the names of the shared cells that it places."""

    record: bytes
    box: Box | None
    shared: set[str]


@dataclass(frozen=True)
class DrawOasis:
    """A job -> the record of each tile for a file with these layers."""

    directory: Path
    digest: str
    layers: Layers

    def __call__(self, job: DrawJob) -> list[OasisTile]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        layers = LayerMap(source.build.manifest.technology, self.layers)
        found = []
        for tile in job.tiles:
            scheme, digits = source.scheme(tile.kind), source.read.digits(tile)
            numbers = source.numbers(tile.chip)
            payload, box = tile_cell(scheme, digits, layers, numbers)
            record = cell_record(numbers[tile.name], payload)
            found.append(OasisTile(record, box, used_names(scheme, digits)))
        return found


@dataclass(frozen=True)
class DrawGds:
    """A job -> the GDSII structure of each tile, on these layers."""

    directory: Path
    digest: str
    layers: Layers

    def __call__(self, job: DrawJob) -> list[GdsCell]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        technology = source.build.manifest.technology
        layers = LayerMap(technology, self.layers)
        return [
            gds_cell(
                technology, names_in_gds(source, tile.chip)[tile.name],
                source.scheme(tile.kind).draw(source.read.digits(tile)), layers=layers,
            )
            for tile in job.tiles
        ]  # fmt: skip


@functools.lru_cache(maxsize=2)
def names_in_gds(source: TileSource, chip: int) -> dict[str, str]:
    return gds_names(source.numbers(chip), OWN_NAMES)


@dataclass(frozen=True)
class DrawViaMap:
    """A job -> the arrays of each tile as files of NumPy's format, by name."""

    directory: Path
    digest: str

    def __call__(self, job: DrawJob) -> list[dict[str, bytes]]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        return [
            {
                f"{tile.name}.{name}": npy_bytes(array)
                for name, array in MASK_SCHEMES[tile.kind.scheme]
                .via_map(source.scheme(tile.kind), source.read.digits(tile))
                .items()
            }
            for tile in job.tiles
        ]


@dataclass(frozen=True)
class DrawText:
    """A job -> a text file of each tile, DEF or Tcl."""

    directory: Path
    digest: str
    format: Format

    def __call__(self, job: DrawJob) -> list[str]:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        lines = def_lines if self.format == "def" else tcl_lines
        return [
            "".join(lines(source.scheme(tile.kind), source.read.digits(tile), tile.name))
            for tile in job.tiles
        ]
