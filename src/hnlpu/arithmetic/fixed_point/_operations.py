"""Operations of a network on whole arrays: numbers of 32 bits with 16, 20 or 24 fraction bits.

Each rounds once, halves up, and saturates (docs/vector-unit.md, "Any network").
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import LARGEST, SMALLEST
from hnlpu.arithmetic.fixed_point._functions import divided, exponential
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]
_EXACT_BITS = 62
"""Sums below 2^62 leave room for what rounding adds."""


def clipped(x: Any) -> Int64:
    """The numbers of 32 bits that are nearest to whole numbers of any size."""
    return np.asarray(np.clip(x, SMALLEST, LARGEST), np.int64)


def brought(x: Int64, has: int, wanted: int) -> Int64:
    """x [...] with `has` fraction bits as numbers with `wanted` of them."""
    if has == wanted:
        return x
    return _shifted_right(x, has - wanted) if has > wanted else shifted(x, wanted - has)


def shifted(x: Int64, bits: int) -> Int64:
    """x * 2^bits [...], rounded and saturated."""
    if bits < 0:
        return _shifted_right(x, -bits)
    # 31 places take every number but 0 to an end
    return clipped(x << min(bits, 31))


def _shifted_right(x: Int64, bits: int) -> Int64:
    if bits == 0:
        return x
    return np.asarray((x + (1 << (bits - 1))) >> bits if bits < 34 else np.zeros_like(x))


def times(a: Int64, b: Int64 | int, bits: int) -> Int64:
    """a * b / 2^bits of numbers of 32 bits that align, rounded and saturated; 0 < bits < 62."""
    return clipped((np.multiply(a, b) + (1 << (bits - 1))) >> bits)


def inner(a: Int64, b: Int64, kept: int, bits: int) -> Int64:
    """Sums of products over the axes from `kept` on, exact, then by 2^bits, rounded, saturated."""
    return clipped((inner_sums(a, b, kept) + (1 << (bits - 1))) >> bits)


def inner_sums(a: Int64, b: Int64, kept: int) -> npt.NDArray[Any]:
    """The sums alone: of 64 bits where these hold them, else whole numbers of any size."""
    rest = tuple(range(kept, max(a.ndim, b.ndim)))
    terms = math.prod(np.broadcast_shapes(a.shape, b.shape)[kept:])
    bound = terms * _largest(a) * _largest(b)
    if bound >> _EXACT_BITS:  # whole numbers of any size
        a, b = a.astype(object), b.astype(object)
    return np.asarray(np.sum(np.multiply(a, b), rest))


def _largest(x: Int64) -> int:
    return max(abs(int(x.max(initial=0))), abs(int(x.min(initial=0))))


def quotient(a: Int64, b: Int64, bits: int) -> Int64:
    """a * 2^bits / b of numbers that align, towards zero and saturated; by 0 an end, as a's sign is."""
    a, b = np.broadcast_arrays(a, b)
    flat = _quotients(np.ascontiguousarray(a).ravel(), np.ascontiguousarray(b).ravel(), bits)
    return np.asarray(flat.reshape(a.shape))


@njit(cache=True, nogil=True)
def _quotients(a: Int64, b: Int64, bits: int) -> Int64:
    out = np.empty_like(a)
    for n in range(len(a)):
        if b[n] != 0:
            found = divided(a[n], abs(b[n]), bits)
            found = -found if b[n] < 0 else found
        else:
            found = LARGEST if a[n] > 0 else (SMALLEST if a[n] < 0 else 0)
        out[n] = min(max(found, SMALLEST), LARGEST)
    return out


@njit(cache=True, nogil=True)
def softmax(x: Int64, sinks: Int64) -> Int64:
    """Shares [rows, n] of values x [rows, n], in units of 2^-24.

    The `sinks` of a row [rows, any], values, take shares too, which fall away.
    """
    rows, n = x.shape
    out = np.empty_like(x)
    for row in range(rows):
        largest = x[row].max()
        for sink in sinks[row]:
            largest = max(largest, sink)
        total: Any = 0
        for sink in sinks[row]:
            total += exponential(largest - sink)
        for i in range(n):
            out[row, i] = exponential(largest - x[row, i])
            total += out[row, i]
        for i in range(n):
            out[row, i] = divided(out[row, i], total, UNIT_FRACTION)
    return out


def means(x: Int64) -> Int64:
    """Means [..., 1] over the last axis of values, to the nearest, halves up."""
    n = x.shape[-1]
    return np.asarray((2 * x.sum(-1, keepdims=True) + n) // (2 * n))
