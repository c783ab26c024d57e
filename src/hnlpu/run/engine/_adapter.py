"""LoRA adapters in PEFT's format -> matrices of a side channel beside the wires.

    adapter_config.json, adapter_model.safetensors ─► Adapter: per layer and projection A, B

LoRA (arXiv 2106.09685): a matrix's output grows by scaling * B (A x).  On the
chip A and B would be field-programmable neurons: one for each row.  A model of any
family may have adapters: `_adapter_targets` says which matrices a module's weights are in.

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
from hnlpu.model.checkpoint import StoredTensor, bfloat16_to_float32, read_header
from hnlpu.model.network import Network
from hnlpu.run.engine._adapter_config import AdapterConfig, read_config
from hnlpu.run.engine._adapter_targets import Targets

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
_KEY = re.compile(r"base_model\.model\.([\w.]+)\.lora_([AB])(?:\.\w+)?\.weight")
_COPIES = ("base_model.model.lm_head.base_layer.weight",)  # PEFT saves the base beside its part
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
}  # fmt: skip
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LowRank:
    """One matrix's part, or those of a bank's `count` matrices.

    `down` [count, columns, rank] is A transposed, `up` [count, rank, rows] B; their product is
    multiplied by `scaling`.
    """

    down: Float32
    up: Float32
    scaling: float


@dataclass(frozen=True, eq=False)
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


def read_adapter(directory: str | Path, network: Network) -> Adapter:
    """Read a PEFT adapter and check that it fits a network.  Raises DamagedAdapter."""
    folder = Path(directory)
    config = read_config(folder / CONFIG)
    if not (folder / WEIGHTS).exists() and (folder / PICKLED).exists():
        raise DamagedAdapter(
            f"{folder}: {PICKLED} is in PyTorch's pickled format, which is not read; save the adapter "
            "as safetensors: save_pretrained(..., safe_serialization=True) of PEFT"
        )
    tensors, _ = read_header(folder / WEIGHTS, DamagedAdapter)
    targets = Targets(network)
    pairs: dict[str, dict[str, StoredTensor]] = {}
    for key, tensor in tensors.items():
        if key in _COPIES:
            continue
        match = _KEY.fullmatch(key)
        if match is None:
            raise DamagedAdapter(
                f"{folder}: tensor {key[:200]} is not of a matrix that adapters may change: "
                f"lora_A or lora_B of {', '.join(targets.kinds)}"
            )
        pairs.setdefault(match[1], {})[match[2]] = tensor
    if not pairs:
        raise DamagedAdapter(f"{folder / WEIGHTS}: holds no tensors")
    for module in pairs:
        if module in targets.rounded:
            raise DamagedAdapter(
                f"{folder}: the model rounds and scales what {module} multiplies (BitNet), and no "
                f"adapter runs beside that; they may change {', '.join(targets.kinds)}"
            )
        if targets.stack(module, config) is None and not targets.places(module):
            raise DamagedAdapter(
                f"{folder}: the model has no {module} that adapters may change; they may change "
                f"{', '.join(targets.kinds)} (experts in one parameter as {CONFIG}'s "
                "target_parameters)"
            )
    found: dict[str, LowRank] = {}
    for module, pair in sorted(pairs.items()):
        if set(pair) != {"A", "B"}:
            raise DamagedAdapter(f"{folder}: {module} lacks lora_{'B' if 'A' in pair else 'A'}")
        _take_in(folder, module, _values(pair["A"]), _values(pair["B"]), targets, config, found)
    _expect_declared(folder, config, targets, set(pairs), found)
    return Adapter(folder, dict(sorted(found.items())))


def _expect_declared(
    folder: Path, config: AdapterConfig, targets: Targets, modules: set[str],
    found: Mapping[str, LowRank],
) -> None:  # fmt: skip
    """Every matrix that the config means has its tensors, and no other has: PEFT drops those.

    A config that names neither modules nor parameters means what there is.  Raises DamagedAdapter.
    """
    if config.names_nothing:
        return
    meant = {
        name: (config.targets(name) or config.targets_parameter(name + ".weight"), name in modules)
        for name in targets.modules
    }
    meant |= {name: (config.targets_parameter(name), name in found) for name in targets.stacks}
    for name, (is_meant, is_there) in meant.items():
        if is_meant and not is_there and not config.may_lack(name):
            raise DamagedAdapter(
                f"{folder}: {CONFIG} means {name}, and there are no tensors of it; the adapter is "
                "not complete"
            )
        if is_there and not is_meant:
            raise DamagedAdapter(
                f"{folder}: there are tensors of {name}, which {CONFIG} does not mean "
                "(target_modules, target_parameters, layers_to_transform): PEFT would drop them; "
                "correct the config, or remove them"
            )


def _take_in(
    folder: Path, module: str, a: Float32, b: Float32, targets: Targets, config: AdapterConfig,
    found: dict[str, LowRank],
) -> None:  # fmt: skip
    """Add a module's A and B to the parts that were found."""
    stack = targets.stack(module, config)
    if stack is not None:
        count, rank = stack.count, config.rank(stack.name)
        _expect(folder, stack.name, a, b, rank, (stack.rows, stack.columns), count)
        down = a.reshape(count, rank, stack.columns).transpose(0, 2, 1)
        up = b.reshape(stack.rows, rank, count).transpose(2, 1, 0)
        down, up = np.ascontiguousarray(down), np.ascontiguousarray(up)
        found[stack.name] = LowRank(down, up, config.scaling(stack.name))
        return
    rank, scaling = config.rank(module), config.scaling(module)
    for place in targets.places(module):
        _expect(folder, module, a, b, rank, place.shape)
        m = place.matrix
        part = found.get(m.name)
        if part is None:
            part = found[m.name] = LowRank(
                np.zeros((m.count, m.columns, rank), np.float32),
                np.zeros((m.count, rank, m.rows), np.float32),
                scaling,
            )
        if (part.down.shape[2], part.scaling) != (rank, scaling):
            raise DamagedAdapter(
                f"{folder}: {module} has another rank or alpha than the other members of {m.name}; "
                "those of a bank of experts must have the same"
            )
        part.down[place.member] = a.T[place.columns]
        part.up[place.member] = b.T[:, place.rows]


def _expect(
    folder: Path, name: str, a: Float32, b: Float32, rank: int, shape: tuple[int, int],
    count: int = 1,
) -> None:  # fmt: skip
    """Raise DamagedAdapter unless A and B are of a module [rows, columns], or of `count` of them."""
    rows, columns = shape
    found = a.shape[0] if a.ndim == 2 else -1
    if a.shape != (found, columns) or b.shape != (rows, found) or found % count:
        times = f"{count} * " if count > 1 else ""
        raise DamagedAdapter(
            f"{folder}: {name} has lora_A {list(a.shape)} and lora_B {list(b.shape)}; the model "
            f"needs [{times}rank, {columns}] and [{rows}, {times}rank]"
        )
    if found != rank * count:
        raise DamagedAdapter(
            f"{folder}: {name} has rank {found // count}, {CONFIG} says {rank} for it"
        )


def _values(tensor: StoredTensor) -> Float32:
    if tensor.dtype not in _DTYPES:
        raise DamagedAdapter(f"{tensor.file}: {tensor.name} is {tensor.dtype}, not F32, F16, BF16")
    count = math.prod(tensor.shape)
    raw = np.fromfile(tensor.file, _DTYPES[tensor.dtype], count, offset=tensor.offset)
    values = bfloat16_to_float32(raw) if tensor.dtype == "BF16" else raw.astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedAdapter(f"{tensor.file}: {tensor.name} holds NaN or infinity")
    return values.reshape(tensor.shape)
