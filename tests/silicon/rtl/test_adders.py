"""Trees of adders add, with as many adders as counting says; accumulators hold every sum."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rtl_arrays import shape_of

from hnlpu.silicon.embed._silicon import popcount_adders
from hnlpu.silicon.rtl._adders import Adders, add_columns

_INSTANCE = re.compile(r"hnlpu_(full|half)_adder .*? \((.*), \.sum\((\w+)\), \.carry\((\w+)\)\);")


def evaluate(adders: Adders, values: dict[str, int]) -> tuple[int, int]:
    """The sum, and the carries that leave it, by running the text in its order."""
    values = {"'0": 0, **values}
    for _, pins, total, carry in _INSTANCE.findall(adders.text):
        ones = sum(values[signal] for signal in re.findall(r"\.\w\(([^)]*)\)", pins))
        values[total], values[carry] = ones & 1, ones >> 1
    result = sum(values[signal] << bit for bit, signal in enumerate(adders.sum))
    return result, sum(values[signal] for signal in adders.spilled)


@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_a_count_is_the_number_of_ones(inputs: int, seed: int) -> None:
    adders = add_columns([[f"b{n}" for n in range(inputs)]], inputs.bit_length())
    assert (adders.full, adders.half) == popcount_adders(inputs)
    bits = np.random.default_rng(seed).integers(0, 2, inputs).tolist()
    for ones in (bits, [1] * inputs, [0] * inputs):
        found = evaluate(adders, {f"b{n}": bit for n, bit in enumerate(ones)})
        assert found == (sum(ones), 0)


@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_second_tree_adds_counts_at_their_columns(blocks: int, reach: int, seed: int) -> None:
    shape = shape_of(scale_range=reach, blocks=blocks)
    names = [[f"e{n}.{j}" for n in range(blocks)] for j in range(shape.column_bits)]
    adders = add_columns(names, shape.sum_bits)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 33, blocks) << rng.integers(0, reach + 1, blocks)
    for entries in (drawn.tolist(), [32 << reach] * blocks):
        values = {
            f"e{n}.{j}": entry >> j & 1 for n, entry in enumerate(entries)
            for j in range(shape.column_bits)
        }  # fmt: skip
        assert evaluate(adders, values) == (sum(entries), 0)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(2, 16), st.data())
def test_accumulators_hold_the_largest_sums(
    digits: int, blocks: int, bits: int, data: st.DataObject
) -> None:
    shape = shape_of(digits=digits, blocks=blocks, activation_bits=bits)
    sums = st.sampled_from([0, 1, shape.largest_sum - 1, shape.largest_sum])
    drawn = data.draw(st.lists(sums, min_size=shape.steps, max_size=shape.steps))
    for steps in (drawn, [shape.largest_sum] * shape.steps):
        high = 0
        for total in steps[:-1]:
            high = high // 2 + total
            assert 0 <= high < 1 << shape.high_bits
        high = high // 2 - steps[-1]
        assert -(1 << shape.high_bits - 1) <= high < 1 << shape.high_bits - 1
