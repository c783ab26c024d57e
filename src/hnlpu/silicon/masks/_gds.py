"""Layouts -> a GDSII stream file, cell by cell, in records of fixed size that NumPy fills.

    rectangle           BOUNDARY    64 bytes
    via, in its size    SREF        26 bytes: a placement of a cell with a name of two letters
    grid                AREF        60 or so: its rectangle is a cell of its own
    label               TEXT        36 bytes and the text

Cells of vias and of grids' rectangles are made once a file, at its end.  All dates are the first that
archives know: the same layout gives the same bytes.  A placement may have its cell's full name as
a property.  (GDSII Stream Format Manual, Release 6.0.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Grid, Label, LayerKey, Layout, Rectangles
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Technology, ViaLayer

HEADER, BGNLIB, LIBNAME, UNITS, ENDLIB = 0x0002, 0x0102, 0x0206, 0x0305, 0x0400
BGNSTR, STRNAME, ENDSTR = 0x0502, 0x0606, 0x0700
BOUNDARY, SREF, AREF, TEXT, ENDEL = 0x0800, 0x0A00, 0x0B00, 0x0C00, 0x1100
LAYER, DATATYPE, XY, SNAME, COLROW = 0x0D02, 0x0E02, 0x1003, 0x1206, 0x1302
TEXTTYPE, STRING = 0x1602, 0x1906
PROPATTR, PROPVALUE = 0x2B02, 0x2C06

VERSION = 600
DATE = struct.pack(">6h", 1980, 1, 1, 0, 0, 0)
MOST_LAYER = 32767
"""Layers, datatypes and texttypes are signed numbers of 16 bits."""
MOST_STRING, MOST_PROPERTY = 512, 126
"""Characters of a text and of a property."""
FULL_NAME = 1
"""The attribute that holds the name of a placed cell in other files."""
MOST_COLUMNS = 32767
"""Columns or rows of one AREF: a signed number of 16 bits."""
_NAME = re.compile(r"[A-Za-z0-9_?$]{1,32}")
OWN_NAMES = re.compile(r"V[0-9]+|R[0-9]+_[0-9]+_[0-9]+x[0-9]+", re.IGNORECASE)
"""Names of cells of single rectangles."""


class PlacedCell(NamedTuple):
    """A cell placed upright with its origin at (x, y) nm, and its name without GDSII's limits."""

    cell: str
    x: int
    y: int
    full_name: str = ""


class ShapeCell(NamedTuple):
    """A cell that holds one rectangle of `width` by `height` nm with its lower left at the origin."""

    name: str
    layer: LayerKey
    width: int
    height: int


@dataclass(frozen=True)
class GdsCell:
    """A cell's records, and the cells of single rectangles that they place."""

    name: str
    data: bytes
    shapes: frozenset[ShapeCell]


def require_gds_layers(layers: LayerMap) -> None:
    """Raise DoesNotFit where a layer has a number that GDSII cannot hold."""
    for layer in layers.named([each.name for each in layers.technology.layers]):
        if max(layer.key) > MOST_LAYER:
            raise DoesNotFit(
                f"technology {layers.technology.name}: {layer.name} is layer {layer.key[0]}/"
                f"{layer.key[1]}, GDSII has numbers up to {MOST_LAYER}; choose `format` oasis"
            )


def gds_cell(
    technology: Technology, name: str, layout: Layout, placements: Sequence[PlacedCell] = (),
    layers: LayerMap | None = None,
) -> GdsCell:  # fmt: skip
    """One cell as a file holds it; may run in any process, `GdsWriter` puts it in place.

    On the layout's own layers, or those of `layers`.  Raises ValueError for a name that GDSII does
    not allow or that belongs to a rectangle's cell, and for a text that is too long.
    """
    if not _NAME.fullmatch(name) or OWN_NAMES.fullmatch(name):
        raise ValueError(f"GDSII cannot name a cell {name!r}")
    parts = [_record(BGNSTR, 2 * DATE), _record(STRNAME, _text(name))]
    shapes: set[ShapeCell] = set()
    vias = _via_cells(technology, layers)
    layout = layout if layers is None else layers.layout(layout)
    for grid in layout.grids:
        if grid.count == 1:
            parts.append(_boundaries(grid.layer, grid.rectangles()))
        elif grid.count:
            cell = _grid_cell(grid, vias)
            shapes.add(cell)
            parts += (_array(cell.name, part) for part in _pieces(grid))
    for layer, rectangles in sorted(layout.rectangles.items()):
        via = vias.get(layer)
        if via is None:
            parts.append(_boundaries(layer, rectangles))
            continue
        x0, y0, x1, y1 = rectangles.T
        whole = (x1 - x0 == via.width) & (y1 - y0 == via.height)
        if whole.any():
            shapes.add(via)
            places = rectangles[:, :2] if whole.all() else rectangles[whole, :2]
            parts.append(_references(via.name, places))
        parts.append(_boundaries(layer, rectangles[~whole]))
    parts += _labels(layout.labels)
    parts += (_placed(placement) for placement in placements)
    parts.append(_record(ENDSTR))
    return GdsCell(name, b"".join(parts), frozenset(shapes))


class GdsWriter:
    """Writes a library front to back: its head, cells, the cells of single rectangles, the end."""

    def __init__(self, file: BinaryIO, library: str = "HNLPU"):
        self._file = file
        self._names: set[str] = set()
        self._shapes: set[ShapeCell] = set()
        file.write(_record(HEADER, struct.pack(">h", VERSION)))
        file.write(_record(BGNLIB, 2 * DATE) + _record(LIBNAME, _text(library)))
        # a unit in user units (micrometres), and in metres
        file.write(_record(UNITS, _real(1e-3) + _real(1e-9)))

    def put_cell(self, cell: GdsCell) -> None:
        """Append a cell; ValueError if the file has one of this name."""
        if cell.name.casefold() in self._names:
            raise ValueError(f"two cells are named {cell.name!r}")
        self._names.add(cell.name.casefold())
        self._shapes |= cell.shapes
        self._file.write(cell.data)

    def end(self) -> None:
        """Write the cells of single rectangles and the end."""
        for name, layer, width, height in sorted(self._shapes):
            rectangle = np.array([[0, 0, width, height]], np.int32)
            assert _NAME.fullmatch(name)  # coordinates of 32 bits make no longer one
            head = _record(BGNSTR, 2 * DATE) + _record(STRNAME, _text(name))
            self._file.write(head + _boundaries(layer, rectangle) + _record(ENDSTR))
        self._file.write(_record(ENDLIB))


def write_gds(file: BinaryIO, cells: Iterable[GdsCell], library: str = "HNLPU") -> None:
    """A whole library."""
    writer = GdsWriter(file, library)
    for cell in cells:
        writer.put_cell(cell)
    writer.end()


def _via_cells(technology: Technology, layers: LayerMap | None) -> dict[LayerKey, ShapeCell]:
    """The cell of a via for every cut layer, fixed and programmable, with the shortest name."""
    cuts = [layer for layer in technology.layers if isinstance(layer, ViaLayer)]
    found: dict[LayerKey, ShapeCell] = {}
    for n, cut in enumerate(cuts):
        for datatype in (FIXED, PROGRAMMABLE):
            key = cut.gds_layer, datatype
            key = key if layers is None else layers.key(key)
            found.setdefault(key, ShapeCell(f"V{2 * n + datatype}", key, *cut.size_nm))
    return found


def _grid_cell(grid: Grid, vias: dict[LayerKey, ShapeCell]) -> ShapeCell:
    width, height = grid.x1 - grid.x0, grid.y1 - grid.y0
    via = vias.get(grid.layer)
    if via and (width, height) == (via.width, via.height):
        return via
    layer, datatype = grid.layer
    return ShapeCell(f"R{layer}_{datatype}_{width}x{height}", grid.layer, width, height)


def _pieces(grid: Grid) -> Iterator[tuple[int, int, int, int, int, int]]:
    """x, y, columns, dx, rows, dy of the AREFs that make up a grid."""
    for row in range(0, grid.rows, MOST_COLUMNS):
        for column in range(0, grid.columns, MOST_COLUMNS):
            columns = min(MOST_COLUMNS, grid.columns - column)
            rows = min(MOST_COLUMNS, grid.rows - row)
            x, y = grid.x0 + column * grid.dx, grid.y0 + row * grid.dy
            yield x, y, columns, grid.dx, rows, grid.dy


def _array(cell: str, piece: tuple[int, int, int, int, int, int]) -> bytes:
    x, y, columns, dx, rows, dy = piece
    corners = (x, y, x + columns * dx, y, x, y + rows * dy)
    return (
        _record(AREF) + _record(SNAME, _text(cell))
        + _record(COLROW, struct.pack(">2h", columns, rows))
        + _record(XY, struct.pack(">6i", *corners)) + _record(ENDEL)
    )  # fmt: skip


def _references(cell: str, places: npt.NDArray[np.integer]) -> bytes:
    """Placements of a cell at int32 [n, 2]."""
    head = _record(SREF) + _record(SNAME, _text(cell))
    return _filled(head, places, _record(ENDEL))


def _placed(placement: PlacedCell) -> bytes:
    """A placement of a cell, with its full name where that is no longer than properties are."""
    cell, x, y, full_name = placement
    end = _record(ENDEL)
    plain = _references(cell, np.array([[x, y]]))
    if not full_name or len(full_name) > MOST_PROPERTY:
        return plain
    told = _record(PROPATTR, struct.pack(">h", FULL_NAME)) + _record(PROPVALUE, _text(full_name))
    return plain[: -len(end)] + told + end


def _boundaries(layer: LayerKey, rectangles: Rectangles) -> bytes:
    """Rectangles int32 [n, 4] as closed polygons of four corners."""
    head = _record(BOUNDARY) + _layer(LAYER, layer[0]) + _layer(DATATYPE, layer[1])
    return _filled(head, rectangles[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]], _record(ENDEL))


def _labels(labels: Sequence[Label]) -> Iterator[bytes]:
    """Texts, those of one layer and length together, so that their records have one size."""
    groups: dict[tuple[LayerKey, int], list[Label]] = {}
    for label in labels:
        groups.setdefault((label.layer, len(_text(label.text))), []).append(label)
    for (layer, length), members in sorted(groups.items()):
        if length > MOST_STRING:
            raise ValueError(f"GDSII cannot hold a text of {length} characters")
        head = _record(TEXT) + _layer(LAYER, layer[0]) + _layer(TEXTTYPE, layer[1])
        tail = _record(STRING, bytes(length)) + _record(ENDEL)
        places = np.array([label[2:] for label in members])
        texts = np.frombuffer(b"".join(_text(label.text) for label in members), np.uint8)
        yield _filled(head, places, tail, texts.reshape(-1, length))


def _filled(
    head: bytes, coordinates: npt.NDArray[np.integer], tail: bytes,
    texts: npt.NDArray[np.uint8] | None = None,
) -> bytes:  # fmt: skip
    """`head`, an XY record, `tail`, n times over; coordinates [n, k], texts uint8 [n, length]."""
    n, k = coordinates.shape
    head += _record(XY, bytes(4 * k))[:4]
    fields = [("head", f"V{len(head)}"), ("xy", ">i4", (k,)), ("tail", f"V{len(tail)}")]
    out = np.empty(n, fields)
    out["head"], out["xy"], out["tail"] = np.void(head), coordinates, np.void(tail)
    if texts is not None:
        at = len(head) + 4 * k + 4
        out.view(np.uint8).reshape(n, -1)[:, at : at + texts.shape[1]] = texts
    return out.tobytes()


def _record(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">2H", 4 + len(payload), kind) + payload


def _layer(kind: int, number: int) -> bytes:
    return _record(kind, struct.pack(">H", number))


def _text(text: str) -> bytes:
    """ASCII, padded to an even number of bytes."""
    data = text.encode("ascii")
    return data + bytes(len(data) % 2)


def _real(value: float) -> bytes:
    """A positive number as GDSII has it: 7 bits of exponent to 16 (excess 64), 56 of fraction."""
    exponent = 64
    while value < 1 / 16:
        value, exponent = value * 16, exponent - 1
    while value >= 1:
        value, exponent = value / 16, exponent + 1
    return bytes([exponent]) + round(value * 2**56).to_bytes(7, "big")
