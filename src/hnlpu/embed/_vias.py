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


@njit(cache=True, nogil=True)
def place_rows(
    heads: Int64, columns: Int32, wide: int, high: int, cells: Int16, scale: Int16,
    inputs_of: Int32, cell: int, block_cells: int, pitch: int, codes: Codes, entries: Int16,
) -> bool:  # fmt: skip
    """Enter vias in rows (see `embed.Rows`); False as soon as one is not as it should be.

    `inputs_of` has the input of every cell of a row of cells, or -1 in scale cells.
    """
    rows, blocks = codes.shape[0], entries.shape[1]
    half_x, half_y, width = wide // 2, high // 2, cell * block_cells
    for n in range(len(heads)):
        x, y = heads[n, 0] + half_x, heads[n, 1] + half_y
        row, step, first, behind = y // pitch, heads[n, 4], heads[n, 5], heads[n, 6]
        if heads[n, 2] != wide or heads[n, 3] != high or x < 0:
            return False
        if not 0 <= row < rows or y % pitch != pitch // 2:
            return False
        single = behind == first + 1
        if step == cell or (single and x % width < 32 * cell):
            code, at = cells[x % cell], x // cell
            if code < 0 or at + columns[behind - 1] >= len(inputs_of):
                return False
            own, fine = codes[row], True
            for i in range(first, behind):
                column = inputs_of[at + columns[i]]
                fine &= column >= 0 and own[column] == UNSET
                own[max(column, 0)] = code
            if not fine:
                return False
        elif step == width or single:
            across, at = x % width - 32 * cell, x // width
            if across < 0 or at + columns[behind - 1] >= blocks:
                return False
            site = scale[across]
            if site < 0:
                return False
            column, entry = site >> 5, site & 31
            for i in range(first, behind):
                block = at + columns[i]
                if entries[row, block, column] != NOTHING:
                    return False
                entries[row, block, column] = entry
        else:
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
