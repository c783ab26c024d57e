"""How many chips hold a model: one formula, whoever asks."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.errors import DoesNotFit
from hnlpu.system.catalog import chips_needed, load_model, load_system, model_names
from hnlpu.system.cost import assume
from hnlpu.system.cost import chips_needed as priced
from hnlpu.system.design import open_target
from hnlpu.system.explore import load_options, published_design
from hnlpu.system.machine import specification


@given(st.floats(1e3, 1e14), st.floats(0.003, 30), st.floats(1, 70_000))
def test_the_fewest_chips_hold_all_bits(bits, um2_per_bit, array_mm2):
    chips = int(chips_needed(bits, um2_per_bit, array_mm2))
    needed = Fraction(bits) * Fraction(um2_per_bit) / 10**6
    one = Fraction(array_mm2)
    assert chips >= 1
    near = one * Fraction(2, 10**9) + needed / 10**14
    assert needed <= chips * one + near
    assert chips == 1 or needed > (chips - 1) * one - near


def test_arrays_of_bits_are_numbers_of_bits():
    bits = np.array([1.0, 5e11, 9e12])
    together = chips_needed(bits, 0.0179, 573.16)
    assert together.tolist() == [float(chips_needed(b, 0.0179, 573.16)) for b in bits]
    assert together.tolist() == [1, math.ceil(5e11 * 0.0179 / 573.16e6), 282]


@pytest.mark.parametrize("name", model_names())
def test_cost_simulation_and_search_need_the_same_chips(name):
    system, model = load_system("hnlpu-asplos26"), load_model(name)
    chips = system.chips_for(model.hardwired_bits())
    assert int(priced(model.hardwired_bits(), assume(system))) == chips
    design = published_design(system, model, load_options(), specification(system))
    assert design.chips >= chips
    assert (design.rows - 1) * design.columns < chips
    if chips > 1:
        with pytest.raises(DoesNotFit, match=f"needs {chips} chips"):
            open_target("hnlpu-asplos26", name, grid=(1, chips - 1))
    if chips <= 256:
        assert open_target("hnlpu-asplos26", name, grid=(chips, 1)).specification.chips == chips
