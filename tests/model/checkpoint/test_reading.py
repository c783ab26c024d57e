"""Every way of storing a gpt-oss checkpoint reads as the same model."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import hnlpu
from helpers import (
    bfloat16,
    make_config,
    random_tensors,
    snapshot,
    write_checkpoint,
    write_tensors,
)
from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import DamagedCheckpoint
from hnlpu.model.checkpoint import (
    EMBEDDING,
    Rope,
    StoredRows,
    bfloat16_to_float32,
    read_architecture,
    read_header,
    read_model,
)

DOWN = "model.layers.1.mlp.experts.down_proj"


def test_both_generations_of_config_are_the_same_architecture(tmp_path):
    old = read_architecture(write_checkpoint(tmp_path / "old"))
    new = read_architecture(write_checkpoint(tmp_path / "new", new_config=True))
    assert old == new
    assert old.num_experts_per_tok == 2
    assert old.rope.original_max_position_embeddings == 128
    assert not old.rope.truncate
    assert old.eos_token_ids == (2,)


def test_config_defaults_are_those_of_transformers(tmp_path):
    folder = write_checkpoint(tmp_path / "c", new_config=True)
    config = json.loads((folder / "config.json").read_text())
    sparse = ("layer_types", "swiglu_limit", "hidden_act", "rope_parameters", "rms_norm_eps")
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if k not in sparse})
    )
    from transformers import GptOssConfig

    reference = GptOssConfig.from_pretrained(folder)
    ours = read_architecture(folder)
    assert list(ours.layer_types) == reference.layer_types
    assert ours.rms_norm_eps == reference.rms_norm_eps
    for key in ("rope_type", "rope_theta", "factor", "beta_fast", "beta_slow", "truncate"):
        assert getattr(ours.rope, key) == reference.rope_parameters[key]


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_build_the_same_weights_as_one_file(tmp_path, tiny_build, shards):
    build = hnlpu.build(write_checkpoint(tmp_path / "c", shards=shards), tmp_path / "b")
    assert snapshot(build / "weights") == snapshot(tiny_build / "weights")


def test_bf16_experts_lie_transposed_and_packed_ones_do_not(tmp_path):
    packed = read_model(write_checkpoint(tmp_path / "packed")).matrices[DOWN]
    values = np.stack([dequantize(*packed.packed(i)) for i in range(4)])
    folder = write_checkpoint(tmp_path / "dense", packed=False)
    tensors = random_tensors(make_config(), packed=False)
    # MXFP4 values have two significant bits, so bfloat16 holds them
    tensors[DOWN] = bfloat16(values.transpose(0, 2, 1))
    write_tensors(folder, tensors)
    dense = read_model(folder).matrices[DOWN]
    assert packed.is_mxfp4
    assert not dense.is_mxfp4
    for i in range(4):
        np.testing.assert_array_equal(dense.dense(i), values[i])
        np.testing.assert_array_equal(dense.dense(i, slice(3, 9)), values[i, 3:9])


def test_dequantised_experts_become_their_mxfp4_digits_again(tmp_path):
    packed = write_checkpoint(tmp_path / "packed")
    model = read_model(packed)
    tensors = random_tensors(make_config())
    for name, matrix in model.matrices.items():
        if matrix.is_mxfp4:
            del tensors[name + "_blocks"], tensors[name + "_scales"]
            values = np.stack([dequantize(*matrix.packed(i)) for i in range(4)])
            tensors[name] = bfloat16(values.transpose(0, 2, 1))
    dense = write_checkpoint(tmp_path / "dense", packed=False)
    write_tensors(dense, tensors)
    one = hnlpu.open(hnlpu.build(packed, tmp_path / "b1")).score([5, 6, 7, 8])
    two = hnlpu.open(hnlpu.build(dense, tmp_path / "b2")).score([5, 6, 7, 8])
    assert one.logprobs == two.logprobs


def test_tied_embeddings_are_unembedded_from_the_table(tmp_path):
    folder = write_checkpoint(tmp_path / "c", tie_word_embeddings=True)
    model = read_model(folder)
    np.testing.assert_array_equal(
        model.matrices["lm_head"].dense(0), model.vector("model.embed_tokens.weight")
    )
    assert hnlpu.verify(hnlpu.build(folder, tmp_path / "b")).passed


def test_a_model_without_attention_bias(tmp_path):
    folder = write_checkpoint(tmp_path / "c", attention_bias=False)
    assert hnlpu.verify(hnlpu.build(folder, tmp_path / "b")).passed


def test_reading_a_model_reads_no_weights(tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    path.write_bytes(raw[: 8 + length] + b"\xff" * (len(raw) - 8 - length))  # NaN everywhere
    model = read_model(folder)
    with pytest.raises(hnlpu.HnlpuError, match="NaN"):
        model.vector("model.norm.weight")


def test_rows_are_those_of_the_mapping_for_as_long_as_the_file_holds_them(tmp_path):
    tensors, _ = read_header(write_checkpoint(tmp_path / "c") / "model.safetensors")
    tensor = tensors[EMBEDDING]
    rows, last = StoredRows(tensor), tensor.shape[0] - 1
    numbers = np.array([last, 0, 5, 5])
    assert np.array_equal(rows.read(numbers), tensor.map()[numbers])
    assert rows.read(numbers[:0]).shape == (0, tensor.shape[1])
    for wrong in (-1, last + 1):
        with pytest.raises(IndexError, match="rows 0 to"):
            rows.read(np.array([wrong]))
    with tensor.file.open("r+b") as file:
        file.truncate(tensor.offset + 1)
    with pytest.raises(DamagedCheckpoint, match="ends within"):
        rows.read(numbers)


def test_bfloat16_widens_exactly():
    bits = np.arange(2**16, dtype=np.uint16)
    wide = bfloat16_to_float32(bits)
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(bfloat16(wide), bits)
    assert wide[0x3FC0] == 1.5
    assert math.isinf(wide[0x7F80])


ROPES = [
    {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "beta_fast": 32.0,
     "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 4096},
    {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 32.0,
     "beta_slow": 1.0, "truncate": True, "original_max_position_embeddings": 256},
    {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 8.0, "beta_fast": 16.0,
     "beta_slow": 2.0, "truncate": True, "original_max_position_embeddings": 64,
     "attention_factor": 1.25},
    {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 1.0, "beta_fast": 32.0,
     "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 128},
    {"rope_type": "default", "rope_theta": 150000.0},
]  # fmt: skip


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("head_dim", [32, 64])
def test_rope_frequencies_are_those_of_transformers(rope, head_dim):
    from transformers import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRotaryEmbedding

    config = GptOssConfig(
        hidden_size=64, num_attention_heads=2, head_dim=head_dim, rope_parameters=rope
    )
    reference = GptOssRotaryEmbedding(config)
    frequencies, factor = Rope.model_validate(rope).frequencies(head_dim)
    np.testing.assert_allclose(frequencies, reference.inv_freq.numpy(), rtol=2e-6)
    assert factor == pytest.approx(reference.attention_scaling, rel=1e-12)


def test_gpt_oss_scales_attention_as_published():
    _, factor = Rope(rope_type="yarn", factor=32.0, truncate=False).frequencies(64)
    assert factor == pytest.approx(1.34657, abs=1e-5)
