"""The bundled model: read like transformers reads it, hardwired at no cost, better than compressors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import corpus
import hnlpu

BUNDLED = Path(__file__).parents[3] / "checkpoints" / "stdlib-8m"


@pytest.fixture(scope="module")
def text():
    return corpus.excerpt(corpus.held_out_documents(), 12_000)


@pytest.fixture(scope="module")
def bundled_build(tmp_path_factory):
    return hnlpu.build(BUNDLED, tmp_path_factory.mktemp("bundled") / "build")


def test_logits_agree_with_transformers(text):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    reference = transformers.GptOssForCausalLM.from_pretrained(
        BUNDLED, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ours = hnlpu.open(BUNDLED)
    tokens = ours.encode(text)[:600]  # past the window (128) and YaRN's original context (256)
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)[None]).logits[0].numpy()
    run, cache = ours.transformer, ours.transformer.new_cache()
    pieces = [run.logits(run.forward(part, cache)) for part in np.split(tokens, [500, 501, 502])]
    assert np.abs(np.concatenate(pieces) - expected).max() < 1e-3


def test_hardwiring_costs_less_than_one_percent(text, bundled_build):
    base = hnlpu.open(BUNDLED).score(text).perplexity
    hardwired = hnlpu.open(bundled_build).score(text).perplexity
    assert abs(hardwired / base - 1) < 0.01


def test_attention_and_experts_lie_on_the_grid(bundled_build):
    manifest = json.loads((bundled_build / "manifest.json").read_text())
    for name, record in manifest["matrices"].items():
        if record["role"] in ("attention", "experts"):
            assert record["relative_error"] == 0, name


def test_it_fits_the_repository():
    assert sum(p.stat().st_size for p in BUNDLED.rglob("*") if p.is_file()) <= 10_000_000


def test_the_card_states_what_was_evaluated():
    card = (BUNDLED / "README.md").read_text()
    results = json.loads((BUNDLED / "evaluation.json").read_text())
    for name in ("xz -9", "zstd -19", "order-4 bytes"):
        assert results["model"] < 0.9 * results[name], name
        for row in (name, f"{name}, primed"):
            assert f"{results[row]:.3f}" in card, row
    assert f"**{results['model']:.3f}**" in card
    training = json.loads((BUNDLED / "training.json").read_text())
    assert re.search(rf"{training['step']:,}\s+steps", card)


def test_it_beats_the_compressors_on_this_machines_own_text(text):
    """On this Python's held-out modules, whatever its version."""
    bits = hnlpu.open(BUNDLED).score(text).bits_per_byte
    results = json.loads((BUNDLED / "evaluation.json").read_text())
    assert bits < results["xz -9"]


def test_it_writes_python(bundled_build):
    """Samples have the shape of Python: definitions, colons, indented lines."""
    model = hnlpu.open(bundled_build)
    samples = ""
    for seed in range(5):
        new = model.generate(
            "import os\n\nclass Queue:\n", max_tokens=150, temperature=0.6, seed=seed
        )
        samples += "".join(token.text for token in new) + "\n"
    assert samples.count("def ") >= 5
    assert samples.count("self") >= 10
    assert len(re.findall(r":\n +", samples)) >= 5
