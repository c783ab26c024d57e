"""The number of the vector unit: 32 bits, two's complement, counting 2^-16, saturated.

Rounding is to the nearest, halves up: an adder and a shift.  Activations of arrays alone round
halves to even, as docs/arithmetic.md defines them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.errors import InvalidInput

Int64 = npt.NDArray[np.int64]

VALUE_BITS = 32
FRACTION = 16
MEMORY_FRACTION = 20
"""States that a recurrence updates count 2^-20."""
LARGEST: int = 2 ** (VALUE_BITS - 1) - 1
SMALLEST: int = -(2 ** (VALUE_BITS - 1))


@njit(cache=True, nogil=True, inline="always")
def saturated(v: int) -> int:
    """The value nearest to v."""
    return min(max(v, SMALLEST), LARGEST)


@njit(cache=True, nogil=True, inline="always")
def rounded(v: int, shift: int) -> int:
    """floor(v / 2^shift + 1/2) for a shift of at least 0."""
    if shift == 0:
        return v
    return (v + (1 << (shift - 1))) >> shift


def to_fixed(x: npt.ArrayLike, fraction: int = FRACTION) -> Int64:
    """Real numbers [...] as values: floor(x * 2^fraction + 1/2), saturated.

    Raises InvalidInput for NaN and infinity.
    """
    wide = np.asarray(x, np.float64)
    if not np.isfinite(wide).all():
        raise InvalidInput("a parameter is NaN or infinite: chip numerics have no such value")
    steps = np.floor(wide * 2.0**fraction + 0.5)
    return np.clip(steps, SMALLEST, LARGEST).astype(np.int64)
