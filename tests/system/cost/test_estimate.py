"""Money, power and carbon of systems: identities, a case by hand, arrays as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import load_model, load_system, model_names
from hnlpu.system.cost import (
    WAYS,
    assume,
    chips_needed,
    end,
    estimate,
    mask_bill,
    own_bought,
    weight_bits,
)

SYSTEM = load_system("hnlpu-asplos26")


def test_masks_layer_by_layer_sum_to_the_set() -> None:
    assert SYSTEM.prices
    bill = mask_bill(SYSTEM.prices.masks)
    assert sum(layer.low_musd for layer in bill) == pytest.approx(15)
    assert sum(layer.high_musd for layer in bill) == pytest.approx(30)
    assert sum(layer.masks for layer in bill) == 70
    euv = sum(layer.low_musd for layer in bill if layer.exposure == "EUV")
    assert euv == pytest.approx(15 * 72 / 130)
    programmable = [layer for layer in bill if layer.programmable]
    assert sum(layer.masks for layer in programmable) == 10
    a = assume(SYSTEM, end("low"))
    assert sum(layer.low_musd for layer in programmable) == pytest.approx(float(a.chip_masks_musd))


def test_a_case_by_hand() -> None:
    e = estimate(assume(SYSTEM, end("low")), chips=2, systems=3, respins=1)
    chip = 16988 / 27 + 3000 / 27 + 1920 + 1900
    one_system = 2 * chip / 1e6
    masks = 2 * 15 * 10 / 130
    first = 15 * 120 / 130 + 26.87 + masks + 3 * one_system
    megawatts = 3 * 2 * 6.9 / 16 / 1e3 * 1.4
    capex = first + 45_000 / 1e6 + 12 * megawatts  # six chips share one network
    electricity = megawatts * 26_280 * 95 / 1e6
    assert float(e.first_build_musd) == pytest.approx(first)
    assert float(e.owned.capex_musd) == pytest.approx(capex)
    # one spare system, and a re-spin of everything
    total = capex + electricity + one_system + masks + 3 * one_system
    assert float(e.tco_musd) == pytest.approx(total)
    carbon = megawatts * 26_280 * 0.38 + 2 * 6 * 0.1249
    assert float(e.tco2e) == pytest.approx(carbon)
    assert float(e.masks_t) == pytest.approx((60 + 2 * 10 * 2) * 20 / 1e3)


def test_more_re_spins_cost_one_re_spin_more_each() -> None:
    a = assume(SYSTEM)
    costs = [float(estimate(a, 16, 5, k).tco_musd) for k in range(4)]
    assert np.diff(costs) == pytest.approx(float(estimate(a, 16, 5).respin_musd))


def test_arrays_give_what_numbers_give() -> None:
    chips, systems, area, power = (
        np.array([1, 16, 40.0]), np.array([1, 10, 50.0]), np.array([400, 827.08, 830]),
        np.array([0.2, 0.43, 1.0]),
    )  # fmt: skip
    together = estimate(assume(SYSTEM, die_mm2=area, chip_kw=power), chips, systems, 2)
    for i in range(3):
        a = assume(SYSTEM, die_mm2=float(area[i]), chip_kw=float(power[i]))
        alone = estimate(a, float(chips[i]), float(systems[i]), 2)
        for name in ("tco_musd", "nre_musd", "tco2e", "power_w", "area_mm2"):
            assert getattr(together, name)[i] == pytest.approx(float(getattr(alone, name))), name


def test_a_die_that_never_yields_is_beyond_all_prices_not_an_error() -> None:
    a = assume(SYSTEM, die_mm2=np.array([827.08, 60_000.0]))
    tco = estimate(a, 16).tco_musd
    assert tco[0] < 100
    assert 1e8 < tco[1] < np.inf


@pytest.mark.parametrize("name", model_names())
def test_chips_hold_the_bits_and_one_chip_less_does_not(name: str) -> None:
    a = assume(SYSTEM)
    for way in WAYS:
        bits = weight_bits(load_model(name), way)
        chips = float(chips_needed(bits, a))
        capacity = a.array_mm2 * 1e6 / a.um2_per_bit
        assert (chips - 1) * capacity < bits * (1 + 1e-9) <= chips * capacity * (1 + 1e-6)


def test_the_paper_s_model_takes_the_paper_s_chips_however_its_bits_are_counted() -> None:
    model = load_model("gpt-oss-120b")
    a = assume(SYSTEM)
    assert [float(chips_needed(weight_bits(model, way), a)) for way in WAYS] == [16, 16, 16]


def test_what_is_bought_cannot_be_built() -> None:
    with pytest.raises(InvalidInput, match="h100 is bought, not built"):
        assume(load_system("h100"))
    with pytest.raises(InvalidInput, match="roma has no price"):
        own_bought(load_system("roma"), 1)
