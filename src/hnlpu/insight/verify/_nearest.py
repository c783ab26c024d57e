"""Digits of some rows held to the weights that they stand for: is each the nearest, at an exponent that fits?

    weights ─► less the first digit, as the standard's table has it ─► less the second ─► the error

Shares nothing with what made the digits: every value of the table is tried for every weight.  What is left over is
exact in float32 while digits are the nearest; one that is not is further off than rounding can hide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

CHUNK = 512  # blocks decoded at a time
TRIED = 8  # magnitudes; where there are fewer, some stand several times

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]

VALUES: Float64 = np.array(
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0]
)
"""The standard's table (OCP Microscaling v1.0, table 5)."""
_PAIRS: Float32 = np.array(
    [(VALUES[byte & 15], VALUES[byte >> 4]) for byte in range(256)], np.float32
)
_PAIR_BITS: UInt64 = _PAIRS.view(np.uint64)[:, 0]
with np.errstate(over="ignore"):
    _SCALES: Float32 = np.ldexp(1.0, np.arange(256) - 127).astype(np.float32)
_POWER: Float64 = np.ldexp(1.0, np.arange(-512, 512))
_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_options)
def _decode(codes: UInt8, pairs: UInt64) -> None:
    """Set `pairs` to the two values of each byte."""
    for j in range(len(codes)):
        pairs[j] = _PAIR_BITS[codes[j]]


@njit(**_options)
def _subtract(
    weights: Float32, values: Float32, scales: Float32, tried: Float32, off: UInt8
) -> None:
    """Take the digits off `weights`; set `off` [n] where one of a block is not the nearest."""
    for b in range(len(off)):
        scale = scales[b]
        first, second, third, fourth = (
            tried[0] * scale, tried[1] * scale, tried[2] * scale, tried[3] * scale
        )  # fmt: skip
        fifth, sixth, seventh, eighth = (
            tried[4] * scale, tried[5] * scale, tried[6] * scale, tried[7] * scale
        )  # fmt: skip
        found = 0
        for i in range(32):
            size = abs(weights[32 * b + i])  # the nearest of all has the weight's own sign
            low = min(
                min(abs(size - first), abs(size - second)),
                min(abs(size - third), abs(size - fourth)),
            )
            high = min(
                min(abs(size - fifth), abs(size - sixth)),
                min(abs(size - seventh), abs(size - eighth)),
            )
            left = weights[32 * b + i] - values[32 * b + i] * scale
            weights[32 * b + i] = left
            found |= 1 if abs(left) > min(low, high) else 0
        off[b] = found


@njit(**_options)
def _first_off(before: Float32, left: Float32, tried: Float32, scale: Any) -> int:
    """Which weight of a block is not held by its nearest."""
    for i in range(32):
        least = np.float32(np.inf)
        for value in tried:
            least = min(least, abs(abs(before[i]) - value * scale))
        if abs(left[i]) > least:
            return i
    return 0


@njit(**_options)
def first_not_nearest(weights: Float32, codes: UInt8, exponents: UInt8, tried: Float32) -> int:
    """Subtract a digit from `weights`; flat position of the first that it does not hold best, or -1.

    `weights` [n 32], `codes` [n 16] and `exponents` [n] are those of rows one after the other; `tried` [8] are
    the magnitudes that the digit may have.
    """
    values, before = np.empty(32 * CHUNK, np.float32), np.empty(32 * CHUNK, np.float32)
    pairs = values.view(np.uint64)
    scales, off = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.uint8)
    found = -1
    for first in range(0, len(exponents), CHUNK):
        n = min(CHUNK, len(exponents) - first)
        part = weights[32 * first : 32 * (first + n)]
        for b in range(n):
            scales[b] = _SCALES[exponents[first + b]]
        _decode(codes[16 * first : 16 * (first + n)], pairs)
        before[: 32 * n] = part
        _subtract(part, values, scales, tried, off[:n])
        for b in range(n):
            if off[b] and found < 0:
                block = slice(32 * b, 32 * b + 32)
                found = 32 * (first + b) + _first_off(before[block], part[block], tried, scales[b])
    return found


@njit(**_options)
def lowest_exponents(codes: UInt8, exponents: UInt8, rows: int, spread: int) -> Int64:
    """What the exponents of each row may not go below: `spread` under its largest in use."""
    blocks = len(exponents) // rows
    found = np.zeros(rows, np.int64)
    for row in range(rows):
        largest: Any = 0
        for b in range(row * blocks, (row + 1) * blocks):
            used = 0
            for j in range(16):
                used |= codes[16 * b + j] & 0x77
            if used:
                largest = max(largest, np.int64(exponents[b]))
        found[row] = max(largest - spread, 0)
    return found


@njit(**_options)
def _largest(weights: Float32, largest: Float32) -> None:
    for b in range(len(largest)):
        found = np.float32(0)
        for i in range(32):
            found = max(found, abs(weights[32 * b + i]))
        largest[b] = found


@njit(**_options)
def first_bad_exponent(
    weights: Float32, exponents: UInt8, lowest: Int64, per_row: int, power: int, below: int
) -> int:
    """Number of the first block whose exponent the quantiser may not choose, or -1.

    It may choose the standard's, floor(log2(largest)) - 2 + 127 for E2M1 (OCP Microscaling v1.0, 6.3), the
    one above it and `below` under it; or its row's lowest, where those lie below.  `power` is
    floor(log2) of the largest value in half units, 3 for E2M1.  A block of zeros may have any.
    """
    largest = np.empty(len(exponents), np.float32)
    _largest(weights, largest)
    for row in range(len(lowest)):
        for b in range(row * per_row, (row + 1) * per_row):
            exponent, size = np.int64(exponents[b]), np.float64(largest[b])
            if size == 0.0:
                continue
            too_low = exponent < lowest[row] or size >= _POWER[exponent + below + power - 127 + 512]
            too_high = exponent > lowest[row] and size < _POWER[exponent + power - 129 + 512]
            if too_low or too_high:
                return b
    return -1
