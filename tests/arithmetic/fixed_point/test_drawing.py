"""The chip's generator and its draw, against lists of bits and exact fractions."""

import itertools
from math import inf, nan

import numpy as np
import pytest

import by_hand
from hnlpu.arithmetic.fixed_point import Random, chip_sample, inverse_temperature
from hnlpu.errors import InvalidInput

SEEDS = (0, 1, 2, 1234567, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15)


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_xorshift64s(seed):
    ours, theirs = Random(seed), by_hand.Random(seed)
    numbers = [ours.next() for _ in range(50)]
    assert numbers == [theirs.next() for _ in range(50)]
    assert all(0 <= n < 2**32 for n in numbers)
    assert len(set(numbers)) == 50


def test_nearby_seeds_do_not_start_alike():
    """A good generator's first bits differ in half of all places."""
    firsts = [Random(seed).next() for seed in range(200)]
    apart = [(a ^ b).bit_count() for a, b in itertools.pairwise(firsts)]
    assert 14 < np.mean(apart) < 18


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed):
    with pytest.raises(InvalidInput, match="2\\^64"):
        Random(seed)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0, 0), (1, 65536), (0.5, 131072), (2, 32768), (0.7, 93623), (65536, 1), (131072, 1)],
)
def test_temperatures_become_their_inverse(temperature, expected):
    assert inverse_temperature(temperature) == expected


@pytest.mark.parametrize("temperature", [2**-15, 3e-5, 1e-30, 1e-320, 132000.0, 1e300, inf, nan])
def test_temperatures_whose_inverse_does_not_fit_are_refused(temperature):
    with pytest.raises(InvalidInput, match="temperature"):
        inverse_temperature(temperature)


def test_greedy_takes_the_first_of_the_largest_and_draws_nothing():
    random = Random(3)
    before = random.state
    assert chip_sample(np.array([-5, 7, 7, 3]), 0, random) == 1
    assert random.state == before


@pytest.mark.parametrize("inverse", [1, 32768, 65536, 131072, 2**31 - 1])
def test_draws_are_the_specification(inverse):
    random = np.random.default_rng(5)
    ours, theirs = Random(9), by_hand.Random(9)
    for spread in (1000, 65536, 2**20, 2**30):
        logits = random.integers(-spread, spread, 60)
        for _ in range(5):
            expected = by_hand.sample(logits.tolist(), inverse, theirs)
            assert chip_sample(logits, inverse, ours) == expected


class Given:
    """A generator whose next number is known."""

    def __init__(self, number):
        self.number = number

    def next(self):
        return self.number


def test_a_sum_must_exceed_what_was_drawn():
    """At the boundary between two equal logits, and at the ends of all numbers."""
    logits = np.array([5, 5])
    for number, expected in ((0, 0), (2**31 - 1, 0), (2**31, 1), (2**32 - 1, 1)):
        assert chip_sample(logits, 65536, Given(number)) == expected
    nothing_left_of_the_first = np.array([-(2**31), 0])
    assert chip_sample(nothing_left_of_the_first, 65536, Given(0)) == 1


def test_draws_at_the_ends_of_values():
    ends = np.array([-(2**31), 2**31 - 1, -(2**31), 2**31 - 1])
    for seed in range(8):
        expected = by_hand.sample(ends.tolist(), 1, by_hand.Random(seed))
        assert chip_sample(ends, 1, Random(seed)) == expected


def test_draws_follow_the_softmax():
    logits = (65536 * np.array([0.0, 1.0, -1.0, 2.0, 0.5])).astype(np.int64)
    exact = np.exp(logits / 65536 / 0.8)
    exact /= exact.sum()
    random, inverse = Random(1), inverse_temperature(0.8)
    drawn = np.bincount([chip_sample(logits, inverse, random) for _ in range(4000)], minlength=5)
    deviation = (drawn - 4000 * exact) / np.sqrt(4000 * exact * (1 - exact))
    assert np.abs(deviation).max() < 4
