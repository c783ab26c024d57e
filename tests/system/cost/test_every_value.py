"""Whatever is edited in a system's file moves every figure that depends on it.

Each number of the published machine's file is changed a little, and what it is documented to move
(docs/cost.md) must move; what moves nothing must be known, with its reason.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from edited_systems import changed, name_of, numbers

from hnlpu.errors import DoesNotFit
from hnlpu.system.audit import audit
from hnlpu.system.catalog import System, load_model, load_system
from hnlpu.system.cost import OwnershipPlan, cost, cost_facts, subject_of_model
from hnlpu.system.machine import Load, closed_form, kv_state, machine_target, simulate, token_work

MODEL = load_model("gpt-oss-120b")
SUBJECT = subject_of_model(MODEL)
PAPER = load_system("hnlpu-asplos26")
H100 = load_system("h100")

RATE, LATENCY, MEMORY = "tokens/s", "latency", "memory"
MONEY, TOKEN, CARBON, BANDS, AUDIT = "tco", "$ a million", "tCO2e", "bands", "audit"
PUBLISHED = "published rates"

MOVES = {
    "die.area": {AUDIT},  # a wafer's good dies are whole: see below
    "die.density": set(),
    "die.reticle": {AUDIT},
    "block": {AUDIT},
    "array.area_per_bit": {AUDIT},
    "machine.clock": {RATE, LATENCY, TOKEN},
    "machine.link": {RATE, LATENCY, TOKEN, AUDIT},
    "machine.link.latency": {LATENCY, AUDIT},
    "machine.vector_unit": {RATE, TOKEN, AUDIT},
    "machine.buffer": {AUDIT},
    "machine.buffer.capacity": {MEMORY, AUDIT},
    "machine.hbm": {AUDIT},
    "machine.hbm.capacity": {MEMORY, MONEY, TOKEN, AUDIT},
    "machine.hbm.stacks": {MEMORY, MONEY, TOKEN, AUDIT},
    "machine.breakdown": {LATENCY, AUDIT},
    "machine.kv_bits": {MEMORY, AUDIT},
    "machine.stages": {LATENCY, AUDIT},
    "machine.activation_bits": {AUDIT},
    "power.chip": {AUDIT},
    "power.system": {MONEY, TOKEN, CARBON},
    "rate": {PUBLISHED},
    "published_claims": {AUDIT},
    "prices.wafer": {MONEY, TOKEN},
    "prices.assembly": {MONEY, TOKEN},
    "prices.masks": {MONEY, TOKEN},
    "prices.design": {MONEY, TOKEN},
    "ownership": {MONEY, TOKEN},
    "ownership.grid_carbon": {CARBON},
    "ownership.module_carbon": {CARBON},
    "ownership.mask_carbon": {CARBON},
    "range": {BANDS},
}
"""Figures that each part of the file moves; the longest prefix of a key counts."""

NOTHING = {
    "rack_units": "told in docs/reproduction.md alone",
    "die.density": "checked against the area of a bit when the file is read; arrays have their own density",
    "power.overhead": "the factor with which `hnlpu explore` scales designs",
    "machine.activation_bits": "cycles of a pass are fitted to figure 14; the audit says what bits would take",
    "prices.wafer.clustering": "this file's yield is Murphy's",
    "ownership.chips_per_network": "16 chips take two networks at 7, 8 or 9 chips each less or more",
    "ownership.updates": "re-spins that docs/reproduction.md counts; `hnlpu cost` has --respins",
    "ownership.respin_time": "moves from which volume hardwiring pays, not what a system costs",
    "scenario": "volumes of docs/reproduction.md",
    "half_pitches": "moves masks counted as exposures, in whole masks",
    "machine.breakdown.1.rest": "no equation of the fit needs it",
    "machine.buffer.latency_cycles": "what attention takes is fitted to figure 14, this included",
    "ownership.spares": "spares are whole systems",
}


GIVEN = PAPER.model_dump()
TOGETHER = ("chips", "machine.rows", "machine.columns")
PATHS = [p for p in numbers(GIVEN) if ".".join(map(str, p)) not in TOGETHER]


def audited(system: System) -> list[tuple[float, ...]]:
    return [(c.computed, c.claimed, c.low, c.high) for c in audit(system, MODEL).claims]


def figures(system: System) -> dict[str, Any]:
    """What the commands say of the published machine with its own model, but for the audit."""
    target = machine_target(system, MODEL, SUBJECT.bits)
    spec = target.specification
    rates = [closed_form(spec, MODEL, context, sliding=False) for context in (2048, 65_536)]
    paper = simulate(spec, MODEL, Load(2048, spec.slots), contention="none", sliding=False)
    work = token_work(MODEL, spec.rows, spec.columns, sliding=False)
    # the second price is where the vector unit limits, the first where links do
    found, far = (cost(system, SUBJECT, OwnershipPlan(context=c), 20) for c in (2048, 65_536))
    facts = cost_facts(found, H100)
    return {
        RATE: [rate.generated_per_second for rate in rates],
        LATENCY: [rate.latency for rate in rates] + [paper.latency],
        MEMORY: (kv := kv_state(spec, work, 0, spec.slots, 65_536)) and (kv.bytes, kv.capacity_bytes),
        MONEY: facts["tco_musd"],
        TOKEN: [facts["usd_per_mtoken"], far.usd_per_mtoken(far.value)],
        CARBON: facts["carbon_t"],
        BANDS: facts["bands"],
        PUBLISHED: facts["published_rates"],
    }  # fmt: skip


BEFORE = figures(PAPER)
AUDITED = audited(PAPER)


def expected(key: str) -> set[str]:
    found = [prefix for prefix in MOVES if key == prefix or key.startswith(prefix + ".")]
    return MOVES[max(found, key=len)] if found else set()


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_changed_value_moves_what_depends_on_it(path: tuple[Any, ...]) -> None:
    key = name_of(path)
    system = changed(GIVEN, path)
    assert system is not None, f"no change of {key} passes the file's own checks"
    after = figures(system)
    moved = {what for what, value in after.items() if value != BEFORE[what]}
    if any(known in key for known in NOTHING):
        assert not moved & {RATE, MONEY, TOKEN, CARBON}, f"{key} moves {sorted(moved)}"
        return
    if AUDIT in expected(key) and audited(system) != AUDITED:
        moved.add(AUDIT)
    assert moved, f"{key} moves nothing"
    assert expected(key) <= moved, f"{key} moves {sorted(moved)}"
    if RATE in moved:
        assert TOKEN in moved


def test_links_of_a_tenth_are_a_tenth_of_the_price_s_rate() -> None:
    values = copy.deepcopy(GIVEN)
    values["machine"]["link"]["bandwidth"]["value"] = 12.8
    slow = System.model_validate(values)
    fast, found = (cost(s, SUBJECT, OwnershipPlan(output_share=1.0), 20) for s in (PAPER, slow))
    assert found.rate.tokens_per_second == pytest.approx(fast.rate.tokens_per_second / 10)
    ratio = found.usd_per_mtoken(found.value) / fast.usd_per_mtoken(fast.value)
    assert ratio == pytest.approx(10)
    assert cost_facts(found, H100)["published_rates"][0]["tokens_per_second"] == 249_960


def test_larger_dies_cost_more() -> None:
    values = copy.deepcopy(GIVEN)
    for block in values["block"]:
        block["area"]["value"] *= 1.03
    values["die"]["area"]["value"] *= 1.03
    system = System.model_validate(values)
    less, more = (cost(s, SUBJECT, OwnershipPlan(), 20).value.tco_musd for s in (PAPER, system))
    assert float(more) > float(less)


def test_arrays_that_do_not_fit_are_refused_everywhere_alike() -> None:
    values = copy.deepcopy(GIVEN)
    values["array"]["area_per_bit"]["value"] *= 1.05
    system = System.model_validate(values)
    with pytest.raises(DoesNotFit, match="gpt-oss-120b needs 17 chips of hnlpu-asplos26"):
        machine_target(system, MODEL, SUBJECT.bits)
    with pytest.raises(DoesNotFit, match="gpt-oss-120b needs 17 chips of hnlpu-asplos26"):
        cost(system, SUBJECT, OwnershipPlan(), 20)


def test_more_chips_in_the_file_are_more_chips_everywhere() -> None:
    values = copy.deepcopy(GIVEN)
    values |= {"chips": 20}
    values["machine"] |= {"rows": 5}
    values["power"]["system"]["value"] *= 20 / 16
    values["range"] = []
    system = System.model_validate(values)
    assert machine_target(system, MODEL, SUBJECT.bits).specification.chips == 20
    assert int(cost(system, SUBJECT, OwnershipPlan(), 20).value.chips) == 20


def test_a_deleted_rate_is_no_error() -> None:
    system = System.model_validate({k: v for k, v in GIVEN.items() if k not in ("rate", "energy")})
    found = cost(system, SUBJECT, OwnershipPlan(), 20)
    assert found.published == ()
    # what links allow does not rest on the fit to figure 14, which the rate is needed for
    with_rate = cost(PAPER, SUBJECT, OwnershipPlan(), 20)
    assert found.rate.tokens_per_second == with_rate.rate.tokens_per_second


def test_context_users_and_prompts_move_the_price_of_a_token() -> None:
    plan = OwnershipPlan(output_share=1.0)
    base = cost(PAPER, SUBJECT, plan, 20)
    for change in ({"context": 65_536}, {"users": 8}, {"output_share": 0.5}):
        other = cost(PAPER, SUBJECT, replace(plan, **change), 20)
        assert other.usd_per_mtoken(other.value) != base.usd_per_mtoken(base.value), change
    more = cost(PAPER, SUBJECT, replace(plan, grid=(8, 4)), 20)
    assert int(more.value.chips) == 32
    assert float(more.value.tco_musd) > float(base.value.tco_musd)
