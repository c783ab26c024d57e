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
    TensorMismatch,
    UnsupportedArchitecture,
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


def test_float32_that_is_not_is_told_what_to_do(tmp_path):
    def change(tensors):
        widen(tensors)
        tensors["model.norm.weight"][3] += 2.0**-20

    wide = rewritten(write_checkpoint(tmp_path / "wide"), change)
    with pytest.raises(TensorMismatch, match=r"model.norm.weight is F32.*bfloat16"):
        read_model(wide)


@pytest.mark.parametrize("name", ["model.gguf", "pytorch_model.bin", "consolidated.00.pth"])
def test_other_formats_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    word = "GGUF" if name.endswith("gguf") else "pickled"
    with pytest.raises(CheckpointNotFound, match=word):
        read_model(tmp_path)
    config = json.loads((write_checkpoint(tmp_path / "c") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DamagedCheckpoint, match=word):
        read_model(tmp_path)


def test_original_and_unsloths_layouts_are_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"num_experts": 8, "swiglu_limit": 7.0}))
    with pytest.raises(UnsupportedArchitecture, match="original layout"):
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
