"""Frequencies of rotary position embeddings, as configs give them.

default    theta^(-2 i / d) for pair i of the d numbers that turn
linear     all divided by `factor`
dynamic    the default's, up to max_position_embeddings
llama3     slow pairs divided by `factor`, fast ones kept, blended between (Llama 3.1)
yarn       the same with other bounds, and a factor on cos and sin     arXiv 2309.00071
longrope   each divided by its own `short_factor`, and a factor on cos and sin   arXiv 2402.13753

Past a length, `dynamic` and `longrope` turn every position, earlier ones too, by other angles.  What was
said before would have to be said again, so a network ends there (`limit`).
"""

from __future__ import annotations

import math
import reprlib
from typing import Annotated, Any, Literal, TypeGuard

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from hnlpu.errors import InvalidConfig

Frequencies = npt.NDArray[np.float32]
Theta = Annotated[float, Field(gt=1, le=1e12)]
Factor = Annotated[float, Field(ge=1, le=1e6)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Length = Annotated[int, Field(ge=1, le=2**31)]


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

    def frequencies(self, size: int) -> tuple[Frequencies, float]:
        """Angle per position of each pair of `size` numbers, and the factor on cos and sin.

        YaRN blends each frequency between itself (it turns more than
        `beta_fast` times within the original context) and itself divided by
        `factor` (fewer than `beta_slow` turns), linearly in the index.
        """
        plain = plain_frequencies(self.rope_theta, size)
        if self.rope_type == "default":
            return plain.astype(np.float32), 1.0
        low, high = (self._index_of(turns, size / 2) for turns in (self.beta_fast, self.beta_slow))
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, size - 1)
        if low == high:
            high += 0.001  # a step instead of a ramp, without dividing by zero
        ramp = np.clip((np.arange(len(plain)) - low) / (high - low), 0, 1)
        blended = plain * (1 - ramp) + plain / self.factor * ramp
        factor = self.attention_factor
        return blended.astype(np.float32), self._default_factor() if factor is None else factor

    def _default_factor(self) -> float:
        return _mscale(self.factor, 1.0)

    def _index_of(self, turns: float, half: float) -> float:
        """Index of the pair that turns `turns` times within the original context."""
        wavelength = self.original_max_position_embeddings / (turns * 2 * math.pi)
        return half * math.log(wavelength) / math.log(self.rope_theta)

    @property
    def limit(self) -> int | None:
        """Positions after which other angles hold; None for never."""
        return None


class YarnRope(Rope):
    """YaRN as DeepSeek writes it: `mscale` over `mscale_all_dim` on cos and sin."""

    rope_type: Literal["yarn"]
    mscale: float | None = Field(None, ge=0, le=1e6)
    mscale_all_dim: float | None = Field(None, ge=0, le=1e6)

    def _default_factor(self) -> float:
        if self.mscale and self.mscale_all_dim:
            return _mscale(self.factor, self.mscale) / _mscale(self.factor, self.mscale_all_dim)
        return _mscale(self.factor, 1.0)


def _mscale(factor: float, by: float) -> float:
    return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0


class _Angles(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # `one_rope` knows the keys

    rope_theta: Theta

    @property
    def limit(self) -> int | None:
        """Positions after which other angles hold; None for never."""
        return None


class PlainRope(_Angles):
    """The default."""

    rope_type: Literal["default"]

    def frequencies(self, size: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`."""
        return plain_frequencies(self.rope_theta, size).astype(np.float32), 1.0


class DynamicRope(PlainRope):
    """The default's up to `max_position_embeddings`, where theta begins to grow with the text."""

    rope_type: Literal["dynamic"]  # type: ignore[assignment]  # pydantic tells kinds apart by it
    factor: Factor
    max_position_embeddings: Length

    @property
    def limit(self) -> int | None:
        """Positions after which other angles hold."""
        return self.max_position_embeddings


class LinearRope(_Angles):
    """Positions divided by `factor`."""

    rope_type: Literal["linear"]
    factor: Factor

    def frequencies(self, size: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`."""
        plain = plain_frequencies(self.rope_theta, size)
        return (plain / self.factor).astype(np.float32), 1.0


class Llama3Rope(_Angles):
    """Llama 3.1's: what turns often within the old context stays, what turns seldom is slowed."""

    rope_type: Literal["llama3"]
    factor: Factor
    low_freq_factor: Positive
    high_freq_factor: Positive
    original_max_position_embeddings: Length

    def frequencies(self, size: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`."""
        plain = plain_frequencies(self.rope_theta, size)
        turns = self.original_max_position_embeddings * plain / (2 * math.pi)
        low, high = self.low_freq_factor, self.high_freq_factor
        kept = np.clip((turns - low) / (high - low), 0, 1) if high > low else turns >= high
        return (plain * kept + plain / self.factor * (1 - kept)).astype(np.float32), 1.0


class LongRope(_Angles):
    """LongRoPE: every pair has a factor of its own, and past the original context another one."""

    rope_type: Literal["longrope"]
    short_factor: tuple[Positive, ...]
    long_factor: tuple[Positive, ...]
    factor: float = Field(gt=0, le=1e6)
    attention_factor: float | None = Field(None, gt=0, le=1e6)
    original_max_position_embeddings: int = Field(ge=2, le=2**31)

    def frequencies(self, size: int) -> tuple[Frequencies, float]:
        """As `Rope.frequencies`, within `limit`; raises InvalidConfig for factors of other pairs."""
        plain = plain_frequencies(self.rope_theta, size)
        for name in ("short_factor", "long_factor"):
            if len(getattr(self, name)) != len(plain):
                raise InvalidConfig(
                    f"config.json: rope: {name} has {len(getattr(self, name))} numbers for "
                    f"{len(plain)} pairs"
                )
        length, factor = self.original_max_position_embeddings, self.attention_factor
        if factor is None:
            growth = max(1.0, self.factor)
            factor = math.sqrt(1 + math.log(growth) / math.log(length))
        return (plain / np.array(self.short_factor)).astype(np.float32), factor

    @property
    def limit(self) -> int | None:
        """Positions after which other angles hold; None where both factors are the same."""
        same = self.short_factor == self.long_factor
        return None if same else self.original_max_position_embeddings


AnyRope = Annotated[
    PlainRope | LinearRope | DynamicRope | Llama3Rope | YarnRope | LongRope,
    Field(discriminator="rope_type"),
]
KINDS = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")


def plain_frequencies(theta: float, size: int) -> npt.NDArray[np.float64]:
    """theta^(-2 i / size) of pair i; a size that is odd has half a pair more."""
    frequencies: npt.NDArray[np.float64] = theta ** -(
        np.arange(0, size, 2).astype(np.float64) / size
    )
    return frequencies


_KEYS = {
    "default": set[str](),
    "linear": {"factor"},
    "dynamic": {"factor"},
    "llama3": {
        "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    },
    "yarn": {
        "factor", "beta_fast", "beta_slow", "truncate", "original_max_position_embeddings",
        "attention_factor", "mscale", "mscale_all_dim",
    },
    "longrope": {
        "factor", "short_factor", "long_factor", "original_max_position_embeddings",
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
    newer = values.pop("rope_parameters", None)
    if older and newer and older != newer:
        raise ValueError("rope_scaling and rope_parameters disagree; keep one of them")
    given = newer if older in (None, {}) else older
    if given in (None, {}):
        given = default if theta is None else default | {"rope_theta": theta}
    return one_rope(given, values, theta, default, kinds)


def one_rope(
    given: object, values: dict[str, Any], theta: object, default: dict[str, Any],
    kinds: tuple[str, ...],
) -> dict[str, Any]:  # fmt: skip
    """The fields of a rope from its parameters; theta and lengths may stand beside them.

    Raises ValueError.
    """
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
    return _with_lengths(rope, values.get("max_position_embeddings"))


def _is_length(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= 2**31


def _with_lengths(rope: dict[str, Any], longest: object) -> dict[str, Any]:
    """What follows from the longest text where the parameters are silent."""
    kind = rope["rope_type"]
    if kind == "dynamic":
        rope["max_position_embeddings"] = longest
    if kind in ("llama3", "yarn", "longrope") and longest is not None:
        rope.setdefault("original_max_position_embeddings", longest)
    original = rope.get("original_max_position_embeddings")
    if kind == "longrope" and _is_length(longest) and _is_length(original):
        rope.setdefault("factor", longest / original)
    for key in ("factor", "original_max_position_embeddings"):
        if kind in ("yarn", "longrope") and key not in rope:
            named = "YaRN" if kind == "yarn" else "LongRoPE"
            raise ValueError(f"the rope parameters lack {key}, which {named} needs")
    return rope
