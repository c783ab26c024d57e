"""Packed checkpoints: tensors of a file -> tensors by the names that families know.

    NAME_packed, NAME_scale, NAME_zero_point ...  ─►  NAME, decoded when it is read

Which format it is, config.json says (`quantization_config`), and the tensors must bear it out; what
is packed in a way that is not read is refused by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor
from hnlpu.model.checkpoint.packed._decoded import Decoded, Files, matrix
from hnlpu.model.checkpoint.packed._integers import awq, compressed, gptq
from hnlpu.model.checkpoint.packed._scaled import scaled
from hnlpu.model.checkpoint.packed._ternary import bitnet
from hnlpu.model.checkpoint.packed._told import check_told, told_of

__all__ = ["METHODS", "Decoded", "matrix", "unpacked"]

METHODS = {
    "awq": "AWQ", "auto-round": "AutoRound", "bitnet": "BitNet", "compressed-tensors":
    "compressed-tensors", "fbgemm_fp8": "FP8 (FBGEMM)", "fp8": "FP8", "gptq": "GPTQ",
    "modelopt": "ModelOpt", "modelopt_fp4": "ModelOpt", "mxfp4": "MXFP4", "quark": "Quark",
}  # fmt: skip
"""Values of `quant_method` that are read, and what each is called."""

_OF_ACTIVATIONS = (
    "input_scale", "input_scale_ub", "input_global_scale", "input_zero_point", "activation_scale",
    "output_scale", "q_scale", "k_scale", "v_scale", "kv_scale", "prob_output_scale",
)  # fmt: skip
_CHANGES_WEIGHTS = ("pre_quant_scale", "smooth_quant_scale", "weight_svdquant_lora_a", "codebooks")
_REMEDY = "give the model that was quantised, or one in a format that is read (docs/formats.md)"


def unpacked(
    stored: Mapping[str, StoredTensor], config: Mapping[str, Any], directory: Path,
    wanted: Container[str] = (),
) -> tuple[dict[str, Stored], tuple[str, ...]]:  # fmt: skip
    """The tensors of a checkpoint with every packed one decoded, and notes on what was left out.

    `wanted` are the names that the network keeps in memory: what it scales itself, it gets unscaled.

    Raises InvalidConfig for a `quantization_config` of another form, UnsupportedArchitecture for a packing that is not read, TensorMismatch for parts that do
    not fit together.
    """
    told = told_of(config, directory)
    method = _method(told, stored, directory)
    left: Files = dict(stored)
    if method is None:
        return dict(left), ()
    _refuse_unread(told, left, directory)
    notes = _without_activations(left)
    found: dict[str, Stored] = {}
    packing = str(told.get("packing_format", ""))
    if method == "gptq" or packing.endswith("auto_gptq"):
        found |= gptq(left, told)
    elif method == "awq" or packing.endswith("auto_awq"):
        found |= awq(left, told)
    elif method == "bitnet":
        found |= bitnet(left, told, wanted)
    elif method == "auto-round":
        raise UnsupportedArchitecture(
            f"{directory}: packed by AutoRound as {packing!r}, which is not read; {_REMEDY}"
        )
    else:
        found |= compressed(left, told)
        found |= scaled(left, told)
    return {**left, **found}, notes


def _method(
    told: Mapping[str, Any], stored: Mapping[str, StoredTensor], directory: Path
) -> str | None:
    """What packed the checkpoint, None where nothing did; raises UnsupportedArchitecture."""
    method = told.get("quant_method")
    if method is None and (told.get("config_groups") or "quant_algo" in told):
        method = "compressed-tensors"
    if method is None:
        floats = {"BF16", "F16", "F32", "F64", "U8"}
        marks = ("_scale", "_scale_inv", "_packed", "qweight")
        packed = any(t.dtype not in floats or n.endswith(marks) for n, t in stored.items())
        return "fp8" if packed else None
    if method not in METHODS:
        raise UnsupportedArchitecture(
            f"{directory}: quantised by {method!r}, which is not read; read are "
            f"{', '.join(sorted(set(METHODS.values())))}; {_REMEDY}"
        )
    return str(method)


def _refuse_unread(told: Mapping[str, Any], left: Files, directory: Path) -> None:
    check_told(told, directory)
    for name in sorted(left):
        if name.endswith(_CHANGES_WEIGHTS):
            raise UnsupportedArchitecture(
                f"{left[name].file}: {name} changes what the weights are multiplied by, which is "
                f"not read; {_REMEDY}"
            )


def _without_activations(left: Files) -> tuple[str, ...]:
    """Leave out scales of activations and of caches, and say so."""
    gone = Counter[str]()
    for name in sorted(left):
        kind = name.rpartition(".")[2]
        if kind in _OF_ACTIVATIONS:
            del left[name]
            gone[kind] += 1
    return tuple(
        f"{count} tensors {kind} are left out: how activations were rounded elsewhere; here they "
        "have the policy's own width"
        for kind, count in sorted(gone.items())
    )
