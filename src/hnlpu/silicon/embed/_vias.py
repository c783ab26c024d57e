"""Inner loops of the taps scheme: vias to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

UNSET = 255  # a stub without a via
NOTHING = -1  # no site
GROUNDED = 31  # of a column of the next tree: no count bit enters

Codes = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt32 = npt.NDArray[np.uint32]


@njit(cache=True, nogil=True)
def place_vias(
    vias: Int32, wide: int, high: int, cells: Int16, scale: Int16, cell_columns: Int32, cell: int,
    block_cells: int, pitch: int, codes: Codes, entries: Int16, wrong: Codes,
) -> int:  # fmt: skip
    """Enter `vias` [n, 4] into codes [rows, inputs] and entries [blocks, columns, rows].

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
            if site >= 0 and entries[block, site >> 5, row] == NOTHING:
                entries[block, site >> 5, row] = site & 31
                continue
            wrong[n] = 1 if site < 0 else 2
        faults += 1
    return faults


MOST_TABLES = 64
"""Tables that `place_rows` makes for a tile; more than 15 grids of sites no tile of ours has."""
FEWEST_NM = 128
"""Steps of a cell's width over this or less are no grid of sites."""


NO_SITE = np.uint32(2**31)


@njit(cache=True, nogil=True)
def _sites_at(
    x: int, step: int, count: int, cells: Int16, cell: int, block_cells: int
) -> UInt32:  # fmt: skip
    """What a via at x + n * step means, for n from 0 to `count`: input * 16 + code, or NO_SITE."""
    sites = np.empty(count, np.uint32)
    width = block_cells * cell
    for n in range(count):
        block, across = divmod(x + n * step, width)
        at, within = divmod(across, cell)
        fits = at < 32 and cells[within] >= 0
        sites[n] = np.uint32((block * 32 + at) * 16 + cells[within]) if fits else NO_SITE
    return sites


@njit(cache=True, nogil=True)
def _place_upright(
    x: int, row: int, stride: int, columns: Int32, cells: Int16, scale: Int16, cell: int,
    block_cells: int, codes: Codes, entries: Int16,
) -> bool:  # fmt: skip
    """Enter vias at x in rows row + stride * columns; False if they are on no site."""
    block, across = divmod(x, block_cells * cell)
    at, within = divmod(across, cell)
    if block >= len(entries) or row + stride * columns[-1] >= len(codes):
        return False
    if at < 32:
        code = cells[within]
        own = codes[row:, block * 32 + at]
        if code < 0:
            return False
        for n in columns:
            own[stride * n] = code
        return True
    site = scale[across - 32 * cell]
    if site < 0:
        return False
    entry = site & 31
    column = entries[block, site >> 5, row:]
    for n in columns:
        column[stride * n] = entry
    return True


@njit(cache=True, nogil=True, boundscheck=False)
def place_rows(
    heads: Int64, columns: Int32, wide: int, high: int, cells: Int16, scale: Int16,
    cell: int, block_cells: int, pitch: int, codes: Codes, entries: Int16,
) -> int:  # fmt: skip
    """Enter vias in rows (see `embed.RectRows`); returns how many, -1 as soon as one is on no site.

    One that comes twice is entered twice: stubs and vias must be counted.  Also -1 for rows that a
    tile of ours does not have, such as vias of scale cells along x.
    """
    rows, blocks = codes.shape[0], len(entries)
    half_x, half_y = wide // 2, high // 2
    step, phase, made, entered = np.int64(0), np.int64(0), 0, 0
    sites = np.empty(0, np.uint32)
    for n in range(len(heads)):
        x, y = heads[n, 0] + half_x, heads[n, 1] + half_y
        dx, dy, first, behind = heads[n, 4], heads[n, 5], heads[n, 6], heads[n, 7]
        row = y // pitch
        if heads[n, 2] != wide or heads[n, 3] != high or x < 0:
            return -1
        if not 0 <= row < rows or y % pitch != pitch // 2:
            return -1
        entered += behind - first
        if dx == 0:
            if dy % pitch != 0 or not _place_upright(
                x, row, dy // pitch, columns[first:behind], cells, scale, cell, block_cells,
                codes, entries,
            ):  # fmt: skip
                return -1
            continue
        if dy != 0:
            return -1
        if dx != step or x % dx != phase:
            made += 1
            if made > MOST_TABLES or dx * FEWEST_NM < cell:
                return -1
            step, phase = dx, x % dx
            count = (blocks * block_cells * cell - phase + step - 1) // step
            sites = _sites_at(phase, step, count, cells, cell, block_cells)
        at = x // dx
        if at + columns[behind - 1] >= len(sites):
            return -1
        own, coming, seen = codes[row], sites[at:], np.uint32(0)
        for column in columns[first:behind]:
            site = coming[np.uint32(column)]
            seen |= site
            # without a site: any, as nothing of this is kept
            own[(site & ~NO_SITE) >> np.uint32(4)] = site & np.uint32(15)
        if seen & NO_SITE:
            return -1
    return entered


@njit(cache=True, nogil=True)
def read_shifts(entries: Int16, patterns: Int16, shifts: Codes) -> int:
    """Fill shifts [blocks, rows] from entries [blocks, columns, rows]; returns how many fit none.

    `patterns` [shifts, columns] is what the columns hold for each shift; where none fits it is 0.
    """
    blocks, columns, rows = entries.shape
    fits, found, missing = np.empty(rows, np.bool_), np.empty(rows, np.bool_), 0
    shifts[:] = 0
    for block in range(blocks):
        found[:] = False
        for s in range(len(patterns)):
            fits[:] = True
            for j in range(columns):
                own, wanted = entries[block, j], patterns[s, j]
                for row in range(rows):
                    fits[row] &= own[row] == wanted
            for row in range(rows):
                shifts[block, row] += s if fits[row] else 0
                found[row] |= fits[row]
        for row in range(rows):
            missing += 0 if found[row] else 1
    return missing


@njit(cache=True, nogil=True)
def spell(codes: Codes, shifts: Codes, twice: Int32, integers: Int32) -> int:
    """Fill integers [rows, inputs]; returns how many blocks have a stub without a via.

    `twice` int32 [16] is what each code stands for, in half units; shifts are [blocks, rows].
    """
    rows, inputs = codes.shape
    missing = 0
    for row in range(rows):
        for block in range(inputs // 32):
            shift, union = np.int32(shifts[block, row]), np.uint8(0)
            own, to = codes[row, block * 32 :][:32], integers[row, block * 32 :][:32]
            for i in range(32):
                union |= own[i]
                to[i] = twice[own[i] & np.uint8(15)] << shift
            missing += 1 if union > 15 else 0
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
