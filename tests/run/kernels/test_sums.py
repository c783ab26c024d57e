"""The C kernels' integers: every instruction set, both ways, against the weights' definition."""

import os
import threading

import numpy as np
import pytest

from hnlpu.run.emulate import _projection as projection
from hnlpu.run.emulate import integer_sums, project, ways_to_sum
from hnlpu.run.kernels import NotForKernels, Product, describe, load
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix
from kernel_samples import random_activations, random_matrix

LIBRARY, REASON = load()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=REASON)
SETS = LIBRARY.instructions if LIBRARY else ()
BOTH = [(name, way) for name in SETS for way in (1, 2)]


def sums(matrix, x, name, way):
    return LIBRARY.sums(matrix, x, instructions=SETS.index(name), way=way)


@pytest.mark.parametrize("seed", range(24))
def test_any_shape_any_spread_any_width(seed):
    random = np.random.default_rng(seed)
    rows, blocks = int(random.integers(1, 140)), int(random.integers(1, 12 if seed % 3 else 50))
    spread = int(random.choice([0, 5, 10, 11, 13, 14, 20]))
    matrix = random_matrix(random, rows, blocks, int(random.integers(1, 3)), spread)
    tokens = int(random.choice([1, 2, 3, 4, 5, 7, 12, 13, 31]))
    x = random_activations(random, tokens, matrix.columns, int(random.integers(2, 17)))
    expected = x.astype(np.int64) @ matrix.integers().T
    for name, way in BOTH:
        assert np.array_equal(sums(matrix, x, name, way), expected), (name, way)


@pytest.mark.parametrize(("name", "way"), BOTH)
@pytest.mark.parametrize("spread", [0, 10, 11, 13, 14, 20])
def test_the_largest_sums_do_not_overflow(name, way, spread):
    codes = np.full((33, 90, 16), 0xFF, np.uint8)  # -12 twice a byte
    exponents = np.full((33, 90), 100 + spread, np.uint8)
    exponents[:, 0] = 100
    matrix = HardwiredMatrix((Digit(codes, exponents),) * 2, np.full(33, 100, np.uint8), None)
    x = np.full((13, matrix.columns), -(2**15), np.int32)
    whole = 2 * 12 * 2**15 * 32 * (1 + 89 * 2**spread)
    assert (sums(matrix, x, name, way) == whole).all()


@pytest.mark.parametrize(("name", "way"), BOTH)
@pytest.mark.parametrize("value", [-32768, -32641, -129, -128, 127, 128, 32639, 32640, 32767])
def test_planes_of_bytes_hold_every_activation(name, way, value):
    matrix = random_matrix(np.random.default_rng(1), 5, 3, 1, 4)
    x = np.full((1, 96), value, np.int32)
    assert np.array_equal(sums(matrix, x, name, way), x.astype(np.int64) @ matrix.integers().T)


def test_rows_of_every_kind_side_by_side():
    """What is remembered of a row, which is how far its exponents spread, holds for later calls."""
    random = np.random.default_rng(6)
    codes = random.integers(0, 256, (24, 40, 16), np.uint8)
    exponents = np.full((24, 40), 100, np.uint8)
    exponents[4:, ::2] += np.array([3, 12, 13, 14, 27] * 4, np.uint8)[:, None]
    codes[9, 3] = 0x80  # zeros that lie far above all else
    exponents[9, 3] = 200
    matrix = HardwiredMatrix((Digit(codes, exponents),), np.full(24, 100, np.uint8), None)
    described, weights = describe(matrix), matrix.integers()
    for tokens, bits in ((1, 12), (3, 8), (1, 8), (17, 12), (2, 16)):
        x = random_activations(random, tokens, matrix.columns, bits)
        expected = x.astype(np.int64) @ weights.T
        for number in range(len(SETS)):
            found = LIBRARY.sums(described, x, instructions=number, way=1)
            assert np.array_equal(found, expected), (SETS[number], tokens, bits)


def test_all_are_entered_for_those_who_compare():
    entered = [name for name in ways_to_sum() if name.startswith("C ")]
    assert len(entered) == 2 * len(SETS)
    assert "portable" in SETS


@pytest.mark.parametrize("value", [2**15, -(2**15) - 1, 2**20])
def test_wider_activations_are_left_to_numba(value):
    matrix = random_matrix(np.random.default_rng(2), 4, 2, 1, 3)
    x = np.full((1, 64), value, np.int32)
    with pytest.raises(NotForKernels):
        LIBRARY.sums(matrix, x)
    assert np.array_equal(integer_sums(matrix, x), x.astype(np.int64) @ matrix.integers().T)


def test_a_spread_beyond_any_build_is_not_computed_wrongly():
    codes = np.full((1, 2, 16), 0x11, np.uint8)
    matrix = HardwiredMatrix(
        (Digit(codes, np.array([[10, 40]], np.uint8)),), np.array([10], np.uint8), None
    )
    x = np.ones((8, 64), np.int32)
    with pytest.raises(NotForKernels):
        LIBRARY.sums(matrix, x, way=2)
    assert (integer_sums(matrix, x) == 32 + (32 << 30)).all()


@pytest.mark.parametrize("tokens", [1, 6, 9])
def test_floats_are_those_of_the_numba_kernels(tokens, monkeypatch):
    random = np.random.default_rng(tokens)
    matrix = random_matrix(random, 70, 5, 2, 15, bias=True)
    x = random_activations(random, tokens, 160, 12)
    scales = random.integers(-40, 20, tokens).astype(np.int32)
    found = project(matrix, x, scales)
    monkeypatch.setattr(projection, "load", lambda: (None, "not here"))
    assert np.array_equal(found.view(np.int32), project(matrix, x, scales).view(np.int32))


@pytest.mark.parametrize("name", SETS)
def test_sums_of_any_size_become_floats_rounded_once(name, monkeypatch):
    monkeypatch.setattr(LIBRARY, "_chosen", SETS.index(name))
    random = np.random.default_rng(5)
    matrix = random_matrix(random, 75, 40, 2, 20, bias=True)
    x = random_activations(random, 3, matrix.columns, 16)
    x[1], x[2] = np.sign(matrix.integers()[7]) * 32767, 0
    scales = np.array([-31, 9, 0], np.int32)
    exact = matrix.integers().astype(object) @ x.T.astype(object)
    assert abs(exact).max() > 2**40, "both halves of 64 bits are met"
    units = 2.0 ** (matrix.row_exponents[:, None].astype(float) - 128 + scales)
    expected = (exact.astype(float) * units).astype(np.float32) + matrix.bias[:, None]
    found = LIBRARY.project([Product(describe(matrix), x, scales)])[0]
    assert np.array_equal(found.view(np.int32), expected.T.view(np.int32))


def test_callers_on_many_threads_do_not_meet():
    random = np.random.default_rng(3)
    matrix = random_matrix(random, 500, 8, 1, 5)
    inputs = [random_activations(random, tokens, 256, 12) for tokens in (1, 2, 9, 30)]
    expected = [x.astype(np.int64) @ matrix.integers().T for x in inputs]
    wrong = []

    def work(i):
        wrong.extend(
            i for _ in range(40) if not np.array_equal(LIBRARY.sums(matrix, inputs[i]), expected[i])
        )

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads):
    random = np.random.default_rng(4)
    matrix = random_matrix(random, 700, 4, 1, 5)
    x = random_activations(random, 3, 128, 12)
    try:
        LIBRARY.set_threads(threads)
        assert np.array_equal(LIBRARY.sums(matrix, x), x.astype(np.int64) @ matrix.integers().T)
    finally:
        LIBRARY.set_threads(len(os.sched_getaffinity(0)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_its_own_helpers():
    random = np.random.default_rng(5)
    matrix = random_matrix(random, 700, 4, 1, 5)
    x = random_activations(random, 1, 128, 12)
    expected = LIBRARY.sums(matrix, x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(LIBRARY.sums(matrix, x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
