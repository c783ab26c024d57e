"""Inner loops of the taps scheme: vias to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

UNSET = 255  # a stub without a via
NOTHING = -1  # no site
GROUNDED = 31  # of a column of the next tree: no count bit enters

Codes = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def place_vias(
    vias: Int32, wide: int, high: int, cells: Int16, scale: Int16, cell_columns: Int32, cell: int,
    block_cells: int, pitch: int, codes: Codes, entries: Int16, wrong: Codes,
) -> int:  # fmt: skip
    """Enter `vias` [n, 4] into codes [rows, inputs] and entries [rows, blocks, columns].

    A via is `wide` and `high`.  `wrong` [n] becomes 1 for a via on no site, 2 for a second one on
    its stub; returns how many.
    """
    rows, inputs = codes.shape
    blocks = inputs // 32
    wide32, high32 = np.int32(wide), np.int32(high)
    half_x, half_y = np.int32(wide // 2), np.int32(high // 2)
    cell32, per_cell = np.int32(cell), 1.0 / cell
    width, per_block = np.int32(cell * block_cells), 1.0 / (cell * block_cells)
    faults = 0
    last_y, row, row_fits = np.int32(-1), np.int64(0), False
    for n in range(len(vias)):
        x0, y0 = vias[n, 0], vias[n, 1]
        if y0 != last_y:
            last_y = y0
            y = np.int64(y0) + half_y
            row = y // pitch
            row_fits = 0 <= row < rows and y % pitch == pitch // 2
        x = x0 + half_x
        whole = (vias[n, 2] - x0 == wide32) & (vias[n, 3] - y0 == high32)
        block = np.int32(x * per_block)
        if not whole or not row_fits or x < 0 or block >= blocks:
            wrong[n] = 1
            faults += 1
            continue
        # multiplying by the inverse is right to within one, and x - block * width shows it
        across = x - block * width
        if across < 0:
            block, across = block - 1, across + width
        elif across >= width:
            block, across = block + 1, across - width
            if block >= blocks:
                wrong[n] = 1
                faults += 1
                continue
        at = np.int32(across * per_cell)
        within = across - at * cell32
        if within < 0:
            at, within = at - 1, within + cell32
        elif within >= cell32:
            at, within = at + 1, within - cell32
        column = cell_columns[at]
        if column >= 0:
            code = cells[within]
            column += block * 32
            if code >= 0 and codes[row, column] == UNSET:
                codes[row, column] = code
                continue
            wrong[n] = 1 if code < 0 else 2
        else:
            site = scale[across - 32 * cell32]
            if site >= 0 and entries[row, block, site >> 5] == NOTHING:
                entries[row, block, site >> 5] = site & 31
                continue
            wrong[n] = 1 if site < 0 else 2
        faults += 1
    return faults


MOST_TABLES = 64
"""Tables that `place_rows` makes for a tile; more than 15 grids of sites no tile of ours has."""
FEWEST_NM = 128
"""Steps of a cell's width over this or less are no grid of sites."""


@njit(cache=True, nogil=True)
def _sites_at(x: int, step: int, count: int, cells: Int16, cell: int, block_cells: int) -> Int32:
    """What a via at x + n * step means, for n from 0 to `count`: input * 16 + code, or NOTHING."""
    sites = np.empty(count, np.int32)
    width = block_cells * cell
    for n in range(count):
        block, across = divmod(x + n * step, width)
        at, within = divmod(across, cell)
        code = np.int32(cells[within]) if at < 32 else np.int32(NOTHING)
        sites[n] = (block * 32 + at) * 16 + code if code >= 0 else NOTHING
    return sites


@njit(cache=True, nogil=True)
def _place_upright(
    x: int, row: int, stride: int, columns: Int32, cells: Int16, scale: Int16, cell: int,
    block_cells: int, codes: Codes, entries: Int16,
) -> bool:  # fmt: skip
    """Enter vias at x in rows row + stride * columns; False if one is not as it should be."""
    block, across = divmod(x, block_cells * cell)
    at, within = divmod(across, cell)
    if block >= entries.shape[1] or row + stride * columns[-1] >= len(codes):
        return False
    fine = True
    if at < 32:
        code, column = cells[within], block * 32 + at
        if code < 0:
            return False
        for n in columns:
            fine &= codes[row + stride * n, column] == UNSET
            codes[row + stride * n, column] = code
        return fine
    site = scale[across - 32 * cell]
    if site < 0:
        return False
    column, entry = site >> 5, site & 31
    for n in columns:
        fine &= entries[row + stride * n, block, column] == NOTHING
        entries[row + stride * n, block, column] = entry
    return fine


@njit(cache=True, nogil=True)
def place_rows(
    heads: Int64, columns: Int32, wide: int, high: int, cells: Int16, scale: Int16,
    cell: int, block_cells: int, pitch: int, codes: Codes, entries: Int16,
) -> bool:  # fmt: skip
    """Enter vias in rows (see `embed.Rows`); False as soon as one is not as it should be.

    Also False for rows that a tile of ours does not have, such as vias of scale cells along x.
    """
    rows, blocks = codes.shape[0], entries.shape[1]
    half_x, half_y = wide // 2, high // 2
    step, phase, made = np.int64(0), np.int64(0), 0
    sites = np.empty(0, np.int32)
    for n in range(len(heads)):
        x, y = heads[n, 0] + half_x, heads[n, 1] + half_y
        dx, dy, first, behind = heads[n, 4], heads[n, 5], heads[n, 6], heads[n, 7]
        row = y // pitch
        if heads[n, 2] != wide or heads[n, 3] != high or x < 0:
            return False
        if not 0 <= row < rows or y % pitch != pitch // 2:
            return False
        if dx == 0:
            if dy % pitch != 0 or not _place_upright(
                x, row, dy // pitch, columns[first:behind], cells, scale, cell, block_cells,
                codes, entries,
            ):  # fmt: skip
                return False
            continue
        if dy != 0:
            return False
        if dx != step or x % dx != phase:
            made += 1
            if made > MOST_TABLES or dx * FEWEST_NM < cell:
                return False
            step, phase = dx, x % dx
            count = (blocks * block_cells * cell - phase + step - 1) // step
            sites = _sites_at(phase, step, count, cells, cell, block_cells)
        at = x // dx
        if at + columns[behind - 1] >= len(sites):
            return False
        own, fine = codes[row], True
        for i in range(first, behind):
            site = sites[at + columns[i]]
            column = max(site, 0) >> 4
            fine &= (site >= 0) & (own[column] == UNSET)
            own[column] = site & 15
        if not fine:
            return False
    return True


@njit(cache=True, nogil=True)
def spell(codes: Codes, entries: Int16, patterns: Int16, twice: Int32, integers: Int32) -> int:
    """Fill integers [rows, inputs]; returns how many stubs and scales say nothing.

    `twice` int32 [16] is what each code stands for, in half units.
    """
    rows, inputs = codes.shape
    columns = entries.shape[2]
    missing = 0
    for row in range(rows):
        for block in range(inputs // 32):
            shift = -1
            for s in range(len(patterns)):
                same = True
                for j in range(columns):
                    same &= entries[row, block, j] == patterns[s, j]
                if same:
                    shift = s
                    break
            if shift < 0:
                missing += 1
                shift = 0
            union = 0
            for i in range(block * 32, block * 32 + 32):
                code = codes[row, i]
                union |= code
                integers[row, i] = twice[code & 15] << shift
            if union > 15:
                missing += 1
    return missing


@njit(cache=True, nogil=True)
def _count(codes: Codes, counts: npt.NDArray[np.int64]) -> None:
    rows, blocks, _ = codes.shape
    for row in range(rows):
        for block in range(blocks):
            for j in range(16):
                byte = codes[row, block, j]
                counts[block * 32 + 2 * j, byte & 15] += 1
                counts[block * 32 + 2 * j + 1, byte >> 4] += 1


def fan_out(codes: Codes) -> npt.NDArray[Any]:
    """Ports on each trunk: int64 [inputs, 16] from packed codes [rows, blocks, 16]."""
    counts = np.zeros((codes.shape[1] * 32, 16), np.int64)
    _count(codes, counts)
    return counts
