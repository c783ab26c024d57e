"""How many bits the numbers of an exact exchange have, from what they can be at most."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.fixed_point import KEY_BITS, UNIT_FRACTION, VALUE_BITS
from hnlpu.arithmetic.fixed_point._attention import MIXED_SHIFT

SCALE_BITS = 8
"""An exponent s of activations, 0 to 31, as a byte."""
LARGEST_WEIGHT = 2 * 12
"""Two digits of 12 at most, twice E2M1's largest magnitude, in units of a block's exponent."""
LARGEST_BITS = VALUE_BITS
"""A largest score or logit is a value."""
CANDIDATE_BITS = LARGEST_BITS + 32
"""The largest logit of a chip and its number."""
TOTAL_BITS = 32
"""A total in the formats that lose something, without a sign."""


def signed_bits(bound: int) -> int:
    """Bits of two's complement that hold -bound to bound."""
    return int(bound).bit_length() + 1


def attention_bits(positions: int) -> tuple[int, int]:
    """Bits of a total (no sign) and of a sum of shares times values (signed) over so many positions.

    A share is 2^24 at most, a value of attention 24 bits, their product counts 2^-28.
    """
    positions = max(positions, 1)
    total = (positions << UNIT_FRACTION).bit_length()
    return total, signed_bits((positions << (UNIT_FRACTION + KEY_BITS - 1 - MIXED_SHIFT)) - 1)


def expert_bits(k: int, share_bits: int = UNIT_FRACTION) -> int:
    """Bits of a sum of k shares of at most 2^share_bits times values.

    Shares of a routing add up to one at most (k = 1).
    """
    return signed_bits((k << (share_bits + VALUE_BITS - 1)) - 1)


def chance_bits(logits: int) -> int:
    """Bits of the sum of exponentials of so many logits of a chip, without a sign."""
    return (logits << UNIT_FRACTION).bit_length()


def any_part_bits(inputs: int, activation_bits: int, spread: int) -> int:
    """Bits of a partial sum over so many inputs, for any weights whose rows' exponents span `spread`."""
    magnitude = inputs * LARGEST_WEIGHT << spread
    return signed_bits(magnitude << (activation_bits - 1))


@dataclass(frozen=True)
class Widths:
    """Bits of the numbers of exact exchanges: activations, partial `sums`, `experts`, softmax.

    `totals` have no sign, `mixed` are sums of shares times values.
    """

    activations: int = 8
    sums: int = 32
    experts: int = 56
    totals: int = 42
    mixed: int = 57
