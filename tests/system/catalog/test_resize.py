"""Grids of another number of chips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import load_system, near_square, resized


@given(st.integers(1, 3000))
def test_a_grid_holds_the_chips_and_little_more(chips: int) -> None:
    rows, columns = near_square(chips)
    assert rows * columns >= chips
    assert max(rows, columns) <= 2 * min(rows, columns)
    # a square of the next size always does
    side = next(n for n in range(1, 100) if n * n >= chips)
    assert rows * columns <= side * side


def test_heads_bound_the_columns() -> None:
    assert near_square(257) == (20, 13)
    assert near_square(72, most_columns=6)[1] <= 6
    with pytest.raises(InvalidInput, match="1000 chips make no grid of at most 2 columns"):
        near_square(1000, most_columns=2)


def test_a_resized_system_is_sound_and_claims_nothing() -> None:
    system = load_system("hnlpu-asplos26")
    small = resized(system, 5)
    assert small.machine
    assert small.chips == small.machine.chips == 6
    assert small.published("gpt-oss-120b") is None
    assert small.power.system.value == pytest.approx(6900 * 6 / 16)
    assert type(system).model_validate(small.model_dump() | {"name": "small"}).chips == 6
    with pytest.raises(InvalidInput, match=r"h100 has no \[machine\]"):
        resized(load_system("h100"), 2)
