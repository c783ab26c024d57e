"""LoRA adapters in PEFT's format -> matrices of a side channel beside the wires.

    adapter_config.json, adapter_model.safetensors ─► Adapter: per layer and projection A, B

LoRA (arXiv 2106.09685): a projection's output grows by scaling * B (A x).  On
the chip A and B would be field-programmable neurons: one for each row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import (
    Architecture,
    StoredTensor,
    bfloat16_to_float32,
    matrix_shapes,
    read_header,
)
from hnlpu.errors import DamagedAdapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
RANK_LIMIT = 1024
_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.self_attn\.(\w+)\.lora_([AB])(?:\.\w+)?\.weight"
)
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
}  # fmt: skip
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LowRank:
    """One projection's part: `down` [columns, rank] is A transposed, `up` [rank, rows] B."""

    down: Float32
    up: Float32


@dataclass(frozen=True)
class Adapter:
    """An adapter for one model: its parts by matrix name, all under one `scaling`."""

    directory: Path
    scaling: float
    parts: Mapping[str, LowRank]

    @property
    def weights(self) -> int:
        """Numbers in A and B of all parts."""
        return sum(part.down.size + part.up.size for part in self.parts.values())

    @property
    def neurons(self) -> int:
        """Field-programmable neurons: a row of A or of B each."""
        return sum(part.down.shape[1] + part.up.shape[1] for part in self.parts.values())


def read_adapter(directory: str | Path, architecture: Architecture) -> Adapter:
    """Read a PEFT adapter and check that it fits a model.  Raises DamagedAdapter."""
    folder = Path(directory)
    config = _config(folder / CONFIG)
    tensors, _ = read_header(folder / WEIGHTS, DamagedAdapter)
    found: dict[str, dict[str, Float32]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None or match[2] not in PROJECTIONS:
            raise DamagedAdapter(
                f"{folder}: tensor {key[:200]} is not of an attention projection; adapters may "
                f"change {', '.join(PROJECTIONS)} of self_attn"
            )
        name = f"model.layers.{match[1]}.self_attn.{match[2]}"
        found.setdefault(name, {})[match[3]] = _values(tensor)
    if not found:
        raise DamagedAdapter(f"{folder / WEIGHTS}: holds no tensors")
    shapes = {s.name: (s.rows, s.columns) for s in matrix_shapes(architecture)}
    parts = {name: _part(folder, name, pair, shapes) for name, pair in sorted(found.items())}
    ranks = {part.down.shape[1] for part in parts.values()}
    if ranks != {config["r"]}:
        raise DamagedAdapter(f"{folder}: ranks {sorted(ranks)}, {CONFIG} says r = {config['r']}")
    divisor = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]
    return Adapter(folder, float(config["lora_alpha"]) / divisor, parts)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DamagedAdapter(
            f"{path}: file is missing; give the folder of a PEFT adapter"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedAdapter(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise DamagedAdapter(f"{path}: peft_type is not LORA; only LoRA adapters can be run")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= RANK_LIMIT:
        raise DamagedAdapter(f"{path}: r is {rank!r}; must be from 1 to {RANK_LIMIT}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise DamagedAdapter(f"{path}: lora_alpha is {alpha!r}; must be a number")
    for key in ("use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern",
                "target_parameters", "lora_bias"):  # fmt: skip
        if config.get(key):
            raise DamagedAdapter(f"{path}: {key} is set, which is not supported")
    if config.get("bias", "none") != "none":
        raise DamagedAdapter(f"{path}: bias is {config['bias']!r}; supported: none")
    return config


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
    folder: Path, name: str, pair: dict[str, Float32], shapes: dict[str, tuple[int, int]]
) -> LowRank:
    if name not in shapes:
        raise DamagedAdapter(f"{folder}: the model has no {name}")
    if set(pair) != {"A", "B"}:
        raise DamagedAdapter(f"{folder}: {name} lacks lora_{'B' if 'A' in pair else 'A'}")
    rows, columns = shapes[name]
    a, b = pair["A"], pair["B"]
    rank = a.shape[0] if a.ndim == 2 else -1
    if a.shape != (rank, columns) or b.shape != (rows, rank):
        raise DamagedAdapter(
            f"{folder}: {name} has lora_A {list(a.shape)} and lora_B {list(b.shape)}; the model "
            f"needs [rank, {columns}] and [{rows}, rank]"
        )
    return LowRank(np.ascontiguousarray(a.T), np.ascontiguousarray(b.T))
