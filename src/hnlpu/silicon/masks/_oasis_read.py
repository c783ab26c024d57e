"""An OASIS file -> cells: rectangles and labels by layer, and placements of other cells.

Independent of the writer: it knows the standard (SEMI P39), not what hnlpu writes.  Only what a
mask of rectangles can hold is accepted; a polygon or a rotated cell is refused, not ignored.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import LabelTable, RectRows
from hnlpu.silicon.masks import _oasis_parse as p
from hnlpu.silicon.masks._oasis_bytes import MAGIC
from hnlpu.silicon.masks._oasis_cell import MOST_SHAPES, LayoutCell, flatten
from hnlpu.silicon.masks._oasis_names import NO_NAMES, Names, Strings, read_end
from hnlpu.silicon.masks._oasis_stream import Stream
from hnlpu.silicon.masks._oasis_write import SIGNATURE_BYTES, UNITS_PER_MICRON

UNCOMPRESSED_LIMIT = 2**28  # of one block; a tile has a few megabytes
MOST_COLUMNS = 2**22
"""Columns of rows that room is made for before they are needed."""


@dataclass
class _Tables:
    """Names by reference number, as the file's name records give them, and where END has the tables."""

    cells: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    property_names: dict[int, str] = field(default_factory=dict)
    property_strings: dict[int, str] = field(default_factory=dict)
    tables_in_end: bool = False

    def of_record(self, record: int) -> dict[int, str]:
        """The table that a name record, implicit or with a number, belongs to."""
        tables = (self.cells, self.texts, self.property_names, self.property_strings)
        return tables[(record - 3) // 2]

    def names(self) -> Names:
        """Those of cells and texts for `_Cell.finish`."""
        return Names(Strings.of(self.cells), Strings.of(self.texts))


class _Cell:
    """Grows while its records are parsed."""

    def __init__(self) -> None:
        self.state = np.zeros(p.STATE_SIZE, np.int64)
        self.state[[p.CELL_AT, p.TEXT_AT, p.LIST]] = -2  # none yet
        self.steps = np.zeros((2048, 2), np.int64)
        self.rectangles = np.empty((1 << 12, 4), np.int32)
        self.runs = np.empty((1 << 8, 3), np.int64)
        self.rows = np.empty((1 << 8, 9), np.int64)
        self.columns = np.zeros(1 << 12, np.int32)
        self.labels = np.empty((1 << 8, 5), np.int64)
        self.placements = np.empty((1 << 10, 10), np.int64)
        self.state[p.COLUMNS] = 1  # the first is 0, for what is not repeated
        self.found: list[LabelTable] = []
        self.referenced: list[npt.NDArray[np.int64]] = []
        self.placed: dict[str | int, list[npt.NDArray[np.int64]]] = {}

    def feed(self, stream: Stream) -> bool:
        """Parse up to the end or another record; True if a record is left to look at."""
        free = len(self.columns) - int(self.state[p.COLUMNS])
        coming = min(len(stream.data) - stream.at, MOST_COLUMNS)
        if free < coming:  # no column takes less than a byte
            used = self.columns[: self.state[p.COLUMNS]]
            self.columns = np.empty(2 * len(used) + coming, np.int32)
            self.columns[: len(used)] = used
            if not self.state[p.ROWS]:
                self.rows = np.empty((256 + coming // 16, 9), np.int64)
        while True:
            why, stream.at = p.parse(
                stream.data, stream.at, self.state, self.steps, self.rectangles, self.runs,
                self.rows, self.columns, self.labels, self.placements,
            )  # fmt: skip
            if why == p.NO_ROOM:
                self._grow(stream)
            elif why == p.NO_LIST:
                if len(self.steps) >= 1 << 24:
                    raise stream.fail("repeats a shape too often")
                grown = np.zeros((len(self.steps) * 4, 2), np.int64)
                grown[: len(self.steps)] = self.steps
                self.steps = grown
            elif why == p.TRUNCATED:
                raise stream.fail("is cut short")
            elif why == p.UNSUPPORTED:
                raise stream.fail("holds a record that masks of rectangles do not have")
            else:
                self._resolve(stream)
                return bool(why == p.OTHER_RECORD)

    def _grow(self, stream: Stream) -> None:
        """Make more room: for what is half full, or for all if one record alone needs it."""
        names = ("rectangles", "runs", "rows", "columns", "labels", "placements")
        used = {name: int(self.state[getattr(p, name.upper())]) for name in names}
        full = [name for name in names if 2 * used[name] >= len(getattr(self, name))]
        for name in full or names:
            array = getattr(self, name)
            if len(array) >= MOST_SHAPES:
                raise stream.fail("holds more shapes in a cell than can be read")
            grown = np.empty((4 * len(array), *array.shape[1:]), array.dtype)
            grown[: used[name]] = array[: used[name]]
            setattr(self, name, grown)

    def _resolve(self, stream: Stream) -> None:
        """Turn places of strings into strings, before the bytes they lie in go away."""
        data = stream.data

        def name(at: int, length: int) -> str | int:
            if at == -1:
                return length
            if at < 0:
                raise stream.fail("uses a name that was not given")
            return data[at : at + length].tobytes().decode("latin-1")

        labels = self.labels[: self.state[p.LABELS]]
        if (labels[:, 1] == -2).any():
            raise stream.fail("uses a text that was not given")
        own = labels[labels[:, 1] >= 0]
        if len(own):
            size = int(own[:, 2].sum())
            if size > UNCOMPRESSED_LIMIT:
                raise stream.fail("holds more text than can be read")
            text = np.empty(size, np.uint8)
            ends = np.cumsum(own[:, 2])
            p.gather(data, own, text)
            self.found.append(LabelTable(own[:, [0, 3, 4]], text, ends))
        by_number = labels[labels[:, 1] == -1]
        if len(by_number):
            self.referenced.append(by_number)
        found = self.placements[: self.state[p.PLACEMENTS]]
        changes = (found[1:, 0] != found[:-1, 0]) | (found[1:, 1] != found[:-1, 1])
        cuts = np.flatnonzero(changes) + 1
        for first, behind in pairwise([0, *cuts.tolist(), len(found)]):
            if behind > first:
                at, length = found[first, :2].tolist()
                self.placed.setdefault(name(at, length), []).append(found[first:behind, 2:].copy())
        self.state[[p.LABELS, p.PLACEMENTS]] = 0
        self.state[[p.CELL_AT, p.TEXT_AT, p.LIST]] = -2

    def finish(self, name: str, names: Names, where: str) -> LayoutCell:
        cell = LayoutCell(name)
        for key, first, behind in self.runs[: self.state[p.RUNS]].tolist():
            layer = (key >> 16, key & 65535)
            cell.single.setdefault(layer, []).append(self.rectangles[first:behind])
        rows = self.rows[: self.state[p.ROWS]]
        cuts = np.flatnonzero(rows[1:, 0] != rows[:-1, 0]) + 1
        for first, behind in pairwise([0, *cuts.tolist(), len(rows)]):
            if behind > first:
                layer = (int(rows[first, 0]) >> 16, int(rows[first, 0]) & 65535)
                cell.rows.setdefault(layer, []).append(
                    RectRows(rows[first:behind, 1:], self.columns)
                )
        lacking = DamagedMasks(
            f"{where}: cell {name} uses a name that the file lacks; write the masks again"
        )
        cell.labels = list(self.found)
        for labels in self.referenced:
            cell.labels.append(LabelTable(labels[:, [0, 3, 4]], *_strings(names, labels, lacking)))
        for reference, parts in self.placed.items():
            heads = np.concatenate(parts) if len(parts) > 1 else parts[0]
            child = reference if isinstance(reference, str) else names.cells.get(reference)
            if child is None:
                raise lacking
            cell.placed[child] = RectRows(heads, self.columns)
        return cell


def _strings(
    names: Names, labels: npt.NDArray[np.int64], lacking: DamagedMasks
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The strings of labels by number, one behind the other, and where each ends; raises `lacking`."""
    if names.texts is None:
        return np.empty(0, np.uint8), np.zeros(len(labels), np.int64)
    found = names.texts.gather(labels[:, 2])
    if found is None:
        raise lacking
    return found


@dataclass(frozen=True)
class OasisFile:
    """Cells by name, and the file's string properties."""

    cells: dict[str, LayoutCell]
    properties: dict[str, str]

    def flat(self, name: str) -> LayoutCell:
        """A cell with all that it places, down to the bottom; raises DamagedMasks for a loop."""
        return flatten(self.cells, name)


def read_oasis(path: Path) -> OasisFile:
    """Read all cells of a file; raises DamagedMasks naming the file and where it is wrong."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse_oasis(data[:], str(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is empty"
        raise DamagedMasks(f"{path}: cannot be read ({reason})") from None


def parse_oasis(data: bytes, where: str) -> OasisFile:
    """Read all cells of the bytes of a file named `where`, and check its signature if it has one."""
    stream = Stream(data, where)
    if stream.take(len(MAGIC)) != MAGIC:
        stream.at = 0
        raise stream.fail("is not OASIS")
    properties: list[tuple[str | int, str | int]] = []
    tables = _Tables()
    growing: list[tuple[str | int, _Cell]] = []
    for record in _records(stream, tables, properties, growing):
        growing.append((record, _Cell()))  # noqa: PERF401  the walk reads what it has grown
    end = read_end(data[stream.at - 1 :], tables_in_end=tables.tables_in_end, where=where)
    if (problem := end.signature_problem(data[:-SIGNATURE_BYTES])) is not None:
        raise DamagedMasks(f"{where}: {problem}; write the masks again")
    cells, names = {}, tables.names()
    for reference, cell in growing:
        name = reference if isinstance(reference, str) else tables.cells.get(reference)
        if name is None:
            raise DamagedMasks(f"{where}: a cell has no name; write the masks again")
        cells[name] = cell.finish(name, names, where)
    told = {
        tables.property_names.get(name, "") if isinstance(name, int) else name:
        tables.property_strings.get(value, "") if isinstance(value, int) else value
        for name, value in properties
    }  # fmt: skip
    return OasisFile(cells, told)


def parse_cell(data: bytes, where: str, names: Names = NO_NAMES) -> LayoutCell:
    """Read one CELL record and all that belongs to it, as `cell_record` lays it down.

    `names` are those of the file that it is from, for what it calls by number.
    """
    stream = Stream(data, where)
    growing: list[tuple[str | int, _Cell]] = []
    for record in _records(stream, _Tables(), [], growing, started=True):
        growing.append((record, _Cell()))  # noqa: PERF401  the walk reads what it has grown
    if len(growing) != 1:
        raise stream.fail(f"holds {len(growing)} cells where one must be")
    reference, cell = growing[0]
    name = reference if isinstance(reference, str) else names.cells.get(reference)
    if name is None:
        raise stream.fail(f"holds cell number {reference}, which the file has no name for")
    return cell.finish(name, names, where)


def _records(
    stream: Stream, tables: _Tables, properties: list[tuple[str | int, str | int]],
    growing: list[tuple[str | int, _Cell]], *, started: bool = False, packed: bool = False,
) -> Iterator[str | int]:  # fmt: skip
    """Walk a file; yields the name or number of each cell, whose records then go to growing[-1]."""
    ended = started
    while stream.at < len(stream.data):
        record = int(stream.data[stream.at])
        if record == 28 and not growing:
            stream.at += 1
            _property(stream, properties)
            continue
        if record in (0, 15, 16, 17, 19, 20, 28, 29):
            if not growing and record != 0:
                raise stream.fail("holds a shape outside of a cell")
            (growing[-1][1] if growing else _Cell()).feed(stream)
            continue
        stream.at += 1
        if record == 34 and packed:
            raise stream.fail("holds a packed block within another")
        if record == 34:
            inner = Stream(_inflate(stream), stream.where)
            if not growing or growing[-1][1].feed(inner):
                # names may be packed as well
                yield from _records(inner, tables, properties, growing, started=True, packed=True)
        elif record in (13, 14):
            yield stream.string() if record == 14 else stream.unsigned()
        elif record == 1:
            stream.string()
            stream.check_unit(UNITS_PER_MICRON)
            tables.tables_in_end = stream.unsigned() != 0
            if not tables.tables_in_end:
                for _ in range(12):
                    stream.unsigned()
        elif record == 2:
            ended = True
            break
        else:
            _name(stream, record, tables)
    if not ended:
        raise stream.fail("is cut short")


def _inflate(stream: Stream) -> bytes:
    if stream.unsigned() != 0:
        raise stream.fail("is packed in an unknown way")
    size, packed = stream.unsigned(), stream.unsigned()
    if size > UNCOMPRESSED_LIMIT:
        raise stream.fail("holds a packed block that is too large")
    raw = stream.take(packed)
    try:
        data: bytes = isal_zlib.decompress(raw, wbits=-zlib.MAX_WBITS, bufsize=max(1, size))
    except (isal_zlib.error, ValueError) as error:  # type: ignore[misc]  # isal's stub has an object
        raise stream.fail(f"holds a damaged packed block ({error})") from None
    if len(data) != size:
        raise stream.fail("holds a packed block of the wrong size")
    return data


def _name(stream: Stream, record: int, tables: _Tables) -> None:
    """CELLNAME, TEXTSTRING, PROPNAME, PROPSTRING, LAYERNAME, implicit or with a number."""
    if record in (11, 12):
        stream.string()
        for _ in range(2):
            kind = stream.unsigned()
            for _ in range({0: 0, 4: 2}.get(kind, 1)):
                stream.unsigned()
        return
    if record not in (3, 4, 5, 6, 7, 8, 9, 10):
        stream.at -= 1
        raise stream.fail(f"holds record {record}, which masks of rectangles do not have")
    text = stream.string()
    table = tables.of_record(record)
    table[stream.unsigned() if record in (4, 6, 8, 10) else len(table)] = text


def _property(stream: Stream, properties: list[tuple[str | int, str | int]]) -> None:
    """A property of the file: its strings are kept, its name and they as such or as numbers."""
    info = stream.take(1)[0]
    name: str | int = ""
    if info & 4:
        name = stream.unsigned() if info & 2 else stream.string()
    elif properties:
        name = properties[-1][0]
    count = info >> 4 if not info & 8 else 0
    for _ in range(stream.unsigned() if count == 15 else count):
        kind = stream.unsigned()
        if kind in (10, 11, 12):
            properties.append((name, stream.string()))
        elif kind in (13, 14, 15):
            properties.append((name, stream.unsigned()))
        elif kind < 8:
            stream.at -= 1
            stream.real()
        else:
            stream.unsigned()
