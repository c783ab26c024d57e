"""Digits of a regions tile -> OASIS records, a third of the bytes of one rectangle after the other.

Cuts of a track are one record: the gaps between them, on the process's grid (repetition type 5).
Wires are a record each, as all are of different length, at the distance from the one before
(XYRELATIVE): small numbers, which deflate well.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Rectangles, Regions, TileDigits, TileShape
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_bytes import put_signed, put_unsigned
from hnlpu.silicon.masks._oasis_write import Box, box_around
from hnlpu.silicon.technology import PROGRAMMABLE

Bytes = npt.NDArray[np.uint8]
ABSOLUTE, RELATIVE = 15, 16


def regions_payload(regions: Regions, digits: TileDigits) -> bytes:
    """The records of a tile's programmable metal; raises DoesNotFit as `draw` does."""
    return regions_cell(regions, digits)[0]


def regions_cell(
    regions: Regions, digits: TileDigits, layers: LayerMap | None = None
) -> tuple[bytes, Box | None]:
    """The same on the layers of `layers`, and the box around it; None where all weights are zero."""
    shape = TileShape(digits.rows, digits.blocks)
    found = regions.draw_routes(regions.fitting_routes(digits), shape)
    t, grid = regions.technology, regions.rules.grid
    keys = [(layer.gds_layer, PROGRAMMABLE) for layer in (t.lower_cut, t.stub, t.upper_cut)]
    if layers is not None:
        keys = [layers.key(key) for key in keys]
    lower, stub, upper = found
    out = np.empty(16 * max(len(lower), len(stub), len(upper)) + 64, np.uint8)
    parts = []
    for key, cuts in ((keys[0], lower), (keys[2], upper)):
        length = _squares(cuts, *key, grid, out)
        parts.append(out[:length].tobytes())
    length = _wires(stub, *keys[1], out)
    payload = b"".join([*parts, out[:length].tobytes()])
    return payload, box_around(found)


@njit(cache=True, nogil=True)
def _squares(squares: Rectangles, layer: int, datatype: int, grid: int, out: Bytes) -> int:
    """Squares of one size, by y and then by x: a record for each y; returns the bytes written."""
    at, n = 0, 0
    while n < len(squares):
        y = squares[n, 1]
        behind = n + 1
        while behind < len(squares) and squares[behind, 1] == y:
            behind += 1
        out[at] = 20
        out[at + 1] = 16 | 8 | (4 if behind > n + 1 else 0) | (128 | 64 | 3 if n == 0 else 0)
        at += 2
        if n == 0:
            at = put_unsigned(out, at, layer)
            at = put_unsigned(out, at, datatype)
            at = put_unsigned(out, at, np.int64(squares[n, 2]) - np.int64(squares[n, 0]))
        at = put_signed(out, at, np.int64(squares[n, 0]))
        at = put_signed(out, at, np.int64(y))
        if behind > n + 1:
            out[at] = 5
            at = put_unsigned(out, at + 1, behind - n - 2)
            at = put_unsigned(out, at, grid)
            for i in range(n + 1, behind):
                at = put_unsigned(out, at, (np.int64(squares[i, 0]) - squares[i - 1, 0]) // grid)
        n = behind
    return at


@njit(cache=True, nogil=True)
def _wires(wires: Rectangles, layer: int, datatype: int, out: Bytes) -> int:
    """Wires of one height, by y and then by x: a record each; returns the bytes written."""
    if not len(wires):
        return 0
    out[0] = ABSOLUTE
    at, last_width = 1, np.int64(-1)
    for n in range(len(wires)):
        x, y = np.int64(wires[n, 0]), np.int64(wires[n, 1])
        width = np.int64(wires[n, 2]) - x
        new_y = n == 0 or wires[n - 1, 1] != wires[n, 1]
        new_width = width != last_width
        out[at] = 20
        out[at + 1] = (
            16 | (64 if new_width else 0) | (8 if new_y else 0) | (32 | 3 if n == 0 else 0)
        )
        at += 2
        if n == 0:
            at = put_unsigned(out, at, layer)
            at = put_unsigned(out, at, datatype)
        if new_width:
            at = put_unsigned(out, at, width)
            last_width = width
        if n == 0:
            at = put_unsigned(out, at, np.int64(wires[n, 3]) - y)
            at = put_signed(out, at, x)
            at = put_signed(out, at, y)
            out[at] = RELATIVE
            at += 1
            continue
        at = put_signed(out, at, x - wires[n - 1, 0])
        if new_y:
            at = put_signed(out, at, y - wires[n - 1, 1])
    out[at] = ABSOLUTE
    return at + 1
