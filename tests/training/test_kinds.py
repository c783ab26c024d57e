"""Models of other families, a few steps of each: what is exported is what was trained, on the grid."""

from dataclasses import replace

import numpy as np
import pytest

import hnlpu
from hnlpu.silicon.hardwire import open_build

torch = pytest.importorskip("torch")

from configurations import CONFIGURATIONS  # noqa: E402 (needs torch)
from export import export  # noqa: E402
from kinds import KINDS  # noqa: E402
from train import train  # noqa: E402

WEIGHTS = {"llama-90k": 90_112, "qwen3-90k": 90_112, "gru-106k": 106_496}


@pytest.fixture(scope="module", params=WEIGHTS)
def trained(request, tmp_path_factory):
    folder, chosen = tmp_path_factory.mktemp("kind"), CONFIGURATIONS[request.param]
    recipe = replace(chosen.recipe, steps=4, batch_tokens=512, warmup_steps=1)
    train(folder / "run", chosen.shape, recipe, minutes=None, text_bytes=60_000)
    export(folder / "run", folder / "checkpoint")
    return request.param, folder


def test_every_matrix_is_one_digit_and_exact(trained):
    name, folder = trained
    hnlpu.build(folder / "checkpoint", folder / "build")
    matrices = open_build(folder / "build").manifest.matrices
    assert all(len(m.digits) == 1 and m.relative_error == 0 for m in matrices.values())
    assert sum(m.weights for m in matrices.values()) == WEIGHTS[name]


def test_the_export_is_the_trained_model(trained):
    """Logits on the grid agree but for the training code's bfloat16; off the grid they do not."""
    _, folder = trained
    state = torch.load(folder / "run" / "state.pt", weights_only=True)
    kind = KINDS[state["kind"]]
    model = kind.module(kind.shape(**state["shape"]))
    model.load_state_dict(state["model"])
    tokens = np.random.default_rng(0).integers(0, 256, 48)
    ours = hnlpu.open(folder / "checkpoint").transformer
    found = ours.logits(ours.forward(tokens, ours.new_cache()))
    errors = []
    for on in (True, False):
        model.set_quantize(on)
        with torch.no_grad():
            expected = model(torch.from_numpy(tokens)[None])[0][0].numpy()
        errors.append(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))
    assert errors[0] < 0.02, errors
    assert errors[1] > 3 * errors[0], errors


@pytest.mark.parametrize("name", ["llama-90k", "qwen3-90k"])
def test_transformers_reads_what_was_exported(trained, name):
    transformers = pytest.importorskip("transformers")
    which, folder = trained
    if which != name:
        pytest.skip("the other model")
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "checkpoint", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = np.random.default_rng(1).integers(0, 256, 200)
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)[None]).logits[0].numpy()
    ours = hnlpu.open(folder / "checkpoint").transformer
    found = ours.logits(ours.forward(tokens, ours.new_cache()))
    assert np.abs(found - expected).max() < 1e-3
