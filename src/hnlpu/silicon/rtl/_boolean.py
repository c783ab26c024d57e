"""Functions of Liberty cells -> truth tables, the cells that are adders, and a genlib of the others.

Operators by rank: ' and ! (not), ^, & * and juxtaposition (and), | + (or).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hnlpu.silicon.rtl._liberty import LibraryCell

_MOST_INPUTS = 6
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[()!'^&*|+])")


def truth(function: str, inputs: Sequence[str]) -> int | None:
    """Bit n is the value where bit k of n is that of input k; None for another name or no sense."""
    tokens, at = [], 0
    while at < len(function.rstrip()):
        found = _TOKEN.match(function, at)
        if found is None:
            return None
        tokens.append(found[1])
        at = found.end()
    parser = _Parser(tokens, inputs)
    try:
        value = parser.alternatives()
    except (IndexError, KeyError):
        return None
    return value if not parser.tokens else None


class _Parser:
    """Recursive descent; a value is the bits of a truth table."""

    def __init__(self, tokens: list[str], inputs: Sequence[str]):
        self.tokens = tokens[::-1]
        size = 1 << len(inputs)
        self._all = (1 << size) - 1
        self._of = {
            name: sum(1 << n for n in range(size) if n >> k & 1) for k, name in enumerate(inputs)
        } | {"0": 0, "1": self._all}

    def _next_is(self, among: str) -> bool:
        return bool(self.tokens) and self.tokens[-1] in among

    def alternatives(self) -> int:
        value = self._product()
        while self._next_is("|+"):
            self.tokens.pop()
            value |= self._product()
        return value

    def _product(self) -> int:
        value = self._difference()
        while self.tokens and self.tokens[-1] not in "|+)":
            if self._next_is("&*"):
                self.tokens.pop()
            value &= self._difference()
        return value

    def _difference(self) -> int:
        value = self._factor()
        while self._next_is("^"):
            self.tokens.pop()
            value ^= self._factor()
        return value

    def _factor(self) -> int:
        first = self.tokens.pop()
        if first == "!":
            return self._all ^ self._factor()
        if first == "(":
            value = self.alternatives()
            if self.tokens.pop() != ")":
                raise KeyError(first)
        else:
            value = self._of[first]
        while self._next_is("'"):
            self.tokens.pop()
            value ^= self._all
        return value


@dataclass(frozen=True)
class AdderCell:
    """A cell that adds its inputs; outputs may be inverted."""

    cell: LibraryCell
    inputs: tuple[str, ...]
    sum: str
    carry: str
    sum_inverted: bool
    carry_inverted: bool


def find_adder(cells: Iterable[LibraryCell], inputs: int) -> AdderCell | None:
    """The smallest cell that adds `inputs` bits, 2 or 3; None where there is none."""
    rows = range(1 << inputs)
    sums = sum((n.bit_count() & 1) << n for n in rows)
    carries = sum((n.bit_count() >> 1) << n for n in rows)
    every = (1 << len(rows)) - 1
    found = []
    for cell in cells:
        pins = tuple(pin.name for pin in cell.inputs())
        if not cell.plain or len(pins) != inputs or len(cell.outputs()) != 2:
            continue
        for first, second in itertools.permutations(cell.outputs()):
            a, b = truth(first.function, pins), truth(second.function, pins)
            if a in (sums, sums ^ every) and b in (carries, carries ^ every):
                found.append(
                    AdderCell(cell, pins, first.name, second.name, a != sums, b != carries)
                )
    return min(found, key=lambda one: (one.cell.area, one.cell.name), default=None)


def genlib(cells: Iterable[LibraryCell]) -> str:
    """The smallest gate of every function with one output and up to six inputs, for ABC."""
    best: dict[tuple[int, int], tuple[float, str, str]] = {}
    for cell in cells:
        pins = [pin.name for pin in cell.inputs()]
        if not cell.plain or not 1 <= len(pins) <= _MOST_INPUTS or len(cell.outputs()) != 1:
            continue
        [output] = cell.outputs()
        table = truth(output.function, pins)
        if table is None or not 0 < table < (1 << (1 << len(pins))) - 1:
            continue
        line = (
            f"GATE {cell.name} {cell.area:g} {output.name}={_sum_of_products(table, pins)};"
            " PIN * UNKNOWN 1 999 1 0 1 0\n"
        )
        key = len(pins), table
        best[key] = min(best.get(key, (cell.area, cell.name, line)), (cell.area, cell.name, line))
    gates = "".join(line for _, _, line in sorted(best.values()))
    return f"GATE ZERO 0 Y=CONST0;\nGATE ONE 0 Y=CONST1;\n{gates}"


def _sum_of_products(table: int, pins: Sequence[str]) -> str:
    terms = [
        "*".join(pin if n >> k & 1 else f"!{pin}" for k, pin in enumerate(pins))
        for n in range(1 << len(pins))
        if table >> n & 1
    ]
    return "+".join(f"({term})" for term in terms)
