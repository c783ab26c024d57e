"""Cells -> an OASIS file, one after the other; nothing is held but names, places and boxes of cells.

    START, properties of the file            offset-flag 1: the tables' places stand in END
    cells                                    each by its number
    PROPNAME  PROPSTRING  TEXTSTRING  LAYERNAME  CELLNAME
    END                                      256 bytes: places of the tables, padding, CRC-32

A file whose cells all have numbers is *strict* as SEMI P39 has it: a reader finds every name in the
tables, every table by END, and every cell by the S_CELL_OFFSET at its CELLNAME, beside its
S_BOUNDING_BOX.  The signature is the CRC-32 of all bytes before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from isal import isal_zlib

from hnlpu.silicon.embed import Rectangles
from hnlpu.silicon.masks._oasis_bytes import (
    A_STRING_NUMBER,
    CBLOCK,
    CELL,
    CELL_BY_NUMBER,
    CELLNAME_NUMBERED,
    END,
    MAGIC,
    N_STRING_NUMBER,
    PROPNAME,
    PROPSTRING,
    START,
    layer_name_records,
    property_record,
    signed_value,
    string,
    unsigned,
    unsigned_value,
)
from hnlpu.silicon.masks._oasis_texts import TextNumbers

UNITS_PER_MICRON = 1000
END_BYTES = 256  # an END record has exactly this size
CRC32 = 1  # the validation scheme
SIGNATURE_BYTES = 4
COORDINATE_BYTES, OFFSET_BYTES = 4, 8  # that hold any signed and any unsigned integer of a file

Box = tuple[int, int, int, int]
"""Left, bottom, right, top in nm."""


@dataclass(frozen=True)
class CellPlace:
    """Where a cell lies in its file."""

    offset: int
    bytes: int


class CellName(NamedTuple):
    """A cell in the table of names: its number, and the box around all in it, None if empty."""

    name: str
    number: int
    box: Box | None


class LayerName(NamedTuple):
    """A layer in the table of names."""

    name: str
    layer: int
    datatype: int


def box_around(parts: Iterable[Rectangles]) -> Box | None:
    """The box around rectangles int32 [n, 4]; None if there are none."""
    boxes = [(*part[:, :2].min(0), *part[:, 2:].max(0)) for part in parts if len(part)]
    if not boxes:
        return None
    left, bottom, right, top = np.array(boxes).T
    return int(left.min()), int(bottom.min()), int(right.max()), int(top.max())


def packed(payload: bytes) -> bytes:
    """`payload` as a CBLOCK record."""
    deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = deflate.compress(payload) + deflate.flush()
    return bytes([CBLOCK, 0]) + unsigned(len(payload)) + unsigned(len(raw)) + raw


def cell_record(name: str | int, payload: bytes, *, compress: bool = True) -> bytes:
    """A CELL record and its contents; the cell is called by its name, or its number in the table."""
    if isinstance(name, int):
        head = bytes([CELL_BY_NUMBER]) + unsigned(name)
    else:
        head = bytes([CELL]) + string(name)
    return head + (packed(payload) if compress and payload else payload)


class OasisWriter:
    """Writes a file front to back: properties of the file, then cells, then tables and the end.

    `properties` are the file's own, by name; `top` is the name of its top cell.  What is drawn for
    the file calls strings of labels by the numbers of `texts`.
    """

    def __init__(
        self, file: BinaryIO, properties: Mapping[str, str], *, top: str | None = None,
        layers: Iterable[LayerName] = (),
    ):  # fmt: skip
        self._file = file
        self._at = 0
        self._crc = 0
        self._layers = list(layers)
        self._cells: list[tuple[CellName, CellPlace]] = []
        self._names: list[str] = []
        self._strings: list[str] = []
        self._strict = True
        self.texts = TextNumbers()
        head = MAGIC + bytes([START]) + string("1.0") + b"\x00" + unsigned(UNITS_PER_MICRON)
        self._put(head + b"\x01" + self._file_properties(properties, top))

    def put_cell(self, record: bytes, name: CellName | None = None) -> CellPlace:
        """Append what `cell_record` made; `name` is for the table, where it is by number."""
        place = CellPlace(self._at, len(record))
        self._put(record)
        if name is None:
            self._strict = False
        else:
            self._cells.append((name, place))
        return place

    def end(self) -> None:
        """Write the tables of names and the END record with the signature."""
        tables = (  # in the order of END, which is not that of the file
            self._cell_names, self._text_strings, self._prop_names, self._prop_strings,
            self._layer_names,
        )  # fmt: skip
        order = (2, 3, 1, 4, 0)
        offsets = [0] * 6  # the last is that of XNAME, of which there are none
        for n in order:
            if records := tables[n]():
                offsets[n] = self._at
                self._put(records)
        strict = self._strict
        flags = b"".join(bytes([strict]) + unsigned(at if strict else 0) for at in offsets)
        head = bytes([END]) + flags
        padding = END_BYTES - len(head) - 2 - 1 - SIGNATURE_BYTES  # 2 for the padding's own length
        self._put(head + unsigned(padding) + bytes(padding) + bytes([CRC32]))
        self._put(self._crc.to_bytes(SIGNATURE_BYTES, "little"))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)
        self._crc = isal_zlib.crc32(data, self._crc)

    # -- properties --------------------------------------------------------------------------

    def _file_properties(self, properties: Mapping[str, str], top: str | None) -> bytes:
        standard = {
            "S_MAX_SIGNED_INTEGER_WIDTH": unsigned_value(COORDINATE_BYTES),
            "S_MAX_UNSIGNED_INTEGER_WIDTH": unsigned_value(OFFSET_BYTES),
        }
        if top is not None:
            standard["S_TOP_CELL"] = self._string(N_STRING_NUMBER, top)
            standard["S_BOUNDING_BOXES_AVAILABLE"] = unsigned_value(2)  # of all cells
        parts = [
            property_record(self._name(name), value, standard=True)
            for name, value in standard.items()
        ]
        parts += [
            property_record(self._name(name), self._string(A_STRING_NUMBER, value))
            for name, value in sorted(properties.items())
        ]
        return b"".join(parts)

    def _name(self, name: str) -> int:
        """The number of a property's name."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _string(self, kind: int, text: str) -> bytes:
        """A property's string as a value: by its number."""
        if text not in self._strings:
            self._strings.append(text)
        return unsigned(kind) + unsigned(self._strings.index(text))

    # -- tables ------------------------------------------------------------------------------

    def _cell_names(self) -> bytes:
        offset, box = self._name("S_CELL_OFFSET"), self._name("S_BOUNDING_BOX")
        return b"".join(
            bytes([CELLNAME_NUMBERED]) + string(cell.name) + unsigned(cell.number)
            + property_record(box, *_box_values(cell.box), standard=True)
            + property_record(offset, unsigned_value(place.offset), standard=True)
            for cell, place in self._cells
        )  # fmt: skip

    def _text_strings(self) -> bytes:
        records = self.texts.records()
        return packed(records) if records else b""

    def _prop_names(self) -> bytes:
        if self._cells:  # whose table comes behind this one
            self._name("S_CELL_OFFSET")
            self._name("S_BOUNDING_BOX")
        return b"".join(bytes([PROPNAME]) + string(name) for name in self._names)

    def _prop_strings(self) -> bytes:
        return b"".join(bytes([PROPSTRING]) + string(text) for text in self._strings)

    def _layer_names(self) -> bytes:
        return b"".join(layer_name_records(*layer) for layer in self._layers)


def _box_values(box: Box | None) -> list[bytes]:
    """Flags (2 for an empty cell), left, bottom, width, height."""
    left, bottom, right, top = box or (0, 0, 0, 0)
    return [
        unsigned_value(0 if box else 2), signed_value(left), signed_value(bottom),
        unsigned_value(right - left), unsigned_value(top - bottom),
    ]  # fmt: skip
