"""Which matrices get how many digits, and how wide activations are.

A format says how a weight becomes digits:

    native    the checkpoint's own MXFP4 codes, untouched
    mxfp4     one digit
    mxfp4x2   two digits; the second quantises the first one's error
    auto      one digit for matrices that it reproduces exactly, else two

Experts that the checkpoint stores as MXFP4 are always native.  `dense` is the format of every other
role (feed-forward blocks, mixers, recurrences); without it they have that of attention.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from hnlpu.errors import InvalidInput

Format = Literal["auto", "mxfp4", "mxfp4x2"]
FORMATS: tuple[str, ...] = get_args(Format)
SMALLEST_ACTIVATION_BITS, LARGEST_ACTIVATION_BITS = 2, 16
LARGEST_SPREAD = 20


class Policy(BaseModel):
    """Formats by role, activation width in bits, and the largest exponent spread of a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: Format = "auto"
    router: Format = "auto"
    experts: Format = "mxfp4"
    unembedding: Format = "auto"
    dense: Format | None = None
    activation_bits: int = Field(
        default=12, ge=SMALLEST_ACTIVATION_BITS, le=LARGEST_ACTIVATION_BITS
    )
    max_spread: int = Field(default=LARGEST_SPREAD, ge=0, le=LARGEST_SPREAD)
    requantize: bool = False

    def format_of(self, role: str) -> Format:
        """The format of matrices with this role."""
        chosen: Format = getattr(self, role if role in _OWN_FORMAT else "dense") or self.attention
        return chosen

    @model_serializer(mode="wrap")
    def _as_given(self, encode: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Builds that say nothing of `dense` have the bytes that they had before it was there."""
        values: dict[str, Any] = encode(self)
        return {k: v for k, v in values.items() if k != "dense" or v is not None}


_OWN_FORMAT = ("attention", "router", "experts", "unembedding")


PRESETS: dict[str, Policy] = {
    "default": Policy(),
    "paper": Policy(attention="mxfp4", router="mxfp4", unembedding="mxfp4", activation_bits=8),
}


def make_policy(preset: str = "default", **changes: object) -> Policy:
    """A preset with some fields changed; None leaves a field.  Raises InvalidInput."""
    if preset not in PRESETS:
        raise InvalidInput(f"preset {preset!r} is unknown; choose from {', '.join(PRESETS)}")
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return Policy.model_validate({**PRESETS[preset].model_dump(), **given}, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        name = " ".join(str(part) for part in problem["loc"]).replace("_", " ")
        raise InvalidInput(f"{name} {problem['input']!r}: {problem['msg']}") from None
