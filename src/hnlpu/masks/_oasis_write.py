"""Cells -> an OASIS file, one after the other; nothing is held but the places of cells."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from isal import isal_zlib

from hnlpu.masks._oasis_bytes import (
    CBLOCK,
    CELL,
    END,
    MAGIC,
    START,
    property_record,
    string,
    unsigned,
)

UNITS_PER_MICRON = 1000
END_BYTES = 256  # an END record has exactly this size


@dataclass(frozen=True)
class CellPlace:
    """Where a cell lies in its file."""

    offset: int
    bytes: int


def packed(payload: bytes) -> bytes:
    """`payload` as a CBLOCK record."""
    deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = deflate.compress(payload) + deflate.flush()
    return bytes([CBLOCK, 0]) + unsigned(len(payload)) + unsigned(len(raw)) + raw


def cell_record(name: str, payload: bytes, *, compress: bool = True) -> bytes:
    """A CELL record and its contents."""
    head = bytes([CELL]) + string(name)
    return head + (packed(payload) if compress and payload else payload)


class OasisWriter:
    """Writes a file front to back: properties of the file, then cells, then the end."""

    def __init__(self, file: BinaryIO, properties: dict[str, str]):
        self._file = file
        self._at = 0
        head = MAGIC + bytes([START]) + string("1.0") + b"\x00" + unsigned(UNITS_PER_MICRON)
        self._put(head + b"\x01")  # the tables' offsets stand in the END record
        for name, value in sorted(properties.items()):
            self._put(property_record(name, value))

    def put_cell(self, record: bytes) -> CellPlace:
        """Append what `cell_record` made."""
        place = CellPlace(self._at, len(record))
        self._put(record)
        return place

    def end(self) -> None:
        """Write the END record: no name tables, padding, no checksum."""
        head = bytes([END]) + b"\x00\x00" * 6
        padding = END_BYTES - len(head) - 1 - 2  # the scheme's byte and the length of the padding
        self._put(head + unsigned(padding) + b"\x00" * padding + b"\x00")

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)
