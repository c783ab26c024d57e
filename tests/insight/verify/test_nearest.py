"""What `verify` says of digits, against trying every code in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hnlpu.arithmetic.mx import TWICE_E2M1, quantize_digits, unpack
from hnlpu.insight.verify._nearest import (
    VALUES,
    first_bad_exponent,
    first_not_nearest,
    lowest_exponents,
)

TRIED = np.abs(VALUES[:8]).astype(np.float32)


def brute_force(weights, codes, exponents):
    """Position of the first weight that another value holds better, or -1."""
    for at, (weight, code) in enumerate(zip(weights, codes, strict=True)):
        scale = Fraction(2) ** (int(exponents[at // 32]) - 128)
        left = abs(Fraction(float(weight)) - int(TWICE_E2M1[code]) * scale)
        if left > min(abs(Fraction(float(weight)) - int(t) * scale) for t in TWICE_E2M1):
            return at
    return -1


@given(
    hnp.arrays(np.float32, 64, elements=st.floats(-8, 8, width=32)),
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 255)), max_size=3),
)
def test_the_first_that_is_not_nearest_is_found(weights, changes):
    ((codes, exponents),), left = quantize_digits(weights[None], 1, 20)
    packed, scales = codes.reshape(-1).copy(), exponents.reshape(-1)
    changed = dict(changes)
    for byte, value in changed.items():
        packed[byte] = value
    values = weights.copy()
    found = first_not_nearest(values, packed, scales, TRIED)
    assert found == brute_force(weights, unpack(packed.reshape(1, 2, 16))[0], scales)
    if not changed:
        assert found == -1
        assert (values == left[0]).all()


@pytest.mark.parametrize("wrong", [0, 31, 32, 32 * 511, 32 * 512 + 7, 32 * 700 - 1])
def test_a_wrong_code_is_found_anywhere_in_many_blocks(wrong):
    weights = np.random.default_rng(5).normal(size=(1, 32 * 700)).astype(np.float32)
    ((codes, exponents),), _ = quantize_digits(weights, 1, 20)
    packed = codes.reshape(-1).copy()
    packed[wrong // 2] ^= (
        8 << (4 * (wrong % 2)) if abs(weights[0, wrong]) > 1 else 7 << (4 * (wrong % 2))
    )
    assert first_not_nearest(weights[0].copy(), packed, exponents.reshape(-1), TRIED) == wrong


@given(st.floats(2.0**-100, 2.0**100, width=32), st.integers(-4, 4))
def test_exponents_that_the_quantiser_may_choose(size, step):
    """The standard's, one above, one below; others are none, but for the row's lowest."""
    weights = np.zeros(32, np.float32)
    weights[7] = -size
    standard = int(np.floor(np.log2(np.float64(np.float32(size))))) - 2 + 127
    exponent = np.array([standard + step], np.uint8)
    none, bound = np.zeros(1, np.int64), np.array([standard + step], np.int64)
    assert (first_bad_exponent(weights, exponent, none, 1, 3, 1) == -1) == (-1 <= step <= 1)
    assert (first_bad_exponent(weights, exponent, bound, 1, 3, 1) == -1) == (step >= -1)
    assert first_bad_exponent(weights, exponent, bound + 1, 1, 3, 1) == 0
    assert first_bad_exponent(np.zeros(32, np.float32), exponent, bound + 1, 1, 3, 1) == -1


def test_lowest_exponents_pass_over_blocks_of_zeros():
    codes = np.zeros((2, 2, 16), np.uint8)
    codes[0, 0, 3], codes[0, 1], codes[1, 0, 0] = 0x10, 0x88, 0x80
    exponents = np.array([[100, 120], [90, 90]], np.uint8)
    found = lowest_exponents(codes.reshape(-1), exponents.reshape(-1), 2, 11)
    assert found.tolist() == [89, 0]
