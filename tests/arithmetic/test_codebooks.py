"""Codebooks: values that have codes, the nearest of them, and a plain refusal of the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.codebooks import E2M1, codebook_names, open_codebook
from hnlpu.arithmetic.mx import (
    TWICE_E2M1,
    dequantize,
    quantize_digits,
    quantize_mxfp4,
    quantize_onto,
    standard_exponent,
    unpack,
)
from hnlpu.errors import InvalidInput
from hnlpu.model.policy import FORMATS, WITHOUT_METAL, make_policy

IN_METAL = [name for name in codebook_names() if name not in WITHOUT_METAL]


def test_those_in_metal_are_formats():
    assert set(IN_METAL) == {E2M1, "ternary", "int3"}
    assert set(IN_METAL) - {E2M1} <= set(FORMATS)
    assert WITHOUT_METAL == ("int4",)


@pytest.mark.parametrize("name", IN_METAL)
def test_codes_mean_the_values(name):
    """By the golden definition: sign, odd part and power of two of each code."""
    book = open_codebook(name)
    found = []
    for code in book.codes:
        odd, shift = golden.ODD_AND_SHIFT[code & 7]
        found.append((-1 if code & 8 else 1) * odd * 2**shift)
    assert sorted(found) == sorted(book.values)
    assert 8 not in book.codes
    assert book.codes[0] == 0
    assert [2 * v for v in TWICE_E2M1[list(book.codes)]] == [2 * v for v in found]


def test_e2m1_is_all_of_the_codes():
    assert open_codebook(E2M1).codes == (*range(8), *range(9, 16))
    assert open_codebook(E2M1).product_bits == 4  # the largest product is 12 times an activation


@pytest.mark.parametrize(("name", "bits"), [(E2M1, 4), ("ternary", 1), ("int3", 2)])
def test_product_bits_are_just_enough(name, bits):
    """The least and the largest product of an 8-bit activation fit, and not in a bit less."""
    book = open_codebook(name)
    products = [v * x for v in book.values for x in (-128, 127)]
    assert book.product_bits == bits
    wide = 8 + bits
    assert -(2 ** (wide - 1)) <= min(products)
    assert max(products) < 2 ** (wide - 1)
    assert max(products) >= 2 ** (wide - 2)


WEIGHTS = arrays(
    np.float32, (2, 64),
    elements=st.floats(-8, 8, width=32, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-6 else 0),
)  # fmt: skip


@settings(max_examples=40)
@given(weights=WEIGHTS, name=st.sampled_from(["ternary", "int3"]))
def test_the_digit_is_the_best_of_those_that_may_be(weights, name):
    """Held to a search by brute force: every exponent near the standard's, every value."""
    book = open_codebook(name)
    codes, exponents, rest = quantize_onto(weights, book, 20)
    values = dequantize(codes, exponents)
    np.testing.assert_allclose(weights - values, rest, rtol=0, atol=1e-7 * np.abs(weights).max())
    assert set(unpack(codes).ravel().tolist()) <= set(book.codes)
    table = np.array(book.values, np.float64)
    for row in range(2):
        lowest = exponents[row][np.any(codes[row], axis=-1)].max(initial=20) - 20
        for block in range(2):
            given_, held = (a[row, 32 * block : 32 * block + 32] for a in (weights, values))
            error = float(((given_.astype(np.float64) - held) ** 2).sum())
            largest = float(np.abs(given_).max())
            if largest == 0:
                assert error == 0
                continue
            standard = standard_exponent(largest, book.magnitudes[-1])
            best = min(
                float(
                    (
                        np.abs(given_[:, None].astype(np.float64) - table * 2.0 ** (e - 128)).min(1)
                        ** 2
                    ).sum()
                )
                for e in (max(standard + d, lowest) for d in (-2, -1, 0, 1))
            )
            assert error <= best * (1 + 1e-9) + 1e-30


@pytest.mark.parametrize("name", ["ternary", "int3"])
@settings(max_examples=25)
@given(data=st.data())
def test_what_lies_on_the_values_is_kept(name, data):
    """Any integers of the codebook at any power of two: not a bit changes."""
    book = open_codebook(name)
    integers = data.draw(arrays(np.int64, (3, 32), elements=st.sampled_from(book.values)))
    powers = data.draw(arrays(np.int64, (3, 1), elements=st.integers(-20, 20)))
    weights = np.ldexp(integers.astype(np.float64), powers).astype(np.float32)
    codes, exponents, rest = quantize_onto(weights, book, 20)
    assert not rest.any()
    np.testing.assert_array_equal(dequantize(codes, exponents), weights)


def test_exponents_stay_within_the_spread():
    weights = np.ones((1, 64), np.float32)
    weights[0, 32:] *= 2.0**-9
    codes, exponents, rest = quantize_onto(weights, open_codebook("ternary"), 4)
    assert exponents[0, 0] - exponents[0, 1] == 4
    assert not codes[0, 1].any()
    np.testing.assert_array_equal(rest[0, 32:], weights[0, 32:])


def test_standard_exponents_are_those_of_the_standard():
    """OCP Microscaling v1.0, 6.3: floor(log2(max)) - 2, with a bias of 127."""
    for largest in (1.0, 1.99, 6.0, 7.9, 8.0, 2.0**-30):
        assert standard_exponent(largest, 12) == int(np.floor(np.log2(largest))) - 2 + 127
    codes, exponents = quantize_mxfp4(np.full((1, 32), 6.0, np.float32))
    assert exponents[0, 0] == standard_exponent(6.0, 12)
    assert dequantize(codes, exponents)[0, 0] == 6.0


@settings(max_examples=50)
@given(
    integers=arrays(np.int64, (2, 32), elements=st.integers(-7, 7)),
    powers=arrays(np.int64, (2, 1), elements=st.integers(-10, 10)),
)  # fmt: skip
def test_two_digits_hold_int4_exactly(integers, powers):
    """What the refusal of int4 says to do instead."""
    weights = np.ldexp(integers.astype(np.float64), powers).astype(np.float32)
    _, rest = quantize_digits(weights, 2, 20)
    assert not rest.any()


def test_what_has_no_metal_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"int4 has no metal: no trunk carries 5 and 7 times"):
        make_policy(attention="int4")
    with pytest.raises(InvalidInput, match="int4 has no metal"):
        make_policy(matrices=(("a", "int4"),))
    with pytest.raises(InvalidInput, match="unknown; choose from"):
        open_codebook("nf4")
