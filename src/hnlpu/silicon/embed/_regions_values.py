"""Values that a group of ports may have in the regions scheme, and how its ties spell them.

A digit is zero or sign * odd * 2^shift, odd 1 or 3.  With block exponents up to R above their
row's, odd 1 has the shifts 0 to R + 3 and odd 3 those of 0 to R + 2: E2M1 is closed under shifts,
so block scales are exact.

    word = sign + 2 * (odd == 3) + 4 * shift          bit b is tie t{row}.{group}.{b}, 1 is PWR

No value spells all ones: 2^bits is above R + 3, hence the largest shift of an odd 3, R + 2, is at
most 2^bits - 2.  So every group has a tie at ground, and its unused ports hang on that one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import TWICE_E2M1

NO_VALUE = -1
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]


def shift_bits(scale_range: int) -> int:
    """Ties that spell a shift."""
    return (scale_range + 3).bit_length()


def tie_count(scale_range: int) -> int:
    """Ties of a group: sign, odd part and the bits of the shift."""
    return 2 + shift_bits(scale_range)


def value_count(scale_range: int) -> int:
    """Non-zero values that a digit may have."""
    return 2 * ((scale_range + 4) + (scale_range + 3))


def words_of_codes() -> Int16:
    """Word of each of the 16 codes at shift 0, NO_VALUE for the zeros; a shift adds 4 a step."""
    words = np.full(16, NO_VALUE, np.int16)
    for code, twice in enumerate(TWICE_E2M1.tolist()):
        if twice:
            shift = (abs(twice) & -abs(twice)).bit_length() - 1
            words[code] = (twice < 0) + 2 * (abs(twice) >> shift == 3) + 4 * shift
    return words


def values_of_words(scale_range: int) -> Int32:
    """Integer digit that each word of ties spells; 0 where it spells none."""
    words = np.arange(1 << tie_count(scale_range))
    shift, odd, sign = words >> 2, np.where(words & 2, 3, 1), np.where(words & 1, -1, 1)
    valid = shift <= scale_range + np.where(words & 2, 2, 3)
    return np.where(valid, sign * odd * (1 << np.minimum(shift, 24)), 0).astype(np.int32)


def ground_ties(scale_range: int) -> Int16:
    """The first tie at ground of each word, on which the group's unused ports hang."""
    words = np.arange(1 << tie_count(scale_range))
    lowest_zero = ~words & (words + 1)
    ties: Int16 = np.log2(lowest_zero).astype(np.int16)
    return ties


def group_bound(inputs: int, group: int, scale_range: int) -> int:
    """Groups of `group` ports that hold any digits of `inputs` inputs.

    Value v with k(v) inputs needs ceil(k(v) / g) <= (k(v) + g - 1) / g groups.  Over at most V
    values the sum is at most (N + V (g - 1)) / g, and being whole it is at most the floor of it.
    """
    return (inputs + value_count(scale_range) * (group - 1)) // group


def groups_of(inputs: int, group: int, scale_range: int) -> int:
    """Groups that a row of the silicon has: `group_bound`, made even, as they stand in pairs."""
    bound = group_bound(inputs, group, scale_range)
    return bound + bound % 2
