"""LoRA adapters in PEFT's format -> matrices of a side channel beside the wires.

    adapter_config.json, adapter_model.safetensors ─► Adapter: per layer and projection A, B

LoRA (arXiv 2106.09685): a matrix's output grows by scaling * B (A x).  On the
chip A and B would be field-programmable neurons: one for each row.

PEFT knows a gpt-oss model's experts and router as target parameters.  A stack
of E experts has one tensor A [E * rank, inputs], expert after expert, and one
B [outputs, rank * E], in which the experts alternate (`ParamWrapper` of PEFT's
lora/layer.py).  Where both stacks of a layer are adapted, `gate_up_proj` is
wrapped first and its tensors carry another `base_layer` in their name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedAdapter
from hnlpu.model.checkpoint import (
    UNEMBEDDING,
    Architecture,
    MatrixShape,
    StoredTensor,
    bfloat16_to_float32,
    matrix_shapes,
    read_header,
)
from hnlpu.run.engine._adapter_config import AdapterConfig, read_config

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
EXPERTS = ("gate_up_proj", "down_proj")
_KEY = re.compile(
    r"base_model\.model\.(?:model\.(layers\.\d+)\.)?"
    r"(self_attn\.\w+|mlp\.router|mlp\.experts(?:\.base_layer)?|lm_head)"
    r"\.lora_([AB])(?:\.\w+)?\.weight"
)
_COPIES = ("base_model.model.lm_head.base_layer.weight",)  # PEFT saves the base beside its part
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
}  # fmt: skip
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LowRank:
    """One matrix's part, or those of a stack's `count` matrices.

    `down` [count, columns, rank] is A transposed, `up` [count, rank, rows] B; their product is
    multiplied by `scaling`.
    """

    down: Float32
    up: Float32
    scaling: float


@dataclass(frozen=True)
class Adapter:
    """An adapter for one model: its parts by matrix name."""

    directory: Path
    parts: Mapping[str, LowRank]

    @property
    def weights(self) -> int:
        """Numbers in A and B of all parts."""
        return sum(part.down.size + part.up.size for part in self.parts.values())

    @property
    def neurons(self) -> int:
        """Field-programmable neurons: a row of A or of B each."""
        return sum(
            len(part.down) * (part.down.shape[2] + part.up.shape[2]) for part in self.parts.values()
        )


def read_adapter(directory: str | Path, architecture: Architecture) -> Adapter:
    """Read a PEFT adapter and check that it fits a model.  Raises DamagedAdapter."""
    folder = Path(directory)
    config = read_config(folder / CONFIG)
    if not (folder / WEIGHTS).exists() and (folder / PICKLED).exists():
        raise DamagedAdapter(
            f"{folder}: {PICKLED} is in PyTorch's pickled format, which is not read; save the adapter "
            f"as safetensors: save_pretrained(..., safe_serialization=True) of PEFT"
        )
    tensors, _ = read_header(folder / WEIGHTS, DamagedAdapter)
    found: dict[str, dict[str, Float32]] = {}
    for key, tensor in tensors.items():
        if key in _COPIES:
            continue
        match = _KEY.fullmatch(key)
        name = None if match is None else _matrix(match[1], match[2], config)
        if match is None or name is None:
            raise DamagedAdapter(
                f"{folder}: tensor {key[:200]} is not of a matrix that adapters may change: "
                f"{', '.join(PROJECTIONS)} of self_attn, router and experts' "
                f"{' and '.join(EXPERTS)} of mlp (the experts as {CONFIG}'s target_parameters), "
                "and lm_head"
            )
        found.setdefault(name, {})[match[3]] = _values(tensor)
    if not found:
        raise DamagedAdapter(f"{folder / WEIGHTS}: holds no tensors")
    shapes = {s.name: s for s in matrix_shapes(architecture)}
    parts = {
        name: _part(folder, name, pair, shapes, config) for name, pair in sorted(found.items())
    }
    _expect_declared(folder, config, parts, shapes)
    return Adapter(folder, parts)


def _expect_declared(
    folder: Path, config: AdapterConfig, parts: Mapping[str, LowRank],
    shapes: Mapping[str, MatrixShape],
) -> None:  # fmt: skip
    """Every matrix that the config means has its tensors, and no other has: PEFT drops those.

    A config that names neither modules nor parameters means what there is, and names of modules
    that the model does not have mean nothing, as to PEFT.  Raises DamagedAdapter.
    """
    if config.names_nothing:
        return
    for name in shapes:
        is_module = ".experts." not in name  # a stack of experts is a parameter
        meant = (is_module and config.targets(name)) or config.targets_parameter(_parameter(name))
        if meant and name not in parts:
            raise DamagedAdapter(
                f"{folder}: {CONFIG} means {name}, and there are no tensors of it; the adapter is "
                "not complete"
            )
        if name in parts and not meant:
            raise DamagedAdapter(
                f"{folder}: there are tensors of {name}, which {CONFIG} does not mean "
                "(target_modules, target_parameters, layers_to_transform): PEFT would drop them; "
                "correct the config, or remove them"
            )


def _parameter(name: str) -> str:
    """The parameter that PEFT knows for a matrix: a stack of experts is one itself."""
    return name if ".experts." in name else f"{name}.weight"


def _matrix(layer: str | None, module: str, config: AdapterConfig) -> str | None:
    """The matrix that a tensor's module is part of; None if there is no such."""
    if layer is None:
        return module if module == UNEMBEDDING else None
    if module == "mlp.router":
        return f"model.{layer}.{module}"
    if module.startswith("self_attn."):
        return f"model.{layer}.{module}" if module.split(".")[1] in PROJECTIONS else None
    if not module.startswith("mlp.experts"):
        return None
    stacks = [f"model.{layer}.mlp.experts.{name}" for name in EXPERTS]
    wrapped = [stack for stack in stacks if config.targets_parameter(stack)]
    inner = module.endswith("base_layer")
    if len(wrapped) - inner < 1:
        return None
    return wrapped[0 if inner else -1]


def _values(tensor: StoredTensor) -> Float32:
    if tensor.dtype not in _DTYPES:
        raise DamagedAdapter(f"{tensor.file}: {tensor.name} is {tensor.dtype}, not F32, F16, BF16")
    count = math.prod(tensor.shape)
    raw = np.fromfile(tensor.file, _DTYPES[tensor.dtype], count, offset=tensor.offset)
    values = bfloat16_to_float32(raw) if tensor.dtype == "BF16" else raw.astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedAdapter(f"{tensor.file}: {tensor.name} holds NaN or infinity")
    return values.reshape(tensor.shape)


def _part(
    folder: Path, name: str, pair: dict[str, Float32], shapes: Mapping[str, MatrixShape],
    config: AdapterConfig,
) -> LowRank:  # fmt: skip
    if name not in shapes:
        raise DamagedAdapter(f"{folder}: the model has no {name}")
    if set(pair) != {"A", "B"}:
        raise DamagedAdapter(f"{folder}: {name} lacks lora_{'B' if 'A' in pair else 'A'}")
    count, rows, columns = shapes[name].count, shapes[name].rows, shapes[name].columns
    a, b = pair["A"], pair["B"]
    ranks = a.shape[0] if a.ndim == 2 else -1
    if a.shape != (ranks, columns) or b.shape != (rows, ranks) or ranks % count:
        times = f"{count} * " if count > 1 else ""
        raise DamagedAdapter(
            f"{folder}: {name} has lora_A {list(a.shape)} and lora_B {list(b.shape)}; the model "
            f"needs [{times}rank, {columns}] and [{rows}, {times}rank]"
        )
    rank = ranks // count
    if rank != config.rank(name):
        raise DamagedAdapter(
            f"{folder}: {name} has rank {rank}, {CONFIG} says {config.rank(name)} for it"
        )
    down = a.reshape(count, rank, columns).transpose(0, 2, 1)
    up = b.reshape(rows, rank, count).transpose(2, 1, 0)
    down, up = np.ascontiguousarray(down), np.ascontiguousarray(up)
    return LowRank(down, up, config.scaling(name))
