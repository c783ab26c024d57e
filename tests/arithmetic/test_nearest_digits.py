"""The quantiser's loops in float32 against the definition in float64, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hnlpu.arithmetic.mx import quantize_digits, quantize_mxfp4
from mx_by_definition import digits_by_definition, take_digit

NEAR_TIES = np.array([0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6.5, 7, 7.5, 8])
shapes = st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda blocks: 32 * blocks))


def same_bits(weights, digits, spread):
    found, left = quantize_digits(weights, digits, spread)
    expected, expected_left = digits_by_definition(weights, digits, spread)
    for (codes, exponents), (expected_codes, expected_exponents) in zip(
        found, expected, strict=True
    ):
        assert (exponents == expected_exponents).all()
        assert (codes == expected_codes).all()
    assert (left.view(np.uint32) == expected_left.view(np.uint32)).all()


def random_weights(kind, shape, random):
    """Weights of a kind that asks something of the quantiser."""
    weights = random.normal(size=shape)
    match kind:
        case "far apart":
            weights = random.standard_cauchy(shape)
        case "any exponent, zeros and numbers below the normal ones":
            weights = weights * 2.0 ** random.integers(-160, 126, shape)
        case "between two values":
            weights = random.choice(NEAR_TIES, shape) * random.choice([-1, 1], shape)
            weights = weights + random.choice([0, 1e-6, -1e-6], shape)
        case "blocks of any size":
            blocks = random.integers(-40, 40, (shape[0], shape[1] // 32)).repeat(32, axis=1)
            weights = weights * 2.0**blocks
        case "on a coarse grid":
            weights = np.round(weights * 4) / 4
        case _:
            assert kind == "normal"
    with np.errstate(over="ignore"):
        found = weights.astype(np.float32)
    return np.where(np.isfinite(found), found, np.float32(1))


KINDS = ("normal", "far apart", "any exponent, zeros and numbers below the normal ones",
         "between two values", "blocks of any size", "on a coarse grid")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_digits_have_the_bits_of_the_definition(kind, bfloat16):
    random = np.random.default_rng(KINDS.index(kind))
    for blocks in (1, 3, 40, 600):  # fewer and more than are in work at a time
        weights = random_weights(kind, (3, 32 * blocks), random)
        if bfloat16:
            weights = (weights.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        for spread in (0, 3, 11, 24):
            same_bits(weights, 2, spread)


@settings(max_examples=200)
@given(
    shapes.flatmap(
        lambda shape: hnp.arrays(
            np.float32, shape, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
        )
    ),
    st.integers(0, 24),
)
def test_any_float32_has_the_bits_of_the_definition(weights, spread):
    same_bits(weights, 2, spread)


@given(hnp.arrays(np.float32, (2, 64), elements=st.floats(-100, 100, width=16)),
       hnp.arrays(np.int64, 2, elements=st.integers(-5, 260)))  # fmt: skip
def test_no_exponent_is_below_its_rows_lowest(weights, lowest):
    codes, exponents = quantize_mxfp4(weights, lowest)
    bounded = np.clip(lowest, 0, 252)
    expected_codes, expected = take_digit(weights.astype(np.float64), bounded)
    assert (exponents == expected).all()
    assert (codes == expected_codes).all()


def test_equal_errors_leave_the_standards_exponent():
    """One weight of 7 units: the exponent above errs by as much, and must not be taken."""
    weights = np.zeros((1, 32), np.float32)
    weights[0, 0] = 7
    assert quantize_mxfp4(weights)[1][0, 0] == 127
    weights[0, 0] = np.nextafter(np.float32(7), np.float32(8))
    assert quantize_mxfp4(weights)[1][0, 0] == 128


def test_weights_beyond_float32_are_refused():
    with pytest.raises(ValueError, match="float32"):
        quantize_mxfp4(np.full((1, 32), 0.1))
