"""Functions of one value: exponential, sigmoid, sine, quotient, inverse square root."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import rounded
from hnlpu.arithmetic.fixed_point._tables import (
    EXP_TABLE,
    LOG2_E,
    LOG2_E_FRACTION,
    SIGMOID_TABLE,
    UNIT,
    UNIT_FRACTION,
)

Int64 = npt.NDArray[np.int64]

LARGEST_EXPONENT = 1 << 22
"""exp(-64): nothing is left of it in units of 2^-24."""


@njit(cache=True, nogil=True)
def exponential(u: int) -> int:
    """exp(-u) in units of 2^-24, 0 to 2^24, for u >= 0 in units of 2^-16.

    2^-t with t = u * log2(e): a line between entries of 2^-(k/256), shifted by t's whole part.
    """
    u = min(u, LARGEST_EXPONENT)
    t = rounded(u * LOG2_E, LOG2_E_FRACTION)
    k, f = (t >> 8) & 255, t & 255
    high, low = EXP_TABLE[k], EXP_TABLE[k + 1]
    power: int = high - rounded((high - low) * f, 8)
    whole = t >> 16
    return 0 if whole > UNIT_FRACTION + 1 else rounded(power, whole)


@njit(cache=True, nogil=True)
def sigmoid(z: int) -> int:
    """1 / (1 + exp(-z)) in units of 2^-24 for z in units of 2^-16; lines between entries."""
    a = min(abs(z), (1 << 20) - 1)
    k, f = a >> 11, a & 2047
    low, high = SIGMOID_TABLE[k], SIGMOID_TABLE[k + 1]
    share: int = low + rounded((high - low) * f, 11)
    return UNIT - share if z < 0 else share


@njit(cache=True, nogil=True)
def sine(angle: int, table: Int64) -> int:
    """factor * sin(angle) in units of 2^-24 for an angle in 2^-32 turns, 0 to 2^32 - 1."""
    within = angle & ((1 << 30) - 1)
    if angle & (1 << 30):  # the second and the fourth quarter run backwards
        within = (1 << 30) - within
    k, f = within >> 22, (within >> 6) & 65535
    value: int = table[k]
    if f:
        value += rounded((table[k + 1] - value) * f, 16)
    return -value if angle & (1 << 31) else value


@njit(cache=True, nogil=True)
def divided(a: int, b: int, fraction: int) -> int:
    """a * 2^fraction / b for b > 0, towards zero; the quotient has at most 31 bits.

    Whole part and remainder apart, so that 64 bits hold every step.
    """
    size = abs(a)
    whole = size // b
    rest = size - whole * b
    quotient = (whole << fraction) + (rest << fraction) // b
    return -quotient if a < 0 else quotient


@njit(cache=True, nogil=True)
def inverse_root(m: int) -> int:
    """The largest r with r^2 * m <= 2^78, for 2^30 <= m < 2^32: 2^23 to 2^24.

    Bit by bit from the highest, as the hardware finds it.
    """
    r = 0
    for bit in range(24, -1, -1):
        trial = r + (1 << bit)
        # trial^2 * m <= 2^78, which 64 bits do not hold, just if trial * m <= floor(2^78 / trial)
        if trial * m <= _power_over(trial):
            r = trial
    return r


@njit(cache=True, nogil=True, inline="always")
def _power_over(d: int) -> int:
    """floor(2^78 / d) for 2^23 <= d < 2^26."""
    high = (1 << 52) // d
    rest = (1 << 52) - high * d
    return (high << 26) + (rest << 26) // d
