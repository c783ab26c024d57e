"""Codebooks: values and their codes, how they are stored, and the nearest of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.codebooks import E2M1, NO_CODE, Codebook, codebook_names, open_codebook
from hnlpu.arithmetic.mx import (
    TWICE_E2M1,
    dequantize,
    pack,
    quantize_digits,
    quantize_mxfp4,
    unpack,
)
from hnlpu.arithmetic.onto import join, numbers_of, quantize_onto, standard_exponent, unjoin
from hnlpu.errors import InvalidInput
from hnlpu.model.policy import FORMATS, codebook_of, digits_of_format, stored_digits

BOOKS = codebook_names()
OWN = ("int4", "nf4", "fitted")
"""Codebooks whose codes are not E2M1's."""


def values_of(codes, book):
    """Half units of packed codes [..., columns]: of E2M1 codes as they are stored, by the golden table."""
    stored = unjoin(codes, book)
    return sum(TWICE_E2M1[unpack(part)].astype(np.int64) for part in stored)


def test_all_are_formats():
    assert set(BOOKS) == {E2M1, "ternary", "ternary2", "int3", *OWN}
    assert set(BOOKS) - {E2M1} <= set(FORMATS)
    assert {name for name in BOOKS if not open_codebook(name).of_e2m1} == set(OWN)
    assert stored_digits("int8") == 4
    assert codebook_of("int8") == open_codebook("int4")


@pytest.mark.parametrize("name", BOOKS)
def test_codes_mean_the_values(name):
    """By the golden definition of the codes that they are stored as."""
    book = open_codebook(name)
    found = []
    for code in book.codes:
        parts = [(golden.ODD_AND_SHIFT[c & 7], c & 8) for c in book.parts[code]]
        found.append(sum((-1 if minus else 1) * odd * 2**shift for (odd, shift), minus in parts))
    assert sorted(found) == sorted(book.values)
    assert [book.table[code] for code in book.codes] == found
    assert book.codes[0] == 0
    assert (8 in book.codes) == (name in OWN and len(book.values) == 16)
    products = [sign * odd << late for sign, odd, late in book.products]
    assert products == found[1:]
    assert all(odd % 2 for _, odd, _ in book.products)


def test_two_ternary_inputs_are_one_value():
    """Every pair of values has one code, and the value of a port has them back."""
    book, ternary = open_codebook("ternary2"), open_codebook("ternary")
    assert (book.inputs, codebook_of("ternary2"), book.product_bits) == (2, ternary, 2)
    seen = set()
    for first in ternary.codes:
        for second in ternary.codes:
            code = int(book.paired[first + 16 * second])
            a, b = ternary.table[first], ternary.table[second]
            assert book.both_of(book.table[code]) == (a, b)
            assert book.by_input(np.array([book.table[code]])).tolist() == [a, b]
            seen.add(code)
    assert seen == set(book.codes)
    assert (book.paired != NO_CODE).sum() == 9


@pytest.mark.parametrize("name", OWN)
def test_stored_codes_join_to_what_they_were(name):
    book, rng = open_codebook(name), np.random.default_rng(0)
    codes = pack(rng.choice(book.codes, (5, 64)).astype(np.uint8))
    first, second = unjoin(codes, book)
    np.testing.assert_array_equal(join(first, second, book), codes)
    # minus zero in a file is zero, and what is no value is seen
    minus = np.where(second & 15, second, second | 8).astype(np.uint8)
    np.testing.assert_array_equal(join(first, minus, book), codes)
    foreign = first.copy()
    foreign[3, 1, 7] = 0x0F
    other = second.copy()
    other[3, 1, 7] = 0x0F
    assert join(foreign, other, book) is None  # -12 and -12


def test_nf4_is_near_that_of_bitsandbytes():
    """The table of the QLoRA paper, scaled to the largest."""
    table = [
        -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0, 0.0795803,
        0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
    ]  # fmt: skip
    ours = np.array(sorted(open_codebook("nf4").values)) / 20.25
    assert np.abs(ours - table).max() < 0.02


def test_e2m1_is_all_of_the_codes():
    assert open_codebook(E2M1).codes == (*range(8), *range(9, 16))
    assert open_codebook(E2M1).product_bits == 4  # the largest product is 12 times an activation


@pytest.mark.parametrize(
    ("name", "bits"), [(E2M1, 4), ("ternary", 1), ("int3", 2), ("int4", 4), ("nf4", 5)]
)
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
@given(weights=WEIGHTS, fmt=st.sampled_from(["ternary", "int3", "int4", "nf4", "int8"]))
def test_the_digits_are_the_best_of_those_that_may_be(weights, fmt):
    """Held to a search by brute force: every exponent near the standard's, every value."""
    book, digits = codebook_of(fmt), digits_of_format(fmt)
    found, rest = quantize_onto(weights, book, 20, digits)
    exponents = found[-1][1]
    values = sum(
        values_of(codes, book) * np.repeat(2.0 ** (e.astype(float) - 128), 32, axis=1)
        for codes, e in found
    )
    np.testing.assert_array_equal(weights - values, rest)
    table = np.array(book.values, np.float64)
    if digits == 2:
        assert (found[0][1] == exponents + 4).all()
        table = (16 * table[:, None] + table).ravel()
    top = int(np.abs(table).max())
    for row in range(2):
        used = np.any([np.any(codes[row], axis=-1) for codes, _ in found], axis=0)
        lowest = exponents[row][used].max(initial=20) - 20 + 4 * (digits - 1)
        for block in range(2):
            given_, held = (a[row, 32 * block : 32 * block + 32] for a in (weights, values))
            error = float(((given_.astype(np.float64) - held) ** 2).sum())
            largest = float(np.abs(given_).max())
            if largest == 0:
                assert error == 0
                continue
            standard = standard_exponent(largest, top)
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


@pytest.mark.parametrize("fmt", ["ternary", "int3", "int4", "int8"])
@settings(max_examples=25)
@given(data=st.data())
def test_what_lies_on_the_values_is_kept(fmt, data):
    """Any numbers of the format at any power of two: not a bit changes, as twice a small one is one, too."""
    known = numbers_of(codebook_of(fmt), digits_of_format(fmt)).tolist()
    integers = data.draw(arrays(np.int64, (3, 32), elements=st.sampled_from(known)))
    powers = data.draw(arrays(np.int64, (3, 1), elements=st.integers(-20, 20)))
    weights = np.ldexp(integers.astype(np.float64), powers).astype(np.float32)
    _, rest = quantize_onto(weights, codebook_of(fmt), 20, digits_of_format(fmt))
    assert not rest.any()


def test_int8_has_every_number_of_its_range():
    assert numbers_of(open_codebook("int4"), 2).tolist() == list(range(-136, 120))


def test_exponents_stay_within_the_spread():
    weights = np.ones((1, 64), np.float32)
    weights[0, 32:] *= 2.0**-9
    [(codes, exponents)], rest = quantize_onto(weights, open_codebook("ternary"), 4)
    assert exponents[0, 0] - exponents[0, 1] == 4
    assert not codes[0, 1].any()
    np.testing.assert_array_equal(rest[0, 32:], weights[0, 32:])


@pytest.mark.parametrize("scale", [2.0**-140, 2.0**-60, 2.0**100])
def test_the_ends_of_float32_and_zeros_are_blocks_like_others(scale):
    weights = np.zeros((2, 64), np.float32)
    weights[1, 32:] = np.float32(scale)
    [(codes, exponents)], rest = quantize_onto(weights, open_codebook("ternary"), 20)
    assert not codes[0].any()
    assert not codes[1, 0].any()
    if scale >= 2.0**-127:  # below, a half unit has no exponent
        assert not rest.any()
        assert exponents[1, 1] == np.log2(scale) + 128
    assert np.isfinite(rest).all()


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
    """Of MXFP4, where their scales are powers of two."""
    weights = np.ldexp(integers.astype(np.float64), powers).astype(np.float32)
    _, rest = quantize_digits(weights, 2, 20)
    assert not rest.any()


def test_what_is_unknown_is_refused_by_name():
    with pytest.raises(InvalidInput, match="unknown; choose from"):
        open_codebook("int5")
    with pytest.raises(InvalidInput, match=r"codebook odd: 17 is no sum of two of E2M1's values"):
        Codebook("odd", "odd", (0, 17, -17), "").parts  # noqa: B018  raises


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_rows_have_one_exponent_where_ports_are_shared(scale):
    """Spread 0: ternary weights stay as they are, and any others end under one exponent a row."""
    rng = np.random.default_rng(3)
    weights = rng.integers(-1, 2, (4, 128)).astype(np.float32)
    if scale != 1:
        weights = (weights * rng.uniform(scale, 2, weights.shape)).astype(np.float32)
    [(codes, exponents)], rest = quantize_onto(weights, open_codebook("ternary"), 0)
    used = np.any(codes, axis=-1)
    assert all(len(set(exponents[row][used[row]].tolist())) == 1 for row in range(4))
    assert rest.any() == (scale != 1)
