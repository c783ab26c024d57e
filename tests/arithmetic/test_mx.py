"""MXFP4 digits against the standard's definition and against plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hnlpu.arithmetic.mx import (
    TWICE_E2M1,
    dequantize,
    pack,
    quantize_digits,
    quantize_mxfp4,
    unpack,
    zero_blocks,
)

E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]

codes_arrays = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 4), st.integers(1, 4).map(lambda b: 32 * b)),
    elements=st.integers(0, 15),
)


def test_twice_e2m1_is_odd_part_times_power_of_two():
    assert TWICE_E2M1.tolist() == [int(2 * v) for v in E2M1] + [-int(2 * v) for v in E2M1]


@given(codes_arrays)
def test_pack_and_unpack_are_inverse(codes):
    assert (unpack(pack(codes)) == codes).all()


def test_low_nibble_is_the_even_input():
    codes = np.arange(32, dtype=np.uint8)[None] % 16
    assert pack(codes)[0, 0, 0] == 0x10


@given(codes_arrays, st.data())
def test_dequantize_is_table_times_scale(codes, data):
    rows, columns = codes.shape
    exponents = data.draw(
        hnp.arrays(np.uint8, (rows, columns // 32), elements=st.integers(90, 160))
    )
    values = dequantize(pack(codes), exponents)
    for row in range(rows):
        for column in range(columns):
            code = int(codes[row, column])
            expected = E2M1[code & 7] * 2.0 ** (int(exponents[row, column // 32]) - 127)
            assert values[row, column] == (-expected if code & 8 else expected)


@given(codes_arrays)
def test_zero_blocks_ignore_the_sign_of_zero(codes):
    expected = (codes.reshape(len(codes), -1, 32) & 7 == 0).all(axis=-1)
    assert (zero_blocks(pack(codes)) == expected).all()


@given(codes_arrays, st.integers(60, 190))
def test_matrices_on_the_grid_are_reproduced_exactly(codes, exponent):
    exponents = np.full((len(codes), codes.shape[1] // 32), exponent, np.uint8)
    values = dequantize(pack(codes), exponents)
    assert (dequantize(*quantize_mxfp4(values)) == values).all()


def brute_force_block(values):
    """The best of the three candidate exponents by trying every code, in exact fractions."""
    exact = [Fraction(float(v)) for v in values]
    largest = max(abs(v) for v in exact)
    standard = math.frexp(float(largest))[1] - 3 + 127
    best = None
    for candidate in (standard, standard + 1, standard - 1):
        scale = Fraction(2) ** (candidate - 127)
        error = sum(min(abs(abs(v) - Fraction(g) * scale) for g in E2M1) ** 2 for v in exact)
        if best is None or error < best[0]:
            best = (error, candidate)
    return best


@given(
    hnp.arrays(
        np.float32,
        (2, 64),
        elements=st.floats(-8, 8, width=16, allow_nan=False, allow_infinity=False),
    ).filter(lambda a: (np.abs(a).reshape(2, 2, 32).max(-1) > 1e-3).all())
)
def test_quantize_takes_the_best_of_three_exponents(weights):
    codes, exponents = quantize_mxfp4(weights)
    values = dequantize(codes, exponents)
    for row in range(2):
        for block in range(2):
            part = slice(32 * block, 32 * block + 32)
            error, _ = brute_force_block(weights[row, part])
            ours = sum(
                (Fraction(float(a)) - Fraction(float(b))) ** 2
                for a, b in zip(weights[row, part], values[row, part], strict=True)
            )
            # the kernel compares errors in float64, so near-ties may fall either way
            assert float(ours) <= float(error) * (1 + 1e-9)


@given(st.floats(-6, 6, width=32), st.integers(-20, 20))
def test_elements_round_to_nearest_even(value, shift):
    weights = np.zeros((1, 32), np.float32)
    weights[0, 0], weights[0, 1] = 6 * 2.0**shift, np.float32(value) * 2.0**shift
    codes, exponents = quantize_mxfp4(weights)
    if int(exponents[0, 0]) != 127 + shift:
        return  # another exponent suits both values better
    scaled = abs(float(weights[0, 1]) / 2.0**shift)
    code = int(unpack(codes)[0, 1]) & 7
    distance = abs(scaled - E2M1[code])
    others = [(abs(scaled - g), i) for i, g in enumerate(E2M1)]
    assert distance == min(others)[0]
    if sum(d == distance for d, _ in others) == 2:
        assert code % 2 == 0


@given(hnp.arrays(np.float32, (3, 64), elements=st.floats(-100, 100, width=16)))
def test_a_second_digit_never_hurts_and_error_is_what_remains(weights):
    one, error_one = quantize_digits(weights, 1, 20)
    two, error_two = quantize_digits(weights, 2, 20)
    assert np.square(error_two, dtype=np.float64).sum() <= np.square(
        error_one, dtype=np.float64
    ).sum() * (1 + 1e-12)
    total = sum(dequantize(*digit).astype(np.float64) for digit in two)
    assert np.allclose(weights - total, error_two, rtol=0, atol=1e-6)
    assert (one[0][0] == two[0][0]).all()


@given(
    hnp.arrays(np.float32, (2, 96), elements=st.floats(-1, 1, width=16)),
    st.lists(st.integers(-40, 40), min_size=3, max_size=3),
    st.integers(0, 20),
)
def test_spread_of_quantised_rows_is_bounded(weights, shifts, spread):
    scaled = weights.reshape(2, 3, 32) * (2.0 ** np.array(shifts, np.float64))[None, :, None]
    digits, _ = quantize_digits(scaled.reshape(2, 96).astype(np.float32), 2, spread)
    for row in range(2):
        used = [
            int(e)
            for codes, exponents in digits
            for e, zero in zip(exponents[row], zero_blocks(codes)[row], strict=True)
            if not zero
        ]
        assert not used or max(used) - min(used) <= spread


def test_columns_must_be_blocks():
    with pytest.raises(ValueError, match="not divisible"):
        quantize_mxfp4(np.zeros((1, 33)))
