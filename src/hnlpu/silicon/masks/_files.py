"""A folder of mask files -> what is wrong with its bytes, and cells of a chip's OASIS file one by one.

    every file     size and SHA-256 as masks.json has them, and nothing else in the folder
    OASIS          the CRC-32 at its end, and its own tables against chip-NN.cells.json

Both digests of a file are taken in one reading.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from isal import isal_zlib

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.masks._cells import chip_name, read_tile
from hnlpu.silicon.masks._drc_script import COUNT_SUFFIX, REPORT_SUFFIX
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.masks._oasis_names import Names, NameTables
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_whole import unlisted_bytes
from hnlpu.silicon.masks._oasis_write import SIGNATURE_BYTES
from hnlpu.silicon.masks._record import RECORD, MaskFile, MasksRecord, encode_cells, read_cells

CHUNK_BYTES = 2**20


def digests(path: Path) -> tuple[str, int]:
    """A file's SHA-256, and the CRC-32 of all but a signature at its end; raises OSError."""
    digest, crc, held = hashlib.sha256(), 0, b""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            held += chunk
            crc = isal_zlib.crc32(memoryview(held)[:-SIGNATURE_BYTES], crc)
            held = held[-SIGNATURE_BYTES:]
    return digest.hexdigest(), crc


def file_problems(folder: Path, record: MasksRecord, layers: LayerMap) -> Iterator[str]:
    """What is wrong with the files of a folder, whose layers must be those of `layers`."""
    for name, file in record.files.items():
        if name in ("", "..") or Path(name).name != name or not name.isprintable():
            yield f"{folder / RECORD}: lists {name!r}, which is no file of its folder"
            continue
        yield from _problems_of(folder / name, file, layers)
    known = {RECORD, *record.files}
    for script in [name for name in record.files if name.endswith(".drc")]:
        stem = script.removesuffix(".drc")
        known |= {stem + REPORT_SUFFIX, stem + COUNT_SUFFIX}  # what its run writes beside it
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            yield f"{path}: is not part of the masks"


def _problems_of(path: Path, file: MaskFile, layers: LayerMap) -> Iterator[str]:
    try:
        digest, crc = digests(path)
        if path.stat().st_size != file.bytes or digest != file.sha256:
            yield f"{path}: altered (its digest is not that of {RECORD})"
        if path.suffix == ".oas":
            yield from _oasis_problems(path, crc, layers)
    except OSError as error:
        yield f"{path}: cannot be read ({error.strerror})"


def _oasis_problems(path: Path, crc: int, layers: LayerMap) -> Iterator[str]:
    """A signature that is not that of the bytes, tables that say other than cells.json and masks.json."""
    places = path.with_suffix(".cells.json")
    try:
        with path.open("rb", buffering=0) as file:
            tables = NameTables(file.fileno(), str(path))
            if (problem := tables.end.crc_problem(crc)) is not None:
                yield f"{path}: {problem}; write the masks again"
            own = {cell.name: offset for cell, offset in tables.places()}
            strangers = sorted(set(tables.layers()) - layers.keys)
            listed = read_cells(places)
            unlisted = unlisted_bytes(file.fileno(), tables, listed)
        told = {name: place.offset for name, place in listed.items()}
        plain = places.read_bytes() == encode_cells(listed)
    except DamagedMasks as error:
        yield str(error)
        return
    if strangers:
        layer, datatype = strangers[0]
        yield (
            f"{path}: names layer {layer}/{datatype}, which is none of the {layers.layers} layers "
            f"of {RECORD}; write the masks again"
        )
    if unlisted is not None:
        yield f"{path}: {unlisted}; write the masks again"
    if not plain:  # as with a name that it has twice, of which readers take one or the other
        yield f"{places}: holds more than cells and their places; write the masks again"
    for name in sorted(own.keys() | told.keys()):
        if own.get(name) != told.get(name):
            where = [str(of.get(name, "nowhere")) for of in (own, told)]
            yield (
                f"{path}: its tables have cell {name} at {where[0]}, {places.name} at {where[1]}; "
                "write the masks again"
            )
            return


class ChipFile:
    """The OASIS file of a chip, read cell by cell."""

    def __init__(self, folder: Path, chip: int, layers: LayerMap):
        self._path = folder / f"{chip_name(chip)}.oas"
        self._layers = layers
        self.cells = read_cells(folder / f"{chip_name(chip)}.cells.json")
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise self._unreadable(error) from None

    def __enter__(self) -> ChipFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def bases(self) -> set[str]:
        """Names of the cells of fixed metal."""
        return {name for name in self.cells if name.startswith("base-")}

    def tile(self, name: str, where: str) -> LayoutCell:
        """What weights decide of a tile, with all that it places, on the schemes' layers."""
        cell = read_tile(self._record(name), self._shared, where, self._names)
        if cell.labels:
            raise DamagedMasks(
                f"{where}: has a label, which only fixed metal has; write the masks again"
            )
        return self._layers.tile(cell, where)

    def base(self, name: str) -> LayoutCell:
        """The fixed metal and pins below tiles of a shape, on the schemes' layers."""
        where = f"{self._path}: {name}"
        cell = self._named(name, where, self._all_names)
        if cell.placed:
            raise DamagedMasks(
                f"{where}: places cell {next(iter(cell.placed))}, where fixed metal places none; "
                "write the masks again"
            )
        return self._layers.base(cell, where)

    def cell(self, name: str, where: str) -> LayoutCell:
        """A cell as the file has it; labels are for fixed metal alone."""
        cell = self._named(name, where, self._names)
        if cell.labels:
            raise DamagedMasks(
                f"{where}: has a label, which only fixed metal has; write the masks again"
            )
        return cell

    def _named(self, name: str, where: str, names: Names) -> LayoutCell:
        cell = parse_cell(self._record(name), where, names)
        if cell.name != name:
            raise DamagedMasks(
                f"{where}: its place in the file holds cell {cell.name}; write the masks again"
            )
        return cell

    @functools.cached_property
    def _shared(self) -> Mapping[str, LayoutCell]:
        """The cells that tiles place."""
        return {
            name: self.cell(name, f"{self._path}: {name}")
            for name in self.cells
            if name.startswith("scale-")
        }

    @functools.cached_property
    def _tables(self) -> NameTables:
        try:
            return NameTables(self._file.fileno(), str(self._path))
        except OSError as error:
            raise self._unreadable(error) from None

    @functools.cached_property
    def _names(self) -> Names:
        """Those of cells: tiles have no labels, or what they say makes no difference."""
        return Names(self._tables.cells(), None)

    @functools.cached_property
    def _all_names(self) -> Names:
        return Names(self._names.cells, self._tables.texts())

    def _record(self, name: str) -> bytes:
        """The bytes of a cell; raises DamagedMasks."""
        place = self.cells.get(name)
        if place is None:
            raise DamagedMasks(f"{self._path}: lacks cell {name}; write the masks again")
        try:
            size = os.fstat(self._file.fileno()).st_size
            if not 0 <= place.offset <= place.offset + place.bytes <= size:
                raise DamagedMasks(
                    f"{self._path}: has {size} bytes, cell {name} would lie beyond; "
                    "write the masks again"
                )
            return os.pread(self._file.fileno(), place.bytes, place.offset)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> DamagedMasks:
        return DamagedMasks(f"{self._path}: cannot be read ({error.strerror})")
