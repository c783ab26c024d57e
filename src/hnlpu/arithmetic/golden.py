"""The definition of what a hardwired neuron computes, in plain Python integers.

Slow and obviously right: no arrays, no floating point in the sum, exact
fractions where a real number is rounded.  Every faster path in hnlpu, the RTL
and what is read back from masks must agree with it integer for integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

# code & 7 -> twice the E2M1 magnitude, as (odd part, shift)
ODD_AND_SHIFT = ((0, 0), (1, 0), (1, 1), (3, 0), (1, 2), (3, 1), (1, 3), (3, 2))


def integer_weight(codes: Sequence[int], exponents: Sequence[int], row_exponent: int) -> int:
    """Integer weight of one input from its code and block exponent in every digit."""
    total = 0
    for code, exponent in zip(codes, exponents, strict=True):
        odd, shift = ODD_AND_SHIFT[code & 7]
        sign = -1 if code & 8 else 1
        if odd:
            total += sign * odd * 2 ** (shift + exponent - row_exponent)
    return total


def row_exponent(codes: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]]) -> int | None:
    """Smallest exponent of a row's non-zero blocks; None for a row of zeros.

    `codes` holds one sequence of 4-bit codes per digit, `exponents` one of
    block exponents per digit.
    """
    used = [
        exponent
        for digit_codes, digit_exponents in zip(codes, exponents, strict=True)
        for block, exponent in enumerate(digit_exponents)
        if any(code & 7 for code in digit_codes[32 * block : 32 * block + 32])
    ]
    return min(used, default=None)


def neuron(weights: Sequence[int], activations: Sequence[int]) -> int:
    """y_int = sum(w * x_int), exact."""
    return sum(w * x for w, x in zip(weights, activations, strict=True))


def quantize_activations(values: Sequence[float], bits: int) -> tuple[list[int], int]:
    """Integers of `bits` bits and the exponent s of their scale 2^s.

    s is the smallest integer for which no round_half_even(x / 2^s) leaves
    -2^(bits-1) .. 2^(bits-1) - 1.  A vector of zeros has s = 0.
    """
    exact = [Fraction(v) for v in values]
    if not any(exact):
        return [0] * len(exact), 0
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def rounded(s: int) -> list[int]:
        return [round(x / Fraction(2) ** s) for x in exact]  # Fraction rounds half to even

    s = -400  # below the spacing of float32 times any scale
    while not all(low <= n <= high for n in rounded(s)):
        s += 1
    return rounded(s), s


def output(y_int: int, row_exponent: int, s: int) -> Fraction:
    """The real number that y_int stands for; hardware rounds it once to float32."""
    return y_int * Fraction(2) ** (row_exponent - 128 + s)
