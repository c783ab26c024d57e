"""MXFP4 digits: encoding, decoding and quantising (OCP Microscaling Formats v1.0).

A digit is a 4-bit E2M1 element under an E8M0 scale that 32 consecutive inputs
of a row share.  Two elements lie in a byte, the even input in the low nibble:

    byte j of a block:  [ input 2j+1 : s e e m | input 2j : s e e m ]

    code & 7      0    1    2    3    4    5    6    7
    E2M1          0   .5    1  1.5    2    3    4    6
    twice         0    1    2    3    4    6    8   12     = {0, 1, 3} * 2^k
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

BLOCK = 32
BYTES_PER_BLOCK = 16
LARGEST_EXPONENT = 254  # 255 is NaN
SCALE_BIAS = 127

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_MAGNITUDES = (0, 1, 2, 3, 4, 6, 8, 12)
TWICE_E2M1: npt.NDArray[np.int8] = np.array(
    _MAGNITUDES + tuple(-m for m in _MAGNITUDES), dtype=np.int8
)
"""Twice the E2M1 value of each of the 16 codes; code 8, minus zero, is zero."""
TWICE_E2M1.flags.writeable = False

# Half-way points between neighbouring magnitudes, in units of E2M1: a value above
# _MIDPOINTS[i] rounds to index i + 1, one exactly on it to the even index.
_MIDPOINTS = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])


def unpack(codes: UInt8) -> UInt8:
    """Packed codes [..., blocks, 16] -> one code per byte [..., blocks * 32]."""
    both = np.stack([codes & 15, codes >> 4], axis=-1)
    return both.reshape(*codes.shape[:-2], -1)


def pack(codes: UInt8) -> UInt8:
    """One code per byte [..., columns] -> packed codes [..., columns / 32, 16]."""
    pairs = codes.reshape(*codes.shape[:-1], -1, BYTES_PER_BLOCK, 2)
    return pairs[..., 0] | (pairs[..., 1] << 4)


def dequantize(codes: UInt8, exponents: UInt8) -> Float32:
    """Values of one digit, float32 [..., columns]; exact unless a value leaves float32's range."""
    twice = TWICE_E2M1[unpack(codes)].reshape(*exponents.shape, BLOCK).astype(np.float32)
    shift = exponents.astype(np.int32) - (SCALE_BIAS + 1)
    with np.errstate(over="ignore"):  # infinity says it: the scale is beyond float32
        return np.ldexp(twice, shift[..., None]).reshape(*exponents.shape[:-1], -1)


def zero_blocks(codes: UInt8) -> npt.NDArray[np.bool_]:
    """Which blocks hold only zeros (of either sign): [..., blocks]."""
    return ~np.any(codes & 0x77, axis=-1)


@njit(cache=True, nogil=True)
def _nearest_code(value: float, midpoints: npt.NDArray[np.float64]) -> int:
    """Code of the E2M1 value nearest to `value`, ties to even, saturating at 6."""
    magnitude = abs(value)
    index = 0
    while index < 7 and (
        magnitude > midpoints[index] or (magnitude == midpoints[index] and index % 2 == 1)
    ):
        index += 1
    return index + 8 if value < 0 and index > 0 else index


@njit(cache=True, nogil=True)
def _encode_block(
    block: npt.NDArray[np.float64], exponent: int, midpoints: Any, table: Any, codes: UInt8
) -> float:
    """Encode 32 values at one exponent into `codes` [32]; returns the squared error."""
    scale = 2.0 ** (exponent - 127)
    error = 0.0
    for i in range(32):
        code = _nearest_code(block[i] / scale, midpoints)
        codes[i] = code
        error += (block[i] - table[code] * 0.5 * scale) ** 2
    return error


@njit(cache=True, nogil=True)
def _quantize(
    weights: npt.NDArray[np.float64],
    lowest: npt.NDArray[np.int64],
    midpoints: Any,
    table: Any,
    codes: UInt8,
    exponents: UInt8,
) -> None:
    rows, columns = weights.shape
    trial = np.empty(32, np.uint8)
    best = np.empty(32, np.uint8)
    for row in range(rows):
        for block in range(columns // 32):
            values = weights[row, 32 * block : 32 * block + 32]
            largest = 0.0
            for i in range(32):
                largest = max(largest, abs(values[i]))
            least, chosen = np.inf, max(lowest[row], 0)
            if largest > 0.0:
                # the standard's exponent saturates the largest value at worst by 8 : 6;
                # one higher keeps it, one lower may suit the small ones better
                standard = int(np.floor(np.log2(largest))) - 2 + 127
                for candidate in (standard, standard + 1, standard - 1):
                    exponent = min(max(candidate, max(lowest[row], 0)), 254)
                    error = _encode_block(values, exponent, midpoints, table, trial)
                    if error < least:
                        least, chosen = error, exponent
                        best[:] = trial
            else:
                best[:] = 0
            exponents[row, block] = chosen
            for j in range(16):
                codes[row, block, j] = best[2 * j] | (best[2 * j + 1] << 4)


def quantize_mxfp4(weights: npt.NDArray[Any], lowest: Int64 | None = None) -> tuple[UInt8, UInt8]:
    """Nearest MXFP4 digit of `weights` [rows, columns] in the sense of least squares.

    Of each block the exponent with the smallest squared error among the
    standard's choice and its two neighbours is taken (the standard's on a
    tie); elements round to nearest, ties to even.  A matrix on the MXFP4 grid
    is therefore reproduced exactly.  `lowest` [rows] bounds the exponents of
    each row from below.  A block of zeros gets the lowest exponent.

    Returns codes [rows, columns/32, 16] and exponents [rows, columns/32].
    Raises ValueError for columns that are no multiple of 32.
    """
    rows, columns = weights.shape
    if columns % BLOCK:
        raise ValueError(f"{columns} columns are not divisible by {BLOCK}")
    codes = np.empty((rows, columns // BLOCK, BYTES_PER_BLOCK), np.uint8)
    exponents = np.empty((rows, columns // BLOCK), np.uint8)
    floor = np.zeros(rows, np.int64) if lowest is None else lowest
    _quantize(weights.astype(np.float64), floor, _MIDPOINTS, TWICE_E2M1, codes, exponents)
    return codes, exponents


def quantize_digits(
    weights: Float32, digits: int, spread: int
) -> tuple[list[tuple[UInt8, UInt8]], Float32]:
    """`weights` [rows, columns] as `digits` MXFP4 digits whose exponents span at most `spread`.

    Every further digit quantises what the ones before left over.  Blocks
    whose own exponent would lie more than `spread` under their row's largest
    are rounded at that bound instead.  Returns the digits and the remaining
    error, float32 [rows, columns].
    """
    rest = weights.astype(np.float64)
    lowest = np.zeros(len(weights), np.int64)
    found: list[tuple[UInt8, UInt8]] = []
    for _ in range(digits):
        codes, exponents = quantize_mxfp4(rest, lowest)
        if not found:
            used = np.where(zero_blocks(codes), 0, exponents).max(axis=1).astype(np.int64)
            lowest = np.maximum(used - spread, 0)
            low = (exponents < lowest[:, None]).any(axis=1)
            if low.any():
                codes[low], exponents[low] = quantize_mxfp4(rest[low], lowest[low])
        found.append((codes, exponents))
        rest -= dequantize(codes, exponents)
    return found, rest.astype(np.float32)
