"""Which matrices get how many digits, and how wide activations are.

A format says how a weight becomes digits:

    native    the checkpoint's own MXFP4 codes, untouched
    mxfp4     one digit
    mxfp4x2   two digits; the second quantises the first one's error
    auto      one digit for matrices that it reproduces exactly, else two
    ternary, int3, int4, nf4, fitted    one digit with the values of the codebook of that name
    int8      two digits of int4 (`hnlpu.arithmetic.codebooks`)
    ternary2  one digit of ternary under one exponent a row, two inputs to a port of metal

Experts that the checkpoint stores as MXFP4 are always native.  `dense` is the format of every other
role (feed-forward blocks, mixers, recurrences); without it they have that of attention.  `matrices`
are formats of single matrices, by their names or by patterns of these; the first that fits counts
more than any role.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from hnlpu.arithmetic.codebooks import E2M1, Codebook, codebook_names, open_codebook
from hnlpu.errors import InvalidData, InvalidInput

Format = Literal[
    "auto", "mxfp4", "mxfp4x2", "ternary", "int3", "int4", "nf4", "fitted", "int8", "ternary2"
]
FORMATS: tuple[str, ...] = get_args(Format)
SMALLEST_ACTIVATION_BITS, LARGEST_ACTIVATION_BITS = 2, 16
LARGEST_SPREAD = 20
_OF_TWO_DIGITS = {"mxfp4x2": E2M1, "int8": "int4"}
"""Formats of two digits, and the codebook of both."""


class Policy(BaseModel):
    """Formats by role, activation width in bits, and the largest exponent spread of a row.

    `matrices` are (name or pattern, format) pairs; `*` stands for any characters, dots included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: Format = "auto"
    router: Format = "auto"
    experts: Format = "auto"
    unembedding: Format = "auto"
    dense: Format | None = None
    matrices: tuple[tuple[str, Format], ...] = ()
    activation_bits: int = Field(
        default=12, ge=SMALLEST_ACTIVATION_BITS, le=LARGEST_ACTIVATION_BITS
    )
    max_spread: int = Field(default=LARGEST_SPREAD, ge=0, le=LARGEST_SPREAD)
    requantize: bool = False

    def format_of(self, role: str, name: str = "") -> Format:
        """The format of the matrix `name`, or of any that has this role."""
        for pattern, given in self.matrices:
            if fits(pattern, name):
                return given
        chosen: Format = getattr(self, role if role in _OWN_FORMAT else "dense") or self.attention
        return chosen

    @model_serializer(mode="wrap")
    def _as_given(self, encode: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Builds that say nothing of `dense` or `matrices` have the bytes that they had before."""
        values: dict[str, Any] = encode(self)
        return {k: v for k, v in values.items() if not (k in _LATER and v in (None, (), []))}


_OWN_FORMAT = ("attention", "router", "experts", "unembedding")
_LATER = ("dense", "matrices")


PRESETS: dict[str, Policy] = {
    "default": Policy(),
    "paper": Policy(
        attention="mxfp4", router="mxfp4", experts="mxfp4", unembedding="mxfp4", activation_bits=8
    ),
}


def codebook_of(fmt: str) -> Codebook:
    """The values that digits of a matrix in this format may have."""
    array = array_codebook_of(fmt)
    return open_codebook(array.of) if array.of else array


def array_codebook_of(fmt: str) -> Codebook:
    """The codebook of arrays for matrices in this format: that of digits, or of several on one port."""
    return open_codebook(fmt if fmt in codebook_names() else _OF_TWO_DIGITS.get(fmt, E2M1))


def spread_of_format(fmt: str, most: int) -> int:
    """How far exponents of a row may spread in this format, at most `most`: not at all on shared ports."""
    return 0 if array_codebook_of(fmt).inputs > 1 else most


def digits_of_format(fmt: str) -> int:
    """Digits in metal of a weight in this format, which is not `auto`."""
    return 2 if fmt in _OF_TWO_DIGITS else 1


def stored_digits(fmt: str) -> int:
    """E2M1 digits that a weight in this format, which is not `auto`, is stored as."""
    return digits_of_format(fmt) * codebook_of(fmt).stored


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern of `Policy.matrices` means the matrix `name`."""
    return pattern == name or fnmatchcase(name, pattern)


def make_policy(preset: str = "default", **changes: object) -> Policy:
    """A preset with some fields changed; None leaves a field.  Raises InvalidInput."""
    if preset not in PRESETS:
        raise InvalidInput(f"preset {preset!r} is unknown; choose from {', '.join(PRESETS)}")
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return Policy.model_validate({**PRESETS[preset].model_dump(), **given}, strict=True)
    except ValidationError as error:
        raise InvalidInput(_problem(error)) from None


def _problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "extra_forbidden":
        return f"{problem['loc'][0]}: no such setting; there are {', '.join(Policy.model_fields)}"
    # `matrices` are pairs, whose numbers say nothing
    name = " ".join(part for part in problem["loc"] if isinstance(part, str)).replace("_", " ")
    if problem["type"] == "literal_error":
        return f"{name} {problem['input']!r}: choose from {', '.join(FORMATS)}"
    return f"{name} {problem['input']!r}: {problem['msg']}"


def read_policy(path: str | Path) -> dict[str, object]:
    """What a policy file (TOML) changes, for `make_policy`.

        experts = "mxfp4"
        activation_bits = 10
        [matrices]
        "model.layers.0.*" = "mxfp4x2"

    Raises InvalidInput where it cannot be read, InvalidData where it says what makes no sense.
    """
    try:
        with Path(path).open("rb") as stream:
            values: dict[str, object] = tomllib.load(stream)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: is no TOML file ({error})") from None
    matrices = values.get("matrices", {})
    if not isinstance(matrices, dict):
        raise InvalidData(f"{path}: matrices is no table; write [matrices], then NAME = FORMAT")
    try:
        found = Policy.model_validate({**values, "matrices": tuple(matrices.items())}, strict=True)
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        at = f"{list(matrices)[int(where[1])]}: " if where[0] == "matrices" and matrices else ""
        raise InvalidData(f"{path}: {at}{_problem(error)}") from None
    return {name: getattr(found, name) for name in values}


def write_policy(policy: Policy, remarks: tuple[str, ...] = ()) -> str:
    """The policy file that says `policy`, with `remarks` as comments above."""
    lines = [f"# {remark}" for remark in remarks]
    for name, value in policy.model_dump(mode="json").items():
        if name != "matrices":
            lines.append(f"{name} = {_toml(value)}")
    if policy.matrices:
        lines += ["", "[matrices]"]
        lines += [f"{_toml(pattern)} = {_toml(given)}" for pattern, given in policy.matrices]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
