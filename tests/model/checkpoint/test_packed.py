"""Packed formats against the dequantiser of the package that defines each, bit for bit.

Floating point of 8 and 4 bits: FP8 is held to transformers' integration, NVFP4 of ModelOpt, which
does not install without CUDA, and Quark's MXFP4 to their definition in torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hnlpu
from hnlpu.errors import NotFinite, TensorMismatch, UnsupportedArchitecture
from hnlpu.model.checkpoint import read_model
from packed_samples import (
    MATRICES,
    L,
    Packing,
    Tensors,
    expect,
    randint,
    scales_of,
    write,
)

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


def test_blocks_of_compressed_tensors_that_rows_end_within(tmp_path: Path) -> None:
    """384 rows in blocks of 100: four scales, the last one for 84 rows, not four for 96 each."""

    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        weight = float8(random, rows, columns, torch.float8_e4m3fn)
        scale = scales_of(random, -(-rows // 100), columns // 128)
        wide = scale.repeat_interleave(100, 0)[:rows].repeat_interleave(128, 1)
        return {"weight": weight, "weight_scale": scale}, weight.float() * wide

    def told(*blocks: list[int]) -> dict[str, Any]:
        weights = [{"strategy": "block", "block_structure": block} for block in blocks]
        groups = {f"group_{n}": {"weights": each} for n, each in enumerate(weights)}
        return {"quant_method": "compressed-tensors", "config_groups": groups}

    expect(tmp_path / "c", write(tmp_path / "c", pack, told([100, 128])))
    write(tmp_path / "d", pack, told([100, 128], [128, 128]))
    with pytest.raises(TensorMismatch, match="blocks of several sizes"):
        read_model(tmp_path / "d")


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


def test_what_changes_the_weights_is_refused(tmp_path: Path) -> None:
    def pack(random: torch.Generator, rows: int, columns: int) -> tuple[Tensors, torch.Tensor]:
        parts, meant = FP8["one scale"][0](random, rows, columns)
        return parts | {"pre_quant_scale": torch.ones(columns)}, meant

    write(tmp_path / "c", pack, {"quant_method": "modelopt"})
    with pytest.raises(UnsupportedArchitecture, match="pre_quant_scale changes what the weights"):
        read_model(tmp_path / "c")
