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


@njit(cache=True, nogil=True)
def place_vias(
    vias: Int32, size: int, cells: Int16, scale: Int16, cell: int, block_cells: int, pitch: int,
    codes: Codes, entries: Int16, wrong: Codes,
) -> None:  # fmt: skip
    """Enter `vias` [n, 4] into codes [rows, inputs] and entries [rows, blocks, columns].

    `wrong` [n] becomes 1 for a via on no site, 2 for a second one on its stub.
    """
    rows, inputs = codes.shape
    blocks = entries.shape[1]
    half = size // 2
    for n in range(len(vias)):
        x0, y0 = vias[n, 0], vias[n, 1]
        x, y = x0 + half, y0 + half
        row, at, across = y // pitch, x // cell, x % cell
        block, within = at // block_cells, at % block_cells
        whole = vias[n, 2] - x0 == size and vias[n, 3] - y0 == size
        if not whole or x < 0 or y < 0 or row >= rows or block >= blocks or y % pitch != pitch // 2:
            wrong[n] = 1
            continue
        if within < 32:
            code = cells[across]
            column = block * 32 + within
            if code < 0:
                wrong[n] = 1
            elif codes[row, column] != UNSET:
                wrong[n] = 2
            else:
                codes[row, column] = code
        else:
            site = scale[x - (block * block_cells + 32) * cell]
            if site < 0:
                wrong[n] = 1
            elif entries[row, block, site // 32] != NOTHING:
                wrong[n] = 2
            else:
                entries[row, block, site // 32] = site % 32


@njit(cache=True, nogil=True)
def spell(
    codes: Codes, entries: Int16, patterns: Int16, twice: npt.NDArray[np.int8], integers: Int32
) -> int:
    """Fill integers [rows, inputs]; returns stubs without a via plus blocks that spell no shift."""
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
            for i in range(block * 32, block * 32 + 32):
                code = codes[row, i]
                if code == UNSET:
                    missing += 1
                else:
                    integers[row, i] = np.int32(twice[code]) << shift
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
