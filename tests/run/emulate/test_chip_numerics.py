"""The emulator in `chip` numerics: integers that depend on nothing but the tokens before them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import corpus
import hnlpu
from helpers import bfloat16, write_checkpoint
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import _projection, chip_tokens, open_language_model
from hnlpu.silicon.hardwire import open_build

BUNDLED = Path(__file__).parents[3] / "checkpoints" / "stdlib-8m"
TOKENS = np.random.default_rng(1).integers(0, 97, 150).tolist()


@pytest.fixture(scope="module")
def chip(tiny_build):
    return open_language_model(tiny_build, numerics="chip")


def logits_of(model, chunks):
    """Logits of TOKENS as they arrive in chunks."""
    run, cache, pieces, at = model.transformer, model.transformer.new_cache(), [], 0
    for size in chunks:
        hidden = run.forward(np.array(TOKENS[at : at + size]), cache)
        pieces += [run.logits(row[None]) for row in hidden]
        at += size
    assert cache.length == at
    return np.concatenate(pieces)


@pytest.mark.parametrize("chunks", [[1] * 150, [7, 1, 100, 42], [3, 147]])
def test_how_tokens_arrive_changes_no_bit(chip, chunks):
    run = chip.transformer
    whole = run.logits(run.forward(np.array(TOKENS), run.new_cache()))
    assert whole.dtype == np.int64
    assert np.array_equal(logits_of(chip, chunks), whole)


def test_sums_of_numba_give_the_same_bits(chip, tiny_build, monkeypatch):
    """Where no kernels could be compiled."""
    whole = logits_of(chip, [30, 1, 119])
    monkeypatch.setattr(_projection, "load", lambda: (None, "not compiled"))
    assert np.array_equal(logits_of(open_language_model(tiny_build, numerics="chip"), [150]), whole)
    assert np.array_equal(logits_of(chip, [1] * 150), whole)


def test_a_long_prompt_runs_in_pieces(chip):
    """More tokens than run through the layers together, and more than the first cache holds."""
    tokens = np.random.default_rng(2).integers(0, 97, 700)
    run = chip.transformer
    whole = run.forward(tokens, run.new_cache())
    cache = run.new_cache()
    parts = [run.forward(part, cache) for part in np.split(tokens, [13, 600, 650])]
    assert np.array_equal(np.concatenate(parts), whole)
    last = run.forward(tokens, run.new_cache(), last=True)
    assert np.array_equal(last, whole[-1:])


def test_logits_lie_near_those_of_float_numerics(chip, tiny_build):
    plain = open_language_model(tiny_build)
    difference = logits_of(chip, [150]) / 65536 - logits_of(plain, [150])
    assert 0 < np.abs(difference).mean() < 0.02


def test_scores_are_the_log_softmax_of_the_logits(chip):
    logits = logits_of(chip, [150])[:-1] / 65536
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    score = chip.score(TOKENS, top=2)
    expected = [log_p[i, t] for i, t in enumerate(TOKENS[1:])]
    assert score.logprobs == pytest.approx(expected, abs=1e-9)
    assert [best[0][0] for best in score.top] == log_p.argmax(1).tolist()


def test_greedy_is_the_argmax(chip):
    new = [t.id for t in chip.generate(TOKENS[:3], max_tokens=40, ignore_end=True)]
    run = chip.transformer
    logits = run.logits(run.forward(np.array(TOKENS[:3] + new), run.new_cache()))
    assert new == logits[2:-1].argmax(1).tolist()


def test_chip_tokens_are_those_of_generate(chip, tiny_build):
    for temperature, seed in ((0.0, 0), (1.3, 5), (1.3, 6)):
        found = chip_tokens(open_build(tiny_build), [5, 6], 30, temperature, seed)
        new = chip.generate([5, 6], max_tokens=30, temperature=temperature, seed=seed)
        assert found == [t.id for t in new]
    assert found != chip_tokens(open_build(tiny_build), [5, 6], 30, 1.3, 5)


def test_chip_tokens_end_before_the_end_token(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint", eos_token_id=None)
    whole = chip_tokens(open_build(hnlpu.build(checkpoint, tmp_path / "whole")), [5], 12)
    assert len(whole) == 12
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": [whole[7]]}))
    stopped = chip_tokens(open_build(hnlpu.build(checkpoint, tmp_path / "stopped")), [5], 12)
    assert stopped == whole[: whole.index(whole[7])]


def test_zeros_are_values_too(tmp_path):
    """A token of zeros, rows of zeros, and biases that have to make up for them."""
    table = np.random.default_rng(0).standard_normal((97, 64))
    table[3] = 0
    width, prefix = (128, 64), "model.layers.0.self_attn."
    zeros = {
        "model.embed_tokens.weight": bfloat16(table),
        prefix + "q_proj.weight": bfloat16(np.zeros(width)),
        prefix + "q_proj.bias": bfloat16(np.zeros(width[0])),
        prefix + "o_proj.bias": bfloat16(np.zeros(64)),
        prefix + "v_proj.weight": bfloat16(np.zeros((64, 64))),
        prefix + "v_proj.bias": bfloat16(np.zeros(64)),
    }
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tensors=zeros)
    model = open_language_model(hnlpu.build(checkpoint, tmp_path / "build"), numerics="chip")
    run = model.transformer
    logits = run.logits(run.forward(np.array([3, 3, 4]), run.new_cache()))
    assert np.abs(logits).max() > 0
    assert math.isfinite(model.score([3, 3, 4]).perplexity)


def test_values_saturate_and_do_not_wrap(tmp_path):
    """Biases far beyond 2^15: every step ends at the largest value, none overflows."""
    random = np.random.default_rng(3)
    wild = {
        f"model.layers.{layer}.{name}": bfloat16(1e30 * random.standard_normal(shape))
        for layer in range(2)
        for name, shape in {
            "mlp.experts.gate_up_proj_bias": (4, 192),
            "mlp.experts.down_proj_bias": (4, 64),
            "self_attn.k_proj.bias": (64,),
            "self_attn.v_proj.bias": (64,),
            "self_attn.o_proj.bias": (64,),
            "self_attn.sinks": (4,),
            "mlp.router.bias": (4,),
            "input_layernorm.weight": (64,),
        }.items()
    }
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tensors=wild)
    model = open_language_model(hnlpu.build(checkpoint, tmp_path / "build"), numerics="chip")
    logits = logits_of(model, [150])
    assert -(2**31) <= logits.min() < logits.max() < 2**31
    assert np.array_equal(logits, logits_of(model, [1] * 150))
    assert np.array_equal(logits, logits_of(model, [70, 1, 79]))


TRAINED = sorted(path.parent for path in BUNDLED.parent.glob("*/config.json"))


@pytest.mark.parametrize("checkpoint", TRAINED, ids=lambda path: path.name)
def test_perplexity_is_that_of_float_numerics(checkpoint, tmp_path):
    """Trained models on held-out text, within half a percent; far less is typical."""
    text = corpus.excerpt(corpus.held_out_documents(), 6_000)
    for bits in (12, 8):
        policy = make_policy(activation_bits=bits)
        build = hnlpu.build(checkpoint, tmp_path / str(bits), policy)
        plain = open_language_model(build).score(text).perplexity
        fixed = open_language_model(build, numerics="chip").score(text).perplexity
        assert fixed == pytest.approx(plain, rel=0.005)


def test_samples_of_the_bundled_model_are_text(tmp_path):
    build = open_build(hnlpu.build(BUNDLED, tmp_path / "build"))
    model = open_language_model(build.directory, numerics="chip")
    prompt = model.encode("import os\n\nclass Queue:\n").tolist()
    text = model.tokenizer.decode(chip_tokens(build, prompt, 60, 0.6, 1))
    assert "def " in text
    assert "self" in text


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.generate([1], temperature=1e-9),
        lambda m: m.generate([1], temperature=1e9),
        lambda m: m.generate([1], seed=2**64),
        lambda m: m.generate([]),
        lambda m: m.generate([97]),
        lambda m: m.score([1]),
    ],
)
def test_nonsense_is_refused_before_anything_runs(chip, call):
    with pytest.raises(InvalidInput):
        call(chip)


def test_a_checkpoint_has_no_chip(tiny_checkpoint):
    with pytest.raises(InvalidInput, match="float numerics"):
        open_language_model(tiny_checkpoint, numerics="chip")


def test_numerics_have_names_and_integer_activations(tiny_build):
    with pytest.raises(InvalidInput, match="float, chip or machine"):
        open_language_model(tiny_build, numerics="fixed")
    with pytest.raises(InvalidInput, match="integer activations"):
        open_language_model(tiny_build, numerics="chip", float_activations=True)


def test_a_factor_beyond_the_unit_is_refused(tmp_path):
    config = {
        "rope_scaling": {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128,
            "attention_factor": 65.0,
        }
    }  # fmt: skip
    build = hnlpu.build(write_checkpoint(tmp_path / "checkpoint", **config), tmp_path / "build")
    with pytest.raises(InvalidInput, match="65"):
        open_language_model(build, numerics="chip")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("model.norm.weight", "embedding"),
        ("model.embed_tokens.weight", "embedding"),
        ("model.layers.1.self_attn.sinks", "layer-001"),
        ("model.layers.0.mlp.experts.down_proj", "layer-000"),
    ],
)
def test_a_parameter_that_is_no_number_is_named(tmp_path, tiny_checkpoint, cli, name, file):
    build = hnlpu.build(tiny_checkpoint, tmp_path / "build")
    tensors = open_build(build).tensors
    found = next(t for n, t in tensors.items() if n in (name, name + ".bias"))
    with (build / "weights" / f"{file}.safetensors").open("r+b") as raw:
        raw.seek(found.offset)
        raw.write(b"\xc0\x7f")
    with pytest.raises(NotFinite, match=name.replace(".", r"\.")):
        list(open_language_model(build, numerics="chip").generate([0], max_tokens=1))
    code, printed, told = cli("generate", build, "--tokens", "0", "--numerics", "chip")
    assert (code, printed, told.count("\n")) == (2, "", 1)
    assert name in told


def test_the_command_line_takes_numerics(cli, chip, tiny_build, tiny_checkpoint):
    arguments = ("--tokens", "5,6,7", "--numerics", "chip", "--json")
    code, printed, _ = cli("score", tiny_build, *arguments)
    assert code == 0
    assert json.loads(printed)["logprobs"] == chip.score([5, 6, 7]).logprobs
    code, printed, _ = cli("generate", tiny_build, *arguments, "--max-tokens", "9", "--ignore-end")
    new = chip.generate([5, 6, 7], max_tokens=9, ignore_end=True)
    assert json.loads(printed)["tokens"] == [t.id for t in new]
    for folder, option in ((tiny_checkpoint, "chip"), (tiny_build, "fixed")):
        code, printed, told = cli("score", folder, "--tokens", "5,6", "--numerics", option)
        assert (code, printed, told.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("kept", [{"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.5}])
def test_a_chip_drops_no_tokens_and_says_so(chip, kept):
    with pytest.raises(InvalidInput, match="samples by temperature alone"):
        chip.generate([15], temperature=1.0, **kept)
