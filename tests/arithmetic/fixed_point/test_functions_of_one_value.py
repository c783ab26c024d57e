"""Rounding, tables and the functions of one value, against exact fractions and each promise."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import by_hand
from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point._functions import inverse_root, sine
from hnlpu.errors import InvalidInput

UNIT = 1 << 24
FACTORS = (1.0, 0.1 * math.log(4) + 1, 0.1 * math.log(32) + 1, 64.0)
VALUE = st.integers(-(2**31), 2**31 - 1)


@njit
def each(function, inputs):
    return np.array([function(x) for x in inputs])


@given(VALUE, st.integers(0, 31))
def test_rounding_is_to_the_nearest_and_halves_go_up(v, shift):
    assert fixed_point.rounded(v, shift) == math.floor(Fraction(v, 2**shift) + Fraction(1, 2))


@given(st.integers(-(2**62), 2**62))
def test_saturation_takes_the_nearest_value(v):
    assert fixed_point.saturated(v) == min(max(v, -(2**31)), 2**31 - 1)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 0), (1.0, 65536), (-1.0, -65536), (2**-17, 1), (-(2**-17), 0), (3 * 2**-17, 2),
        (32768.0, 2**31 - 1), (-32768.0, -(2**31)), (1e300, 2**31 - 1), (-1e300, -(2**31)),
        (1.702, 111542), (32767.99999, 2**31 - 1),
    ],
)  # fmt: skip
def test_parameters_become_values(x, expected):
    assert fixed_point.to_fixed(np.array([x])).tolist() == [expected] == [by_hand.real(x)]


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_no_value_stands_for_nan_or_infinity(x):
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        fixed_point.to_fixed(np.array([1.0, x]))


def test_tables_hold_the_nearest_integers():
    assert fixed_point.EXP_TABLE.tolist() == [by_hand.exp_entry(k) for k in range(257)]
    assert fixed_point.SIGMOID_TABLE.tolist() == [by_hand.sigmoid_entry(k) for k in range(513)]
    assert fixed_point.SOFTPLUS_TABLE.tolist() == [by_hand.softplus_entry(k) for k in range(513)]
    assert fixed_point.NORMAL_TABLE.tolist() == [by_hand.normal_entry(k) for k in range(513)]
    assert fixed_point.LOG2_E == by_hand.LOG2_E
    for factor in FACTORS:
        expected = [by_hand.sine_entry(k, factor) for k in range(257)]
        assert fixed_point.sine_table(factor).tolist() == expected


def test_the_exponential_is_the_specification_and_falls():
    u = np.arange((1 << 22) + 2)
    found = each(fixed_point.exponential, u)
    assert (np.diff(found) <= 0).all()
    assert found[0] == UNIT
    assert found[-1] == found[-2] == 0
    assert np.abs(found / UNIT - np.exp(-u / 65536)).max() < 2**-17
    chosen = [*range(300), *range(45_300, 45_600), *range(0, 1 << 20, 4093), 1 << 22, 2**32, 2**40]
    assert each(fixed_point.exponential, np.array(chosen)).tolist() == [
        by_hand.exponential(n) for n in chosen
    ]


def test_the_sigmoid_is_the_specification_and_rises():
    z = np.arange(-(1 << 20) - 5, (1 << 20) + 6)
    found = each(fixed_point.sigmoid, z)
    assert (np.diff(found) >= 0).all()
    assert found[len(z) // 2] == UNIT // 2
    assert (found + found[::-1] == UNIT).all()
    assert np.abs(found / UNIT - 1 / (1 + np.exp(-z / 65536))).max() < 2**-16
    chosen = [*range(-2100, 2100), *range(-(1 << 20) - 3, 1 << 20, 4093), -(2**31), 2**31 - 1]
    assert each(fixed_point.sigmoid, np.array(chosen)).tolist() == [
        by_hand.sigmoid(n) for n in chosen
    ]


@pytest.mark.parametrize("factor", FACTORS)
def test_sines_are_the_specification_in_every_quarter(factor):
    table = fixed_point.sine_table(factor)
    corners = [q * 2**30 + d for q in range(5) for d in (-65, -64, -1, 0, 1, 63, 64)]
    angles = [a % 2**32 for a in corners]
    angles += np.random.default_rng(0).integers(0, 2**32, 2000).tolist()
    found = [sine(angle, table) for angle in angles]
    assert found == [by_hand.sine(angle, factor) for angle in angles]
    exact = factor * np.sin(np.array(angles) / 2.0**31 * math.pi)
    assert np.abs(np.array(found) / UNIT - exact).max() < factor * 2**-17


ENDS = [-(2**31), 1 - 2**31, -1, 0, 1, 2**31 - 1]
NEAR_ZERO = np.arange(-(1 << 20) - 9, (1 << 20) + 10)
"""All values from -16 to 16."""


def _gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _gelu_tanh(x):
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("function", "by", "exact", "fraction", "error"),
    [
        ("tanh", by_hand.tanh, np.tanh, 24, 2**-15.3),
        ("softplus", by_hand.softplus, lambda x: np.logaddexp(0, x), 24, 2**-14.9),
        ("gelu", by_hand.gelu, _gelu, 16, 2**-15),
        ("gelu_tanh", by_hand.gelu_tanh, _gelu_tanh, 16, 2**-13),
    ],
)
def test_curves_are_the_specification_and_near_the_function(function, by, exact, fraction, error):
    compute = getattr(fixed_point, function)
    found = each(compute, NEAR_ZERO)
    assert np.abs(found / 2**fraction - exact(NEAR_ZERO / 65536)).max() < error
    chosen = [*ENDS, *range(-2100, 2100, 3), *range(-(1 << 20) - 3, 1 << 20, 4093)]
    assert each(compute, np.array(chosen)).tolist() == [by(n) for n in chosen]
    assert fixed_point.each(getattr(fixed_point, function.upper()), NEAR_ZERO).tolist() == (
        found.tolist()
    )


def test_tanh_is_odd_and_rises_and_softplus_rises():
    bends = each(fixed_point.tanh, NEAR_ZERO)
    assert (bends == -bends[::-1]).all()
    assert (np.diff(bends) >= 0).all()
    assert (np.diff(each(fixed_point.softplus, NEAR_ZERO)) >= 0).all()


def test_small_softplus_keeps_its_digits():
    """Steps of time of a recurrence are small: their relative error counts."""
    x = np.arange(-10 * 65536, -2 * 65536)
    exact = np.log1p(np.exp(x / 65536))
    assert np.abs(each(fixed_point.softplus, x) / UNIT / exact - 1).max() < 2**-9


def test_the_power_is_the_specification_and_rises():
    u = np.arange(-20 << 24, 5 << 24, 641)
    found = each(fixed_point.power, u)
    assert (np.diff(found) >= 0).all()
    exact = np.exp(u / UNIT)
    fits = exact < 127.9
    assert np.abs(found / UNIT - exact)[exact <= 1].max() < 2**-18
    assert np.abs(found / UNIT / exact - 1)[fits & (exact > 1)].max() < 2**-17
    chosen = [*ENDS, *range(-300, 300), *u[::977].tolist()]
    assert each(fixed_point.power, np.array(chosen)).tolist() == [by_hand.power(n) for n in chosen]
    assert fixed_point.power(0) == UNIT
    assert fixed_point.power(2**31 - 1) == 2**31 - 1
    assert fixed_point.power(-(2**31)) == 0


def test_a_slow_decay_keeps_its_time():
    """1 - exp(-u) of small u: what is lost per step decides how long a memory lasts."""
    u = np.arange(1 << 9, 1 << 20)
    lost = UNIT - each(fixed_point.power, -u)
    exact = -np.expm1(-u / UNIT)
    assert np.abs(lost / UNIT / exact - 1).max() < 2**-8


@given(VALUE)
def test_roots_and_angles_are_the_specification(x):
    assert fixed_point.root(x) == by_hand.root(x)
    if x > 0:
        assert abs(fixed_point.root(x) / 65536 - 256 / math.sqrt(x)) <= 2**-16
    table = fixed_point.sine_table(1.0)
    found = fixed_point.sines(np.array([x]), 1 << 30, table)
    assert found.tolist() == [by_hand.sine((by_hand.turned(x) + 2**30) % 2**32, 1.0)]
    assert found[0] / UNIT == pytest.approx(math.cos(x / 65536), abs=2**-14)


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**41), st.sampled_from([12, 24]))
def test_quotients_are_cut_towards_zero(a, b, fraction):
    if abs(a) << fraction >= b << 31:
        return  # beyond what the divider promises
    if b << fraction >= 2**63:
        return
    assert fixed_point.divided(a, b, fraction) == by_hand.divided(a, b, fraction)


@pytest.mark.parametrize(
    ("a", "b", "fraction"),
    [
        (0, 1, 12), (1, 3, 24), (-1, 3, 24), (2**24, 2**24, 24), (2**39 - 1, 2**24, 12),
        (-(2**39), 2**24, 12), ((2**23 - 1) * 2**16 * 131072, 2**24 * 131073, 12),
    ],
)  # fmt: skip
def test_quotients_at_the_ends(a, b, fraction):
    assert fixed_point.divided(a, b, fraction) == by_hand.divided(a, b, fraction)


def test_the_inverse_root_is_the_largest_that_fits():
    ends = [2**30, 2**30 + 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
    squares = [
        n * n + d for n in range(32768, 65536, 977) for d in (-1, 0, 1) if n * n + d >= 2**30
    ]
    many = np.random.default_rng(1).integers(2**30, 2**32, 3000).tolist()
    for m in [*ends, *squares, *many]:
        r = inverse_root(m)
        assert r * r * m <= 2**78 < (r + 1) ** 2 * m
        assert 2**23 <= r <= 2**24


def test_turns_are_nearest_for_gpt_oss():
    """Angles per position of a whole turn's 2^32, against fractions of 50 digits of pi."""
    frequencies = (150_000.0 ** -(np.arange(32) / 32)).astype(np.float32)
    two_pi = 2 * Fraction(by_hand.pi())
    exact = [by_hand.nearest(Fraction(float(f)) / two_pi * 2**32) for f in frequencies]
    assert fixed_point.turns(frequencies).tolist() == exact


def test_query_factors_are_nearest():
    for size in (2, 16, 32, 64, 96, 128, 4096):
        scaled = Fraction(2 * fixed_point.score_factor(1 / math.sqrt(size)) - 1, 2**17)
        assert scaled**2 <= Fraction(1, size) < (scaled + Fraction(1, 2**16)) ** 2
