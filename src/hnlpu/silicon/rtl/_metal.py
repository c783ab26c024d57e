"""Text of wiring -> what each word of each output is joined to, by number.

    assign p[0][31:0] = {x31_p2, ..., GND};   ──►   joins["p"][0, 31] = word of trunk[2][31], joins["p"][0, 0] = 0

What is no connection and no tie is refused, so the text holds nothing that the table leaves out.
Tests hold the table to what slang elaborates from the same text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput

Int32 = npt.NDArray[np.int32]

_HEAD = re.compile(r"\s*module (\w+) #\(\s*parameter int LANES = 1\s*\) \(([^()]*)\)", re.DOTALL)
_PORT = re.compile(r"(input|output)\s+logic ((?:\[\d+:0\])*)\[LANES-1:0\] (\w+)")
_SUPPLIES = {
    "localparam logic [LANES-1:0] GND = '0": ("GND", 0),
    "localparam logic [LANES-1:0] PWR = '1": ("PWR", 1),
}
FIRST_WORD = 2
"""Number of the first word of the first input; before it are ground and power."""
_WIRE = re.compile(r"logic ((?:\[\d+:0\])*)\[LANES-1:0\] (\w+)")
_ASSIGN = re.compile(r"assign (\w+)((?:\[\d+\])*)(?:\[(\d+):(\d+)\])? = (.*)", re.DOTALL)
_PLACE = re.compile(r"(\w+)((?:\[\d+\])+)")
_OPEN = -1


@dataclass(frozen=True)
class Joins:
    """`joins` gives for every output, in its shape, 0 for ground, 1 for power, or the number of a word.

    Words of inputs are numbered from 2 in the order of `inputs`, which gives their shapes, and of
    their indices.
    """

    name: str
    inputs: dict[str, tuple[int, ...]]
    joins: dict[str, Int32]

    def word(self, name: str) -> int:
        """Number of the first word of an input."""
        names = list(self.inputs)
        before = names[: names.index(name)]
        return FIRST_WORD + sum(math.prod(self.inputs[other]) for other in before)


def read_metal(text: str) -> Joins:
    """Read the module of one tile; raises InvalidInput for what is no connection."""
    head, *statements = _statements(text)
    found = _HEAD.fullmatch(head)
    if found is None:
        raise InvalidInput(
            f"wiring begins with no module of ports and LANES: {head.strip()[:80]!r}"
        )
    name, inputs, joins = found[1], {}, {}
    for port in found[2].split(","):
        of_port = _PORT.fullmatch(port.strip())
        if of_port is None:
            raise InvalidInput(f"{name}: {port.strip()!r} is no port of words")
        shape = _shape(of_port[2])
        if of_port[1] == "input":
            inputs[of_port[3]] = shape
        else:
            joins[of_port[3]] = np.full(shape, _OPEN, np.int32)
    metal = Joins(name, inputs, joins)
    wires: dict[str, tuple[int, ...]] = {}
    known: dict[str, list[int]] = {}
    for statement in statements:
        if statement in _SUPPLIES:
            supply, number = _SUPPLIES[statement]
            known[supply] = [number]
            continue
        if wire := _WIRE.fullmatch(statement):
            wires[wire[2]] = _shape(wire[1])
            continue
        assign = _ASSIGN.fullmatch(statement)
        if assign is None:
            raise InvalidInput(f"{name}: {statement[:80]!r} is neither a connection nor a wire")
        if assign[1] in joins:
            _join(metal, assign, known)
        elif wires.get(assign[1]) == () and not assign[2] and assign[3] is None:
            known[assign[1]] = _words(metal, assign[5], known)
        elif wires.get(assign[1]) != inputs.get(assign[5]) or assign[2] or assign[1] in known:
            raise InvalidInput(f"{name}: {statement[:80]!r} joins no words")
    for output, joined in joins.items():
        if (joined == _OPEN).any():
            place = np.argwhere(joined == _OPEN)[0].tolist()
            raise InvalidInput(f"{name}: {output}{place} is joined to nothing")
    return metal


def _statements(text: str) -> Iterator[str]:
    """Head of the module and every statement in it, without comments."""
    text = re.sub(r"//[^\n]*", "", text)
    *statements, end = text.split(";")
    if end.strip() != "endmodule":
        raise InvalidInput(f"wiring ends with {end.strip()[:80]!r}, not with its module")
    yield from (statement.strip() for statement in statements)


def _shape(dimensions: str) -> tuple[int, ...]:
    return tuple(int(last) + 1 for last in re.findall(r"\[(\d+):0\]", dimensions))


def _words(metal: Joins, expression: str, known: dict[str, list[int]]) -> list[int]:
    """Words of a name, a place of an input or a concatenation of them, the lowest first."""
    inside = expression.strip()
    while inside.startswith("{") and inside.endswith("}"):
        inside = inside[1:-1].strip()
    words: list[int] = []
    for name in reversed(inside.split(",")):
        stripped = name.strip()
        words += known[stripped] if stripped in known else _place(metal, stripped)
    return words


def _place(metal: Joins, text: str) -> list[int]:
    """Words of a place of an input, such as trunk[2][17] or c[0][3]."""
    found = _PLACE.fullmatch(text)
    if found is None or found[1] not in metal.inputs:
        raise InvalidInput(f"{metal.name}: {text[:80]!r} is no input, name or ground")
    first, shape = metal.word(found[1]), metal.inputs[found[1]]
    at = [int(index) for index in re.findall(r"\d+", found[2])]
    if len(at) > len(shape) or any(i >= size for i, size in zip(at, shape, strict=False)):
        raise InvalidInput(f"{metal.name}: {text!r} lies outside of its input")
    for index, size in zip(at, shape, strict=False):
        first, shape = first + index * math.prod(shape[1:]), shape[1:]
        assert index < size
    return list(range(first, first + math.prod(shape)))


def _join(metal: Joins, assign: re.Match[str], known: dict[str, list[int]]) -> None:
    """Enter one assignment to an output."""
    output, index, high, low, expression = assign.groups()
    at: tuple[int | slice, ...] = tuple(int(n) for n in re.findall(r"\d+", index))
    if high is not None:
        at = (*at, slice(int(low), int(high) + 1))
    words = _words(metal, expression, known)
    try:
        joined = metal.joins[output][at]
        if joined.size != len(words) or (joined != _OPEN).any():
            raise IndexError
    except IndexError:
        raise InvalidInput(
            f"{metal.name}: {output}{index} takes {len(words)} words that do not fit it, or twice"
        ) from None
    metal.joins[output][at] = np.array(words, np.int32).reshape(joined.shape)
