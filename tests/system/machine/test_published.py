"""The paper's machine: figures that it was fitted to, figures that it predicts, bounds it obeys."""

from dataclasses import replace

import pytest

from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.machine import (
    Load,
    bank_size,
    expected_rounds,
    kv_state,
    simulate,
    specification,
    token_demand,
    token_latency,
    token_steps,
    token_work,
    uniform_requests,
)
from hnlpu.system.machine._exchange import axis_bytes


@pytest.fixture(scope="module")
def system():
    return load_system("hnlpu-asplos26")


@pytest.fixture(scope="module")
def model():
    return load_model("gpt-oss-120b")


@pytest.fixture(scope="module")
def spec(system):
    return specification(system)


def paper(spec, model, context, batch=216):
    return simulate(spec, model, Load(context, batch), contention="none", sliding=False)


@pytest.mark.parametrize(
    ("context", "communication", "projection", "attention", "rest"),
    [(2048, 0.829, 0.138, None, 0.033), (262144, 0.487, 0.081, 0.416, 0.016)],
)
def test_both_published_points_of_figure_14(
    spec, model, context, communication, projection, attention, rest
):
    shares = dict(paper(spec, model, context).breakdown)
    assert shares["communication"] == pytest.approx(communication, abs=0.0015)
    assert shares["projection"] == pytest.approx(projection, abs=0.0015)
    if attention is not None:
        assert shares["attention"] == pytest.approx(attention, abs=0.0015)
        shares["attention"] = 0.0
    others = shares["nonlinear"] + shares["attention"] + shares["stall"]
    assert others == pytest.approx(rest, abs=0.0015)


def test_the_rate_of_table_2(spec, model):
    result = paper(spec, model, 2048)
    assert result.tokens_per_second == pytest.approx(249_960, rel=0.002)
    assert result.tokens_per_second_per_user == pytest.approx(1157, rel=0.002)


def test_other_contexts_lie_between_and_fall(spec, model):
    rates = [paper(spec, model, c).tokens_per_second for c in (2048, 8192, 65536, 262144, 524288)]
    assert rates == sorted(rates, reverse=True)
    # attention is linear in context, all else constant: latency is a straight line
    latency = {c: paper(spec, model, c).latency for c in (65536, 131072, 262144)}
    slope = (latency[262144] - latency[131072]) / 131072
    assert latency[65536] == pytest.approx(latency[131072] - 65536 * slope, rel=1e-3)


def test_alone_both_modes_agree(spec, model):
    for context in (128, 2048, 65536, 262144):
        for sliding in (False, True):
            alone = simulate(spec, model, Load(context, 1), contention="none", sliding=sliding)
            events = simulate(spec, model, Load(context, 1), sliding=sliding, tokens=400)
            assert events.latency == pytest.approx(alone.latency, rel=0.02)
            assert events.tokens_per_second == pytest.approx(alone.tokens_per_second, rel=0.02)


def test_bytes_of_a_token_on_the_links_by_hand(spec, model):
    work = token_work(model, 4, 4)
    steps = token_steps(spec, work.kinds[0])
    # queries 1024 x 2 and a quarter of 256 new keys and values; outputs 1024 x 2 and 16 x 2
    # statistics of 4 bytes; the slice of 720 x 2; all 2880 x 2
    assert axis_bytes(steps, "column") == 2048 + 128 + 2048 + 128 + 1440 + 5760 == 11552
    assert axis_bytes(steps, "row") == 1440 + 5760 == 7200
    logits = token_steps(spec, work.head)
    assert axis_bytes(logits, "row") == 2 * 12568
    assert axis_bytes(logits, "column") == 4 * 2 * 12568


def test_links_alone_allow_a_rate_that_hand_arithmetic_gives(spec, model):
    work = token_work(model, 4, 4, sliding=False)
    demand = token_demand(spec, work, 2048, kv_state(spec, work, 0, 216, 2048))
    assert 1 / demand["column links"] == pytest.approx(128e9 / (36 * 11552 + 100544), rel=1e-9)


@pytest.mark.parametrize(
    ("context", "rate"), [(2048, 434_000), (8192, 108_500), (65536, 13_560), (262144, 3_390)]
)
def test_full_contention_stays_below_the_sums_of_the_vector_unit(spec, model, context, rate):
    # context / 4 positions, 2 KV heads, a key and a value, 32 a cycle, 36 layers, 1 GHz
    assert rate == pytest.approx(1e9 / (36 * context / 4 * 4 / 32), rel=0.001)
    result = simulate(spec, model, Load(context, 216), sliding=False)
    assert result.tokens_per_second < rate
    if context > 4096:
        assert result.bottleneck == "vector unit"
        assert result.tokens_per_second > 0.85 * rate


def test_windows_about_double_the_rate_of_long_contexts(spec, model):
    off, on = (
        simulate(spec, model, Load(65536, 216), sliding=s).tokens_per_second for s in (False, True)
    )
    assert 1.9 < on / off < 2.05


def test_narrower_keys_and_values_need_less_memory_and_help_no_vector_unit(system, model):
    rates, sizes = [], []
    for bits in (16, 8, 4):
        result = simulate(
            specification(system, kv_bits=bits), model, Load(65536, 216), sliding=False
        )
        rates.append(result.tokens_per_second)
        sizes.append(result.kv.bytes)
    assert sizes == [216 * 65536 * 36864 * bits / 8 for bits in (16, 8, 4)]
    assert max(rates) / min(rates) < 1.01


def test_memory_against_hand_arithmetic(spec, model):
    work = token_work(model, 4, 4, sliding=False)
    kv = kv_state(spec, work, model.embedding_weights, 216, 2048)
    assert kv.bytes == 216 * 2048 * 36864 * 2
    hbm = 16 * 8 * 24e9 - 2 * 201088 * 2880
    assert kv.capacity_bytes == 16 * 320e6 + hbm
    assert kv.spilled_full == pytest.approx(1 - 322 / 2048, abs=0.001)  # 322 positions fit on chip
    assert not kv_state(spec, work, 0, 216, 262144).fits
    windows = token_work(model, 4, 4)
    assert kv_state(spec, windows, 0, 216, 262144).fits


def test_a_batch_that_does_not_fit_runs_with_what_does(spec, model):
    result = simulate(spec, model, Load(262144, 216), sliding=False)
    assert not result.kv.fits
    assert result.admitted == 159 == result.in_flight
    assert result.kv.capacity_bytes // (262144 * 36864 * 2) == 159


def test_more_sequences_than_slots_take_turns(spec, model):
    full = simulate(spec, model, Load(2048, 216))
    double = simulate(spec, model, Load(2048, 432))
    assert double.tokens_per_second == pytest.approx(full.tokens_per_second, rel=0.01)
    assert double.tokens_per_second_per_user == pytest.approx(
        full.tokens_per_second_per_user / 2, rel=0.01
    )


def test_expected_rounds_against_all_picks():
    from itertools import combinations

    for experts, active, bank in ((8, 3, 4), (8, 4, 2), (9, 3, 4), (6, 2, 1), (6, 4, 6)):
        picks = list(combinations(range(experts), active))
        rounds = [max(sum(e // bank == b for e in pick) for b in range(experts)) for pick in picks]
        assert expected_rounds(experts, active, bank) == pytest.approx(sum(rounds) / len(picks))


def test_collisions_of_experts_cost_what_chance_says(spec, model):
    work = token_work(model, 4, 4)
    bank = bank_size(work.bank, 16, 0)
    assert bank == 8
    rounds = expected_rounds(128, 4, 8)
    assert 1.3 < rounds < 1.4
    lone = replace(spec, experts_per_bank=1)
    shared, alone = (simulate(s, model, Load(2048, 1), tokens=3000).latency for s in (spec, lone))
    extra = 36 * 2 * (rounds - 1) * spec.pass_cycles / spec.clock
    assert shared - alone == pytest.approx(extra, rel=0.03)


def test_calibration_uses_nothing_but_the_file(system):
    spec = specification(system)
    changed = system.model_copy(
        update={"machine": system.machine.model_copy(update={"breakdown": []})}
    )
    plain = specification(changed)
    assert plain.link_sharing == 1
    assert plain.attention_latency == 1
    assert plain.pass_cycles == 8 + 4 + 12 < spec.pass_cycles
    assert plain.column_links == spec.column_links


def test_scatter_halves_what_a_reduction_puts_on_a_link(spec, model):
    work = token_work(model, 4, 4)
    ways = {
        way: axis_bytes(token_steps(replace(spec, collective=way), work.kinds[0]), "row")
        for way in ("direct", "scatter", "ring")
    }
    assert ways["scatter"] == ways["direct"] / 2
    assert ways["ring"] == ways["direct"] * 6 / 4


def test_latency_adds_up_and_every_part_is_there(spec, model):
    work = token_work(model, 4, 4)
    latency = token_latency(spec, work, 2048, kv_state(spec, work, 0, 1, 2048))
    assert latency.total == pytest.approx(sum(vars(latency).values()))
    assert min(latency.communication, latency.projection, latency.nonlinear) > 0
    # 36 layers of 6 hops and 2 for the logits, 100 ns each, and 18,752 bytes at 128 GB/s a layer
    hops = (36 * 6 + 2) * 100e-9
    assert latency.communication == pytest.approx(hops + (36 * 18752 + 125680) / 128e9)


@pytest.mark.parametrize(
    "name", ["gpt-oss-20b", "llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v3", "kimi-k2"]
)
def test_every_kind_of_model_runs(spec, name):
    model = load_model(name)
    result = simulate(spec, model, Load(1024, 64), tokens=1000)
    assert 0 < result.tokens_per_second <= result.bound * 1.02
    assert sum(result.breakdown.values()) == pytest.approx(1)


def test_requests_without_contention_pass_slot_by_slot(spec, model):
    asked = uniform_requests(10, 2160, 51)
    result = simulate(spec, model, Load(1, 10, asked), contention="none", sliding=False)
    # ten prompts of 2,160 tokens through 216 slots take 100 latencies, answers 50, the last one 1
    assert result.processed_per_second == pytest.approx(asked.tokens / (151 * result.latency))
    assert result.tokens_per_second == pytest.approx(510 / (151 * result.latency))


def test_a_run_that_ends_before_the_first_answer_has_no_rate(spec, model):
    result = simulate(spec, model, Load(1, 2, uniform_requests(2, 1000, 5)), tokens=50)
    assert result.tokens_per_second == result.tokens_per_second_per_user == 0
    assert result.processed_per_second > 0
    assert result.ttft == float("inf")
