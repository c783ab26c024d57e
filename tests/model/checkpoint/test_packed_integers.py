"""Packed formats against the dequantiser of the package that defines each, bit for bit.

Integers in words or bytes: compressed-tensors' own functions run without a GPU.  AutoGPTQ's and
AutoAWQ's do not install without CUDA: their packing is written here once more from its definition,
in loops over single numbers.  BitNet is held to transformers' integration.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hnlpu
from hnlpu.errors import HnlpuError, TensorMismatch
from hnlpu.model.checkpoint import read_model
from packed_samples import (
    Packing,
    Tensors,
    expect,
    randint,
    scales_of,
    write,
)

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
    "version 2": (
        gptq(4, 128, act_order=True, less=0),
        {"checkpoint_format": "gptq_v2", "group_size": 128},
    ),
    "8 bits": (gptq(8, 128, act_order=False, less=1), {"bits": 8, "group_size": 128}),
    "2 bits, no index": (
        gptq(2, 32, act_order=False, less=1, index=False),
        {"bits": 2, "group_size": 32},
    ),
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
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
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
            {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"},
            "quantization_mode 'online' is not read",
        ),
        ({"quant_method": "bitnet", "use_rms_norm": True}, "use_rms_norm True is not read"),
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
        (lambda t: t.update(qweight=t["qweight"].reshape(-1)), "have rows and columns"),
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
