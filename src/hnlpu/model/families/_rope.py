"""Frequencies of rotary position embeddings, as configs give them.

default    theta^(-i / half) for pair i
linear     all divided by `factor`
llama3     slow pairs divided by `factor`, fast ones kept, blended between (Llama 3.1)
yarn       the same with other bounds, and a factor on cos and sin     arXiv 2309.00071
"""

from __future__ import annotations

import math
import reprlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Frequencies = npt.NDArray[np.float32]


class Rope(BaseModel):
    """Rotary position embedding, plain (`rope_type` "default") or YaRN (arXiv 2309.00071)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rope_type: Literal["default", "yarn"] = "yarn"
    rope_theta: float = Field(150000.0, gt=1, le=1e12)
    factor: float = Field(32.0, ge=1, le=1e6)
    beta_fast: float = Field(32.0, ge=1e-6, le=1e6)
    beta_slow: float = Field(1.0, ge=1e-6, le=1e6)
    truncate: bool = True
    original_max_position_embeddings: int = Field(4096, ge=1, le=2**31)
    attention_factor: float | None = Field(None, gt=0, le=1e6)

    def frequencies(self, head_dim: int) -> tuple[Frequencies, float]:
        """Angle per position of each of the head_dim / 2 pairs, and the factor on cos and sin.

        YaRN blends each frequency between itself (it turns more than
        `beta_fast` times within the original context) and itself divided by
        `factor` (fewer than `beta_slow` turns), linearly in the index.
        """
        half = head_dim // 2
        plain = plain_frequencies(self.rope_theta, head_dim)
        if self.rope_type == "default":
            return plain.astype(np.float32), 1.0
        low, high = self._index_of(self.beta_fast, half), self._index_of(self.beta_slow, half)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        if low == high:
            high += 0.001  # a step instead of a ramp, without dividing by zero
        ramp = np.clip((np.arange(half) - low) / (high - low), 0, 1)
        blended = plain * (1 - ramp) + plain / self.factor * ramp
        factor = self.attention_factor
        if factor is None:
            factor = 0.1 * math.log(self.factor) + 1 if self.factor > 1 else 1.0
        return blended.astype(np.float32), factor

    def _index_of(self, turns: float, half: int) -> float:
        """Index of the pair that turns `turns` times within the original context."""
        wavelength = self.original_max_position_embeddings / (turns * 2 * math.pi)
        return half * math.log(wavelength) / math.log(self.rope_theta)


class LinearRope(BaseModel):
    """Positions divided by `factor`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rope_type: Literal["linear"]
    rope_theta: float = Field(gt=1, le=1e12)
    factor: float = Field(ge=1, le=1e6)

    def frequencies(self, head_dim: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`."""
        plain = plain_frequencies(self.rope_theta, head_dim)
        return (plain / self.factor).astype(np.float32), 1.0


class Llama3Rope(BaseModel):
    """Llama 3.1's: what turns often within the old context stays, what turns seldom is slowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rope_type: Literal["llama3"]
    rope_theta: float = Field(gt=1, le=1e12)
    factor: float = Field(ge=1, le=1e6)
    low_freq_factor: float = Field(gt=0, le=1e6)
    high_freq_factor: float = Field(gt=0, le=1e6)
    original_max_position_embeddings: int = Field(ge=1, le=2**31)

    def frequencies(self, head_dim: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`."""
        plain = plain_frequencies(self.rope_theta, head_dim)
        turns = self.original_max_position_embeddings * plain / (2 * math.pi)
        low, high = self.low_freq_factor, self.high_freq_factor
        kept = np.clip((turns - low) / (high - low), 0, 1) if high > low else turns >= high
        return (plain * kept + plain / self.factor * (1 - kept)).astype(np.float32), 1.0


AnyRope = Rope | LinearRope | Llama3Rope


def plain_frequencies(theta: float, head_dim: int) -> npt.NDArray[np.float64]:
    """theta^(-i / half) of pair i."""
    half = head_dim // 2
    frequencies: npt.NDArray[np.float64] = theta ** -(np.arange(half, dtype=np.float64) / half)
    return frequencies


_KEYS = {
    "default": set[str](),
    "linear": {"factor"},
    "llama3": {
        "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    },
    "yarn": {
        "factor", "beta_fast", "beta_slow", "truncate", "original_max_position_embeddings",
        "attention_factor",
    },
}  # fmt: skip
"""Keys of rope parameters by their kind, beside kind and theta."""


def rope_values(
    values: dict[str, Any], default: dict[str, Any], kinds: tuple[str, ...]
) -> dict[str, Any]:
    """The rope parameters of a config of either generation, taken out of `values`.

    `rope_scaling` with a theta beside it, or transformers 5's `rope_parameters` with theta inside;
    `default` where there are neither.  Raises ValueError for what is not one of `kinds`.
    """
    theta, older = values.pop("rope_theta", None), values.pop("rope_scaling", None)
    given = values.pop("rope_parameters", older)
    if given is None:
        given = default
    if not isinstance(given, dict):
        raise ValueError(f"rope parameters are a {type(given).__name__}, not an object")
    rope = {k: v for k, v in given.items() if v is not None}
    kind = rope.pop("type", "default")
    rope.setdefault("rope_type", kind)
    rope.setdefault("rope_theta", theta if theta is not None else default["rope_theta"])
    kind = rope["rope_type"]
    if kind not in kinds:
        raise ValueError(
            f"rope_type {reprlib.repr(kind)} is not supported; supported: {', '.join(kinds)}"
        )
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial rotary embeddings are not supported")
    for key in sorted(set(rope) - _KEYS[kind] - {"rope_type", "rope_theta"}):
        raise ValueError(f"rope parameters with {key} are not supported for rope_type {kind}")
    for key in ("factor", "original_max_position_embeddings"):
        if kind == "yarn" and key not in rope:
            raise ValueError(f"the rope parameters lack {key}, which YaRN needs")
    return rope
