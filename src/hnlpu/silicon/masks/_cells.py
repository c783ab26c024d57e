"""The cells of a mask file: a tile's metal, the fixed metal below it, and what many tiles share.

chip-00                           places every tile, and with the base also what lies below
model.layers.0....n0.b0         programmable metal of one tile
scale-taps-d1-b8-r2-s1        the vias that write a shift in one scale cell (taps)
base-taps-d1-b8-r2-256x32       fixed metal and pin labels of 256 rows of 32 blocks
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import (
    ArrayKind,
    Layout,
    Scheme,
    TileDigits,
    TileShape,
    open_scheme,
)
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks._extract import Base
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_cell import LayoutCell, flatten
from hnlpu.silicon.masks._oasis_names import NO_NAMES, Names
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import Box, cell_record
from hnlpu.silicon.masks._proof import ProofMetal, draw_proof
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.place import chip_tiles

BASES_KEPT = 4
PROOFS_KEPT = 16
NUMBERINGS_KEPT = 2


class TileSource:
    """Digits, schemes and fixed metal of a build's tiles; keeps the last few shapes' metal."""

    def __init__(self, build: Build):
        self.build = build
        self._reader = TileReader(build)
        self._schemes: dict[ArrayKind, Scheme] = {}
        self.base = functools.lru_cache(BASES_KEPT)(self._base)
        self.proof = functools.lru_cache(PROOFS_KEPT)(self._proof)
        self.base_metal = functools.lru_cache(BASES_KEPT)(self._base_metal)
        self.base_nets = functools.lru_cache(BASES_KEPT)(self._base_nets)
        self.require_reach = functools.lru_cache(BASES_KEPT)(self._require_reach)
        self.numbers = functools.lru_cache(NUMBERINGS_KEPT)(self._numbers)

    def scheme(self, kind: ArrayKind) -> Scheme:
        """The scheme of an array kind in the build's technology."""
        if kind not in self._schemes:
            self._schemes[kind] = open_scheme(self.build.manifest.technology, kind)
        return self._schemes[kind]

    def _proof(self, kind: ArrayKind) -> ProofMetal:
        """The proof tile of a kind of arrays, drawn; raises DoesNotFit."""
        return draw_proof(self.scheme(kind))

    def _base(self, kind: ArrayKind, shape: TileShape) -> Layout:
        """Fixed metal and pin labels below tiles of a shape."""
        return self.scheme(kind).base(shape)

    def _base_metal(self, kind: ArrayKind, shape: TileShape) -> Layout:
        """Every fixed rectangle below tiles of a shape, without labels."""
        return Layout(rectangles=self.base(kind, shape).flat())

    def _require_reach(self, kind: ArrayKind, shape: TileShape) -> None:
        """Raise DoesNotFit unless the rules hold for any weights in tiles of a shape."""
        scheme = self.scheme(kind)
        MASK_SCHEMES[scheme.name].require_reach(scheme, shape)

    def _base_nets(self, kind: ArrayKind, shape: TileShape) -> Base:
        """The same after its way through a file, joined to nets for the extractor."""
        scheme = self.scheme(kind)
        name = base_name(scheme, shape)
        record = cell_record(name, layout_payload(self.base(kind, shape)), compress=False)
        return Base(scheme.technology, parse_cell(record, name))

    def _numbers(self, chip: int) -> dict[str, int]:
        """Number of every cell that a chip's file may hold, by name.

        Which of them are written makes no difference: a tile has the same bytes in any of the files.
        """
        manifest = self.build.manifest
        tiles = list(chip_tiles(manifest.placement, manifest.technology.array, chip))
        kinds = sorted(manifest.placement.kinds())
        shapes = sorted({(tile.kind, tile.shape.rows, tile.shape.blocks) for tile in tiles})
        names = [chip_name(chip)]
        names += [name for kind in kinds for name in shared_layouts(self.scheme(kind))]
        names += [base_name(self.scheme(k), TileShape(rows, n)) for k, rows, n in shapes]
        names += [tile.name for tile in tiles]
        return {name: number for number, name in enumerate(names)}

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
    return MASK_SCHEMES[scheme.name].payload(scheme, digits)


def tile_cell(
    scheme: Scheme, digits: TileDigits, layers: LayerMap, numbers: Mapping[str, int]
) -> tuple[bytes, Box | None]:
    """The same for a file of these layers and numbers of cells, and the box around it."""
    return MASK_SCHEMES[scheme.name].cell(scheme, digits, layers, numbers)


def used_names(scheme: Scheme, digits: TileDigits) -> set[str]:
    """Names of the shared cells that a tile places."""
    return MASK_SCHEMES[scheme.name].used_names(scheme, digits)


def shared_layouts(scheme: Scheme) -> dict[str, Layout]:
    """The cells that tiles of a kind may place, by name."""
    return MASK_SCHEMES[scheme.name].shared_layouts(scheme)


def shared_payloads(scheme: Scheme) -> dict[str, bytes]:
    """OASIS records of the cells that tiles of a kind may place, by name."""
    return MASK_SCHEMES[scheme.name].shared_payloads(scheme)


def shared_cells(scheme: Scheme) -> dict[str, LayoutCell]:
    """The same, as the reader gives them."""
    return {
        name: parse_cell(cell_record(name, payload), name)
        for name, payload in shared_payloads(scheme).items()
    }


def read_tile(
    record: bytes, shared: Mapping[str, LayoutCell], where: str, names: Names = NO_NAMES
) -> LayoutCell:
    """A tile's cell from its record in a file, with all that it places; raises DamagedMasks.

    `names` are those of the file that the record is from.
    """
    cell = parse_cell(record, where, names)
    try:
        return flatten({**shared, cell.name: cell}, cell.name)
    except DamagedMasks as error:
        raise DamagedMasks(f"{where}: {error}") from None


__all__ = [
    "TileSource",
    "base_name",
    "base_payload",
    "chip_name",
    "read_tile",
    "shared_cells",
    "shared_layouts",
    "shared_payloads",
    "tile_cell",
    "tile_payload",
    "used_names",
]
