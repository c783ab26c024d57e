"""Beside GPUs, and beyond the paper's machine."""

from __future__ import annotations

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.cost import (
    assume,
    check_roma,
    check_taalas,
    compare,
    energy_rows,
    estimate,
    own_bought,
)

HNLPU, H100 = load_system("hnlpu-asplos26"), load_system("h100")
RATE = 249_960.0


def test_four_baselines_each_with_its_ratio() -> None:
    e = estimate(assume(HNLPU), 16, 50, 2)
    rows = compare(e, RATE, H100)
    assert [row.rate.output for row in rows] == [45, 1080, 3824, 4715]
    for row in rows:
        assert row.gpus == pytest.approx(50 * RATE / 2 / row.rate.output)
        assert row.gpus_as_published == pytest.approx(2 * row.gpus)
        assert row.tco_ratio * float(e.tco_musd) == pytest.approx(row.tco_musd)
        tokens = 50 * RATE / 2 * 26_280 * 3600
        assert row.usd_per_mtoken == pytest.approx(row.tco_musd * 1e12 / tokens)
    # a faster GPU is the harder rival in everything
    for name in ("tco_ratio", "energy_ratio", "carbon_ratio", "usd_per_mtoken"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values, reverse=True), name


def test_the_paper_s_equivalence() -> None:
    rows = compare(estimate(assume(HNLPU), 16), RATE, H100)
    assert rows[1].gpus_as_published == pytest.approx(231.4, abs=0.1)


def test_processed_and_output_are_two_readings_of_one_rate() -> None:
    e = estimate(assume(HNLPU), 16)
    half, all_output = (compare(e, RATE, H100, share)[3] for share in (0.5, 1.0))
    assert half.rate.processed == 2 * half.rate.output
    assert all_output.rate.processed == all_output.rate.output
    assert all_output.gpus == pytest.approx(2 * half.gpus)


def test_idle_time_makes_tokens_dearer_and_changes_no_ratio() -> None:
    e = estimate(assume(HNLPU), 16)
    busy, idle = (compare(e, RATE, H100, utilisation=u)[2] for u in (1.0, 0.25))
    assert idle.usd_per_mtoken == pytest.approx(4 * busy.usd_per_mtoken)
    assert (idle.gpus, idle.tco_ratio) == (busy.gpus, busy.tco_ratio)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_without_sense_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="output share"):
        compare(estimate(assume(HNLPU), 16), RATE, H100, share)


def test_owning_gpus_scales_but_for_whole_networks() -> None:
    assert float(own_bought(H100, 16).tco_musd) == pytest.approx(
        2 * float(own_bought(H100, 8).tco_musd)
    )
    assert float(own_bought(H100, 1).infrastructure_musd) > 0.045


def test_other_hardwired_chips_are_predicted_with_the_gaps_told() -> None:
    own, llama = load_model("gpt-oss-120b"), load_model("llama-3.1-8b")
    checks = [
        *check_taalas(HNLPU, load_system("taalas-hc1"), llama, own),
        *check_roma(HNLPU, load_system("roma"), llama, own),
    ]
    found = {(c.system, c.what): c for c in checks}
    assert len(found) == 7
    for key in (
        ("taalas-hc1", "area of its weights"), ("taalas-hc1", "tokens/s of one user"),
        ("taalas-hc1", "power"), ("roma", "area of its ROM"), ("roma", "tokens/s of one user"),
    ):  # fmt: skip
        assert found[key].holds, found[key]
    # these do not hold, and say so
    assert not found["taalas-hc1", "development"].holds
    assert not found["roma", "energy a token, arrays"].holds
    assert all(len(c.why) > 40 for c in checks)
    assert all(c.low <= c.high and 0.1 < c.factor < 10 for c in checks)


def test_energy_rows_are_sorted_and_spinnaker_s_floor_is_by_hand() -> None:
    model = load_model("gpt-oss-120b")
    spinnaker = load_system("spinnaker2")
    rows = energy_rows(model, HNLPU, [H100, load_system("wse-3"), spinnaker])
    assert [row.joule for row in rows] == sorted(row.joule for row in rows)
    floor = next(row for row in rows if row.system == "spinnaker2")
    expert = 36 * 4 * 3 * 2880 * 2880
    other = model.active_weights - expert
    by_hand = ((expert * 4.25 + other * 16) * 5 + model.active_weights) * 1e-12
    assert floor.joule == pytest.approx(by_hand)
    published = next(row for row in rows if row.system == "hnlpu-asplos26")
    assert published.joule == pytest.approx(6900 / 249_960)
