"""The small checkpoints: read like transformers reads them, hardwired at no cost, some Python."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import corpus
import hnlpu
from hnlpu.silicon.hardwire import open_build

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
HARDWIRED = {
    "stdlib-140k": 139_776, "llama-90k": 90_112, "qwen3-90k": 90_112, "gru-106k": 106_496,
}  # fmt: skip
"""Weights that become metal, by checkpoint."""


@pytest.fixture(scope="module", params=HARDWIRED)
def small(request):
    return CHECKPOINTS / request.param


@pytest.fixture(scope="module")
def text():
    return corpus.excerpt(corpus.held_out_documents(), 12_000)


@pytest.fixture(scope="module")
def build(small, tmp_path_factory):
    return hnlpu.build(small, tmp_path_factory.mktemp("small") / "build")


@pytest.mark.parametrize("name", ["stdlib-140k", "llama-90k", "qwen3-90k"])
def test_logits_agree_with_transformers(name, text):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        CHECKPOINTS / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ours = hnlpu.open(CHECKPOINTS / name)
    tokens = ours.encode(text)[:256]  # past the window (32) and YaRN's original context (64)
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)[None]).logits[0].numpy()
    run, cache = ours.transformer, ours.transformer.new_cache()
    pieces = [run.logits(run.forward(part, cache)) for part in np.split(tokens, [200, 201, 202])]
    assert np.abs(np.concatenate(pieces) - expected).max() < 1e-3


def test_every_matrix_is_one_exact_digit(small, build):
    matrices = open_build(build).manifest.matrices
    assert sum(m.weights for m in matrices.values()) == HARDWIRED[small.name]
    for name, matrix in matrices.items():
        assert len(matrix.digits) == 1, name
        assert matrix.relative_error == 0, name


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_hardwiring_costs_less_than_one_percent(small, text, tmp_path, preset):
    hnlpu.build(small, tmp_path / "build", hnlpu.make_policy(preset))
    base = hnlpu.open(small).score(text).perplexity
    for numerics in ("float", "chip"):
        model = hnlpu.open(tmp_path / "build", numerics=numerics)
        assert abs(model.score(text).perplexity / base - 1) < 0.01, numerics


def test_it_writes_the_shape_of_python(build):
    model = hnlpu.open(build)
    samples = ""
    for seed in range(8):
        new = model.generate("    def __init__(self", max_tokens=150, temperature=0.5, seed=seed)
        samples += "".join(token.text for token in new) + "\n"
    assert samples.count("self") >= 10
    assert samples.count("def ") >= 4
    assert len(re.findall(r":\n +", samples)) >= 8


def test_the_card_states_what_was_evaluated(small):
    card = (small / "README.md").read_text()
    results = json.loads((small / "evaluation.json").read_text())
    assert f"**{results['model']:.3f}**" in card
    for row in ("xz -9", "zstd -19", "order-4 bytes"):
        assert f"{results[row]:.3f}" in card, row
        assert f"{results[row + ', primed']:.3f}" in card, row
    training = json.loads((small / "training.json").read_text())
    assert re.search(rf"{training['step']:,}\s+steps", card)
    assert training["recipe"]["long_sequence"] == 256
