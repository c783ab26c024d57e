"""The bytes of OASIS (SEMI P39): numbers, repetitions and the records that hnlpu writes.

    unsigned   seven bits a byte, low first, high bit set on all but the last
    signed     the sign in the lowest bit, then as unsigned
    string     length, then bytes

A rectangle record is 20, an info byte SWHXYRDL that says which fields follow (the others keep the
value of the record before), then layer, datatype, width, height, x, y and the repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Grid, Label, LabelTable, LayerKey, Layout, Rectangles, label_table

Bytes = npt.NDArray[np.uint8]

MAGIC = b"%SEMI-OASIS\r\n"
START, END, PLACEMENT, TEXT, RECTANGLE, PROPERTY, CBLOCK = 1, 2, 17, 19, 20, 28, 34
CELL_BY_NUMBER, CELL = 13, 14
CELLNAME, CELLNAME_NUMBERED, TEXTSTRING, PROPNAME, PROPSTRING = 3, 4, 5, 7, 9
LAYERNAME, TEXT_LAYERNAME = 11, 12
UNSIGNED_VALUE, SIGNED_VALUE, A_STRING_NUMBER, N_STRING_NUMBER = 8, 9, 13, 15
SQUARE, WIDTH, HEIGHT, X, Y, REPETITION, DATATYPE, LAYER = 128, 64, 32, 16, 8, 4, 2, 1


def unsigned(value: int) -> bytes:
    """An unsigned integer."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """A signed integer."""
    return unsigned(abs(value) << 1 | (value < 0))


def string(text: str) -> bytes:
    """A string of printable ASCII characters."""
    raw = text.encode("ascii")
    return unsigned(len(raw)) + raw


class Numbering(Protocol):
    """Gives the numbers [n] of the strings of a table's labels."""

    def of(self, table: LabelTable) -> npt.NDArray[np.int64]:
        """As `hnlpu.silicon.masks._oasis_texts.TextNumbers` does."""
        ...


def layout_payload(layout: Layout, texts: Numbering | None = None) -> bytes:
    """The records of a cell's grids, rectangles and labels; strings by number where `texts` is given."""
    parts = [_grid_record(grid) for grid in layout.grids]
    for layer, rectangles in sorted(layout.rectangles.items()):
        parts.append(rectangle_records(layer, rectangles))
    parts.append(label_records(layout.labels, texts))
    return b"".join(parts)


def _grid_record(g: Grid) -> bytes:
    repetition = b""
    if g.columns > 1 and g.rows > 1:
        repetition = b"\x01" + unsigned(g.columns - 2) + unsigned(g.rows - 2)
        repetition += unsigned(g.dx) + unsigned(g.dy)
    elif g.columns > 1:
        repetition = b"\x02" + unsigned(g.columns - 2) + unsigned(g.dx)
    elif g.rows > 1:
        repetition = b"\x03" + unsigned(g.rows - 2) + unsigned(g.dy)
    info = WIDTH | HEIGHT | X | Y | DATATYPE | LAYER | (REPETITION if repetition else 0)
    fields = unsigned(g.layer[0]) + unsigned(g.layer[1])
    fields += unsigned(g.x1 - g.x0) + unsigned(g.y1 - g.y0) + signed(g.x0) + signed(g.y0)
    return bytes([RECTANGLE, info]) + fields + repetition


def placement_record(cell: str | int, x: int, y: int) -> bytes:
    """One cell, by its name or its number in the file's table, placed at (x, y), upright."""
    by_number = isinstance(cell, int)
    name = unsigned(cell) if isinstance(cell, int) else string(cell)
    return (
        bytes([PLACEMENT, 0b11110000 if by_number else 0b10110000]) + name + signed(x) + signed(y)
    )


def property_record(name: int, *values: bytes, standard: bool = False) -> bytes:
    """A property of the file or of the record before: its name's number, and its values' bytes."""
    info = len(values) << 4 | 0b0110 | standard
    return bytes([PROPERTY, info]) + unsigned(name) + b"".join(values)


def unsigned_value(value: int) -> bytes:
    """An unsigned integer as the value of a property."""
    return unsigned(UNSIGNED_VALUE) + unsigned(value)


def signed_value(value: int) -> bytes:
    """A signed integer as the value of a property."""
    return unsigned(SIGNED_VALUE) + signed(value)


def layer_name_records(name: str, layer: int, datatype: int) -> bytes:
    """LAYERNAME records of a layer's shapes and of its texts."""
    interval = string(name) + b"\x03" + unsigned(layer) + b"\x03" + unsigned(datatype)
    return bytes([LAYERNAME]) + interval + bytes([TEXT_LAYERNAME]) + interval


@njit(cache=True, nogil=True, inline="always")
def put_unsigned(out: Bytes, at: Any, value: Any) -> Any:
    """Write an unsigned integer; returns the position behind it."""
    while value > 127:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@njit(cache=True, nogil=True, inline="always")
def put_signed(out: Bytes, at: Any, value: Any) -> Any:
    """Write a signed integer; returns the position behind it."""
    if value < 0:
        return put_unsigned(out, at, (-value << 1) | 1)
    return put_unsigned(out, at, value << 1)


@njit(cache=True, nogil=True)
def _labels(
    text: Bytes, ends: npt.NDArray[np.int64], places: npt.NDArray[np.int64], out: Bytes
) -> int:
    at, start = 0, 0
    for n in range(len(ends)):
        # info 0CNXYRTL: a string of its own, x, y, text type and text layer follow
        out[at], out[at + 1] = 19, 0b01011011
        length = ends[n] - start
        at = put_unsigned(out, at + 2, length)
        for i in range(length):
            out[at + i] = text[start + i]
        start = ends[n]
        at = put_unsigned(out, at + length, places[n, 0] >> 16)
        at = put_unsigned(out, at, places[n, 0] & 65535)
        at = put_signed(out, at, places[n, 1])
        at = put_signed(out, at, places[n, 2])
    return at


@njit(cache=True, nogil=True)
def _numbered_labels(
    numbers: npt.NDArray[np.int64], places: npt.NDArray[np.int64], out: Bytes
) -> int:
    at = 0
    key = x = y = np.int64(-1)
    for n in range(len(numbers)):
        # info 0CNXYRTL: a string by its number; what is as before is left out
        new_x, new_y, new_key = places[n, 1] != x, places[n, 2] != y, places[n, 0] != key
        if n == 0:
            new_x = new_y = new_key = True
        out[at] = 19
        out[at + 1] = 96 | (16 if new_x else 0) | (8 if new_y else 0) | (3 if new_key else 0)
        at = put_unsigned(out, at + 2, numbers[n])
        if new_key:
            at = put_unsigned(out, at, places[n, 0] >> 16)
            at = put_unsigned(out, at, places[n, 0] & 65535)
        if new_x:
            at = put_signed(out, at, places[n, 1])
        if new_y:
            at = put_signed(out, at, places[n, 2])
        key, x, y = places[n, 0], places[n, 1], places[n, 2]
    return at


def label_records(labels: Sequence[Label], texts: Numbering | None = None) -> bytes:
    """One TEXT record a label; its string is its own, or a number of `texts`."""
    if not labels:
        return b""
    table = label_table(labels)
    if texts is not None:
        out = np.empty(32 * len(labels) + 16, np.uint8)
        return out[: _numbered_labels(texts.of(table), table.places, out)].tobytes()
    out = np.empty(len(table.text) + 32 * len(labels), np.uint8)
    return out[: _labels(table.text, table.ends, table.places, out)].tobytes()


@njit(cache=True, nogil=True)
def _rectangles(rectangles: Rectangles, layer: int, datatype: int, out: Bytes) -> int:
    at = 0
    width = height = y = np.int64(-1)
    for n in range(len(rectangles)):
        x0, y0 = np.int64(rectangles[n, 0]), np.int64(rectangles[n, 1])
        w, h = np.int64(rectangles[n, 2]) - x0, np.int64(rectangles[n, 3]) - y0
        info = 16 | (64 if w != width else 0) | (32 if h != height else 0)
        info |= (8 if y0 != y or n == 0 else 0) | (3 if n == 0 else 0)
        out[at], out[at + 1] = 20, info
        at += 2
        if n == 0:
            at = put_unsigned(out, at, layer)
            at = put_unsigned(out, at, datatype)
        if w != width:
            at = put_unsigned(out, at, w)
        if h != height:
            at = put_unsigned(out, at, h)
        at = put_signed(out, at, x0)
        if y0 != y or n == 0:
            at = put_signed(out, at, y0)
        width, height, y = w, h, y0
    return at


def rectangle_records(layer: LayerKey, rectangles: Rectangles) -> bytes:
    """One record a rectangle, int32 [n, 4], leaving out what the one before has said."""
    out = np.empty(24 * len(rectangles) + 16, np.uint8)
    return out[: _rectangles(rectangles, layer[0], layer[1], out)].tobytes()
