"""Work items of networks: gpt-oss as its catalogue has it, the closed form beside the events."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import SIXTEEN, make_machine
from networks import FAMILIES, make_network, random_network
from reference import Reference

from helpers import make_config
from hnlpu.errors import DoesNotFit
from hnlpu.model.families import network_of
from hnlpu.system.catalog import (
    Attention,
    ExpertsShape,
    ModelShape,
    load_model,
    load_system,
    shape_of_network,
)
from hnlpu.system.machine import (
    Links,
    kv_state,
    specification,
    token_demand,
    token_latency,
    token_work,
)
from hnlpu.system.machine._analytic import PARTS
from hnlpu.system.machine._items import layer_items
from hnlpu.system.machine._program import token_program
from hnlpu.system.machine._requests import Requests
from hnlpu.system.machine._run import draw_routes, run_decode, run_requests
from hnlpu.system.machine._tasks import memories

NS = 1000  # picoseconds
GRIDS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1))
links = st.builds(Links, st.sampled_from([1e8, 1e9, 1e11]), st.just(100e-9), st.booleans())


def flat(spec, work):
    """All items of a token with logits."""
    body = [item for kind in work.layers for item in layer_items(spec, work.kinds[kind])]
    return [*body, *layer_items(spec, work.head)]


# -- gpt-oss: what the catalog's models do -------------------------------------------------------


def twins(hidden, inner, layers, heads, kv_heads, head_dim, experts, active, vocabulary, window):
    """A gpt-oss model by its network, and as the catalog describes it."""
    config = make_config(
        hidden=hidden, intermediate=inner, layers=layers, heads=heads, kv_heads=kv_heads,
        head_dim=head_dim, experts=experts, active=active, vocab=vocabulary, sliding_window=window,
    )  # fmt: skip
    shape = ModelShape(
        name="twin", title="twin", source="a test", layers=layers, hidden=hidden,
        vocabulary=vocabulary, positions=4096,
        attention=Attention(
            heads=heads, kv_heads=kv_heads, head_dim=head_dim, window=window,
            pattern=["sliding", "full"],
        ),
        experts=ExpertsShape(count=experts, active=active, width=inner),
        formats=dict.fromkeys(
            ("attention", "router", "experts", "unembedding", "embedding"), SIXTEEN
        ),
    )  # fmt: skip
    return shape_of_network(network_of(config), "twin"), shape


def expect_equal_items(network, shape, spec, sliding):
    ours = token_work(network, spec.rows, spec.columns, sliding)
    theirs = token_work(shape, spec.rows, spec.columns, sliding)
    assert flat(spec, ours) == flat(spec, theirs)
    assert (ours.layers, ours.entry_values, ours.kept_values) == (
        theirs.layers, theirs.entry_values, 0,
    )  # fmt: skip
    assert ours.bank == theirs.bank


machines = st.builds(
    make_machine,
    rows=st.sampled_from([1, 2, 3]),
    collective=st.sampled_from(["direct", "scatter", "ring"]),
    sampling=st.sampled_from(["gather", "candidates"]),
    column_links=links,
    row_links=links,
)


@settings(max_examples=25)
@given(
    machines, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.sampled_from([32, 64]),
    st.integers(1, 9), st.integers(1, 4), st.booleans(), st.data(),
)  # fmt: skip
def test_gpt_oss_has_the_items_of_the_catalog(
    spec, layers, kv_heads, group, head_dim, experts, inner, sliding, data
):
    active = data.draw(st.integers(1, experts))
    columns = data.draw(st.sampled_from([n for n in range(1, kv_heads + 1) if kv_heads % n == 0]))
    network, shape = twins(
        96, 32 * inner, layers, kv_heads * group, kv_heads, head_dim, experts, active, 97, 8
    )
    expect_equal_items(network, shape, replace(spec, columns=columns), sliding)


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-oss-120b"])
def test_published_gpt_oss_by_its_network(name):
    shape = load_model(name)
    a, e = shape.attention, shape.experts
    network, _ = twins(
        shape.hidden, e.width, shape.layers, a.heads, a.kv_heads, a.head_dim, e.count, e.active,
        shape.vocabulary, a.window,
    )  # fmt: skip
    base = specification(load_system("hnlpu-asplos26"))
    for grid in ((4, 4), (1, 1), (2, 8)):
        expect_equal_items(network, shape, replace(base, rows=grid[0], columns=grid[1]), True)
    assert network.weights() == shape.weights()
    for fact in ("hardwired_weights", "active_weights", "embedding_weights", "expert_count"):
        assert getattr(network, fact) == getattr(shape, fact)
    assert network.hardwired_bits() == shape.hardwired_bits()
    assert network.kv_values_per_position == shape.kv_values_per_position()
    assert (network.layers, network.hidden) == (shape.layers, shape.hidden)


# -- the closed form and the events, for every family -----------------------------------------------


@st.composite
def placed(draw, families=FAMILIES):
    """A random network on a grid that it can be cut over, as (machine, model, work)."""
    model = random_network(draw(st.sampled_from(families)), draw(st.integers(0, 9)))
    spec = draw(
        st.builds(
            make_machine,
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
    )
    if not model.kv_values_per_position:  # a slow buffer, which attention is not held to here
        spec = replace(spec, buffer_bandwidth=draw(st.sampled_from([1e9, 1e11])))
    found = []
    for rows, columns in GRIDS:
        try:
            found.append((rows, columns, token_work(model, rows, columns)))
        except DoesNotFit:
            continue
    rows, columns, work = draw(st.sampled_from(found))
    return replace(spec, rows=rows, columns=columns), model, work


@settings(max_examples=30)
@given(placed(), st.integers(1, 40))
def test_a_token_alone_takes_what_the_closed_form_says(case, context):
    spec, _, work = case
    closed = token_latency(spec, work, context, kv_state(spec, work, 0, 1, context))
    counts = run_decode(spec, work, context, 1, 0, tokens=2000)
    assert counts.latency == pytest.approx(closed.total, rel=0.02)
    assert counts.breakdown["waiting"] == pytest.approx(0, abs=1e-3)
    for part in PARTS:
        share = getattr(closed, part) / closed.total
        assert counts.breakdown[part] == pytest.approx(share, abs=0.01)


@settings(max_examples=25)
@given(placed(), st.integers(1, 40), st.integers(1, 9))
def test_no_schedule_beats_the_bounds(case, context, batch):
    spec, _, work = case
    counts = run_decode(spec, work, context, batch, 0, tokens=3000)
    kv = kv_state(spec, work, 0, batch, context)
    demand = token_demand(spec, work, context, kv)
    demand.pop("neuron arrays")  # one route of experts would be no average
    latency = token_latency(spec, work, context, kv).total
    limit = min(min(batch, spec.slots) / latency, 1 / max(demand.values()))
    assert counts.processed_rate <= limit * 1.02
    for name, held in demand.items():  # use = rate x demand
        assert counts.utilisation[name] == pytest.approx(
            counts.processed_rate * held, rel=0.05, abs=2e-3
        )


def reference(spec, work, slots):
    program = token_program(spec, work)
    bank = work.bank
    routes = draw_routes(program, bank.count if bank else 0, bank.active if bank else 0, 7)
    return Reference(program, routes, slots)


@settings(max_examples=25)
@given(
    placed(),
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(1, 9), st.integers(1, 5)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 9),
)
def test_requests_equal_the_reference(case, asked, most_active):
    spec, _, work = case
    asked = sorted(asked)
    arrival, prefill, decode = (np.array(column) for column in zip(*asked, strict=True))
    requests = Requests(arrival * 1e-9, prefill, decode)
    counts = run_requests(spec, work, requests, most_active, np.inf, 7, record=requests.tokens)
    slow, zeros = reference(spec, work, spec.slots), [0] * len(asked)
    slow.run(arrival * NS, zeros, prefill, decode, 1, most_active, requests.tokens)
    assert counts.record.tolist() == [list(entry) for entry in slow.record]
    assert counts.finished == len(asked)


@settings(max_examples=20)
@given(placed(), st.integers(1, 60))
def test_more_context_is_never_faster(case, context):
    spec, _, work = case
    near, far = (
        token_latency(spec, work, c, kv_state(spec, work, 0, 4, c)).total
        for c in (context, 2 * context)
    )
    grows = any(memory.window is None or memory.window > context for kind in work.kinds
                for memory in memories(kind))  # fmt: skip
    assert near == far if not grows else near < far or spec.rows > 1


@settings(max_examples=30)
@given(st.sampled_from(FAMILIES), st.integers(0, 30))
def test_more_chips_leave_each_of_them_less(family, seed):
    model = make_network(family, seed)
    one = token_work(model, 1, 1)
    for grid in ((2, 1), (3, 1)):
        try:
            more = token_work(model, *grid)
        except DoesNotFit:
            continue
        spec, wide = make_machine(), make_machine(rows=grid[0])
        for context in (64, 640):
            (a, few), (b, many) = (
                (s, token_demand(s, w, context, kv_state(s, w, 0, 1, context)))
                for s, w in ((spec, one), (wide, more))
            )
            assert many["attention buffer"] <= few["attention buffer"] * (1 + 1e-12)  # rounding
            assert a.rows < b.rows
        assert more.kept_values <= one.kept_values
        logits = [w.head[-1].values for w in (one, more)]
        assert logits[1] == math.ceil(logits[0] / grid[0])


def test_every_family_has_rings_or_memories_or_keys():
    found = {
        family: {type(state.keeps).__name__ for state in make_network(family, 0).network.states}
        for family in FAMILIES
    }
    for family in ("mamba", "mamba2", "rwkv7"):
        assert found.pop(family) == {"Ring", "Replace"}
    for family in ("granitemoehybrid", "qwen3_next"):  # layers of both kinds
        assert found.pop(family) == {"Append", "Ring", "Replace"}
    assert found.pop("gru") == {"Replace"}
    assert set(map(tuple, found.values())) == {("Append",)}
