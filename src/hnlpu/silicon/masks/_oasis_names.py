"""Tables of names at the end of an OASIS file, and its last record, read without the cells.

    END (256 bytes) ──► places of the tables ──► numbers and strings, places and boxes of cells
                    └─► the signature

A tile is read alone: what it calls by number is looked up in tables of a few megabytes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from hnlpu._njit import njit
from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import LayerKey
from hnlpu.silicon.masks._oasis_bytes import (
    CBLOCK,
    CELLNAME,
    LAYERNAME,
    MAGIC,
    PROPERTY,
    PROPNAME,
    PROPSTRING,
    TEXT_LAYERNAME,
    TEXTSTRING,
)
from hnlpu.silicon.masks._oasis_numbers import Bytes, Int64, Integer, skip_property, unsigned
from hnlpu.silicon.masks._oasis_stream import Stream
from hnlpu.silicon.masks._oasis_write import (
    END_BYTES,
    SIGNATURE_BYTES,
    UNITS_PER_MICRON,
    Box,
    CellName,
)

TABLES = ("CELLNAME", "TEXTSTRING", "PROPNAME", "PROPSTRING", "LAYERNAME", "XNAME")
NAMED_BY = (CELLNAME, TEXTSTRING, PROPNAME, PROPSTRING)
"""Records of the first tables."""
START_BYTES = 64  # more than magic, version, unit and offset-flag of any file that is ours
MOST_TABLE_BYTES = 2**28
NO_CRC, CRC32, CHECKSUM32 = 0, 1, 2  # validation schemes


@dataclass(frozen=True, eq=False)
class Strings:
    """Strings by number: `numbers` int64 [n] ascending, `places` [n, 2] first and length in `data`."""

    data: Bytes
    numbers: Int64
    places: Int64

    @classmethod
    def of(cls, given: Mapping[int, str]) -> Strings:
        """A table from a dictionary."""
        numbers = np.array(sorted(given), np.int64)
        texts = [given[n].encode("latin-1") for n in numbers.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        places = np.stack([ends[:-1], np.diff(ends)], -1)
        return cls(np.frombuffer(b"".join(texts), np.uint8), numbers, places)

    def get(self, number: int) -> str | None:
        """The string of a number."""
        at = int(np.searchsorted(self.numbers, number))
        if at == len(self.numbers) or self.numbers[at] != number:
            return None
        first, length = self.places[at].tolist()
        return self.data[first : first + length].tobytes().decode("latin-1")

    def gather(self, numbers: Int64) -> tuple[Bytes, Int64] | None:
        """Strings of many numbers one behind the other, and where each ends; None if one is lacking."""
        at = np.searchsorted(self.numbers, numbers)
        if not len(self.numbers) or (at == len(self.numbers)).any():
            return None
        if (self.numbers[at] != numbers).any():
            return None
        ends = np.cumsum(self.places[at, 1], dtype=np.int64)
        if int(ends[-1]) > MOST_TABLE_BYTES:
            return None
        text = np.empty(int(ends[-1]), np.uint8)
        _gather(self.data, self.places, at, text)
        return text, ends


NOTHING = Strings.of({})


@dataclass(frozen=True)
class Names:
    """What cells of a file call by number; without `texts` every label has an empty string."""

    cells: Strings = NOTHING
    texts: Strings | None = NOTHING


NO_NAMES = Names()


@njit(cache=True, nogil=True)
def _gather(data: Bytes, places: Int64, at: Int64, text: Bytes) -> None:
    end = 0
    for n in at:
        for i in range(places[n, 1]):
            text[end] = data[places[n, 0] + i]
            end += 1


@njit(cache=True, nogil=True)
def _names(data: Bytes, at: Integer, kind: int, found: Int64) -> tuple[Integer, Integer]:
    """Name records of `kind` (or with a number, kind + 1) and their properties, up to any other.

    Fills found [n, 3] with number, first and length; returns how many, -1 for no room and -2 for
    what is cut short, and the position behind.
    """
    count = 0
    while at < len(data):
        record = data[at]
        if record == 0:
            at += 1
        elif record == PROPERTY:
            at = skip_property(data, at + 1)
        elif record == PROPERTY + 1:
            at += 1
        elif record == kind or record == kind + 1:
            if count == len(found):
                return -1, at
            length, at = unsigned(data, at + 1)
            found[count, 0], found[count, 1], found[count, 2] = count, at, length
            at += length
            if record == kind + 1 and at <= len(data):
                found[count, 0], at = unsigned(data, at)
            count += 1
        else:
            break
        if at > len(data):
            return -2, at
    return count, at


# -- the end ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """An END record: flag and offset of each of `TABLES`, validation scheme and signature."""

    tables: tuple[tuple[int, int], ...]
    scheme: int
    signature: int

    @property
    def strict(self) -> bool:
        """Whether all names are in the tables."""
        return bool(self.tables) and all(flag == 1 for flag, _ in self.tables)

    def signature_problem(self, data: bytes) -> str | None:
        """What is wrong with the signature of all bytes of a file but itself; None if it is sound."""
        return self.crc_problem(isal_zlib.crc32(data), data)

    def crc_problem(self, crc: int, data: bytes | None = None) -> str | None:
        """The same by a CRC-32 that was taken while reading; `data` is for a CHECKSUM32."""
        if self.scheme == NO_CRC:
            return None
        found = crc
        if self.scheme == CHECKSUM32:
            if data is None:
                return "has another signature than a CRC-32"
            found = int(np.frombuffer(data, np.uint8).sum(dtype=np.uint64)) & 0xFFFFFFFF
        if found == self.signature:
            return None
        return f"its signature is {self.signature:08x}, that of its bytes is {found:08x}"


def read_end(raw: bytes, *, tables_in_end: bool, where: str) -> End:
    """The END record, which is all of `raw`; raises DamagedMasks."""
    stream = Stream(raw, where)
    if len(raw) != END_BYTES or stream.unsigned() != 2:
        raise stream.fail(f"has no END record of {END_BYTES} bytes")
    tables: list[tuple[int, int]] = []
    if tables_in_end:
        tables = [(stream.unsigned(), stream.unsigned()) for _ in TABLES]
    stream.string()  # padding
    scheme = stream.unsigned()
    if scheme not in (NO_CRC, CRC32, CHECKSUM32):
        raise stream.fail(f"has validation scheme {scheme}, which there is not")
    signature = 0
    if scheme != NO_CRC:
        signature = int.from_bytes(stream.take(SIGNATURE_BYTES), "little")
    if stream.at != END_BYTES:
        raise stream.fail(f"has an END record that is not {END_BYTES} bytes long")
    return End(tuple(tables), scheme, signature)


# -- files -----------------------------------------------------------------------------------


class NameTables:
    """The tables of a strict file that is open for reading; raises DamagedMasks for any other."""

    def __init__(self, file: int, where: str):
        self._file, self._where = file, where
        self._size = os.fstat(file).st_size
        head = Stream(os.pread(file, START_BYTES, 0), where)
        if head.take(len(MAGIC)) != MAGIC or head.unsigned() != 1:
            head.at = 0
            raise head.fail("is not OASIS")
        head.string()
        head.check_unit(UNITS_PER_MICRON)
        in_end = head.unsigned() == 1
        self.head_bytes = head.at
        tail = os.pread(file, END_BYTES, max(0, self._size - END_BYTES))
        self.end = read_end(tail, tables_in_end=in_end, where=where)
        if not self.end.strict:
            raise DamagedMasks(f"{where}: is no strict OASIS file; write the masks again")

    def cells(self) -> Strings:
        """Names of cells by number."""
        return self._strings(0, CELLNAME)

    def texts(self) -> Strings:
        """Strings of labels by number."""
        return self._strings(1, TEXTSTRING)

    def places(self) -> Iterator[tuple[CellName, int]]:
        """Every cell with its S_BOUNDING_BOX and S_CELL_OFFSET."""
        names = self._strings(2, PROPNAME)
        stream = Stream(self._table(0), self._where)
        cell: tuple[str, int] | None = None
        told: dict[str, list[int]] = {}
        while True:
            record = int(stream.take(1)[0]) if stream.at < len(stream.data) else 2
            if record == PROPERTY and cell is not None:
                name, values = self._property(stream, names)
                told[name] = values
                continue
            if cell is not None:
                yield self._place(stream, cell, told)
            if record not in (CELLNAME, CELLNAME + 1):
                return
            text = stream.string()
            cell = text, (0 if cell is None else cell[1] + 1)
            if record == CELLNAME + 1:
                cell = text, stream.unsigned()
            told = {}

    def layers(self) -> Iterator[LayerKey]:
        """Numbers of the layers that have a name."""
        yield from self._layers(Stream(self._table(4), self._where))

    def _layers(self, stream: Stream) -> Iterator[LayerKey]:
        """The same of a stream, which is left behind the last name."""
        while stream.at < len(stream.data):
            record = int(stream.take(1)[0])
            if record not in (LAYERNAME, TEXT_LAYERNAME):
                stream.at -= 1
                return
            stream.string()
            numbers = []
            for _ in range(2):
                if stream.unsigned() != 3:
                    raise stream.fail("names a range of layers")
                numbers.append(stream.unsigned())
            yield numbers[0], numbers[1]

    def spans(self, starts: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Where the tables lie that there are, each up to the next, to one of `starts` or to END."""
        at = [first for _, first in self.end.tables]
        ends = sorted([*at, *starts, self._size - END_BYTES])
        return {
            n: (first, next((e for e in ends if e > first), first))
            for n, first in enumerate(at)
            if first
        }

    def holds_more(self, table: int, first: int, behind: int) -> bool:
        """Whether the bytes of a table are not all names of its kind, with their properties."""
        raw = os.pread(self._file, min(behind - first, MOST_TABLE_BYTES), first)
        if raw[:1] == bytes([CBLOCK]):
            raw, used = self._unpacked(raw)
            if used != behind - first:
                return True
        if table < len(NAMED_BY):
            data = np.frombuffer(raw, np.uint8)
            count, at = _names(
                data, 0, NAMED_BY[table], np.empty((len(data) // 2 + 1, 3), np.int64)
            )
            return bool(count < 0 or at != len(data))
        stream = Stream(raw, self._where)
        for _ in self._layers(stream):
            pass
        return stream.at != len(raw)

    def _place(
        self, stream: Stream, cell: tuple[str, int], told: Mapping[str, list[int]]
    ) -> tuple[CellName, int]:
        offset, box = told.get("S_CELL_OFFSET", []), told.get("S_BOUNDING_BOX", [])
        if len(offset) != 1 or len(box) != 5:
            raise stream.fail(f"does not say where cell {cell[0]} lies")
        flags, left, bottom, width, height = box
        around: Box | None = None if flags & 2 else (left, bottom, left + width, bottom + height)
        return CellName(*cell, around), offset[0]

    @staticmethod
    def _property(stream: Stream, names: Strings) -> tuple[str, list[int]]:
        """Name and integers of a property."""
        info = int(stream.take(1)[0])
        if info & 0b1110 != 0b0110:
            raise stream.fail("has a property without a name's number")
        name = names.get(stream.unsigned()) or ""
        values = []
        for _ in range(info >> 4):
            kind = stream.unsigned()
            if kind not in (8, 9):
                raise stream.fail("has a property of a cell that is no integer")
            values.append(stream.signed() if kind == 9 else stream.unsigned())
        return name, values

    def _table(self, table: int) -> bytes:
        """The bytes of a table; those behind it up to the next one or to END may be among them."""
        offsets = [at for _, at in self.end.tables]
        start, end = offsets[table], self._size - END_BYTES
        behind = min((at for at in offsets if at > start), default=end)
        if not start:
            return b""
        if not 0 < start <= behind <= end or behind - start > MOST_TABLE_BYTES:
            raise DamagedMasks(
                f"{self._where}: its {TABLES[table]} table would lie at {start}, beyond the file's "
                f"{self._size} bytes; write the masks again"
            )
        raw = os.pread(self._file, behind - start, start)
        return self._unpacked(raw)[0] if raw[:1] == bytes([CBLOCK]) else raw

    def _unpacked(self, raw: bytes) -> tuple[bytes, int]:
        """What the CBLOCK at the start of `raw` holds, and the bytes that it takes."""
        stream = Stream(raw, self._where)
        stream.at = 2
        size, length = stream.unsigned(), stream.unsigned()
        if size > MOST_TABLE_BYTES:
            raise stream.fail("has a table that is too large")
        try:
            data: bytes = isal_zlib.decompress(
                stream.take(length), wbits=-zlib.MAX_WBITS, bufsize=max(1, size)
            )
        except (isal_zlib.error, ValueError) as error:  # type: ignore[misc]  # isal's stub has an object
            raise stream.fail(f"has a damaged table ({error})") from None
        return data, stream.at

    def _strings(self, table: int, kind: int) -> Strings:
        data: npt.NDArray[np.uint8] = np.frombuffer(self._table(table), np.uint8)
        found = np.empty((len(data) // 2 + 1, 3), np.int64)  # a name takes two bytes at least
        count: Any
        count, _ = _names(data, 0, kind, found)
        if count < 0:
            raise DamagedMasks(
                f"{self._where}: its {TABLES[table]} table is cut short; write the masks again"
            )
        found = found[:count]
        found = found[np.argsort(found[:, 0], kind="stable")]
        return Strings(data, found[:, 0].copy(), found[:, 1:].copy())
