"""Masks as stated and as scanners print them: counts and money, by hand."""

from __future__ import annotations

import pytest

from hnlpu.silicon.technology import load_technology
from hnlpu.system.catalog import System, load_model, load_system
from hnlpu.system.cost import (
    MaskPlan,
    assume,
    end,
    estimate,
    layer_way,
    mask_plans,
    plan_estimate,
)

PAPER, MODEL = load_system("hnlpu-asplos26"), load_model("gpt-oss-120b")


def plans(system: System = PAPER, chips: int = 16) -> dict[str, MaskPlan]:
    return {plan.name: plan for plan in mask_plans(system, MODEL, chips)}


def test_layers_of_the_paper_by_hand() -> None:
    assert PAPER.prices
    lithography = load_technology("n5").lithography
    assert lithography
    found = {
        layer.name.partition(" ")[0]: layer_way(layer, lithography)
        for layer in PAPER.prices.masks.layer if layer.programmable
    }  # fmt: skip
    # 80 nm: k1 0.28, so two masks by turns; 120 nm: 0.42, one is enough
    counts = {name: (way.programmable, way.shared) for name, way in found.items()}
    assert counts == {
        "VIA7": (2, 0), "M8": (4, 1), "VIA8": (2, 0), "M9": (4, 1), "VIA9": (2, 0),
        "M10": (1, 0), "VIA10": (1, 0), "M11": (1, 0),
    }  # fmt: skip
    assert found["VIA7"].k1 == pytest.approx(40 * 1.35 / 193)
    assert found["VIA10"].k1 == pytest.approx(60 * 1.35 / 193)
    assert found["M10"].method == "single"


def test_plans_of_the_paper_s_machine() -> None:
    found = plans()
    assert list(found) == ["stated", "exposures", "taps", "regions"]
    assert found["stated"].programmable == (10, 10, 10)
    assert found["exposures"].programmable[1] == 2 + 4 + 2 + 4 + 2 + 1 + 1 + 1
    assert found["taps"].programmable == (4, 4, 4)
    assert found["regions"].programmable[1] == 2 + 4 + 2
    # the set less VIA8, M9 mandrel, M9 cut and VIA9, and a mandrel that no weights change
    assert found["regions"].shared == 70 - 4 + 1
    assert found["taps"].shared == 68
    for plan in found.values():
        low, value, high = plan.programmable
        assert low <= value <= high


def test_the_stated_plan_is_the_published_price() -> None:
    for which in ("low", "value", "high"):
        a = assume(PAPER, end(which))
        base = estimate(a, 16, 50, 2)
        again = plan_estimate(plans()["stated"], PAPER, a, base)
        for key in ("masks_musd", "nre_musd", "respin_musd", "masks_t"):
            assert float(getattr(again, key)) == pytest.approx(float(getattr(base, key)))


def test_price_of_exposures_by_hand() -> None:
    a = assume(PAPER, end("low"))
    base = estimate(a, 16)
    priced = plan_estimate(plans()["exposures"], PAPER, a, base)
    mask = 15 / 130  # M$, of a DUV mask
    assert float(priced.chip_masks_musd) == pytest.approx(16 * 17 * mask)
    assert float(priced.shared_masks_musd) == pytest.approx((120 + 2) * mask)
    assert float(priced.respin_musd - base.respin_musd) == pytest.approx(16 * 7 * mask)
    assert float(priced.system_musd) == float(base.system_musd)


def test_sky130_needs_no_more_masks_than_its_file_states() -> None:
    found = plans(load_system("sky130-one"), 1)
    assert found["taps"].programmable == found["stated"].programmable == (2, 2, 2)
    assert "exposures" not in found  # its file says nothing of half pitches


def test_a_bank_of_one_has_taller_rows_and_fewer_masks() -> None:
    dense = {p.name: p for p in mask_plans(PAPER, load_model("qwq-32b"), 16)}
    assert dense["taps"].programmable == (3, 3, 3)
