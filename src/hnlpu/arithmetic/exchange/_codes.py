"""Values <-> the codes that a link carries in the formats fp16 and int8.

fp16   sign, 5 bits of exponent, 10 of fraction (IEEE 754 binary16, bias 15) of value / 2^16
int8   a byte s, the scale 2^s in units of 2^-16, then a byte for each of 32 values
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.exchange._formats import INT8_BITS, INT8_BLOCK, as_fp16
from hnlpu.arithmetic.fixed_point import FRACTION, clipped, quantize_values
from hnlpu.arithmetic.fixed_point._fixed import LARGEST

Int64 = npt.NDArray[np.int64]
UInt16 = npt.NDArray[np.uint16]
UInt8 = npt.NDArray[np.uint8]


def fp16_codes(values: Int64) -> UInt16:
    """binary16 codes [...] of values [...].

    What rounds to 2^15 is 2^15 there, which a receiver saturates to the largest value.
    """
    size = np.abs(as_fp16(values))
    size = np.where(as_fp16(values) == LARGEST, 1 << 31, size)
    code = np.zeros(size.shape, np.int64)
    some = size > 0
    high = np.zeros(size.shape, np.int64)
    high[some] = np.floor(np.log2(size[some])).astype(np.int64)  # exact: 11 significant bits
    # 2^high in units of 2^-16 is 2^(high - 16): exponent high - 1 with bias 15, subnormal below 1
    exponent = high - FRACTION + 15
    fraction = np.where(
        high >= 10, size >> np.maximum(high - 10, 0), size << np.maximum(10 - high, 0)
    )
    normal = (exponent << 10) + fraction - (1 << 10)
    subnormal = size << (24 - FRACTION)
    code[some] = np.where(exponent >= 1, normal, subnormal)[some]
    return (code | ((values < 0) & (code > 0)).astype(np.int64) << 15).astype(np.uint16)


def fp16_values(codes: UInt16) -> Int64:
    """Values [...] of binary16 codes [...] that are neither infinite nor NaN, saturated."""
    codes = codes.astype(np.int64)
    exponent, fraction = (codes >> 10) & 31, codes & 1023
    mantissa = np.where(exponent > 0, fraction + 1024, fraction)
    shift = np.maximum(exponent, 1) - 25 + FRACTION  # 2^(e - 15) * m / 2^10, in units of 2^-16
    size = np.where(shift >= 0, mantissa << np.maximum(shift, 0), mantissa >> np.maximum(-shift, 0))
    return clipped(np.where(codes >> 15, -size, size))


def int8_codes(values: Int64) -> UInt8:
    """Bytes [blocks, 33] of values [n]: the scale, then 32 numbers, zeros behind the last."""
    blocks = np.pad(values, (0, -len(values) % INT8_BLOCK)).reshape(-1, INT8_BLOCK)
    integers, scales = quantize_values(np.ascontiguousarray(blocks, np.int64), INT8_BITS)
    return np.concatenate([scales[:, None].astype(np.uint8), integers.astype(np.uint8)], 1)


def int8_values(codes: UInt8, n: int) -> Int64:
    """The first n values of bytes [blocks, 33]."""
    numbers = codes[:, 1:].astype(np.int8).astype(np.int64)
    return clipped(numbers << codes[:, :1].astype(np.int64)).reshape(-1)[:n]
