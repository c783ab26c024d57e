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

from hnlpu.arithmetic.nearest import largest_used, take_digit

BLOCK = 32  # consecutive inputs of a row that share one scale (OCP Microscaling v1.0, 5.2)
BYTES_PER_BLOCK = 16
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


def unpack(codes: UInt8) -> UInt8:
    """Packed codes [..., blocks, 16] -> one code per byte [..., blocks * 32]."""
    both: UInt8 = np.stack([codes & np.uint8(15), codes >> np.uint8(4)], axis=-1)
    return both.reshape(*codes.shape[:-2], -1)


def pack(codes: UInt8) -> UInt8:
    """One code per byte [..., columns] -> packed codes [..., columns / 32, 16]."""
    pairs = codes.reshape(*codes.shape[:-1], -1, BYTES_PER_BLOCK, 2)
    return pairs[..., 0] | (pairs[..., 1] << np.uint8(4))


def dequantize(codes: UInt8, exponents: UInt8) -> Float32:
    """Values of one digit, float32 [..., columns]; exact unless a value leaves float32's range."""
    twice = TWICE_E2M1[unpack(codes)].reshape(*exponents.shape, BLOCK).astype(np.float32)
    shift = exponents.astype(np.int32) - (SCALE_BIAS + 1)
    with np.errstate(over="ignore"):  # infinity says it: the scale is beyond float32
        return np.ldexp(twice, shift[..., None]).reshape(*exponents.shape[:-1], -1)


def zero_blocks(codes: UInt8) -> npt.NDArray[np.bool_]:
    """Which blocks hold only zeros (of either sign): [..., blocks]."""
    used: npt.NDArray[np.bool_] = np.any(codes & np.uint8(0x77), axis=-1)
    return ~used


def _take_digit(rest: Float32, lowest: Int64) -> tuple[UInt8, UInt8]:
    """One digit of `rest` [rows, columns] (C order); what it leaves over stays in `rest`."""
    rows, columns = rest.shape
    if columns % BLOCK:
        raise ValueError(f"{columns} columns are not divisible by {BLOCK}")
    codes = np.empty((rows, columns // BLOCK, BYTES_PER_BLOCK), np.uint8)
    exponents = np.empty((rows, columns // BLOCK), np.uint8)
    take_digit(rest.reshape(-1), lowest, codes.reshape(-1), exponents.reshape(-1))
    return codes, exponents


def quantize_mxfp4(weights: npt.NDArray[Any], lowest: Int64 | None = None) -> tuple[UInt8, UInt8]:
    """Nearest MXFP4 digit of `weights` [rows, columns] in the sense of least squares.

    Of each block the exponent with the smallest squared error among the
    standard's choice and its two neighbours is taken (the standard's on a
    tie); elements round to nearest, ties to even.  A matrix on the MXFP4 grid
    is therefore reproduced exactly.  `lowest` [rows] bounds the exponents of
    each row from below.  A block of zeros gets the lowest exponent.

    Returns codes [rows, columns/32, 16] and exponents [rows, columns/32].
    Raises ValueError for columns that are no multiple of 32, and for weights beyond float32.
    """
    floor = np.zeros(len(weights), np.int64) if lowest is None else lowest
    numbers = np.array(weights, np.float32, order="C")
    if numbers.dtype != weights.dtype and not np.array_equal(numbers, weights):
        raise ValueError("the weights are no float32 numbers; round them to float32 first")
    return _take_digit(numbers, floor)


def quantize_digits(
    weights: Float32, digits: int, spread: int
) -> tuple[list[tuple[UInt8, UInt8]], Float32]:
    """`weights` [rows, columns] as `digits` MXFP4 digits whose exponents span at most `spread`.

    Every further digit quantises what the ones before left over.  Blocks
    whose own exponent would lie more than `spread` under their row's largest
    are rounded at that bound instead.  Returns the digits and the remaining
    error, float32 [rows, columns].
    """
    rest = np.array(weights, np.float32, order="C")
    lowest = np.zeros(len(weights), np.int64)
    found: list[tuple[UInt8, UInt8]] = []
    for _ in range(digits):
        codes, exponents = _take_digit(rest, lowest)
        if not found:
            used = np.empty(len(weights), np.int64)
            largest_used(codes.reshape(-1), exponents.reshape(-1), used)
            lowest = np.maximum(used - spread, 0)
            low = (exponents < lowest[:, None]).any(axis=1)
            if low.any():
                again = np.ascontiguousarray(weights[low], np.float32)
                codes[low], exponents[low] = _take_digit(again, lowest[low])
                rest[low] = again
        found.append((codes, exponents))
    return found, rest
