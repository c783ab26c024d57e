"""Checkpoints as others leave them: built exactly, or refused by the name of their layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import (
    CheckpointNotFound,
    DamagedCheckpoint,
    InvalidConfig,
    TensorMismatch,
)
from hnlpu.insight.verify import verify
from hnlpu.model.checkpoint import read_model

torch = pytest.importorskip("torch")


def rewritten(folder, change):
    """The checkpoint's tensors, changed by `change` on torch's own."""
    from safetensors.torch import load_file as load
    from safetensors.torch import save_file as save

    path = folder / "model.safetensors"
    tensors = load(path)
    change(tensors)
    save({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return folder


def widen(tensors):
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bfloat16:
            tensors[name] = tensor.float()


def test_float32_that_is_all_bfloat16_builds_the_same(tmp_path):
    plain = hnlpu.build(write_checkpoint(tmp_path / "plain"), tmp_path / "plain.build")
    wide = rewritten(write_checkpoint(tmp_path / "wide"), widen)
    build = hnlpu.build(wide, tmp_path / "wide.build")
    for path in plain.glob("*.safetensors"):
        ours, theirs = load_raw(path), load_raw(build / path.name)
        assert ours == theirs
    assert verify(build, wide).passed
    tokens = [5, 9, 17, 3]
    assert hnlpu.open(build).score(tokens).logprobs == hnlpu.open(plain).score(tokens).logprobs
    floats = [hnlpu.open(tmp_path / name).score(tokens).logprobs for name in ("plain", "wide")]
    assert floats[0] == floats[1]


def load_raw(path):
    """Everything behind a file's header."""
    raw = path.read_bytes()
    return raw[8 + int.from_bytes(raw[:8], "little") :]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_other_floats_are_read_and_kept_as_they_are(tmp_path, dtype):
    random, of = np.random.default_rng(3), getattr(torch, dtype)

    def change(tensors):
        for name, tensor in tensors.items():
            if tensor.dtype == torch.bfloat16:  # numbers that bfloat16 does not have
                noise = torch.from_numpy(random.normal(1, 0.01, tuple(tensor.shape)))
                tensors[name] = (tensor.double() * noise).to(of)

    folder = rewritten(write_checkpoint(tmp_path / "c", packed=False, new_config=True), change)
    from safetensors.torch import load_file as load

    stored, model = load(folder / "model.safetensors"), read_model(folder)
    for name in model.vectors:
        np.testing.assert_array_equal(model.vector(name), stored[name].float().numpy())
    for name, matrix in model.matrices.items():
        for index in range(matrix.shape.count):
            if matrix.shape.bank:
                expected = stored[name].float().numpy()[index].T
            else:
                expected = stored[name + ".weight"].float().numpy()
            np.testing.assert_array_equal(matrix.dense(index), expected)
            np.testing.assert_array_equal(matrix.dense(index, slice(5, 9)), expected[5:9])
    build = hnlpu.build(folder, tmp_path / "build")
    assert verify(build, folder).passed
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = [5, 9, 17, 3, 60, 2]
    with torch.no_grad():
        wanted = reference(torch.tensor([tokens])).logits[0].log_softmax(-1)
    wanted = [wanted[i, t].item() for i, t in enumerate(tokens[1:])]
    found = hnlpu.open(folder).score(tokens).logprobs
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(hnlpu.open(build).score(tokens).logprobs, wanted, atol=0.5)
    assert hnlpu.open(build, numerics="chip").score(tokens).logprobs


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_other_formats_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointNotFound, match="pickled"):
        read_model(tmp_path)
    config = json.loads((write_checkpoint(tmp_path / "c") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DamagedCheckpoint, match="pickled"):
        read_model(tmp_path)


def test_original_and_unsloths_layouts_are_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"num_experts": 8, "swiglu_limit": 7.0}))
    with pytest.raises(InvalidConfig, match="vocab_size is missing from OpenAI's original layout"):
        read_model(tmp_path)
    folder = write_checkpoint(tmp_path / "unsloth")
    name = "model.layers.0.mlp.experts.gate_up_projs.0.weight"
    save_file({name: np.zeros((2, 2), np.uint8)}, folder / "model.safetensors")
    with pytest.raises(TensorMismatch, match="Unsloth"):
        read_model(folder)


def test_an_adapter_is_no_checkpoint(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointNotFound, match="LoRA adapter"):
        read_model(tmp_path)


def test_named_templates_are_carried(tmp_path):
    folder = write_checkpoint(tmp_path / "checkpoint")
    (folder / "chat_template.jinja").write_text("a")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("b")
    build = hnlpu.build(folder, tmp_path / "build")
    assert (build / "rag.jinja").read_text() == "b"
    assert verify(build, folder).passed
