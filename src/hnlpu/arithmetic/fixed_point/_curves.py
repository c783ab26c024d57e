"""Functions of one value that networks other than gpt-oss need, each for itself and for many.

Results of tanh, exp and softplus are *fine*: 32 bits that count 2^-24, up to 128.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, LARGEST, SMALLEST, rounded, saturated
from hnlpu.arithmetic.fixed_point._functions import inverse_root, sigmoid, sine
from hnlpu.arithmetic.fixed_point._tables import (
    EXP_TABLE,
    LOG2_E,
    LOG2_E_FRACTION,
    NORMAL_STEP_BITS,
    NORMAL_TABLE,
    SIGMOID_STEP_BITS,
    SOFTPLUS_TABLE,
    UNIT,
    UNIT_FRACTION,
)

Int64 = npt.NDArray[np.int64]

SIGMOID, TANH, EXP, SOFTPLUS, GELU, GELU_TANH, NEAREST, ROOT = range(8)
"""Functions that `each` knows."""

_TURN_PER_RADIAN = 683565276
"""2^32 / (2 pi)."""
_GELU_FLAT = 1 << (3 + FRACTION)
"""Beyond 8 a gelu is x or 0."""
_GELU_LINEAR, _GELU_CUBIC = 104580, 1197135
"""2 sqrt(2 / pi) in units of 2^-16, 0.044715 times it in units of 2^-24."""


@njit(cache=True, nogil=True)
def tanh(x: int) -> int:
    """The hyperbolic tangent of a value x, in units of 2^-24: 2 sigmoid(2 x) - 1."""
    return 2 * sigmoid(saturated(2 * x)) - UNIT


@njit(cache=True, nogil=True)
def power(u: int) -> int:
    """e^u, both in units of 2^-24 and 32 bits; the largest number where it does not fit.

    2^-t with t = -u log2(e): a line between entries of 2^-(k/256), shifted by t's whole part.
    """
    t = rounded(-u * LOG2_E, LOG2_E_FRACTION)
    whole, k, f = t >> 24, (t >> 16) & 255, t & 65535
    if whole > UNIT_FRACTION + 1:
        return 0
    if whole < -7:
        return LARGEST
    high, low = EXP_TABLE[k], EXP_TABLE[k + 1]
    part: int = high - rounded((high - low) * f, 16)
    return rounded(part, whole) if whole >= 0 else min(part << -whole, LARGEST)


@njit(cache=True, nogil=True)
def softplus(x: int) -> int:
    """Of a value x, ln(1 + e^x) in units of 2^-24; lines between entries."""
    a = min(abs(x), (1 << 20) - 1)
    k, f = a >> SIGMOID_STEP_BITS, a & ((1 << SIGMOID_STEP_BITS) - 1)
    high, low = SOFTPLUS_TABLE[k], SOFTPLUS_TABLE[k + 1]
    beyond: int = high + rounded((low - high) * f, SIGMOID_STEP_BITS)
    return saturated((max(x, 0) << (UNIT_FRACTION - FRACTION)) + beyond)


@njit(cache=True, nogil=True)
def gelu(x: int) -> int:
    """A value x times the normal distribution's integral up to it; lines between entries."""
    a = min(abs(x), _GELU_FLAT - 1)
    k, f = a >> NORMAL_STEP_BITS, a & ((1 << NORMAL_STEP_BITS) - 1)
    low, high = NORMAL_TABLE[k], NORMAL_TABLE[k + 1]
    share: int = low + rounded((high - low) * f, NORMAL_STEP_BITS)
    return rounded(x * (UNIT - share if x < 0 else share), UNIT_FRACTION)


@njit(cache=True, nogil=True)
def gelu_tanh(x: int) -> int:
    """A value x times sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))."""
    y = min(max(x, -_GELU_FLAT), _GELU_FLAT)
    slope = _GELU_LINEAR + rounded(rounded(y * y, FRACTION) * _GELU_CUBIC, UNIT_FRACTION)
    return rounded(x * sigmoid(saturated(rounded(y * slope, FRACTION))), UNIT_FRACTION)


@njit(cache=True, nogil=True)
def whole(x: int) -> int:
    """The whole number nearest to a value x, a value; of two the even one."""
    low, rest = x >> FRACTION, x & ((1 << FRACTION) - 1)
    half = 1 << (FRACTION - 1)
    up = rest > half or (rest == half and low & 1 == 1)
    return saturated((low + (1 if up else 0)) << FRACTION)


@njit(cache=True, nogil=True)
def root(x: int) -> int:
    """A value x to 1 / sqrt(x), a value; the largest for what is not above 0."""
    if x <= 0:
        return LARGEST
    bits = 0
    while (x >> bits) > 0:
        bits += 1
    t = bits - 32 + (bits & 1)
    return saturated(rounded(inverse_root(x << -t), 15 + t // 2))


@njit(cache=True, nogil=True)
def each(function: int, x: Int64) -> Int64:
    """A function by its number (SIGMOID, ...) of every number of x [n]."""
    out = np.empty_like(x)
    for n in range(len(x)):
        if function == SIGMOID:
            out[n] = sigmoid(x[n])
        elif function == TANH:
            out[n] = tanh(x[n])
        elif function == EXP:
            out[n] = power(x[n])
        elif function == SOFTPLUS:
            out[n] = softplus(x[n])
        elif function == GELU:
            out[n] = gelu(x[n])
        elif function == GELU_TANH:
            out[n] = gelu_tanh(x[n])
        elif function == NEAREST:
            out[n] = whole(x[n])
        else:
            out[n] = root(x[n])
    return out


@njit(cache=True, nogil=True)
def sines(x: Int64, ahead: int, table: Int64) -> Int64:
    """Sines, in units of 2^-24, of x [n] radians (values) and `ahead` 2^-32 turns: [n]."""
    out = np.empty_like(x)
    for n in range(len(x)):
        angle: Any = rounded(x[n] * _TURN_PER_RADIAN, FRACTION) + ahead
        out[n] = sine(angle & 0xFFFFFFFF, table)
    return out


def polynomial(x: Int64, coefficients: list[int]) -> Int64:
    """Values of values x [...]: Horner's rule, each product and sum saturated; rising powers."""
    *others, highest = coefficients
    total = np.full_like(x, highest)
    for coefficient in reversed(others):
        product = np.clip((total * x + (1 << (FRACTION - 1))) >> FRACTION, SMALLEST, LARGEST)
        total = np.clip(product + coefficient, SMALLEST, LARGEST)
    return total
