"""Packed formats against the dequantiser of the package that defines each, bit for bit.

compressed-tensors' own functions run without a GPU.  AutoGPTQ's, AutoAWQ's and ModelOpt's do not
install without CUDA: their packing is written here once more from its definition, in loops over
single numbers.  FP8 and BitNet are held to transformers' integrations.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hnlpu
from hnlpu.errors import HnlpuError, NotFinite, TensorMismatch, UnsupportedArchitecture
from hnlpu.model.checkpoint import read_model

WIDTH, INNER, VOCAB = 256, 384, 64
CONFIG: dict[str, Any] = {
    "model_type": "llama", "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": INNER,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip
L = "model.layers.0."
MATRICES = {
    L + "self_attn.q_proj": (256, WIDTH), L + "self_attn.k_proj": (128, WIDTH),
    L + "self_attn.v_proj": (128, WIDTH), L + "self_attn.o_proj": (WIDTH, 256),
    L + "mlp.gate_proj": (INNER, WIDTH), L + "mlp.up_proj": (INNER, WIDTH),
    L + "mlp.down_proj": (WIDTH, INNER),
}  # fmt: skip
Tensors = dict[str, torch.Tensor]
Packing = Callable[[torch.Generator, int, int], tuple[Tensors, torch.Tensor]]
"""Of rows and columns: tensors by the end of their names, and the float32 values that they mean."""


def write(
    folder: Path, packing: Packing, quantization: dict[str, Any] | None, seed: int = 0
) -> Tensors:
    """A Llama whose matrices a packing has made; returns what they mean."""
    random = torch.Generator().manual_seed(seed)
    tensors = {
        "model.embed_tokens.weight": torch.randn(VOCAB, WIDTH, generator=random).bfloat16(),
        "lm_head.weight": torch.randn(VOCAB, WIDTH, generator=random).bfloat16(),
        "model.norm.weight": torch.ones(WIDTH).bfloat16(),
        L + "input_layernorm.weight": torch.ones(WIDTH).bfloat16(),
        L + "post_attention_layernorm.weight": torch.ones(WIDTH).bfloat16(),
    }
    meant: Tensors = {}
    for name, (rows, columns) in MATRICES.items():
        parts, meant[name] = packing(random, rows, columns)
        tensors |= {f"{name}.{end}": part.contiguous() for end, part in parts.items()}
    folder.mkdir(parents=True)
    config = CONFIG if quantization is None else CONFIG | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return meant


def expect(folder: Path, meant: Tensors) -> None:
    """Every matrix has the bits of what is meant, read whole and a few rows at a time."""
    model = read_model(folder)
    for name, values in meant.items():
        matrix = model.matrices[name]
        wanted = values.numpy()
        assert wanted.dtype == np.float32
        whole = matrix.dense(0)
        np.testing.assert_array_equal(whole, wanted)
        for rows in (slice(3, 45), slice(8, 16), slice(100, 128)):
            np.testing.assert_array_equal(matrix.dense(0, rows), wanted[rows])
        assert len(np.unique(whole)) > 2


def randint(random: torch.Generator, low: int, high: int, *shape: int) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=random, dtype=torch.int32)


def scales_of(random: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=random) * 0.02 + 0.005


# FP8 -------------------------------------------------------------------------------------------


def float8(random: torch.Generator, rows: int, columns: int, kind: torch.dtype) -> torch.Tensor:
    return (torch.randn(rows, columns, generator=random) * 30).to(kind)


def fp8(name: str, grid: Callable[[int, int], tuple[int, ...]], kind: torch.dtype = torch.float8_e4m3fn,
        of: torch.dtype = torch.float32) -> Packing:  # fmt: skip
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        weight, scale = float8(random, rows, columns, kind), scales_of(random, *grid(rows, columns))
        scale = scale.to(of)
        return {"weight": weight, name: scale}, by_transformers(weight, scale)

    return pack


def by_transformers(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """As transformers' FP8 integration decodes for float32 (its grids alone)."""
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    rows, columns = weight.shape
    if scale.ndim == 2 and rows % scale.shape[0] == 0 and columns % scale.shape[1] == 0:
        return Fp8Dequantize(None)._dequantize_one(weight, scale, output_dtype=torch.float32)
    wide = scale.float()
    if scale.ndim == 2:  # blocks of 128 of which the last are cut
        wide = wide.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
    return weight.float() * (wide.reshape(-1, 1) if wide.ndim == 1 and wide.numel() > 1 else wide)


def blocks(rows: int, columns: int) -> tuple[int, int]:
    return -(-rows // 128), -(-columns // 128)


FP8 = {
    "qwen and deepseek": (
        fp8("weight_scale_inv", blocks),
        {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
    ),
    "one scale": (fp8("weight_scale", lambda r, c: (1,)), {"quant_method": "fp8"}),
    "one scale without an axis": (
        fp8("weight_scale", lambda r, c: ()), {"quant_method": "modelopt", "quant_algo": "FP8"},
    ),
    "a scale a row": (
        fp8("weight_scale", lambda r, c: (r, 1), of=torch.bfloat16),
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
    ),
    "a scale a row without a second axis": (
        fp8("weight_scale", lambda r, c: (r,)), {"quant_method": "fbgemm_fp8"},
    ),
    "e5m2": (fp8("weight_scale", lambda r, c: (1,), torch.float8_e5m2), {"quant_method": "fp8"}),
    "nothing in the config": (fp8("weight_scale_inv", blocks), None),
}  # fmt: skip


@pytest.mark.parametrize("kind", FP8)
def test_fp8(kind: str, tmp_path: Path) -> None:
    packing, quantization = FP8[kind]
    expect(tmp_path / "c", write(tmp_path / "c", packing, quantization))


def test_fp8_blocks_that_the_matrix_ends_within(tmp_path: Path) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        weight = float8(random, rows, columns, torch.float8_e4m3fn)
        grid = -(-rows // 100), -(-columns // 100)
        scale = scales_of(random, *grid)
        wide = scale.repeat_interleave(100, 0)[:rows].repeat_interleave(100, 1)[:, :columns]
        return {"weight": weight, "weight_scale_inv": scale}, weight.float() * wide

    quantization = {"quant_method": "fp8", "weight_block_size": [100, 100]}
    expect(tmp_path / "c", write(tmp_path / "c", pack, quantization))


def test_mxfp8(tmp_path: Path) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        weight = float8(random, rows, columns, torch.float8_e4m3fn)
        scale = randint(random, 115, 125, rows, columns // 32).to(torch.uint8)
        return {"weight": weight, "weight_scale_inv": scale}, by_transformers(weight, scale)

    expect(tmp_path / "c", write(tmp_path / "c", pack, {"quant_method": "fp8"}))


def test_fp4_in_signed_bytes_with_powers_of_two(tmp_path: Path) -> None:
    """As DeepSeek packs experts beside FP8: two E2M1 an int8, an E8M0 scale for 32."""

    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        raw = randint(random, -128, 128, rows, columns // 2).to(torch.int8)
        scale = randint(random, 115, 125, rows, columns // 32).to(torch.uint8)
        return {"weight": raw, "weight_scale_inv": scale}, by_transformers_fp4(raw, scale)

    expect(tmp_path / "c", write(tmp_path / "c", pack, {"quant_method": "fp8"}))


def by_transformers_fp4(raw: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    wide = Fp8Dequantize(None)._unpack_fp4(raw)
    return wide * torch.exp2(scale.float() - 127).repeat_interleave(32, 1)


def test_scales_of_activations_are_left_out_and_said(tmp_path: Path, cli: Any) -> None:
    plain, _ = FP8["one scale"]

    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = plain(random, rows, columns)
        return parts | {"input_scale": torch.tensor([0.5])}, meant

    meant = write(tmp_path / "c", pack, {"quant_method": "fp8", "activation_scheme": "static"})
    expect(tmp_path / "c", meant)
    (note,) = read_model(tmp_path / "c").notes
    assert note.startswith("7 tensors input_scale are left out")
    code, said, _ = cli("build", tmp_path / "c", "-o", tmp_path / "b")
    assert code == 0
    assert "7 tensors input_scale are left out" in said


def test_nan_is_found_when_it_is_read(tmp_path: Path) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = FP8["one scale"][0](random, rows, columns)
        parts["weight"].view(torch.uint8)[5, 7] = 0x7F
        return parts, meant

    write(tmp_path / "c", pack, {"quant_method": "fp8"})
    with pytest.raises(NotFinite, match=r"q_proj\.weight holds NaN"):
        read_model(tmp_path / "c").matrices[L + "self_attn.q_proj"].dense(0)


# 4-bit floating point --------------------------------------------------------------------------

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def unpacked(raw: torch.Tensor) -> torch.Tensor:
    """Two numbers a byte, the low half first."""
    low, high = E2M1[(raw & 15).long()], E2M1[(raw >> 4).long()]
    return torch.stack([low, high], -1).reshape(raw.shape[0], -1)


def modelopt_nvfp4(
    random: torch.Generator, rows: int, columns: int
) -> tuple[Tensors, torch.Tensor]:
    raw = randint(random, 0, 256, rows, columns // 2).to(torch.uint8)
    scale = (torch.rand(rows, columns // 16, generator=random) * 200 + 1).to(torch.float8_e4m3fn)
    of_all = torch.tensor(0.00037)
    steps = scale.float() * of_all
    values = unpacked(raw) * steps.repeat_interleave(16, 1)
    return {"weight": raw, "weight_scale": scale, "weight_scale_2": of_all}, values


def quark_mxfp4(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
    raw = randint(random, 0, 256, rows, columns // 2).to(torch.uint8)
    scale = randint(random, 112, 124, rows, columns // 32).to(torch.uint8)
    steps = torch.exp2(scale.float() - 127)
    return {"weight": raw, "weight_scale": scale}, unpacked(raw) * steps.repeat_interleave(32, 1)


def test_nvfp4_of_modelopt(tmp_path: Path) -> None:
    quantization = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    expect(tmp_path / "c", write(tmp_path / "c", modelopt_nvfp4, quantization))
    expect(tmp_path / "d", write(tmp_path / "d", modelopt_nvfp4, None))


def test_mxfp4_of_other_models(tmp_path: Path) -> None:
    meant = write(tmp_path / "c", quark_mxfp4, {"quant_method": "quark"})
    expect(tmp_path / "c", meant)
    build = hnlpu.build(tmp_path / "c", tmp_path / "b")
    records = json.loads((build / "manifest.json").read_text())["matrices"]
    for name in MATRICES:  # on the grid of one digit: nothing is lost
        assert records[name]["format"] == "mxfp4"
        assert records[name]["relative_error"] == 0
    assert hnlpu.verify(build, tmp_path / "c").passed


# compressed-tensors ----------------------------------------------------------------------------


def scheme_of(**weights: Any) -> Any:
    from compressed_tensors.quantization import QuantizationScheme

    return QuantizationScheme(targets=["Linear"], weights=weights)


def compressor(kind: str) -> Any:
    import compressed_tensors.compressors as c
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor

    return {
        "pack": c.PackedQuantizationCompressor, "int": c.IntQuantizationCompressor,
        "float": c.FloatQuantizationCompressor, "nvfp4": c.NVFP4PackedCompressor,
        "mxfp4": MXFP4PackedCompressor,
    }[kind]  # fmt: skip


def compressed(kind: str, groups: int | None, **weights: Any) -> Packing:
    """A random matrix as compressed-tensors packs it, and what it decodes it to."""

    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        of, scheme = compressor(kind), scheme_of(**weights)
        count = 1 if groups is None else columns // groups
        bits, symmetric = weights["num_bits"], weights.get("symmetric", True)
        dense = torch.randn(rows, columns, generator=random)
        state: Tensors = {"weight": dense, "weight_scale": scales_of(random, rows, count) * 20}
        if kind == "nvfp4":
            state["weight_scale"] = state["weight_scale"] * 100
            state["weight_global_scale"] = torch.tensor([300.0])
        if kind == "mxfp4":
            state["weight_scale"] = torch.exp2(torch.floor(torch.log2(state["weight_scale"])))
        if not symmetric:
            low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
            state["weight_zero_point"] = randint(random, low, high, rows, count).to(torch.int8)
        parts = of.compress(state, scheme)
        if kind == "nvfp4":
            return parts, nvfp4_in_float32(parts, scheme)
        return parts, of.decompress(parts, scheme)["weight"].float()

    return pack


def nvfp4_in_float32(parts: Tensors, scheme: Any) -> torch.Tensor:
    """Its own steps, in float32: the decompressor rounds every product to bfloat16."""
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    rows, width = parts["weight_packed"].shape
    codes = unpack_fp4_from_uint8(parts["weight_packed"], rows, 2 * width).float()
    return dequantize(
        x_q=codes, scale=parts["weight_scale"].float(), args=scheme.weights,
        global_scale=parts["weight_global_scale"], dtype=torch.float32,
    )  # fmt: skip


COMPRESSED = {
    "int4 in groups": compressed("pack", 32, num_bits=4, type="int", strategy="group", group_size=32),
    "int4 a row": compressed("pack", None, num_bits=4, type="int", strategy="channel"),
    "int4 in groups, zero points": compressed(
        "pack", 64, num_bits=4, type="int", strategy="group", group_size=64, symmetric=False
    ),
    "int8 in words": compressed("pack", None, num_bits=8, type="int", strategy="channel"),
    "int8 a row": compressed("int", None, num_bits=8, type="int", strategy="channel"),
    "int8 a row, zero points": compressed(
        "int", None, num_bits=8, type="int", strategy="channel", symmetric=False
    ),
    "fp8 a row": compressed("float", None, num_bits=8, type="float", strategy="channel"),
    "nvfp4": compressed(
        "nvfp4", 16, num_bits=4, type="float", strategy="tensor_group", group_size=16
    ),
    "mxfp4": compressed("mxfp4", 32, num_bits=4, type="float", strategy="group", group_size=32),
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_tensors(kind: str, tmp_path: Path) -> None:
    quantization = {"quant_method": "compressed-tensors", "config_groups": {}}
    expect(tmp_path / "c", write(tmp_path / "c", COMPRESSED[kind], quantization))


# GPTQ and AWQ, number by number ------------------------------------------------------------------


def words_of(fields: np.ndarray, bits: int) -> np.ndarray:
    """Fields [n, m] packed along the first axis, the first in the lowest bits: [n * bits / 32, m]."""
    per_word = 32 // bits
    words = np.zeros((-(-len(fields) // per_word), fields.shape[1]), np.uint64)
    for i, line in enumerate(fields):
        words[i // per_word] |= line.astype(np.uint64) << np.uint64(bits * (i % per_word))
    return words.astype(np.uint32).view(np.int32)


def gptq(bits: int, group: int, *, act_order: bool, less: int, index: bool = True) -> Packing:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        count = columns // group
        integers = randint(random, 0, 2**bits, columns, rows).numpy()
        zeros = randint(random, 1, 2**bits, count, rows).numpy()
        scales = scales_of(random, count, rows).half()
        groups = np.arange(columns) // group
        if act_order:
            groups = groups[torch.randperm(columns, generator=random).numpy()]
        values = np.empty((rows, columns), np.float32)
        steps = scales.float().numpy()
        for i, g in enumerate(groups):
            values[:, i] = (integers[i] - zeros[g]).astype(np.float32) * steps[g]
        parts = {
            "qweight": torch.from_numpy(words_of(integers, bits)),
            "qzeros": torch.from_numpy(words_of((zeros - less).T, bits).T.copy()),
            "scales": scales,
        }
        if index:
            parts["g_idx"] = torch.from_numpy(groups.astype(np.int32))
        return parts, torch.from_numpy(values)

    return pack


GPTQ = {
    "version 1": (gptq(4, 64, act_order=False, less=1), {}),
    "in the order of activations": (gptq(4, 64, act_order=True, less=1), {"desc_act": True}),
    "version 2": (gptq(4, 128, act_order=True, less=0), {"checkpoint_format": "gptq_v2"}),
    "8 bits": (gptq(8, 128, act_order=False, less=1), {"bits": 8}),
    "2 bits, no index": (gptq(2, 32, act_order=False, less=1, index=False), {"bits": 2}),
}


@pytest.mark.parametrize("kind", GPTQ)
def test_gptq(kind: str, tmp_path: Path) -> None:
    packing, changes = GPTQ[kind]
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": 64, **changes}
    expect(tmp_path / "c", write(tmp_path / "c", packing, quantization))


def awq(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
    """AutoAWQ's GEMM layout: field i of a word is output 8 k + (0, 2, 4, 6, 1, 3, 5, 7)[i]."""
    count, order = columns // 128 or 1, [0, 2, 4, 6, 1, 3, 5, 7]
    integers = randint(random, 0, 16, columns, rows).numpy()
    zeros = randint(random, 0, 16, count, rows).numpy()
    scales = scales_of(random, count, rows).half()

    def packed(fields: np.ndarray) -> torch.Tensor:
        moved = fields.reshape(len(fields), -1, 8)[:, :, order].reshape(len(fields), -1)
        return torch.from_numpy(words_of(moved.T, 4).T.copy())

    values = np.empty((rows, columns), np.float32)
    for i in range(columns):
        g = i // (columns // count)
        values[:, i] = (integers[i] - zeros[g]).astype(np.float32) * scales[g].float().numpy()
    parts = {"qweight": packed(integers), "qzeros": packed(zeros), "scales": scales}
    return parts, torch.from_numpy(values)


def test_biases_of_zeros_that_packers_add(tmp_path: Path) -> None:
    def with_bias(value: float) -> Packing:
        def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
            parts, meant = GPTQ["version 1"][0](random, rows, columns)
            return parts | {"bias": torch.full((rows,), value).half()}, meant

        return pack

    meant = write(tmp_path / "c", with_bias(0.0), {"quant_method": "gptq"})
    expect(tmp_path / "c", meant)
    (note,) = read_model(tmp_path / "c").notes
    assert "all zero" in note
    write(tmp_path / "d", with_bias(0.5), {"quant_method": "gptq"})
    with pytest.raises(TensorMismatch, match=r"unexpected tensor .*\.bias"):
        read_model(tmp_path / "d")


def test_awq(tmp_path: Path) -> None:
    quantization = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"}
    meant = write(tmp_path / "c", awq, quantization)
    expect(tmp_path / "c", meant)
    build = hnlpu.build(tmp_path / "c", tmp_path / "b")
    assert hnlpu.verify(build, tmp_path / "c").passed


# BitNet ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bitlinear", "autobitlinear"])
def test_bitnet(kind: str, tmp_path: Path) -> None:
    from transformers.integrations.bitnet import pack_weights

    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        ternary = randint(random, -1, 2, rows, columns).float()
        scale = (torch.rand(1, generator=random) + 0.5).bfloat16()
        values = ternary / scale.float() if kind == "bitlinear" else ternary * scale.float()
        return {"weight": pack_weights(ternary.clone()), "weight_scale": scale}, values

    quantization = {"quant_method": "bitnet", "linear_class": kind, "quantization_mode": "offline"}
    expect(tmp_path / "c", write(tmp_path / "c", pack, quantization))


def test_bitnet_computes_what_its_layer_does() -> None:
    """Whether scales divide or multiply is the layer's: held to its own forward."""
    from transformers.integrations.bitnet import AutoBitLinear

    layer = AutoBitLinear(8, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1, 0, 1, 0, 0, -1, 1]]).repeat(4, 1))
        layer.weight_scale.fill_(0.25)
        x = torch.ones(1, 8) * 127  # survives the rounding of activations
        x[0, 1] = 0
        np.testing.assert_allclose(layer(x).numpy(), (x @ (layer.weight * 0.25).T).numpy())


# What is not read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantization", "words"),
    [
        ({"quant_method": "bitsandbytes"}, "quantised by 'bitsandbytes', which is not read"),
        ({"quant_method": "hqq"}, "quantised by 'hqq'"),
        ({"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor"}, "AutoRound"),
        ({"quant_method": "gptq", "bits": 3}, "bits 3 is not read"),
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, "checkpoint_format 'marlin'"),
        ({"quant_method": "awq", "version": "gemv"}, "version 'gemv' is not read"),
        (
            {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask"}},
            "sparse as 'sparse-bitmask'",
        ),
    ],
)  # fmt: skip
def test_other_packings_are_refused_by_name(
    quantization: dict[str, Any], words: str, tmp_path: Path
) -> None:
    write(tmp_path / "c", GPTQ["version 1"][0], quantization)
    with pytest.raises(HnlpuError, match=words) as refused:
        read_model(tmp_path / "c")
    assert "give the model that was quantised" in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t.pop("scales"), "scales is missing"),
        (lambda t: t.update(scales=t["scales"][:, :8]), "scales has shape"),
        (lambda t: t.update(qzeros=t["qzeros"][:1]), "qzeros has shape"),
        (lambda t: t.update(g_idx=t["g_idx"] + 4), "names groups beyond"),
    ],
)
def test_parts_that_do_not_fit(
    damage: Callable[[Tensors], Any], words: str, tmp_path: Path
) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = GPTQ["version 1"][0](random, rows, columns)
        damage(parts)
        return parts, meant

    write(tmp_path / "c", pack, {"quant_method": "gptq"})
    with pytest.raises(TensorMismatch, match=words):
        read_model(tmp_path / "c")


def test_what_changes_the_weights_is_refused(tmp_path: Path) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = FP8["one scale"][0](random, rows, columns)
        return parts | {"pre_quant_scale": torch.ones(columns)}, meant

    write(tmp_path / "c", pack, {"quant_method": "modelopt"})
    with pytest.raises(UnsupportedArchitecture, match="pre_quant_scale changes what the weights"):
        read_model(tmp_path / "c")
