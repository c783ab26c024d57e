"""Between values and arrays: activations going in, exact sums coming out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import LARGEST, SMALLEST, rounded, saturated

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

UNIT_BIAS = 128
"""A weight counts units of 2^(b - 128); see docs/arithmetic.md."""
_LARGEST_SHIFT = 62


@njit(cache=True, nogil=True)
def quantize_values(x: Int64, bits: int) -> tuple[Int32, Int32]:
    """Activations [tokens, n] of `bits` bits and exponents s [tokens] of their scales.

    round_half_even(x / 2^s) with the smallest s >= 0 that does not clip.
    """
    tokens, n = x.shape
    out = np.empty((tokens, n), np.int32)
    scales = np.empty(tokens, np.int32)
    largest, smallest = (1 << (bits - 1)) - 1, -(1 << (bits - 1))
    for token in range(tokens):
        high, low = 0, 0
        for i in range(n):
            high, low = max(high, x[token, i]), min(low, x[token, i])
        s = 0
        while _half_even(high, s) > largest or _half_even(low, s) < smallest:
            s += 1
        scales[token] = s
        for i in range(n):
            out[token, i] = _half_even(x[token, i], s)
    return out, scales


@njit(cache=True, nogil=True, inline="always")
def _half_even(v: int, shift: int) -> int:
    """v / 2^shift to the nearest, halves to even: add half, less one where the floor is even."""
    if shift == 0:
        return v
    return (v + (1 << (shift - 1)) - 1 + ((v >> shift) & 1)) >> shift


def row_shifts(row_exponents: npt.NDArray[np.uint8]) -> Int64:
    """128 - b [rows]: how far a row's sums stand above values, less the activations' s."""
    return UNIT_BIAS - row_exponents.astype(np.int64)


@njit(cache=True, nogil=True)
def from_sums(sums: Int64, scales: Int32, shifts: Int64, bias: Int64) -> Int64:
    """Values [tokens, rows] of exact sums: y_int / 2^(128 - b - s), rounded, plus bias.

    `shifts` are `row_shifts`, `bias` [rows] values; both steps saturate.
    """
    tokens, rows = sums.shape
    out = np.empty((tokens, rows), np.int64)
    for token in range(tokens):
        for row in range(rows):
            shift = shifts[row] - scales[token]
            y = sums[token, row]
            if shift > _LARGEST_SHIFT:
                value = 0
            elif shift >= 0:
                value = saturated(rounded(y, shift))
            elif y > LARGEST >> -shift if shift > -31 else y > 0:
                value = LARGEST
            elif y < SMALLEST >> -shift if shift > -31 else y < 0:
                value = SMALLEST
            else:
                value = y << -shift if y else 0
            out[token, row] = saturated(value + bias[row])
    return out
