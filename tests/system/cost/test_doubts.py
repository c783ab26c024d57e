"""Bands and tornados: what is uncertain moves the result, what is certain does not."""

from __future__ import annotations

from typing import Any

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import find_quantity, load_system
from hnlpu.system.cost import Assumptions, assume, bands, doubts, estimate, tornado

SYSTEM = load_system("hnlpu-asplos26")


def outcome(a: Assumptions) -> dict[str, Any]:
    e = estimate(a, 16, 1, 2)
    return {"tco": e.tco_musd, "nre": e.nre_musd, "chips": e.chips}


def test_every_doubt_holds_its_value_and_is_of_the_file() -> None:
    found = list(doubts(SYSTEM))
    assert len(found) >= 15
    assert len({d.key for d in found}) == len(found)
    for d in found:
        quantity = find_quantity(SYSTEM, d.key)
        assert quantity
        assert d.low <= quantity.value <= d.high
        assert d.low < d.high
        assert d.source


def test_doubts_of_our_own_leave_the_source_s_ends_alone() -> None:
    price = next(d for d in doubts(SYSTEM) if d.key == "prices.wafer.price")
    assert (price.low, price.high) == (13_000, 20_000)
    assert SYSTEM.prices
    assert not SYSTEM.prices.wafer.price.uncertain


def test_bands_are_in_order_seeded_and_about_the_value() -> None:
    found = bands(SYSTEM, outcome, trials=4000, seed=3)
    value = float(outcome(assume(SYSTEM))["tco"])
    band = found["tco"]
    assert band.low < band.median < band.high
    assert band.low < value < band.high
    assert bands(SYSTEM, outcome, trials=4000, seed=3) == found
    assert bands(SYSTEM, outcome, trials=4000, seed=4)["tco"] != band
    assert found["chips"].low == found["chips"].high == 16


def test_bands_lie_within_the_extremes_of_all_doubts() -> None:
    swings = tornado(SYSTEM, outcome, "tco")
    value = float(outcome(assume(SYSTEM))["tco"])
    reach = sum(s.width for s in swings)
    band = bands(SYSTEM, outcome, trials=2000)["tco"]
    assert value - reach < band.low
    assert band.high < value + reach


def test_a_tornado_is_sorted_and_masks_are_on_top() -> None:
    swings = tornado(SYSTEM, outcome, "tco")
    widths = [s.width for s in swings]
    assert widths == sorted(widths, reverse=True)
    assert swings[0].doubt.key == "prices.masks.set_price"
    # carbon of the grid moves no money
    assert "ownership.grid_carbon" not in {s.doubt.key for s in swings}
    assert tornado(SYSTEM, outcome, "chips") == []


@pytest.mark.parametrize("trials", [0, 19, 1_000_001])
def test_trials_without_sense_are_refused(trials: int) -> None:
    with pytest.raises(InvalidInput, match="take 20 to 1,000,000"):
        bands(SYSTEM, outcome, trials=trials)
