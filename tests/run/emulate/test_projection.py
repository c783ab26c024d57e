"""Every path to y_int, and activation rounding, equal the golden model."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.mx import pack, unpack
from hnlpu.errors import NotFinite
from hnlpu.run.emulate import integer_sums, project, quantize_activations, ways_to_sum
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts


@st.composite
def matrices(draw, most_digits=2):
    """Any hardwired matrix: shapes, exponents up to the allowed spread, zeros of both signs."""
    rows = draw(st.integers(1, 4))
    blocks = draw(st.integers(1, 4))
    base = draw(st.integers(0, 234))
    found = []
    for _ in range(draw(st.integers(1, most_digits))):
        codes = draw(hnp.arrays(np.uint8, (rows, 32 * blocks), elements=st.integers(0, 15)))
        silent = draw(hnp.arrays(np.bool_, (rows, blocks)))
        codes = np.where(np.repeat(silent, 32, axis=1), codes & 8, codes).astype(np.uint8)
        exponents = draw(
            hnp.arrays(np.uint8, (rows, blocks), elements=st.integers(base, base + 20))
        )
        # a block of zeros may carry any exponent at all
        wild = draw(hnp.arrays(np.uint8, (rows, blocks), elements=st.integers(0, 254)))
        found.append(Digit(pack(codes), np.where(silent, wild, exponents).astype(np.uint8)))
    return HardwiredMatrix(tuple(found), row_facts(tuple(found)).row_exponents, None)


def golden_weights(matrix, row):
    codes = [unpack(d.codes[row]).tolist() for d in matrix.digits]
    exponents = [d.exponents[row].tolist() for d in matrix.digits]
    base = golden.row_exponent(codes, exponents)
    if base is None:
        return [0] * matrix.columns
    assert base == matrix.row_exponents[row]
    return [
        golden.integer_weight([c[i] for c in codes], [e[i // 32] for e in exponents], base)
        for i in range(matrix.columns)
    ]


@given(matrices(), st.data())
def test_every_way_to_sum_is_the_golden_model(matrix, data):
    bits = data.draw(st.integers(2, 16))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    tokens = data.draw(st.integers(1, 3))
    element = st.one_of(st.sampled_from([low, high, 0, -1]), st.integers(low, high))
    x = data.draw(hnp.arrays(np.int32, (tokens, matrix.columns), elements=element))
    weights = [golden_weights(matrix, row) for row in range(matrix.rows)]
    expected = [[golden.neuron(w, [int(v) for v in row]) for w in weights] for row in x]
    for name, way in ways_to_sum().items():
        assert way(matrix, x).tolist() == expected, name
    assert matrix.integers().tolist() == weights


@given(matrices())
def test_magnitude_bounds_every_sum(matrix):
    facts = row_facts(matrix.digits)
    for row in range(matrix.rows):
        assert facts.magnitudes[row] >= sum(abs(w) for w in golden_weights(matrix, row))
        if len(matrix.digits) == 1:
            assert facts.magnitudes[row] == sum(abs(w) for w in golden_weights(matrix, row))


def test_both_ways_are_taken():
    random = np.random.default_rng(0)
    digit = Digit(
        random.integers(0, 256, (5, 3, 16), dtype=np.uint8),
        random.integers(120, 130, (5, 3), dtype=np.uint8),
    )
    matrix = HardwiredMatrix((digit,), row_facts((digit,)).row_exponents, None)
    x = random.integers(-2048, 2048, (200, 96), dtype=np.int32)
    expected = x.astype(np.int64) @ matrix.integers().T
    for tokens in (1, 3, 200):
        assert (integer_sums(matrix, x[:tokens]) == expected[:tokens]).all()


@given(
    hnp.arrays(
        np.float32,
        (2, 5),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True),
    ),
    st.integers(2, 16),
)
def test_activation_rounding_is_the_golden_model(x, bits):
    integers, scales = quantize_activations(x, bits)
    for row in range(2):
        expected, s = golden.quantize_activations([float(v) for v in x[row]], bits)
        assert (integers[row].tolist(), int(scales[row])) == (expected, s)


@pytest.mark.parametrize("values", [[127.4], [127.5], [-128.5], [-128.6], [127.5, -128.5], [0.0]])
def test_activation_rounding_at_the_edges(values):
    integers, scales = quantize_activations(np.array([values], np.float32), 8)
    assert (integers[0].tolist(), int(scales[0])) == golden.quantize_activations(values, 8)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_are_refused(bad):
    with pytest.raises(NotFinite):
        quantize_activations(np.array([[1.0, bad]], np.float32), 8)


@given(matrices(most_digits=1), st.data())
def test_output_is_rounded_once(matrix, data):
    x = data.draw(hnp.arrays(np.int32, (1, matrix.columns), elements=st.integers(-2048, 2047)))
    s = data.draw(st.integers(-60, 40))
    y = project(matrix, x, np.array([s], np.int32))[0]
    for row in range(matrix.rows):
        total = golden.neuron(golden_weights(matrix, row), [int(v) for v in x[0]])
        exact = golden.output(total, int(matrix.row_exponents[row]), s)
        if abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103:
            assert np.isinf(y[row])
        else:
            # float() of a fraction rounds once to float64, which holds these exactly
            assert Fraction(float(exact)) == exact
            assert y[row] == np.float32(float(exact))
