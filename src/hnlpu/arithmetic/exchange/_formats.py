"""Values of the vector unit -> what a receiver reads of them, by the format of an exchange.

    exact, vector   32 bits as they are
    fp16            IEEE binary16: 11 significant bits, halves to even
    int8            8 bits in blocks of 32 that share a power of two

A value counts 2^-16 in 32 bits, so that binary16 neither overflows nor meets a number that a value
does not have: rounding to it is rounding a whole number to 11 significant bits.
"""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point import VALUE_BITS, quantize_values
from hnlpu.arithmetic.fixed_point._fixed import LARGEST, SMALLEST

Int64 = npt.NDArray[np.int64]

Format = Literal["exact", "vector", "fp16", "int8"]
FORMATS: tuple[Format, ...] = ("exact", "vector", "fp16", "int8")
"""From the one that loses nothing to the narrowest."""
VALUE_BITS_SENT = VALUE_BITS
FP16_BITS = 16
SIGNIFICANT_BITS = 11
INT8_BITS = 8
INT8_BLOCK = 32
"""Numbers that share a scale, which is a byte."""


def bits_of(numbers: int, form: Format) -> int:
    """Bits of a message of so many values."""
    match form:
        case "exact" | "vector":
            return VALUE_BITS * numbers
        case "fp16":
            return FP16_BITS * numbers
        case "int8":
            return INT8_BITS * (numbers + -(-numbers // INT8_BLOCK))
        case _:
            assert_never(form)


def sent(values: Int64, form: Format) -> Int64:
    """Values [..., n] as whoever receives them reads them; the last axis is one message."""
    match form:
        case "exact" | "vector":
            return values
        case "fp16":
            return as_fp16(values)
        case "int8":
            return as_int8(values)
        case _:
            assert_never(form)


def as_fp16(values: Int64) -> Int64:
    """Values [...] to 11 significant bits, halves to even, saturated."""
    flat = np.ascontiguousarray(values, np.int64).reshape(-1)
    return np.asarray(_significant(flat).reshape(values.shape))


def as_int8(values: Int64) -> Int64:
    """Values [..., n], each block of 32 to 8 bits under the smallest scale that does not clip."""
    n = values.shape[-1]
    if not values.size:
        return values
    rows = np.ascontiguousarray(values, np.int64).reshape(-1, n)
    blocks = np.pad(rows, ((0, 0), (0, -n % INT8_BLOCK))).reshape(-1, INT8_BLOCK)
    integers, scales = quantize_values(blocks, INT8_BITS)
    back = np.clip(integers.astype(np.int64) << scales[:, None], SMALLEST, LARGEST)
    return np.asarray(back.reshape(len(rows), -1)[:, :n].reshape(values.shape))


@njit(cache=True, nogil=True)
def _significant(values: Int64) -> Int64:
    out = np.empty_like(values)
    for i in range(len(values)):
        size = abs(values[i])
        bits = 0
        while (size >> bits) > 0:
            bits += 1
        shift = max(bits - SIGNIFICANT_BITS, 0)
        if shift:
            size = (size + (1 << (shift - 1)) - 1 + ((size >> shift) & 1)) >> shift << shift
        out[i] = min(max(-size if values[i] < 0 else size, SMALLEST), LARGEST)
    return out
