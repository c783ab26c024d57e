"""The cells of a mask file: a tile's metal, the fixed metal below it, and what many tiles share.

chip-00                           places every tile, and with the base also what lies below
model.layers.0....n0.b0         programmable metal of one tile
scale-taps-d1-b8-r2-s1        the vias that write a shift in one scale cell (taps)
base-taps-d1-b8-r2-256x32       fixed metal and pin labels of 256 rows of 32 blocks
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from hnlpu.embed import (
    ArrayKind,
    Layout,
    Regions,
    Scheme,
    Taps,
    TileDigits,
    TileShape,
    open_scheme,
)
from hnlpu.errors import DamagedMasks
from hnlpu.hardwire import Build, TileReader
from hnlpu.masks._extract import Base
from hnlpu.masks._oasis_bytes import layout_payload
from hnlpu.masks._oasis_cell import Cell, flatten
from hnlpu.masks._oasis_read import parse_cell
from hnlpu.masks._oasis_regions import regions_payload
from hnlpu.masks._oasis_taps import pattern_cells, pattern_layout, pattern_name, taps_payload
from hnlpu.masks._oasis_write import cell_record
from hnlpu.masks._proof_regions import require_reach

BASES_KEPT = 4


class TileSource:
    """Digits, schemes and fixed metal of a build's tiles; keeps the last few shapes' metal."""

    def __init__(self, build: Build):
        self.build = build
        self._reader = TileReader(build)
        self._schemes: dict[ArrayKind, Scheme] = {}
        self.base = functools.lru_cache(BASES_KEPT)(self._base)
        self.base_metal = functools.lru_cache(BASES_KEPT)(self._base_metal)
        self.base_nets = functools.lru_cache(BASES_KEPT)(self._base_nets)
        self.require_reach = functools.lru_cache(BASES_KEPT)(self._require_reach)

    def scheme(self, kind: ArrayKind) -> Scheme:
        """The scheme of an array kind in the build's technology."""
        if kind not in self._schemes:
            self._schemes[kind] = open_scheme(self.build.manifest.technology, kind)
        return self._schemes[kind]

    def _base(self, kind: ArrayKind, shape: TileShape) -> Layout:
        """Fixed metal and pin labels below tiles of a shape."""
        return self.scheme(kind).base(shape)

    def _base_metal(self, kind: ArrayKind, shape: TileShape) -> Layout:
        """Every fixed rectangle below tiles of a shape, without labels."""
        return Layout(rectangles=self.base(kind, shape).flat())

    def _require_reach(self, kind: ArrayKind, shape: TileShape) -> None:
        """Raise DoesNotFit unless the rules hold for any wires in tiles of a shape."""
        scheme = self.scheme(kind)
        assert isinstance(scheme, Regions)
        require_reach(scheme, shape)

    def _base_nets(self, kind: ArrayKind, shape: TileShape) -> Base:
        """The same after its way through a file, joined to nets for the extractor."""
        scheme = self.scheme(kind)
        name = base_name(scheme, shape)
        record = cell_record(name, layout_payload(self.base(kind, shape)), compress=False)
        return Base(scheme.technology, parse_cell(record, name))

    @property
    def read(self) -> TileReader:
        """Reads the digits and weights of tiles."""
        return self._reader


def chip_name(chip: int) -> str:
    """Name of a chip's cell and, with a suffix, of its file."""
    return f"chip-{chip:02d}"


def base_name(scheme: Scheme, shape: TileShape) -> str:
    """Name of the cell of fixed metal below tiles of a shape."""
    return f"base-{scheme.kind.name}-{shape.rows}x{shape.blocks}"


def base_payload(scheme: Scheme, shape: TileShape) -> bytes:
    """OASIS records of the fixed metal and its pin labels."""
    return layout_payload(scheme.base(shape))


def tile_payload(scheme: Scheme, digits: TileDigits) -> bytes:
    """OASIS records of a tile's programmable metal."""
    if isinstance(scheme, Taps):
        return taps_payload(scheme, digits)
    assert isinstance(scheme, Regions)
    return regions_payload(scheme, digits)


def used_names(scheme: Scheme, digits: TileDigits) -> set[str]:
    """Names of the shared cells that a tile places."""
    if not isinstance(scheme, Taps) or not scheme.scale_stubs:
        return set()
    shifts = np.flatnonzero(np.bincount(digits.shifts.reshape(-1)))
    return {pattern_name(scheme, shift) for shift in shifts.tolist()}


def shared_payloads(scheme: Scheme) -> dict[str, bytes]:
    """OASIS records of the cells that tiles of a kind may place, by name."""
    return pattern_cells(scheme) if isinstance(scheme, Taps) else {}


def shared_cells(scheme: Scheme) -> dict[str, Cell]:
    """The same, as the reader gives them."""
    return {
        name: parse_cell(cell_record(name, payload), name)
        for name, payload in shared_payloads(scheme).items()
    }


def read_tile(record: bytes, shared: Mapping[str, Cell], where: str) -> Cell:
    """A tile's cell from its record in a file, with all that it places; raises DamagedMasks."""
    cell = parse_cell(record, where)
    try:
        return flatten({**shared, cell.name: cell}, cell.name)
    except DamagedMasks as error:
        raise DamagedMasks(f"{where}: {error}") from None


__all__ = [
    "TileSource",
    "base_name",
    "base_payload",
    "chip_name",
    "pattern_layout",
    "pattern_name",
    "read_tile",
    "shared_cells",
    "shared_payloads",
    "tile_payload",
    "used_names",
]
