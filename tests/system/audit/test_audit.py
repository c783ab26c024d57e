"""The published design under audit: numbers against independent arithmetic, verdicts pinned."""

from __future__ import annotations

import math

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.system.audit import Audit, Claim, audit, load_limits
from hnlpu.system.catalog import load_model, load_system, model_names, resized

SYSTEM, MODEL = load_system("hnlpu-asplos26"), load_model("gpt-oss-120b")
RATE = 249_960.0


@pytest.fixture(scope="module")
def published() -> Audit:
    return audit(SYSTEM, MODEL)


def find(result: Audit, topic: str, name: str) -> Claim:
    (claim,) = (c for c in result.claims if c.topic == topic and c.name.startswith(name))
    return claim


def test_every_topic_of_the_issue_is_there(published: Audit) -> None:
    topics = {c.topic for c in published.claims}
    assert topics >= {"die", "transistors", "area", "wires", "masks", "power", "pins", "yield",
                      "memory", "links", "vector unit", "neuron arrays", "throughput", "latency"}  # fmt: skip
    assert len(published.claims) >= 60
    names = [(c.topic, c.name) for c in published.claims]
    assert len(set(names)) == len(names)
    assert all(len(c.how) > 5 for c in published.claims)


def test_transistors_a_weight(published: Audit) -> None:
    full = find(published, "transistors", "taps, every weight")
    shared = find(published, "transistors", "taps, the experts")
    assert full.claimed == pytest.approx(138e6 * 573.16 / (MODEL.hardwired_weights / 16))
    assert full.claimed == pytest.approx(10.89, abs=0.01)
    assert full.verdict == "fails"
    assert 28 < full.computed < 36
    assert shared.computed == pytest.approx(10.7, abs=0.4)
    assert shared.verdict == "depends"
    cells = find(published, "transistors", "cell embedding")
    assert (cells.low, cells.high) == (276, 395)
    assert cells.verdict == "fails"


def test_masks_of_the_paper_are_not_one_exposure_each(published: Audit) -> None:
    fine = find(published, "masks", "one exposure of vias and cuts at 40 nm")
    assert fine.claimed == pytest.approx(40 * 1.35 / 193)
    assert (fine.low, fine.computed, fine.high, fine.verdict) == (0.35, 0.38, 0.4, "fails")
    assert find(published, "masks", "one exposure of vias and cuts at 60 nm").verdict == "holds"
    mandrels = find(published, "masks", "one exposure of mandrels at 80 nm")
    assert mandrels.claimed == pytest.approx(2 * fine.claimed)
    stated = find(published, "masks", "programmable masks, the stated layers")
    assert (stated.computed, stated.claimed, stated.verdict) == (17, 10, "fails")
    assert find(published, "masks", "programmable masks, taps").computed == 4
    assert find(published, "masks", "programmable masks, regions").computed == 8
    price = find(published, "masks", "price of a re-spin, by exposures")
    assert price.computed - price.claimed == pytest.approx(16 * 7 * 22.5 / 130)


def test_wire_a_weight(published: Audit) -> None:
    claim = find(published, "wires", "a wire of its own")
    area = 573.16e6 / (MODEL.hardwired_weights / 16)
    assert claim.claimed == pytest.approx(0.7 * area * (2 / 0.08 + 2 / 0.12), rel=1e-9)
    assert claim.claimed == pytest.approx(2.30, abs=0.01)
    assert claim.computed == pytest.approx(7.8 / 0.2)
    assert claim.verdict == "fails"
    assert find(published, "area", "wiring of the regions").verdict == "fails"
    assert find(published, "wires", "tracks of the taps scheme, fullest").verdict == "holds"


def test_power(published: Audit) -> None:
    stated = find(published, "power", "mean power density as stated")
    assert stated.computed == pytest.approx(308.39 / 827.08)
    assert stated.verdict == "fails"
    assert find(published, "power", "mean power density against").verdict == "holds"
    assert find(published, "power", "hottest block").computed == pytest.approx(49.65 / 37.92)
    system = find(published, "power", "chips make up the system")
    assert system.claimed / system.computed == pytest.approx(1.398, abs=0.001)


def test_links_by_hand(published: Audit) -> None:
    column, row = (find(published, "links", f"bandwidth of a {axis}") for axis in ("column", "row"))
    # queries 1024 and a quarter of 256 new values; outputs 1024 and 32 statistics in float32;
    # 720 of Wo gathered; 2880 of the experts; logits of four chips
    layer = 2 * (1024 + 64) + 2 * 1024 + 4 * 32 + 2 * 720 + 2 * 2880
    logits = 2 * 12_568 * 4
    assert column.computed == pytest.approx(RATE * (36 * layer + logits) / 1e9 / 0.92)
    assert row.computed == pytest.approx(RATE * (36 * 2 * (720 + 2880) + logits / 4) / 1e9 / 0.92)
    assert (column.verdict, row.verdict) == ("fails", "holds")


def test_keys_and_values_by_hand(published: Audit) -> None:
    buffers = find_exact(published, "16-bit keys and values in the buffers")
    assert buffers.computed == pytest.approx(216 * 2048 * 36_864 * 2 / 1e9)
    windows = [c for c in published.claims if c.name.endswith("windows used")]
    assert len(windows) == 1
    assert windows[0].computed == pytest.approx(216 * 18 * (2048 + 128) * 1024 * 2 / 1e9)
    hbm = find(published, "memory", "reads of HBM")
    spilled = 1 - 16 * 320e6 / (216 * 2048 * 36_864 * 2)
    bytes_a_token = 2048 * 36_864 * 2 / 16 * spilled + 2 * 2880
    assert hbm.computed == pytest.approx(RATE * bytes_a_token / 1e12, rel=1e-3)


def find_exact(result: Audit, name: str) -> Claim:
    (claim,) = (c for c in result.claims if c.name == name)
    return claim


def test_the_rate_holds_nowhere_beyond_a_few_thousand_positions(published: Audit) -> None:
    near = find(published, "throughput", "rate at 2,048")
    assert near.computed == pytest.approx(248_000, rel=0.005)
    far = [find(published, "throughput", f"rate at {n}") for n in ("16,384", "262,144")]
    assert all(c.verdict == "fails" for c in far)
    assert all(c.computed < 0.25 * RATE for c in far)
    rates = [b.tokens_per_second for b in published.bounds]
    assert rates == sorted(rates, reverse=True)


def test_conditions_name_what_is_missing(published: Audit) -> None:
    found = {c.what: c for c in published.conditions}
    column = found["bandwidth of column links, direct exchange"]
    scatter = found["bandwidth of links, reduce-scatter and all-gather"]
    assert not column.met
    assert scatter.met
    assert scatter.wanted < 0.6 * column.wanted
    carried = found["positions that the vector unit carries"]
    assert 2048 <= carried.there < 4096


def test_the_context_that_the_vector_unit_carries_is_the_last_one(published: Audit) -> None:
    longest = int(
        next(c.there for c in published.conditions if c.what.endswith("vector unit carries"))
    )
    unit = SYSTEM.machine.vector_unit.heads_per_cycle.value if SYSTEM.machine else 0
    for context, fits in ((longest, True), (longest + 4, False)):
        claim = find(
            audit(SYSTEM, MODEL, context), "vector unit", f"cached heads a cycle at {context:,}"
        )
        assert (claim.computed <= unit) == fits


def test_windows_lengthen_what_is_possible() -> None:
    plain, windows = audit(SYSTEM, MODEL, 65_536), audit(SYSTEM, MODEL, 65_536, sliding=True)
    assert windows.bounds[-1].tokens_per_second > 1.9 * plain.bounds[-1].tokens_per_second


def test_a_modest_rate_holds() -> None:
    result = audit(SYSTEM, MODEL, 2048, rate=100_000.0)
    assert find(result, "links", "bandwidth of a column").verdict == "holds"
    assert find(result, "throughput", "rate at 2,048").verdict == "holds"
    assert all(c.met for c in result.conditions if "links" in c.what)


@pytest.mark.parametrize("name", [n for n in model_names() if n != "gpt-oss-120b"])
def test_other_models_are_audited_without_claims_about_their_rate(name: str) -> None:
    result = audit(SYSTEM, load_model(name))
    assert not any(c.topic in ("throughput", "links") for c in result.claims)
    assert result.conditions == ()
    assert all(b.tokens_per_second > 0 for b in result.bounds)
    bits = find(result, "area", "stored bits")
    fits = load_model(name).hardwired_bits() * 0.0179 / 1e6 <= 16 * 573.16
    assert (bits.verdict != "fails") == fits


def test_a_system_in_another_number_of_chips_keeps_its_watts_a_chip() -> None:
    small = resized(SYSTEM, 6)
    assert small.machine
    assert (small.machine.rows, small.machine.columns, small.chips) == (3, 2, 6)
    assert small.power.system.value == pytest.approx(6900 * 6 / 16)
    one = audit(resized(SYSTEM, 1), load_model("gpt-oss-20b"))
    assert not any("link" in c.name and c.topic == "power" for c in one.claims)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"context": 0}, "`context` 0"), ({"rate": -1.0}, "`tokens_per_second` -1"),
     ({"context": 2**30}, "`context`")],
)  # fmt: skip
def test_numbers_without_sense_are_refused(change: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        audit(SYSTEM, MODEL, **change)


def test_what_is_not_hardwired_is_refused() -> None:
    for name in ("h100", "taalas-hc1"):
        with pytest.raises(InvalidInput, match="is not hardwired"):
            audit(load_system(name), MODEL)


def test_limits_have_sources_and_bounds_in_order() -> None:
    limits = load_limits()
    assert "estimate" in limits.link.energy.source
    assert limits.sram.cell.value == 0.021
    assert limits.link.energy.low < limits.link.energy.value < limits.link.energy.high


def test_a_process_without_the_regions_scheme_is_audited_for_taps_alone() -> None:
    system = SYSTEM.model_copy(update={"technology": "asap7"})
    result = audit(system, MODEL)
    assert not any("regions" in c.name for c in result.claims)
    assert find(result, "transistors", "taps, every weight").computed > 0


def test_experts_that_meet_lengthen_their_stage(published: Audit) -> None:
    claim = find(published, "latency", "projections of the experts")
    # four of 128 experts in 16 banks of 8: the most that meet in one bank
    picks = math.comb(128, 4)
    one = math.comb(16, 4) * 8**4 / picks
    three = 16 * math.comb(8, 3) * 15 * 8 / picks
    four = 16 * math.comb(8, 4) / picks
    rounds = one + 2 * (1 - one - three - four) + 3 * three + 4 * four
    one_pass = 0.138 * 216 / RATE / (36 * (2 + 1 + 2 * rounds) + 1) * 1e6
    assert claim.computed == pytest.approx(2 * rounds * one_pass, rel=1e-6)
    assert claim.claimed == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("context", [1, 2**24])
def test_the_ends_of_what_context_may_be(context: int) -> None:
    assert len(audit(SYSTEM, MODEL, context).claims) >= 60


def test_the_operator_benchmark_by_hand(published: Audit) -> None:
    sram = 4 * 0.021 / 0.6  # um2 a weight of four bits
    cell = find(published, "transistors", "operator: cell")
    metal = find(published, "transistors", "operator: metal")
    assert cell.computed == pytest.approx(276 / 138 / sram)
    assert metal.computed > 1.5 * metal.claimed
    assert metal.verdict == "fails"
