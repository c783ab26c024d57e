"""Digits of a taps tile -> OASIS records, without a rectangle in between.

Vias of one row of metal and one layer are a record: the sites of a cell stand on a grid that goes on
in the next cell, so that one list of gaps (repetition type 5) holds them, whatever their codes.

    cell        0           1           2          a scale cell   3
    sites   . . o . . . . . . . . o o . . . . . . .   . . . .   . . . . . . . o
    gaps          +9 .............+1 +20 .....................................

Where a process has no such grid (SKY130's tracks) each code of a row has its record.  Shifts become
placements of a pattern cell: a record for each shift and column of scale cells, its gaps along y
(type 7).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import Layout, Rectangles, Taps, TileDigits
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_bytes import (
    layout_payload,
    put_signed,
    put_unsigned,
    string,
    unsigned,
)
from hnlpu.silicon.masks._oasis_write import Box, box_around
from hnlpu.silicon.technology import PROGRAMMABLE, ViaLayer

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

MOST_STEPS = 24
"""Steps of a grid in a cell, so that the gap to a via four cells on still fits in a byte."""


@dataclass(frozen=True)
class ViaGrid:
    """Codes whose vias share lists of gaps: those of `sites` stand `sites[code]` steps from `x`."""

    cut: ViaLayer
    x: int
    step: int
    sites: dict[int, int]


def via_grids(taps: Taps) -> list[ViaGrid]:
    """The grids of a cell, by layer: one for all sites of a layer where they have one."""
    grids = []
    t = taps.technology
    for cut, codes in ((t.lower_cut, taps.lower_codes), (t.upper_cut, taps.upper_codes)):
        x = {code: taps.site_x[code] for code in codes}
        first = min(x.values())
        step = math.gcd(taps.cell, *(place - first for place in x.values()))
        if taps.cell <= MOST_STEPS * step:
            sites = {code: (place - first) // step for code, place in x.items()}
            grids.append(ViaGrid(cut, first, step, sites))
        else:
            grids += [ViaGrid(cut, place, taps.cell, {code: 0}) for code, place in x.items()]
    return grids


@dataclass(frozen=True)
class _Plan:
    """`via_grids` for the inner loop.

    `grid_of` and `site_of` are by code; `grids` int64 [n, 5] has a grid's step, the lower left
    corner of its first via in a row's first cell, and the via's width and height; `layers` [n, 2]
    their layer and datatype.
    """

    grid_of: Int64
    site_of: Int64
    grids: Int64
    layers: Int64


@functools.lru_cache(maxsize=8)
def _plan(taps: Taps) -> _Plan:
    grids = via_grids(taps)
    grid_of, site_of = np.zeros(16, np.int64), np.zeros(16, np.int64)
    for n, grid in enumerate(grids):
        for code, site in grid.sites.items():
            grid_of[code], site_of[code] = n, site
    sizes = [grid.cut.size_nm for grid in grids]
    corners = [
        (grid.step, grid.x - wide // 2, taps.pitch // 2 - high // 2, wide, high)
        for grid, (wide, high) in zip(grids, sizes, strict=True)
    ]
    layers = [(grid.cut.gds_layer, PROGRAMMABLE) for grid in grids]
    return _Plan(grid_of, site_of, np.array(corners, np.int64), np.array(layers, np.int64))


@njit(cache=True, nogil=True, boundscheck=False)
def _vias(
    codes: Bytes, grid_of: Int64, site_of: Int64, grids: Int64, layers: Int64,
    cell: int, block_cells: int, pitch: int, lists: Bytes, out: Bytes, ends: Int64,
) -> None:  # fmt: skip
    """Records of every row and grid, those of grid g to out[g, : ends[g]] (see `_Plan`).

    `lists` [grids, n] is room for the gaps of a row.
    """
    rows, blocks, _ = codes.shape
    number = len(grids)
    a_cell = cell // grids[:, 0]
    ends[:] = 0
    last, start, length, count = (
        np.empty(number, np.int64), np.empty(number, np.int64), np.empty(number, np.int64),
        np.empty(number, np.int64),
    )  # fmt: skip
    for row in range(rows):
        count[:] = 0
        length[:] = 0
        position = 0
        for block in range(blocks):
            for j in range(32):
                code = codes[row, block, j >> 1] >> ((j & 1) * 4) & 15
                grid = grid_of[code]
                at = position * a_cell[grid] + site_of[code]
                if count[grid] == 0:
                    start[grid] = at
                else:
                    gap = at - last[grid]
                    end = length[grid]
                    while gap > 127:
                        lists[grid, end] = gap & 127 | 128
                        gap >>= 7
                        end += 1
                    lists[grid, end] = gap
                    length[grid] = end + 1
                last[grid] = at
                count[grid] += 1
                position += 1
            position += block_cells - 32
        for grid in range(number):
            if count[grid] == 0:
                continue
            to, end = out[grid], ends[grid]
            step, x, y, wide, high = grids[grid]
            to[end] = 20
            to[end + 1] = 16 | 8 | (4 if count[grid] > 1 else 0) | (0 if end else 64 | 32 | 3)
            if end == 0:
                end = put_unsigned(to, 2, layers[grid, 0])
                end = put_unsigned(to, end, layers[grid, 1])
                end = put_unsigned(to, end, wide)
                end = put_unsigned(to, end, high)
            else:
                end += 2
            end = put_signed(to, end, start[grid] * step + x)
            end = put_signed(to, end, row * pitch + y)
            if count[grid] > 1:
                to[end] = 5
                end = put_unsigned(to, end + 1, count[grid] - 2)
                end = put_unsigned(to, end, step)
                for n in range(length[grid]):
                    to[end + n] = lists[grid, n]
                end += length[grid]
            ends[grid] = end


@njit(cache=True, nogil=True)
def _placements(
    shifts: Bytes, shift: int, first_x: int, pitch: int, width: int, by_number: int, name: Bytes,
    out: Bytes,
) -> int:  # fmt: skip
    """Placements of the pattern of `shift`; blocks are `width` apart.  Returns bytes written."""
    rows, blocks = shifts.shape
    at = 0
    begun = False
    for block in range(blocks):
        first, count = -1, 0
        for row in range(rows):
            if shifts[row, block] == shift:
                first = row if count == 0 else first
                count += 1
        if count == 0:
            continue
        out[at] = 17
        out[at + 1] = 32 | 16 | (8 if count > 1 else 0) | (0 if begun else 128 | by_number)
        at += 2
        if not begun:
            for byte in name:
                out[at] = byte
                at += 1
            begun = True
        at = put_signed(out, at, block * width + first_x)
        at = put_signed(out, at, first * pitch + pitch // 2)
        if count > 1:
            out[at] = 7
            at = put_unsigned(out, at + 1, count - 2)
            at = put_unsigned(out, at, pitch)
            last = first
            for row in range(first + 1, rows):
                if shifts[row, block] == shift:
                    at = put_unsigned(out, at, row - last)
                    last = row
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


def taps_payload(
    taps: Taps, digits: TileDigits, layers: LayerMap | None = None,
    numbers: Mapping[str, int] | None = None,
) -> bytes:  # fmt: skip
    """The records of a tile's programmable metal.

    On the schemes' own layers, or those of `layers`; pattern cells by name, or by their `numbers`.
    """
    plan, pitch = _plan(taps), taps.pitch
    columns, grids = digits.blocks * BLOCK, len(plan.grids)
    out = np.empty((grids, digits.rows * (2 * columns + 32) + 64), np.uint8)
    lists, ends = np.empty((grids, 2 * columns), np.uint8), np.empty(grids, np.int64)
    written = plan.layers
    if layers is not None:
        written = np.array([layers.key((n, d)) for n, d in plan.layers.tolist()], np.int64)
    _vias(
        digits.codes, plan.grid_of, plan.site_of, plan.grids, written,
        taps.cell, taps.block_cells, pitch, lists, out, ends,
    )  # fmt: skip
    parts = [records[:end].tobytes() for records, end in zip(out, ends.tolist(), strict=True)]
    if taps.scale_stubs:
        room = out.reshape(-1)
        for shift in range(taps.kind.scale_range + 1):
            cell = pattern_name(taps, shift)
            name = string(cell) if numbers is None else unsigned(numbers[cell])
            length = _placements(
                digits.shifts, shift, BLOCK * taps.cell, pitch,
                taps.block_cells * taps.cell, 0 if numbers is None else 64,
                np.frombuffer(name, np.uint8), room,
            )  # fmt: skip
            parts.append(room[:length].tobytes())
    return b"".join(parts)


def taps_box(taps: Taps, digits: TileDigits) -> Box:
    """The box around all vias of a tile, those of pattern cells as well.

    A via's middle lies in its cell and its row, which are wider and higher than any via: what lies
    outermost is in the first or last row, the first or last two cells, or the last scale cell.
    """
    plan = _outer_plan(taps)
    seen = np.zeros((len(_OUTER), 16), np.bool_)
    shifts = np.zeros((3, taps.kind.scale_range + 1), np.bool_)
    _mark_outer(digits.codes, digits.shifts, bool(taps.scale_stubs), seen, shifts)
    last_x = ((digits.blocks - 1) * taps.block_cells + BLOCK - 1) * taps.cell
    first_y, last_y = taps.pitch // 2, (digits.rows - 1) * taps.pitch + taps.pitch // 2
    left = [plan.codes[seen[n], 0].min() + n * taps.cell for n in range(2)]
    right = [plan.codes[seen[2 + n], 2].max() + last_x - n * taps.cell for n in range(2)]
    bottom = [plan.codes[seen[4], 1].min() + first_y]
    top = [plan.codes[seen[5], 3].max() + last_y]
    if taps.scale_stubs:
        right.append(plan.patterns[shifts[0], 2].max() + last_x + taps.cell)
        bottom.append(plan.patterns[shifts[1], 1].min() + first_y)
        top.append(plan.patterns[shifts[2], 3].max() + last_y)
    return int(min(left)), int(min(bottom)), int(max(right)), int(max(top))


_OUTER = ("first cell", "second cell", "last cell", "last but one", "first row", "last row")


@dataclass(frozen=True)
class _OuterPlan:
    """Boxes [16, 4] of the codes' vias about a cell's left edge and a row's middle, and of patterns."""

    codes: Int64
    patterns: Int64


@functools.lru_cache(maxsize=8)
def _outer_plan(taps: Taps) -> _OuterPlan:
    codes = np.zeros((16, 4), np.int64)
    for code, x in taps.site_x.items():
        wide, high = (taps.technology.lower_cut if code < 8 else taps.technology.upper_cut).size_nm
        left, bottom = x - wide // 2, -(high // 2)
        codes[code] = left, bottom, left + wide, bottom + high
    patterns = [
        box_around(pattern_layout(taps, shift).rectangles.values())
        for shift in range(taps.kind.scale_range + 1)
        if taps.scale_stubs
    ]
    return _OuterPlan(codes, np.array(patterns, np.int64).reshape(-1, 4))


@njit(cache=True, nogil=True)
def _mark_outer(
    codes: Bytes, shifts: Bytes, scales: bool, seen: npt.NDArray[np.bool_],
    shifts_seen: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Mark the codes of each of `_OUTER`, and the shifts of the last block, first and last row."""
    rows, blocks, _ = codes.shape
    for row in range(rows):
        first, last = codes[row, 0, 0], codes[row, blocks - 1, 15]
        seen[0, first & 15] = True
        seen[1, first >> 4] = True
        seen[2, last >> 4] = True
        seen[3, last & 15] = True
        if scales:
            shifts_seen[0, shifts[row, blocks - 1]] = True
    for block in range(blocks):
        for n in range(16):
            seen[4, codes[0, block, n] & 15] = True
            seen[4, codes[0, block, n] >> 4] = True
            seen[5, codes[rows - 1, block, n] & 15] = True
            seen[5, codes[rows - 1, block, n] >> 4] = True
        if scales:
            shifts_seen[1, shifts[0, block]] = True
            shifts_seen[2, shifts[rows - 1, block]] = True
