"""The event simulation against a hand schedule, a reference simulator and the closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import make_machine, make_model
from reference import EveryChip, Reference

from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.machine import (
    Links,
    Load,
    kv_state,
    simulate,
    specification,
    token_demand,
    token_latency,
    token_work,
)
from hnlpu.system.machine._program import PICOSECONDS, token_program
from hnlpu.system.machine._requests import Requests
from hnlpu.system.machine._run import draw_routes, run_decode, run_requests

NS = 1000  # picoseconds


def test_one_token_by_hand():
    # one chip, one dense layer: entry 0.128 ns; passes of 50 ns: QKV, Wo, up, down, unembedding;
    # operations of 100 ns: 0 and 1, 2, 4, 6 of the layer, then sampling; attention over
    # 10 positions x 512 products / 512 a cycle = 10 cycles
    spec = make_machine()
    model = make_model()
    counts = run_decode(spec, token_work(model, 1, 1), 10, 1, 0, tokens=3, record=3)
    period = 128 + 5 * 50 * NS + 6 * 100 * NS + 10 * NS
    assert counts.record[:, 2].tolist() == [period, 2 * period, 3 * period]


def test_two_tokens_that_meet_at_the_vector_unit_by_hand():
    # both want their sum at 50.128 ns.  It holds the unit for 18 cycles of rotation (384 values,
    # 3 operations each, 64 lanes) and 200 of the sum, and its result is there after 100 + 200.
    #   unit:  A's sum 50.128 to 268.128, B's sum to 486.128, then A's next operation
    #   A      has its sum at 350.128 and waits 136 for B's
    #   B      waits 218 at first, then finds the unit free
    counts = run_decode(
        make_machine(slots=2), token_work(make_model(), 1, 1), 200, 2, 0, tokens=2, record=2
    )
    alone = 128 + 5 * 50 * NS + 6 * 100 * NS + 200 * NS
    assert counts.record[:, 2].tolist() == [alone + 136 * NS, alone + 218 * NS]


def test_experts_in_one_bank_run_one_after_the_other():
    work = token_work(make_model(experts=(4, 2)), 1, 1)
    shared = run_decode(make_machine(), work, 10, 1, 0, tokens=2, record=2)
    alone = run_decode(make_machine(experts_per_bank=1), work, 10, 1, 0, tokens=2, record=2)
    # up and down take a second round of 50 ns each
    assert (shared.record[:, 2] - alone.record[:, 2]).tolist() == [100 * NS, 200 * NS]


links = st.builds(Links, st.sampled_from([1e8, 1e9, 1e11]), st.just(100e-9), st.booleans())
machines = st.builds(
    make_machine,
    rows=st.sampled_from([1, 2, 4]),
    columns=st.sampled_from([1, 2]),
    slots=st.integers(1, 9),
    collective=st.sampled_from(["direct", "scatter", "ring"]),
    sampling=st.sampled_from(["gather", "candidates"]),
    column_links=links,
    row_links=links,
    heads_per_cycle=st.sampled_from([0.1, 1, 8]),
    attention_latency=st.sampled_from([1.0, 2.5]),
    pass_cycles=st.sampled_from([20, 300]),
    experts_per_bank=st.integers(0, 2),
)
models = st.builds(
    make_model,
    layers=st.integers(1, 3),
    window=st.sampled_from([None, 4]),
    experts=st.sampled_from([None, (8, 2), (8, 3)]),
    heads=st.just(4),
)


@settings(max_examples=60, deadline=None)
@given(machines, models, st.integers(1, 40), st.booleans())
def test_decoding_equals_the_reference(spec, model, context, in_hbm):
    if in_hbm:
        spec = type(spec)(**{**spec.__dict__, "buffer_bytes": 0.0, "hbm_bandwidth": 1e9})
    work = token_work(model, spec.rows, spec.columns)
    tokens = 12 * spec.slots
    counts = run_decode(spec, work, context, spec.slots, 7, tokens=tokens, record=tokens)
    reference = make_reference(spec, model, work, in_hbm)
    starts = [context - 1] * spec.slots
    reference.run([0] * spec.slots, starts, [0] * spec.slots, [9**9] * spec.slots, 0, 99, tokens)
    assert counts.record.tolist() == [list(entry) for entry in reference.record]


@settings(max_examples=60, deadline=None)
@given(
    machines,
    models,
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(1, 6), st.integers(1, 5)),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 9),
)
def test_requests_equal_the_reference(spec, model, asked, most_active):
    asked = sorted(asked)
    arrival, prefill, decode = (np.array(column) for column in zip(*asked, strict=True))
    requests = Requests(arrival * 1e-9, prefill, decode)
    work = token_work(model, spec.rows, spec.columns)
    counts = run_requests(spec, work, requests, most_active, np.inf, 7, record=requests.tokens)
    reference = make_reference(spec, model, work, False)
    zeros = [0] * len(asked)
    reference.run(arrival * NS, zeros, prefill, decode, 1, most_active, requests.tokens)
    assert counts.record.tolist() == [list(entry) for entry in reference.record]
    assert counts.finished == len(asked)
    assert counts.outputs == decode.sum()


@settings(max_examples=15)
@given(machines, models, st.integers(30, 90), st.integers(2, 12))
def test_one_chip_stands_for_all(spec, model, prompt, decode):
    work = token_work(model, spec.rows, spec.columns)
    requests = Requests(np.zeros(3), np.full(3, prompt), np.full(3, decode))
    counts = run_requests(spec, work, requests, 3, np.inf, 7, record=requests.tokens)
    program = token_program(spec, work)
    experts = (model.experts.count, model.experts.active) if model.experts else (0, 0)
    every = EveryChip(program, draw_routes(program, *experts, 7), spec.slots)
    every.columns = spec.columns
    every.run([0] * 3, [0] * 3, [prompt] * 3, [decode] * 3, 1, 3, requests.tokens)
    assert counts.record[-1, 2] == pytest.approx(every.record[-1][2], rel=0.02)


def make_reference(spec, model, work, in_hbm):
    program = token_program(spec, work)
    experts = (model.experts.count, model.experts.active) if model.experts else (0, 0)
    reference = Reference(program, draw_routes(program, *experts, 7), spec.slots)
    reference.everything_in_hbm = in_hbm
    return reference


@settings(max_examples=60, deadline=None)
@given(machines, models, st.integers(1, 40))
def test_a_token_alone_takes_what_the_closed_form_says(spec, model, context):
    work = token_work(model, spec.rows, spec.columns)
    closed = token_latency(spec, work, context, kv_state(spec, work, 0, 1, context))
    counts = run_decode(spec, work, context, 1, 0, tokens=2000)
    assert counts.latency == pytest.approx(closed.total, rel=0.02)
    assert counts.breakdown["waiting"] == pytest.approx(0, abs=1e-3)
    for part in ("communication", "projection", "nonlinear", "attention"):
        share = getattr(closed, part) / closed.total
        assert counts.breakdown[part] == pytest.approx(share, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(machines, models, st.integers(1, 40), st.integers(1, 9))
def test_no_schedule_beats_the_bounds(spec, model, context, batch):
    # one route of experts would be no average: leave chance out of the bound
    work = token_work(model, spec.rows, spec.columns)
    counts = run_decode(spec, work, context, batch, 0, tokens=3000)
    kv = kv_state(spec, work, 0, batch, context)
    demand = token_demand(spec, work, context, kv)
    demand.pop("neuron arrays")
    in_flight = min(batch, spec.slots)
    latency = token_latency(spec, work, context, kv).total
    limit = min(in_flight / latency, 1 / max(demand.values()))
    assert counts.processed_rate <= limit * 1.02
    assert max(counts.utilisation.values()) <= 1.001
    for name, held in demand.items():  # use = rate x demand
        assert counts.utilisation[name] == pytest.approx(
            counts.processed_rate * held, rel=0.05, abs=2e-3
        )


def test_the_busiest_resource_of_a_full_machine_never_rests():
    spec = specification(load_system("hnlpu-asplos26"))
    model = load_model("gpt-oss-120b")
    for context, busiest in ((2048, "column links"), (16384, "vector unit")):
        result = simulate(spec, model, Load(context, 216), sliding=False)
        assert result.bottleneck == busiest
        assert result.tokens_per_second == pytest.approx(result.bound, rel=0.01)
        assert result.tokens_per_second <= result.bound * 1.001
        assert sum(result.breakdown.values()) == pytest.approx(1)


@pytest.mark.parametrize("batch", [8, 88, 216])
@pytest.mark.parametrize("tokens", [20, 50, 200, 1000])
def test_few_tokens_show_no_more_than_any_schedule_passes(batch, tokens):
    # tokens end in bunches: 216 in flight once passed 1.37 times the bound in a window of 37
    spec = specification(load_system("hnlpu-asplos26"))
    result = simulate(spec, load_model("gpt-oss-120b"), Load(2048, batch), tokens=tokens)
    assert 0 < result.tokens_per_second <= result.bound * 1.003  # experts are drawn at random


def test_a_longer_queue_of_tokens_changes_no_rate_but_the_wait():
    # Little's law: tokens in flight = rate x latency
    spec = specification(load_system("hnlpu-asplos26"))
    model = load_model("gpt-oss-120b")
    for batch in (32, 128, 216):
        result = simulate(spec, model, Load(2048, batch))
        assert result.tokens_per_second * result.latency == pytest.approx(batch, rel=0.01)


def test_prompts_take_what_the_fluid_estimate_says():
    spec = specification(load_system("hnlpu-asplos26"))
    model = load_model("gpt-oss-120b")
    one = Requests(np.zeros(1), np.array([3000]), np.array([1]))
    simulated = simulate(spec, model, Load(1, 216, one), sliding=True).ttft
    steady = simulate(spec, model, Load(3000, 1), sliding=True, tokens=50).ttft
    assert steady == pytest.approx(simulated, rel=0.03)


def test_memory_is_shared_and_returned():
    # requests are admitted while their keys and values fit: two at a time, five in all
    model = make_model()
    position = 2 * 2 * 64 * 2  # bytes
    spec = make_machine(slots=8, buffer_bytes=2 * 20.0 * position, hbm_bytes=0.0)
    requests = Requests(np.zeros(5), np.full(5, 10), np.full(5, 10))
    counts = run_requests(
        spec, token_work(model, 1, 1), requests, 8, spec.buffer_bytes, 0, record=95
    )
    assert counts.finished == 5
    assert counts.peak_kv_bytes <= spec.buffer_bytes
    first = {r: counts.record[counts.record[:, 0] == r, 2].min() for r in range(5)}
    last = {r: counts.record[counts.record[:, 0] == r, 2].max() for r in range(5)}
    assert first[2] > min(last[0], last[1])


def test_keys_and_values_beyond_the_buffer_stream_from_hbm():
    model = make_model()
    position = 2 * 2 * 64 * 2
    work = token_work(model, 1, 1)
    tight = make_machine(buffer_bytes=100.0 * position, hbm_bandwidth=1e9, hbm_latency=0.0)
    counts = run_decode(tight, work, 400, 1, 0, tokens=100)
    # three quarters of 400 positions stream at 1 GB/s
    streamed = 300 * position / 1e9
    alone = run_decode(make_machine(), work, 400, 1, 0, tokens=100)
    held = 400e-9
    expected = alone.latency - held + max(streamed - 100e-9, held)
    assert counts.latency == pytest.approx(expected, rel=0.01)
    assert counts.breakdown["stall"] > 0.9


def test_times_are_whole_picoseconds_and_never_nothing():
    program = token_program(
        specification(load_system("hnlpu-asplos26")), token_work(load_model("gpt-oss-120b"), 4, 4)
    )
    assert program.table[:, 3:5].min() >= 1
    assert (program.table[:, 4] >= program.table[:, 3]).all()
    assert PICOSECONDS == 1e12
