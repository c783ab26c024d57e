"""Work items of networks: gpt-oss as before, others by hand, the closed form beside the events."""

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
from hnlpu.errors import DoesNotFit, UnsupportedArchitecture
from hnlpu.model.families import network_of
from hnlpu.model.network import Append, Builder, Cut, Input, Step, Tensor, ops
from hnlpu.model.network.composites import attend, dense, gru
from hnlpu.system.catalog import (
    Attention,
    Experts,
    ModelShape,
    load_model,
    load_system,
    shape_of_network,
)
from hnlpu.system.machine import (
    Links,
    Load,
    kv_state,
    serial_time,
    simulate,
    specification,
    token_demand,
    token_latency,
    token_steps,
    token_work,
    uniform_requests,
)
from hnlpu.system.machine._analytic import PARTS
from hnlpu.system.machine._items import layer_items
from hnlpu.system.machine._program import token_program
from hnlpu.system.machine._requests import Requests
from hnlpu.system.machine._run import draw_routes, run_decode, run_requests
from hnlpu.system.machine._tasks import Enter, Held, Leave, Memory, memories
from network_samples import every_operation, tensor_matrix

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
        experts=Experts(count=experts, active=active, width=inner),
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


# -- counts by hand -------------------------------------------------------------------------------


def llama(family="llama", **changes):
    sizes = {
        "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rope_parameters":
        {"rope_type": "default", "rope_theta": 1e4}, "tie_word_embeddings": False,
    }  # fmt: skip
    return make_network(family, 0, **(sizes | changes))


def axis(steps, name):
    return sum(step.bytes for step in steps if step.axis == name)


def test_bytes_of_llama_on_the_links_by_hand():
    work = token_work(llama(), 2, 2)
    spec = make_machine(rows=2, columns=2)
    (kind,) = work.kinds
    steps = token_steps(spec, kind)
    # two query heads of 32 values of two bytes, half of 2 x 32 new keys and values; outputs and 2 x 8
    # bytes of statistics; a slice of 32 x 2; 24 gated values of each chip over the row, twice as many
    # over the column; 16 values of the sum in the same way
    assert axis(steps, "column") == 128 + 64 + 128 + 16 + 64 + 96 + 64
    assert axis(steps, "row") == 64 + 48 + 32
    assert axis(token_steps(spec, work.head), "row") == 32
    assert axis(token_steps(spec, work.head), "column") == 64
    assert work.entry_values == 64


def test_elements_of_llama_by_hand():
    (kind,) = token_work(llama(), 1, 1).kinds
    found = [
        item.elements for item in layer_items(make_machine(), kind) if hasattr(item, "elements")
    ]
    # rotation of 128 + 64; nothing; residual and norm; sigmoid and two products of 96; residual and norm
    assert found == [3 * 192, 0, 3 * 64, 3 * 96, 3 * 64]


@pytest.mark.parametrize("window", [None, 8])
def test_keys_and_values_of_llama_by_hand(window):
    model = llama("llama" if window is None else "mistral", sliding_window=window)
    for grid in ((1, 1), (2, 2), (1, 2)):
        spec = make_machine(rows=grid[0], columns=grid[1])
        work = token_work(model, *grid)
        for context in (5, 50):
            kept = context if window is None else min(window, context)
            # 2 layers, 2 heads of 32, keys and values, two bytes
            assert kv_state(spec, work, 0, 3, context).bytes == 3 * kept * 2 * 2 * 32 * 2 * 2
        every = token_work(model, *grid, sliding=False)
        assert kv_state(spec, every, 0, 1, 50).bytes == 50 * 512
    assert model.kv_values_per_position == 256
    assert model.held_values == 0


MAMBA = {
    "vocab_size": 40, "hidden_size": 32, "expand": 2, "num_heads": 8, "head_dim": 8, "n_groups": 2,
    "state_size": 4, "conv_kernel": 3, "num_hidden_layers": 3, "tie_word_embeddings": True,
    "use_bias": False, "use_conv_bias": False,
}  # fmt: skip


def test_states_of_mamba2_by_hand():
    model = make_network("mamba2", 0, **MAMBA)
    conv, memory = 3 * (64 + 2 * 2 * 4), 8 * 8 * 4
    assert model.held_values == 3 * (conv + memory)
    assert model.kv_values_per_position == 0
    one, two, three = (token_work(model, *grid) for grid in ((1, 1), (1, 2), (3, 1)))
    assert one.kept_values == 3 * (conv + memory)
    # heads of the memory are dealt out, the convolution's inputs are on every chip
    assert two.kept_values == 3 * (conv + memory // 2)
    assert three.kept_values == 3 * (conv + memory * 3 // 8)
    spec = make_machine(rows=1, columns=2)
    kv = kv_state(spec, two, 0, 5, 10**6)
    assert kv.bytes == kv.held_bytes == 5 * 2 * two.kept_values * 4
    assert kv.spilled_full == kv.spilled_window == 0
    (kind,) = two.kinds
    (held,) = (task for task in kind if isinstance(task, Held))
    # the ring is read whole and one entry written, the memory read and written
    assert held.values == conv + (64 + 16) + 2 * memory // 2
    # 2 x 64 + 2 x 8 + 8 rows of the first matrix, 64 values of the scan, 32 of the second matrix,
    # of each chip a half
    gathers = [step.bytes for step in token_steps(spec, kind)]
    assert gathers == [2 * (2 * 64 + 2 * 8 + 8) // 2, 2 * 32, 2 * 16]


def test_states_of_a_gru_by_hand():
    model = make_network(
        "gru", 0, hidden_size=48, embedding_size=40, num_hidden_layers=2, vocab_size=30,
        tie_word_embeddings=False,
    )  # fmt: skip
    work = token_work(model, 1, 2)
    spec = make_machine(rows=1, columns=2)
    assert work.kept_values == model.held_values == 96
    assert work.entry_values == 40
    assert sum(work.count(i) for i in range(len(work.kinds))) == 2
    for kind in work.kinds:
        # three gates of both matrices at once: half of 6 x 48 values
        assert [step.bytes for step in token_steps(spec, kind)] == [2 * 3 * 48]
        assert not any(isinstance(task, Memory) for task in kind)
        assert isinstance(kind[0], Enter)
        assert isinstance(kind[-1], Leave)
    demand = token_demand(spec, work, 10**6, kv_state(spec, work, 0, 1, 10**6))
    # nothing of HBM but the row of the embedding table
    assert demand["HBM"] == 2 * 40 / spec.hbm_bandwidth


# -- serial regions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gru", "mamba2"])
def test_a_prompt_passes_a_serial_region_token_by_token(family):
    model = make_network(family, 3)
    work = token_work(model, 1, 1)
    spec = make_machine(slots=64, vector_latency_cycles=200, pass_cycles=40, heads_per_cycle=64)
    serial = serial_time(spec, work, 1, kv_state(spec, work, 0, 1, 1))
    prompt = 400
    counts = run_requests(spec, work, uniform_requests(1, prompt, 1), 1, np.inf, 0, record=prompt)
    gaps = np.diff(counts.record[:, 2])
    steady = gaps[prompt // 2 : -1] / 1e12
    assert steady.min() >= serial * 0.999
    assert steady.mean() == pytest.approx(serial, rel=0.02)
    result = simulate(spec, model, Load(1, 1, uniform_requests(1, prompt, 1)))
    assert result.serial == pytest.approx(serial)
    alone = simulate(spec, model, Load(prompt, 1), tokens=50)
    assert alone.ttft == pytest.approx(result.ttft, rel=0.03)
    assert result.breakdown["waiting"] > 0.3
    assert result.waiting["serial regions"] > 0.3
    # several sequences do not wait for each other
    many = simulate(spec, model, Load(1, 16, uniform_requests(16, 2, 40)))
    assert many.tokens_per_second > 4 * simulate(spec, model, Load(10, 1)).tokens_per_second


def test_attention_has_no_serial_region():
    model = llama()
    work = token_work(model, 1, 1)
    spec = make_machine(slots=64)
    assert serial_time(spec, work, 9, kv_state(spec, work, 0, 1, 9)) == 0
    result = simulate(spec, model, Load(1, 1, uniform_requests(1, 50, 1)))
    assert "serial regions" not in result.waiting


def test_states_that_the_buffers_cannot_hold_limit_the_sequences():
    model = make_network("mamba2", 0, **MAMBA)
    work = token_work(model, 1, 1)
    of_one = work.kept_values * 4
    spec = make_machine(slots=8, buffer_bytes=3.5 * of_one)
    result = simulate(spec, model, Load(10, 8), tokens=400)
    assert (result.admitted, result.in_flight, result.kv.fits) == (3, 3, False)
    asked = simulate(spec, model, Load(1, 8, uniform_requests(8, 5, 5)))
    assert asked.tokens_simulated == 8 * 9
    counts = run_requests(spec, work, uniform_requests(8, 5, 5), 8, np.inf, 0)
    assert counts.peak_kv_bytes == 3 * of_one
    with pytest.raises(Exception, match=r"one sequence needs .* MB for states of fixed size"):
        simulate(replace(spec, buffer_bytes=0.5 * of_one), model, Load(10, 8))


# -- refusals ----------------------------------------------------------------------------------------


def refused(network):
    with pytest.raises(UnsupportedArchitecture) as caught:
        token_work(shape_of_network(network, "mine"), 1, 1)
    return str(caught.value)


def plain(b):
    """A token's row of a table."""
    return b.lookup(b.parameter("table", (11, 32), Tensor("table", (11, 32))), b.token())


def test_what_a_machine_has_no_time_for_is_named():
    assert "(repeat repeat) repeats its steps" in refused(every_operation())
    b = Builder("mine")
    body = (Step(ops.Mul(), ("y", 0.5), ("z",)),)
    x = b.step(
        ops.Repeat(3, ("y",), body, ("z",)), dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    )
    assert "step 4 (repeat repeat) repeats its steps" in refused(b.finish(x))
    b = Builder("mine")
    x = dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    text = refused(b.finish(b.keep("all", x, Append()).sum(0)))
    assert text.startswith("mine: step 5 (read read) goes along all positions outside attend")
    b = Builder("mine")
    x = dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    again = b.parameter("again", (32, 32), Tensor("again", (32, 32)))
    text = refused(b.finish(b.lookup(again, b.step(ops.ArgMax(), x))))
    assert "(lookup lookup_2) looks up by a number that is computed on the way" in text


def test_members_that_are_chosen_in_two_ways_are_refused():
    b = Builder("mine")
    x = plain(b)
    for name, members in (("one", 3), ("two", 5)):
        source = Tensor(name, (members, 32, 32))
        bank = replace(
            tensor_matrix(name, 32, 32), role="experts", cut=Cut("members"), members=members,
            source=source,
        )  # fmt: skip
        router = b.matrix(replace(tensor_matrix(f"{name}.r", members, 32), cut=Cut("copy")))
        _, chosen = b.steps(ops.TopK(2), dense(x, router), outs=2)
        x = dense(x, b.matrix(bank), chosen=chosen).sum(0)
    assert "chooses 2 of 5 members, others choose otherwise" in refused(b.finish(x))


def test_windows_of_two_lengths_are_refused():
    b = Builder("mine")
    x = plain(b)
    for window in (4, 6):
        heads = x.reshape(2, 16)
        x = x + attend(heads, heads, heads, scale=0.25, window=window)
    x = dense(x, b.matrix(tensor_matrix("m", 32, 32)))
    assert "has a window of 6 positions, others one of 4" in refused(b.finish(x))


def test_grids_that_no_network_can_be_cut_over():
    with pytest.raises(DoesNotFit, match=r"at most 2 columns \(runs of heads\) of 2 chips"):
        token_work(llama(), 1, 4)
    with pytest.raises(DoesNotFit, match="use a smaller grid"):
        token_work(llama(), 3, 1)


def test_a_network_without_blocks_has_logits_for_its_last_pass():
    b = Builder("mine")
    of = [b.matrix(tensor_matrix(name, 96, 32)) for name in ("x", "h")]
    x = gru(plain(b), *of)
    logits = dense(x, b.matrix(tensor_matrix("head", 11, 32)))
    work = token_work(shape_of_network(b.finish(logits), "mine"), 1, 1)
    assert len(work.layers) == 1
    assert len(work.head) == 2
    assert run_decode(make_machine(), work, 5, 2, 0, tokens=50).outputs > 0


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


def test_numbers_of_the_hosts_come_in_as_a_tables_row_does():
    """A network of signals has the work of one whose signals a table holds."""
    works = []
    for of_data in (True, False):
        b = Builder("mine")
        x = b.input(Input("x", "data", (32,), "real")) if of_data else plain(b)
        work = dense(x, b.matrix(tensor_matrix("m", 32, 32)))
        works.append(token_work(shape_of_network(b.finish(work), "mine"), 1, 1))
    assert works[0] == works[1]
    assert works[0].entry_values == 32


def test_what_is_done_to_signals_takes_time():
    """Unlike to a table's row, which could be stored so."""
    b = Builder("mine")
    x = b.input(Input("x", "data", (32,), "real")).table("tanh")
    work = token_work(
        shape_of_network(b.finish(dense(x, b.matrix(tensor_matrix("m", 32, 32)))), "mine"), 1, 1
    )
    assert any(getattr(task, "elements", 0) == 32 for task in (*work.head, *sum(work.kinds, ())))
