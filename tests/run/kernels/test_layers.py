"""All layers in C against the interpreter of their network: the same bits, in every instruction set."""

from functools import partial

import numpy as np
import pytest

from helpers import bfloat16, write_checkpoint
from hnlpu.errors import NotFinite
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import open_language_model, vector_unit
from hnlpu.run.emulate._projection import _quantize_activations
from hnlpu.run.kernels import attend_paged, load
from hnlpu.run.kernels.tape import TapeMemory, TapeRows
from hnlpu.silicon.hardwire import build

LIBRARY, REASON = load()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=REASON)
SETS = range(len(LIBRARY.instructions) if LIBRARY else 0)

SHAPES = {
    "grouped": {"hidden": 96, "intermediate": 160, "heads": 8, "kv_heads": 2, "head_dim": 64},
    "odd": {"hidden": 160, "intermediate": 32, "heads": 6, "kv_heads": 2, "head_dim": 48},
    "narrow": {"heads": 4, "kv_heads": 4, "head_dim": 8, "experts": 5, "active": 1},
}  # fmt: skip


def bits(x):
    return x.view(np.int32)


@pytest.fixture(scope="module", params=SHAPES)
def transformer(request, tmp_path_factory):
    """A small model with lively gates, whose exponentials leave the usual range."""
    folder = tmp_path_factory.mktemp(request.param)
    changes = SHAPES[request.param]
    inner, experts = changes.get("intermediate", 96), changes.get("experts", 4)
    random = np.random.default_rng(7)
    wild = {
        f"model.layers.{layer}.mlp.experts.gate_up_proj_bias": bfloat16(
            60 * random.standard_normal((experts, 2 * inner))
        )
        for layer in range(2)
    }
    write_checkpoint(folder / "checkpoint", tensors=wild, **changes)
    widths = {"grouped": 12, "odd": 16, "narrow": 8}
    policy = make_policy(activation_bits=widths[request.param])
    build(folder / "checkpoint", folder / "build", policy)
    return open_language_model(folder / "build").transformer


def run(transformer, pieces, monkeypatch, instructions=None):
    """Hidden states of a text that arrives in pieces, in C (`instructions`) or as defined."""
    assert transformer.taped is not None
    with monkeypatch.context() as patch:
        if instructions is None:
            patch.setattr(transformer, "taped", None)
        else:
            tape = transformer.taped.tape
            patch.setattr(tape, "run", partial(tape.run, instructions=instructions))
        cache = transformer.new_cache()
        return np.concatenate([transformer.forward(np.array(p), cache) for p in pieces])


@pytest.mark.parametrize("instructions", SETS)
def test_every_instruction_set_gives_the_bits_of_the_definition(
    transformer, instructions, monkeypatch
):
    tokens = np.random.default_rng(1).integers(0, 97, 45).tolist()
    pieces = [tokens[:30], [tokens[30]], tokens[31:34], *[[t] for t in tokens[34:]]]
    expected = run(transformer, [tokens], monkeypatch)
    found = run(transformer, pieces, monkeypatch, instructions)
    assert np.array_equal(bits(found), bits(expected))


def test_experts_in_groups_are_experts_at_once(transformer, monkeypatch):
    """So many tokens that their experts do not fit one group of `EXPERT_ROWS` rows."""
    tokens = np.random.default_rng(6).integers(0, 97, 400)
    together = run(transformer, [tokens], monkeypatch, 0)
    apart = run(transformer, np.split(tokens, 8), monkeypatch, 0)
    assert np.array_equal(bits(together), bits(apart))


def test_a_row_does_not_know_its_neighbours(transformer, monkeypatch):
    """Rows of several sequences on scattered pages: each the bits that it has alone."""
    random = np.random.default_rng(2)
    lengths, page = [9, 1, 17, 6], 4
    texts = [random.integers(0, 97, n) for n in lengths]
    needed = [-(-n // page) for n in lengths]
    free = random.permutation(sum(needed) + 3)
    tables = np.zeros((len(lengths), max(needed)), np.int64)
    for s, n in enumerate(needed):
        tables[s, :n] = free[sum(needed[:s]) : sum(needed[:s]) + n]
    taped = transformer.taped
    states = {
        held.name: np.full(held.memory_shape(len(free), page), np.nan, np.float32)
        for held in taped.tape.states
    }
    sequences = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.concatenate([np.arange(n) for n in lengths])
    (together,) = taped.run(
        {"token": np.concatenate(texts)},
        TapeRows(sequences, positions),
        TapeMemory(states, tables, np.zeros(len(lengths), np.int64)),
    )
    for s, text in enumerate(texts):
        alone = run(transformer, [text], monkeypatch)
        assert np.array_equal(bits(together[sequences == s]), bits(alone))


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("window", [0, 1, 37])
def test_attention_is_the_definition_bit_for_bit(instructions, spread, window):
    random = np.random.default_rng(3)
    heads, kv, size, start, tokens = 10, 2, 80, 150, 3
    total = start + tokens
    q = (spread * random.standard_normal((tokens, heads, size))).astype(np.float32)
    keys = random.standard_normal((kv, size, total)).astype(np.float32)
    values = random.standard_normal((kv, total, size)).astype(np.float32)
    sinks = random.standard_normal(heads).astype(np.float32)
    expected = vector_unit.attend(q, keys, values, start, window, sinks)
    page = 16
    count = -(-total // page)
    table = random.permutation(count)
    paged_keys = np.zeros((count, kv, size, page), np.float32)
    paged_values = np.zeros((count, kv, page, size), np.float32)
    for j in range(total):
        paged_keys[table[j // page], :, :, j % page] = keys[:, :, j]
        paged_values[table[j // page], :, j % page] = values[:, j]
    one = np.zeros(tokens, np.int64), np.arange(start, total)
    for k, v, tables in (
        (paged_keys, paged_values, table[None]),
        (keys[None], values[None], np.zeros((1, 1), np.int64)),
    ):
        found = attend_paged(
            LIBRARY, q, k, v, tables, *one, window, sinks, instructions=instructions
        )
        assert np.array_equal(bits(found), bits(expected))


@pytest.mark.parametrize("instructions", SETS)
def test_norms_and_integers_are_the_definition(instructions):
    random = np.random.default_rng(4)
    x = (random.standard_normal((9, 77)) * 10.0 ** random.integers(-40, 37, (9, 1))).astype(
        np.float32
    )
    x[0], x[1, :5] = 0, (-8, 4, 2.5, 1.5, 0.5)
    x[1, 5:] = 0
    weight = random.standard_normal(77).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = vector_unit.rms_norm(x, weight, 1e-5)
    assert np.array_equal(
        bits(LIBRARY.norm(x, weight, 1e-5, instructions=instructions)), bits(expected)
    )
    for width in range(2, 17):
        integers, scales = np.empty(x.shape, np.int32), np.empty(len(x), np.int32)
        assert _quantize_activations(x, width, integers, scales)
        found = LIBRARY.quantize(x, width, instructions=instructions)
        assert np.array_equal(found[0], integers)
        assert np.array_equal(found[1], scales)
    x[3, 70] = np.inf
    with pytest.raises(NotFinite):
        LIBRARY.quantize(x, 12, instructions=instructions)


def test_what_is_not_finite_is_refused(tmp_path):
    name = "model.layers.1.post_attention_layernorm.weight"
    huge = {name: np.full(64, 0x7F7F, np.uint16)}  # 3.4e38: times anything above 1 is infinite
    write_checkpoint(tmp_path / "checkpoint", tensors=huge)
    build(tmp_path / "checkpoint", tmp_path / "build")
    model = open_language_model(tmp_path / "build").transformer
    assert model.taped is not None
    with pytest.raises(NotFinite):
        model.forward(np.array([1, 2]), model.new_cache())
