"""The next token from logits as values: the largest, or drawn by a generator of 64 bits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, rounded
from hnlpu.arithmetic.fixed_point._functions import exponential
from hnlpu.errors import InvalidInput

Int64 = npt.NDArray[np.int64]

_MASK = 2**64 - 1
_STIR = 0x9E3779B97F4A7C15
_FIRST_STEPS = 16
_LARGEST_DISTANCE = 2**31 - 1


class Random:
    """Marsaglia's xorshift64 (shifts 13, 7, 17): its high 32 bits are the next number.

    The seed (64 bits) is xored with 2^64 / golden ratio, 0 is replaced by that, and 16 numbers
    are thrown away.  Source: G. Marsaglia, "Xorshift RNGs", 2003.
    """

    def __init__(self, seed: int):
        if not 0 <= seed <= _MASK:
            raise InvalidInput(f"seed {seed}: chip numerics take 0 to 2^64 - 1")
        self.state = (seed ^ _STIR) or _STIR
        for _ in range(_FIRST_STEPS):
            self.next()

    def next(self) -> int:
        """The next number, 0 to 2^32 - 1."""
        x = self.state
        x ^= (x << 13) & _MASK
        x ^= x >> 7
        x ^= (x << 17) & _MASK
        self.state = x
        return x >> 32


def inverse_temperature(temperature: float) -> int:
    """1 / temperature in units of 2^-16, 31 bits; 0 stands for the largest logit alone.

    Raises InvalidInput for a temperature whose inverse does not fit.
    """
    if temperature == 0:
        return 0
    usable = math.isfinite(temperature) and temperature > 2.0**-31  # else the quotient may be none
    inverse = math.floor((1 << FRACTION) / temperature + 0.5) if usable else 0
    if not 1 <= inverse < 2**31:
        raise InvalidInput(f"temperature {temperature}: chip numerics take 0, or 0.00004 to 131072")
    return inverse


def chip_sample(logits: Int64, inverse: int, random: Random) -> int:
    """One token of logits [vocabulary] at `inverse_temperature`.

    At 0 the first of the largest, and no number is drawn.  Else the first whose cumulative
    exponential exceeds floor(u * total / 2^32).
    """
    if inverse == 0:
        return int(np.argmax(logits))
    sums = cumulative(logits, logits.max(), inverse)
    threshold = random.next() * int(sums[-1]) >> 32
    return int(np.searchsorted(sums, threshold, side="right"))


@njit(cache=True, nogil=True)
def cumulative(logits: Int64, largest: int, inverse: int) -> Int64:
    """Sums of the exponentials of the first 1, 2, ... logits: [vocabulary]."""
    out = np.empty_like(logits)
    total = 0
    for n in range(len(logits)):
        distance = min(largest - logits[n], _LARGEST_DISTANCE)
        total += exponential(rounded(distance * inverse, FRACTION))
        out[n] = total
    return out
