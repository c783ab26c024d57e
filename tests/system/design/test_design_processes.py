"""A process is a data file: another one moves the area, the price and the audit of the same model."""

from __future__ import annotations

from pathlib import Path

import pytest

from hnlpu.silicon.technology import load_technology, technology_names
from hnlpu.system.audit import audit
from hnlpu.system.cost import OwnershipPlan, cost
from hnlpu.system.design import Design, design

MODEL = str(Path(__file__).parents[3] / "checkpoints" / "stdlib-140k")


@pytest.fixture(scope="module")
def designs() -> dict[str, Design]:
    return {name: design(MODEL, technology=name) for name in technology_names()}


def test_arrays_shrink_with_the_process(designs: dict[str, Design]) -> None:
    areas = {n: d.system.area_for("neuron arrays") for n, d in designs.items()}
    for larger, smaller in (("gf180", "sky130"), ("ihp_sg13g2", "sky130"), ("sky130", "n7"),
                            ("n7", "n5"), ("n5", "n3")):  # fmt: skip
        assert areas[larger] > areas[smaller], (larger, smaller)
    # a bound by hand: transistors alone, at the density of the file
    transistors = {
        n: areas[n] * load_technology(n).silicon.density.value for n in designs
    }  # fmt: skip
    assert max(transistors.values()) < 12 * min(transistors.values())


def test_prices_are_those_of_the_process(designs: dict[str, Design]) -> None:
    for name, made in designs.items():
        economy, prices = load_technology(name).economy, made.system.prices
        assert prices
        if economy is None:
            continue
        assert prices.wafer.price.value == economy.wafer.value
        assert f"technology {name}" in prices.wafer.price.source
        masks = prices.masks
        each = economy.mask_set.value / (
            load_technology(name).mask_set.value + economy.euv_masks * (masks.euv_weight.value - 1)
        )
        # the set costs what its masks cost, each at the price that it has in the process's set
        assert masks.set_price.value == pytest.approx(each * masks.units(), rel=1e-6)
        assert "euv" not in masks.layer[0].name.lower() or economy.euv_masks
    bills = {
        n: cost(d.system, d.subject, OwnershipPlan(), trials=20).value for n, d in designs.items()
    }  # fmt: skip
    masks_musd = {n: float(bill.masks_musd) for n, bill in bills.items()}
    order = ("gf180", "sky130", "n7", "n5", "n3")
    assert [masks_musd[n] for n in order] == sorted(masks_musd[n] for n in order)
    assert {d.library for n, d in designs.items() if n in ("gf180", "ihp_sg13g2", "sky130")} == {
        "sky130-one"
    }


def test_the_audit_is_of_the_process(designs: dict[str, Design]) -> None:
    for name in ("n3", "gf180"):
        made = designs[name]
        found = audit(made.system, made.subject.shape, bits=made.subject.bits)
        claims = {c.name: c for c in found.claims}
        die = claims["die within the reticle"]
        assert die.computed == pytest.approx(made.system.die.area.value)
        assert made.system.technology == name


@pytest.mark.parametrize("model", ["gru-106k", "llama-90k", "qwen3-90k"])
def test_two_digits_a_weight_fit_the_widest_process(model: str) -> None:
    # a stored bit takes more room than where one digit serves, as in stdlib-140k
    made = design(str(Path(MODEL).parent / model), technology="gf180")
    assert made.system.chips == 1
    assert made.system.array
    assert made.system.array.area_per_bit.value > 15
