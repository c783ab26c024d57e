"""Layouts that others write of the same model: each reads as the one of transformers does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import hnlpu
from family_builds import made
from helpers import (
    INDEX,
    SINGLE,
    Tensors,
    make_config,
    random_tensors,
    write_checkpoint,
    write_tensors,
)
from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import DamagedCheckpoint, HnlpuError
from hnlpu.model.checkpoint import Model, read_model


def expect_same(one: Model, other: Model) -> None:
    """Every matrix, bias and vector of two models is the same, read whole and in parts."""
    assert one.matrices.keys() == other.matrices.keys()
    assert one.vectors.keys() == other.vectors.keys()
    for name, matrix in one.matrices.items():
        of = other.matrices[name]
        assert matrix.is_mxfp4 == of.is_mxfp4
        rows = slice(3, matrix.shape.rows - 1)
        for index in range(matrix.shape.count):
            for part in (slice(None), rows):
                if matrix.is_mxfp4:
                    for a, b in zip(
                        matrix.packed(index, part), of.packed(index, part), strict=True
                    ):
                        np.testing.assert_array_equal(a, b)
                else:
                    a, b = matrix.dense(index, part), of.dense(index, part)
                    np.testing.assert_array_equal(a, b)
        a, b = matrix.bias(), of.bias()
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b)
    for name in one.vectors:
        np.testing.assert_array_equal(one.vector(name), other.vector(name))
        np.testing.assert_array_equal(one.vector(name, slice(1, 3)), other.vector(name)[1:3])


def unstacked(tensors: Tensors) -> Tensors:
    """As Unsloth saves gpt-oss: a linear layer per expert, the router one inside another."""
    found: Tensors = {}
    for name, values in tensors.items():
        if ".mlp.router." in name:
            found[name.replace(".router.", ".router.linear.")] = values
        elif ".mlp.experts." in name:
            base = name.removesuffix("_bias")
            kind = "bias" if name.endswith("_bias") else "weight"
            for expert, part in enumerate(values):
                found[f"{base}s.{expert}.{kind}"] = part.T if kind == "weight" else part
        else:
            found[name] = values
    return found


def test_a_linear_layer_per_expert(tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain", packed=False)
    tensors = random_tensors(make_config(), packed=False)
    other = write_checkpoint(tmp_path / "other", packed=False)
    write_tensors(other, unstacked(tensors))
    expect_same(read_model(plain), read_model(other))
    one, two = (hnlpu.build(c, tmp_path / f"{c.name}.build") for c in (plain, other))
    assert hnlpu.verify(two, other).passed
    tokens = [5, 9, 17, 3]
    assert hnlpu.open(one).score(tokens).logprobs == hnlpu.open(two).score(tokens).logprobs


def test_an_expert_that_is_missing_is_told(tmp_path: Path) -> None:
    tensors = unstacked(random_tensors(make_config(), packed=False))
    other = write_checkpoint(tmp_path / "other", packed=False)
    gone = "model.layers.1.mlp.experts.down_projs.2.weight"
    write_tensors(other, {n: t for n, t in tensors.items() if n != gone})
    with pytest.raises(HnlpuError, match="do not make one stack"):
        read_model(other)
    write_tensors(other, {n: t for n, t in tensors.items() if not n.endswith("projs.0.bias")})
    with pytest.raises(HnlpuError, match=r"gate_up_projs|do not make one stack"):
        read_model(other)


ORIGINAL = {
    "model.embed_tokens": "embedding", "lm_head": "unembedding", "model.norm.weight": "norm.scale",
    "input_layernorm.weight": "attn.norm.scale", "post_attention_layernorm.weight":
    "mlp.norm.scale", "self_attn.sinks": "attn.sinks", "self_attn.o_proj": "attn.out",
    "mlp.router": "mlp.gate", "mlp.experts.gate_up_proj_bias": "mlp.mlp1_bias",
    "mlp.experts.down_proj_bias": "mlp.mlp2_bias",
    "mlp.experts.gate_up_proj_": "mlp.mlp1_weight.", "mlp.experts.down_proj_": "mlp.mlp2_weight.",
}  # fmt: skip


def original(tensors: Tensors, layers: int) -> Tensors:
    """By OpenAI's names; queries, keys and values are one matrix."""
    found: Tensors = {}
    for name, values in tensors.items():
        if ".q_proj." in name:
            parts = [tensors[name.replace(".q_", f".{part}_")] for part in "qkv"]
            layer, kind = name.split(".")[2], name.rpartition(".")[2]
            found[f"block.{layer}.attn.qkv.{kind}"] = np.concatenate(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            for ours, theirs in ORIGINAL.items():
                if ours in name:
                    name = name.replace(ours, theirs)
                    break
            found[name.replace("model.layers.", "block.")] = values
    return found


def test_openais_original_layout(tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain")
    config = make_config()
    folder = tmp_path / "original"
    folder.mkdir()
    write_tensors(folder, original(random_tensors(config), config["num_hidden_layers"]))
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim",
            "num_attention_heads", "num_key_value_heads", "sliding_window", "swiglu_limit")  # fmt: skip
    theirs = {key: config[key] for key in same} | {
        "num_experts": config["num_local_experts"], "experts_per_token": 2, "rope_theta": 150000,
        "rope_scaling_factor": 32.0, "rope_ntk_alpha": 1, "rope_ntk_beta": 32,
        "initial_context_length": 128,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(theirs))
    one, two = read_model(plain), read_model(folder)
    expect_same(one, two)
    assert one.architecture.rope == two.architecture.rope
    build = hnlpu.build(folder, tmp_path / "build")
    assert hnlpu.verify(build, folder).passed
    tokens = [5, 9, 17, 3]
    assert hnlpu.open(folder).score(tokens).logprobs == hnlpu.open(plain).score(tokens).logprobs


def test_stacks_of_experts_that_are_saved_as_they_are_in_memory(tmp_path: Path) -> None:
    plain = made("qwen3_moe").checkpoint
    folder = tmp_path / "fused"
    shutil.copytree(plain, folder)
    tensors = load_file(folder / SINGLE)
    config = json.loads((folder / "config.json").read_text())
    count = config.get("num_experts", config.get("num_local_experts"))
    for name in [n for n in tensors if ".experts.0.gate_proj" in n]:
        base = name.partition(".experts.")[0] + ".experts."
        gate, up, down = (
            np.stack([tensors.pop(f"{base}{e}.{part}_proj.weight") for e in range(count)])
            for part in ("gate", "up", "down")
        )
        tensors |= {base + "gate_up_proj": np.concatenate([gate, up], 1), base + "down_proj": down}
    save_file(tensors, folder / SINGLE)
    expect_same(read_model(plain), read_model(folder))


def both(folder: Path, change: Callable[[Tensors], object]) -> Path:
    """A single file, and beside it shards of the same model with an index, changed."""
    write_checkpoint(folder)
    tensors = random_tensors(make_config())
    change(tensors)
    write_tensors(folder, tensors, shards=2)
    return folder


NORM = "model.norm.weight"


def test_a_single_file_and_shards_that_agree(tmp_path: Path) -> None:
    folder = both(tmp_path / "both", lambda t: None)
    expect_same(read_model(folder), read_model(write_checkpoint(tmp_path / "one")))
    for shard in folder.glob("model-*.safetensors"):
        shard.unlink()  # an index that is left over alone is not looked at, as in transformers
    assert read_model(folder).weight_files() == [folder / SINGLE]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[NORM].__setitem__(5, t[NORM][5] ^ 1),
        lambda t: t.pop(NORM),
        lambda t: t.update({NORM: t[NORM][:8]}),
    ],
    ids=["a bit", "a tensor", "a shape"],
)
def test_a_single_file_and_shards_that_do_not(
    tmp_path: Path, change: Callable[[Tensors], object]
) -> None:
    folder = both(tmp_path / "both", change)
    with pytest.raises(DamagedCheckpoint) as refused:
        read_model(folder)
    for word in (SINGLE, INDEX, "disagree on model.norm.weight"):
        assert word in str(refused.value)


def test_shards_without_an_index(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c", shards=2)
    (folder / INDEX).unlink()
    with pytest.raises(DamagedCheckpoint, match=r"without an index: add model\.safetensors\.index"):
        read_model(folder)


def test_mxfp4_values_are_those_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    tensors = random_tensors(make_config())
    base = "model.layers.0.mlp.experts.down_proj_"
    blocks, scales = tensors[base + "blocks"], tensors[base + "scales"]
    theirs = convert_moe_packed_tensors(
        torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32
    )
    ours = dequantize(blocks, scales)
    np.testing.assert_array_equal(theirs.numpy(), ours.transpose(0, 2, 1))


def test_frequencies_that_older_checkpoints_hold(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(made("llama").checkpoint, folder)
    tensors = load_file(folder / SINGLE)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    save_file(tensors, folder / SINGLE)
    model = read_model(folder)
    expect_same(read_model(made("llama").checkpoint), model)
    (note,) = model.notes
    assert note.startswith("rotary_emb.inv_freq is left out")


@pytest.mark.parametrize(
    ("rename", "there"),
    [
        (
            lambda name: f"base_model.model.{name}",
            "base_model.model.model.layers.0.self_attn.q_proj.weight",
        ),
        (lambda name: name.removeprefix("model."), "layers.0.self_attn.q_proj.weight"),
    ],
)
def test_models_inside_others_are_told(
    rename: Callable[[str], str], there: str, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(made("llama").checkpoint, folder)
    tensors = {rename(name): t for name, t in load_file(folder / SINGLE).items()}
    save_file(tensors, folder / SINGLE)
    with pytest.raises(HnlpuError, match=re.escape(f"is missing; {there} is there")):
        read_model(folder)
