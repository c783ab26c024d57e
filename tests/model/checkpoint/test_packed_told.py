"""A `quantization_config` that lies, or says what is not read: refused, with what disagrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_packed import FP8, modelopt_nvfp4
from test_packed_integers import COMPRESSED, GPTQ, awq, gptq

from hnlpu.errors import InvalidConfig, TensorMismatch, UnsupportedArchitecture
from hnlpu.model.checkpoint import read_model
from packed_samples import Packing, Tensors, expect, write

NO_INDEX = gptq(4, 64, act_order=False, less=1, index=False)


def without(packing: Packing, end: str) -> Packing:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = packing(random, rows, columns)
        return {name: part for name, part in parts.items() if not name.endswith(end)}, meant

    return pack


def scheme(**weights: Any) -> dict[str, Any]:
    """config.json of compressed-tensors for one group of modules."""
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "config_groups": groups}


LIES = {
    "gptq, half the groups": (NO_INDEX, {"quant_method": "gptq", "group_size": 128}, "group_size 128"),
    "gptq, half the groups, index": (
        GPTQ["version 1"][0], {"quant_method": "gptq", "group_size": 128}, "makes 3"
    ),
    "gptq, a row": (NO_INDEX, {"quant_method": "gptq", "group_size": -1}, "group_size -1"),
    "gptq, order lost": (
        NO_INDEX, {"quant_method": "gptq", "group_size": 64, "desc_act": True}, "g_idx is missing"
    ),
    "gptq, no size": (NO_INDEX, {"quant_method": "gptq", "group_size": "64"}, "no number of inputs"),
    "awq, half the groups": (
        awq, {"quant_method": "awq", "bits": 4, "group_size": 64}, "group_size 64"
    ),
    "awq, zero points lost": (
        without(awq, "qzeros"), {"quant_method": "awq", "zero_point": True}, "qzeros is missing"
    ),
    "int4, other groups": (COMPRESSED["int4 in groups"], scheme(group_size=64), "group_size 64"),
    "int4 said to be int8": (COMPRESSED["int4 in groups"], scheme(num_bits=8), "num_bits 8"),
    "int4, zero points lost": (
        COMPRESSED["int4 in groups"], scheme(symmetric=False), "symmetric false"
    ),
    "int4, order lost": (
        COMPRESSED["int4 in groups"], scheme(actorder="group"), "weight_g_idx is missing"
    ),
    "fp8, other blocks": (
        FP8["qwen and deepseek"][0], {"quant_method": "fp8", "weight_block_size": [64, 64]}, "blocks of 64"
    ),
    "fp8, scales lost": (
        without(FP8["qwen and deepseek"][0], "scale_inv"), {"quant_method": "fp8"}, "has no .*weight_scale"
    ),
    "nvfp4, the scale of all lost": (
        without(modelopt_nvfp4, "scale_2"), {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        "weight_scale_2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_tensors_that_are_not_what_is_said(lie: str, tmp_path: Path) -> None:
    packing, quantization, words = LIES[lie]
    write(tmp_path / "c", packing, quantization)
    with pytest.raises(TensorMismatch, match=words):
        read_model(tmp_path / "c")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"transform_config": {"config_groups": {"R1": {"type": "hadamard"}}}}, "transform_config"),
        ({"dynamic": {"+:.*down.*": {"bits": 8}}}, "down.*settings of its own"),
        ({"dynamic": {".*down.*": {"group_size": 32}}}, "settings of its own"),
        ({"rotation": "hadamard"}, "rotation = hadamard is no key that is known"),
    ],
)
def test_what_a_packing_does_besides_is_refused(
    more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    write(tmp_path / "c", NO_INDEX, {"quant_method": "gptq", "bits": 4, **more})
    with pytest.raises(UnsupportedArchitecture, match=words):
        read_model(tmp_path / "c")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("gptq", "quantization_config is 'gptq', no object"),
        ({"quant_method": "gptq", "dynamic": [1]}, r"dynamic is '\[1\]', no object"),
        ({"quant_method": "compressed-tensors", "sparsity_config": "x"}, "sparsity_config is 'x'"),
        ({"quant_method": "compressed-tensors", "config_groups": [1]}, "config_groups is"),
        ({"quant_method": ["gptq"]}, "quant_method is .*, no name"),
    ],
)
def test_another_form_is_one_line(told: Any, words: str, tmp_path: Path) -> None:
    write(tmp_path / "c", NO_INDEX, told)
    with pytest.raises(InvalidConfig, match=words):
        read_model(tmp_path / "c")


HONEST = {
    "gptq as its package writes it": (
        GPTQ["in the order of activations"][0],
        {
            "quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": True, "sym": False,
            "damp_percent": 0.1, "true_sequential": True, "lm_head": False, "static_groups": False,
            "checkpoint_format": "gptq", "pack_dtype": "int32", "meta": {"quantizer": ["other:1"]},
            "dynamic": {"-:.*lm_head.*": {}}, "model_name_or_path": "x", "rotation": None,
        },
    ),
    "compressed-tensors as its package writes it": (
        COMPRESSED["int4 in groups, zero points"],
        scheme(num_bits=4, type="int", strategy="group", group_size=64, symmetric=False, actorder=None)
        | {"format": "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"],
           "global_compression_ratio": 1.5, "kv_cache_scheme": None, "transform_config": {}},
    ),
    "one of two groups": (
        COMPRESSED["int4 in groups"],
        {"quant_method": "compressed-tensors", "config_groups": {
            "a": {"weights": {"num_bits": 8}}, "b": {"weights": {"num_bits": 4, "group_size": 32}}}},
    ),
    "awq as its package writes it": (
        awq, {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True,
              "version": "gemm", "backend": "auto", "modules_to_not_convert": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HONEST)
def test_what_packages_write_is_read(kind: str, tmp_path: Path) -> None:
    packing, quantization = HONEST[kind]
    expect(tmp_path / "c", write(tmp_path / "c", packing, quantization))
