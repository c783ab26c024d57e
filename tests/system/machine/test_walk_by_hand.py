"""Work items of networks, counted by hand: bytes on links, elements, states, serial regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from machines import make_machine
from networks import llama, make_network, plain

from hnlpu.model.network import Builder
from hnlpu.model.network.composites import dense, gru
from hnlpu.system.catalog import (
    shape_of_network,
)
from hnlpu.system.machine import (
    Load,
    kv_state,
    serial_time,
    simulate,
    token_demand,
    token_steps,
    token_work,
    uniform_requests,
)
from hnlpu.system.machine._items import layer_items
from hnlpu.system.machine._run import run_decode, run_requests
from hnlpu.system.machine._tasks import CacheTraffic, Enter, Leave, StateTraffic
from network_samples import tensor_matrix


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
    (held,) = (task for task in kind if isinstance(task, StateTraffic))
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
        assert not any(isinstance(task, CacheTraffic) for task in kind)
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


def test_a_network_without_blocks_has_logits_for_its_last_pass():
    b = Builder("mine")
    of = [b.matrix(tensor_matrix(name, 96, 32)) for name in ("x", "h")]
    x = gru(plain(b), *of)
    logits = dense(x, b.matrix(tensor_matrix("head", 11, 32)))
    work = token_work(shape_of_network(b.finish(logits), "mine"), 1, 1)
    assert len(work.layers) == 1
    assert len(work.head) == 2
    assert run_decode(make_machine(), work, 5, 2, 0, tokens=50).outputs > 0
