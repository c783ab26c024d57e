"""What a box says that it holds: matrices in metal, parameters and tables in memory, states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, assert_never

from hnlpu.model.network import Append, Matrix, Network, Parameter, Replace, Ring, State

BYTES_PER_NUMBER = 4
"""Of a state: float32, as the engine keeps it."""

Lies = Literal["metal", "memory", "state"]


@dataclass(frozen=True)
class BoxRow:
    """A line of a box for each of `names`, which are alike; several lines where kinds differ."""

    lies: Lies
    lines: tuple[str, ...]
    names: tuple[str, ...]


def row(network: Network, names: Sequence[str], notes: Mapping[str, str]) -> BoxRow:
    """The row of declarations that are alike but for their names; the first one is described."""
    known = network.declared()
    label = short_name(names)
    name = names[0]
    if name in known.matrices:
        note = f", {notes[name]}" if name in notes else ""
        return BoxRow("metal", (f"{label}  {_matrix(known.matrices[name])}{note}",), tuple(names))
    if name in known.parameters:
        return BoxRow("memory", (f"{label}  {_parameter(known.parameters[name])}",), tuple(names))
    return BoxRow("state", (f"{label}  {_state(known.states[name])}",), tuple(names))


def short_name(names: Sequence[str]) -> str:
    """The last part of names that are alike, with * for the number in which they differ."""
    shared = names[0].removesuffix(".weight")
    if len(names) > 1:
        here, there = (re.split(r"(\d+)", name.removesuffix(".weight")) for name in names[:2])
        if len(here) == len(there):
            shared = "".join(a if a == b else "*" for a, b in zip(here, there, strict=True))
    *_, last = parts = shared.split(".")
    return ".".join(parts[-2:]) if last == "bias" else last


def numbers(shape: Sequence[object]) -> str:
    """Lengths as people write them: 64 × 128."""
    return " × ".join(map(str, shape)) or "1"


def byte_text(size: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def _matrix(matrix: Matrix) -> str:
    size = f"{matrix.rows} × {matrix.columns}"
    if matrix.members is not None:
        size = f"{matrix.members} of {size}"
    bias = " + bias" if matrix.bias is not None else ""
    return f"{size}{bias}"


def _parameter(parameter: Parameter) -> str:
    return numbers(parameter.shape)


def _state(state: State) -> str:
    size = prod(state.shape) * BYTES_PER_NUMBER
    match state.keeps:
        case Append(None):
            return f"{numbers(state.shape)} per position ({byte_text(size)})"
        case Append(window):
            return f"{numbers(state.shape)} per position ({byte_text(size)}), last {window}"
        case Ring(length):
            return f"ring of {length} of {numbers(state.shape)} ({byte_text(length * size)})"
        case Replace():
            return f"{numbers(state.shape)} ({byte_text(size)}), replaced"
        case _:
            assert_never(state.keeps)
