"""Digits of a taps tile -> OASIS records, without a rectangle in between.

A row of metal and one of its 15 sites make one record: the columns whose weight has that code, as
a list of gaps on the grid of cells (repetition type 5).  Shifts become placements of a pattern
cell, again one record for a row and shift.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from numba import njit

from hnlpu.embed import BLOCK, Layout, Rectangles, Taps, TileDigits
from hnlpu.masks._oasis_bytes import layout_payload, put_signed, put_unsigned, string
from hnlpu.technology import PROGRAMMABLE

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, boundscheck=False)
def _vias(
    codes: Bytes, first_code: int, site_x: Int64, cell: int, block_cells: int, pitch: int,
    wide: int, high: int, layer: int, datatype: int, lists: Bytes, out: Bytes,
) -> int:  # fmt: skip
    """Records of the codes first_code .. first_code + 7; returns the bytes written to `out`."""
    rows, blocks, _ = codes.shape
    square = wide == high
    at = 0
    begun = False
    last_y = np.int64(-1)
    last, start, length, count = (
        np.empty(16, np.int64), np.empty(16, np.int64), np.empty(16, np.int64),
        np.empty(16, np.int64),
    )  # fmt: skip
    for row in range(rows):
        count[:] = 0
        length[:] = 0
        position = 0
        for block in range(blocks):
            for j in range(32):
                code = codes[row, block, j >> 1] >> ((j & 1) * 4) & 15
                if count[code] == 0:
                    start[code] = position
                else:
                    gap = position - last[code]
                    end = length[code]
                    if gap > 127:
                        lists[code, end] = gap & 127 | 128
                        gap >>= 7
                        end += 1
                    lists[code, end] = gap
                    length[code] = end + 1
                last[code] = position
                count[code] += 1
                position += 1
            position += block_cells - 32
        y = row * pitch + pitch // 2 - high // 2
        for code in range(first_code, first_code + 8):
            if count[code] == 0:
                continue
            out[at] = 20
            info = 16 | (8 if y != last_y else 0) | (4 if count[code] > 1 else 0)
            info |= 0 if begun else (128 | 64 | 3 if square else 64 | 32 | 3)
            out[at + 1] = info
            at += 2
            if not begun:
                at = put_unsigned(out, at, layer)
                at = put_unsigned(out, at, datatype)
                at = put_unsigned(out, at, wide)
                if not square:
                    at = put_unsigned(out, at, high)
                begun = True
            at = put_signed(out, at, start[code] * cell + site_x[code] - wide // 2)
            if y != last_y:
                at = put_signed(out, at, y)
                last_y = np.int64(y)
            if count[code] > 1:
                out[at] = 5
                at = put_unsigned(out, at + 1, count[code] - 2)
                at = put_unsigned(out, at, cell)
                for n in range(length[code]):
                    out[at + n] = lists[code, n]
                at += length[code]
    return at


@njit(cache=True, nogil=True)
def _placements(
    shifts: Bytes, shift: int, first_x: int, pitch: int, width: int, name: Bytes, out: Bytes
) -> int:
    """Placements of the pattern of `shift`; blocks are `width` apart.  Returns bytes written."""
    rows, blocks = shifts.shape
    at = 0
    begun = False
    for row in range(rows):
        first, count = -1, 0
        for block in range(blocks):
            if shifts[row, block] == shift:
                first = block if count == 0 else first
                count += 1
        if count == 0:
            continue
        out[at] = 17
        out[at + 1] = 32 | 16 | (8 if count > 1 else 0) | (0 if begun else 128)
        at += 2
        if not begun:
            for byte in name:
                out[at] = byte
                at += 1
            begun = True
        at = put_signed(out, at, first * width + first_x)
        at = put_signed(out, at, row * pitch + pitch // 2)
        if count > 1:
            out[at] = 5
            at = put_unsigned(out, at + 1, count - 2)
            at = put_unsigned(out, at, width)
            last = first
            for block in range(first + 1, blocks):
                if shifts[row, block] == shift:
                    at = put_unsigned(out, at, block - last)
                    last = block
    return at


def pattern_name(taps: Taps, shift: int) -> str:
    """Name of the cell with the vias that write `shift`."""
    return f"scale-{taps.kind.name}-s{shift}"


def pattern_cells(taps: Taps) -> dict[str, bytes]:
    """The pattern cells of an array kind, by name: payloads, origin at scale cell and row centre."""
    return {
        pattern_name(taps, shift): layout_payload(pattern_layout(taps, shift))
        for shift in range(taps.kind.scale_range + 1)
        if taps.scale_stubs
    }


def pattern_layout(taps: Taps, shift: int) -> Layout:
    """The vias that write `shift` in one scale cell."""
    rectangles: dict[tuple[int, int], Rectangles] = {}
    cuts = (taps.technology.lower_cut, taps.technology.upper_cut)
    for cut, offsets in zip(cuts, taps.pattern(shift), strict=True):
        wide, high = cut.size_nm
        x = np.array(offsets, np.int32)
        y = np.zeros_like(x)
        if len(x):
            low_x, low_y = x - wide // 2, y - high // 2
            corners = np.stack([low_x, low_y, low_x + wide, low_y + high], -1)
            rectangles[cut.gds_layer, PROGRAMMABLE] = corners
    return Layout(rectangles=rectangles)


@functools.lru_cache(maxsize=8)
def _site_x(taps: Taps) -> Int64:
    x = np.zeros(17, np.int64)
    for code, centre in taps.site_x.items():
        x[code] = centre
    return x


def taps_payload(taps: Taps, digits: TileDigits) -> bytes:
    """The records of a tile's programmable metal."""
    columns = digits.blocks * BLOCK
    out = np.empty(digits.rows * (2 * columns + 20 * 16) + 64, np.uint8)
    lists = np.empty((16, 2 * columns), np.uint8)
    parts = []
    for cut, first in ((taps.technology.lower_cut, 0), (taps.technology.upper_cut, 8)):
        length = _vias(
            digits.codes, first, _site_x(taps), taps.cell, taps.block_cells, taps.pitch,
            *cut.size_nm, cut.gds_layer, PROGRAMMABLE, lists, out,
        )  # fmt: skip
        parts.append(out[:length].tobytes())
    if taps.scale_stubs:
        for shift in range(taps.kind.scale_range + 1):
            name = np.frombuffer(string(pattern_name(taps, shift)), np.uint8)
            length = _placements(
                digits.shifts, shift, BLOCK * taps.cell, taps.pitch,
                taps.block_cells * taps.cell, name, out,
            )  # fmt: skip
            parts.append(out[:length].tobytes())
    return b"".join(parts)
