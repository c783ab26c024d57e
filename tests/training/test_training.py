"""A smoke-size run of the training script, and that what it exports is what it trained."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hnlpu

torch = pytest.importorskip("torch")

TRAINING = Path(__file__).parents[2] / "training"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    for script, *options in (
        ["train.py", "--model", "smoke", "--threads", "1", "--out", folder / "run"],
        ["export.py", "--run", folder / "run", "--out", folder / "checkpoint"],
    ):
        subprocess.run([sys.executable, TRAINING / script, *options], check=True, timeout=300)
    return folder


def test_loss_falls(trained):
    losses = torch.load(trained / "run" / "state.pt", weights_only=True)["history"]
    assert losses[-1] < losses[0] - 0.1


def test_a_finished_run_is_not_run_again(trained):
    before = torch.load(trained / "run" / "state.pt", weights_only=True)
    command = [sys.executable, TRAINING / "train.py", "--model", "smoke", "--threads", "1"]
    result = subprocess.run(
        [*command, "--out", trained / "run"],
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert "continuing at step 12" in result.stdout
    after = torch.load(trained / "run" / "state.pt", weights_only=True)
    assert after["history"] == before["history"]
    assert all(torch.equal(after["model"][name], value) for name, value in before["model"].items())


def test_the_export_is_the_trained_model(trained, monkeypatch):
    """Logits of the exported checkpoint, in float32, are those of the training code."""
    from model import GptOss, Shape

    state = torch.load(trained / "run" / "state.pt", weights_only=True)
    model = GptOss(Shape(**state["shape"]))
    on_grid = ("_proj.weight", "gate_up", "down")  # matrices are rounded once, to MXFP4
    rounded = {
        name: value
        if any(part in name for part in on_grid) and name.endswith("weight")
        else value.bfloat16().float()
        for name, value in state["model"].items()
    }
    model.load_state_dict(rounded)
    model.set_quantize(True)
    tokens = np.random.default_rng(0).integers(0, 384, 200)
    # training multiplies in bfloat16, whose sums differ from processor to processor
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)[None])[0][0].numpy()
    ours = hnlpu.open(trained / "checkpoint").transformer
    found = ours.logits(ours.forward(tokens, ours.new_cache()))
    difference = np.sqrt(np.square(found - expected).mean() / np.square(expected).mean())
    assert difference < 1e-5


def test_hardwiring_the_export_costs_nothing_in_weights(trained, tmp_path):
    hnlpu.build(trained / "checkpoint", tmp_path / "build")
    manifest = json.loads((tmp_path / "build" / "manifest.json").read_text())
    for name, record in manifest["matrices"].items():
        if record["role"] in ("attention", "experts"):
            assert record["relative_error"] == 0, name
            assert len(record["digits"]) == 1, name
    assert hnlpu.verify(tmp_path / "build").passed


def test_held_out_modules_are_never_trained_on():
    import corpus

    trained_on = {d.name for d in corpus.training_documents()}
    held_out = {d.name for d in corpus.held_out_documents()}
    assert held_out == set(corpus.HELD_OUT)
    assert not trained_on & held_out
    assert "os.py" in trained_on
    assert any(name.startswith("topics/") for name in trained_on)


def test_the_same_step_gives_the_same_batch():
    from train import Windows

    windows = Windows(np.arange(10_000), seed=0)
    assert (windows.batch(7, 4, 64) == windows.batch(7, 4, 64)).all()
    batch = windows.batch(7, 4, 64)
    assert batch.shape == (4, 65)
    assert (batch[:, 1:] == batch[:, :-1] + 1).all()
    assert (windows.batch(8, 4, 64) != batch).any()
