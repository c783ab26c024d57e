"""How positions turn, by the metadata of a GGUF file and its table of factors.

Llama 3.1's slowed frequencies lie in a tensor, `rope_freqs.weight`: what each plain frequency is
divided by.  The numbers of the rule that made it are found again, and must make it again exactly.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint.gguf._file import Gguf

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of every release from Llama 3.1 on; only `factor` differs (8, or 32 in the small ones)."""


class Metadata(Protocol):
    """What is asked of the metadata."""

    def get(self, key: str, default: Any = None) -> Any:
        """A value."""
        ...

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        ...

    def number(self, key: str, default: float | None = None) -> float:
        """A number."""
        ...


def rope_parameters(gguf: Gguf, keys: Metadata, head_dim: int) -> dict[str, Any]:
    """`rope_parameters` of config.json; raises UnsupportedArchitecture."""
    theta = keys.number("rope.freq_base", 10000.0)
    kind = keys.get("rope.scaling.type", "none")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 1.0))
    original = keys.get("rope.scaling.original_context_length")
    if kind == "linear" or (kind == "none" and factor not in (0.0, 1.0)):
        rope |= {"rope_type": "linear", "factor": factor}
    elif kind == "yarn":
        original = keys.whole("rope.scaling.original_context_length")
        rope |= {"rope_type": "yarn", "factor": factor}
        rope["original_max_position_embeddings"] = original
        for end in ("fast", "slow"):
            if keys.get(f"rope.scaling.yarn_beta_{end}") is not None:
                rope[f"beta_{end}"] = keys.number(f"rope.scaling.yarn_beta_{end}")
        if gguf.metadata.get("general.architecture") == "gpt-oss":
            rope["truncate"] = False  # as the model was trained; no key says it
    elif kind not in ("none", "longrope"):
        raise UnsupportedArchitecture(f"{gguf.path}: rope.scaling.type {kind!r} is not read")
    table = gguf.tensors.get("rope_freqs.weight")
    if table is None:
        return rope
    if rope["rope_type"] != "default" or table.blocks.name != "F32":
        raise UnsupportedArchitecture(f"{gguf.path}: rope_freqs.weight beside {kind!r} is not read")
    factors = table.blocks.decode(table.rows()).reshape(-1)
    return rope if (factors == 1).all() else rope | _llama3(gguf, factors, theta, head_dim)


def _llama3(gguf: Gguf, factors: Any, theta: float, head_dim: int) -> dict[str, Any]:
    """The rule of Llama 3.1 that makes `factors`; raises UnsupportedArchitecture."""
    largest = float(factors.max())
    plain = theta ** -(np.arange(head_dim // 2) / (head_dim // 2))
    turns = LLAMA3["original_max_position_embeddings"] * plain / (2 * math.pi)
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    again = 1 / (kept + (1 - kept) / largest)
    if factors.shape != again.shape or not np.allclose(factors, again, rtol=1e-5, atol=0):
        raise UnsupportedArchitecture(
            f"{gguf.path}: rope_freqs.weight is not what Llama 3's rule makes; give the checkpoint "
            "that the file was made from"
        )
    return {"rope_type": "llama3", "factor": largest, **LLAMA3}


def long_rope(gguf: Gguf, keys: Metadata, config: dict[str, Any], original: int) -> dict[str, Any]:
    """LongRoPE's factors, which lie in two tensors; the plain rope of `config` without them.

    Raises UnsupportedArchitecture where the factor on cosines is not the one that lengths imply.
    """
    told = keys.get("rope.scaling.attn_factor")
    tables = {end: gguf.tensors.get(f"rope_factors_{end}.weight") for end in ("short", "long")}
    found = {
        f"{end}_factor": [float(f) for f in table.blocks.decode(table.rows()).reshape(-1)]
        for end, table in tables.items()
        if table is not None and table.blocks.name == "F32"
    }
    rope: dict[str, Any] = config["rope_parameters"]
    if not found:
        return rope
    growth = config["max_position_embeddings"] / original
    implied = math.sqrt(1 + math.log(growth) / math.log(original)) if growth > 1 else 1.0
    if len(found) < 2 or (told is not None and abs(told - implied) > 1e-4):
        raise UnsupportedArchitecture(
            f"{gguf.path}: rope_factors_short, rope_factors_long and rope.scaling.attn_factor = "
            f"{told} are not those of LongRoPE from {original} to "
            f"{config['max_position_embeddings']} positions"
        )
    return {"rope_type": "longrope", "rope_theta": rope["rope_theta"], **found}
