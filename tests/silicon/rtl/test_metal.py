"""The table of wiring's text is what slang elaborates from it, and other text is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from rtl_arrays import needs, random_digits, shape_of

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import ArrayKind, tracks_needed
from hnlpu.silicon.rtl import Joins, read_metal, tile_wiring
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")
KINDS = {
    "plain": shape_of(scale_range=0),
    "scales": shape_of(scale_range=4, blocks=3),
    "two digits, bank of three": shape_of(digits=2, bank=3, scale_range=1),
}


def taps_text(name: str) -> str:
    shape = KINDS[name]
    return b"".join(tile_wiring("tile", random_digits(shape, 1), shape.kind, N5)).decode()


def regions_text() -> str:
    digits = random_digits(shape_of(scale_range=1), 2)
    kind = ArrayKind("regions", 1, 1, 1, 4)
    kind = dataclasses.replace(kind, tracks=tracks_needed(N5, kind, digits))
    return b"".join(tile_wiring("tile", digits, kind, N5)).decode()


class Elaborated:
    """What drives every bit of a module of one lane, by slang's elaboration alone."""

    def __init__(self, text: str):
        import pyslang

        compilation = pyslang.ast.Compilation()
        compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromText(text))
        assert not [d for d in compilation.getAllDiagnostics() if d.isError()]
        body = compilation.getRoot().topInstances[0].body
        self._drivers: dict[tuple[str, int], tuple[str, int]] = {}
        self.ports: dict[str, tuple[str, int]] = {}
        for member in body:
            kind = member.kind.name
            if kind == "Port":
                self.ports[member.name] = (member.direction.name, member.type.bitWidth)
            elif kind == "Parameter" and member.name in ("GND", "PWR"):
                self._drivers[member.name, 0] = (str(member.value)[-1], 0)
            elif kind == "ContinuousAssign":
                to = self._bits(member.assignment.left)
                by = self._bits(member.assignment.right)
                assert len(to) == len(by)
                assert not self._drivers.keys() & set(to)
                self._drivers.update(zip(to, by, strict=True))

    def _bits(self, expression: Any) -> list[tuple[str, int]]:
        """Bits of an expression, the lowest first."""
        kind = expression.kind.name
        if kind == "NamedValue":
            return [(expression.symbol.name, n) for n in range(expression.type.bitWidth)]
        if kind == "Concatenation":
            return [bit for one in reversed(list(expression.operands)) for bit in self._bits(one)]
        if kind == "Conversion":
            return self._bits(expression.operand)
        width = expression.type.bitWidth
        if kind == "ElementSelect":
            low = int(str(expression.selector.constant)) * width
        else:
            assert kind == "RangeSelect"
            whole = expression.value.type
            element = whole.bitWidth // (whole.fixedRange.width)
            low = int(str(expression.right.constant)) * element
        return self._bits(expression.value)[low : low + width]

    def driver(self, name: str, bit: int) -> tuple[str, int]:
        """The input bit, or constant, that drives a bit through any wires between."""
        found = (name, bit)
        while found in self._drivers:
            found = self._drivers[found]
        return found


def named(metal: Joins, number: int) -> tuple[str, int]:
    """An entry of the table as a bit of an input, or a constant."""
    if number < 2:
        return str(number), 0
    for name, shape in metal.inputs.items():
        first = metal.word(name)
        if first <= number < first + math.prod(shape):
            return name, number - first
    raise AssertionError(number)


@needs("pyslang")
@pytest.mark.parametrize("name", [*KINDS, "regions"])
def test_the_table_is_what_slang_elaborates(name: str) -> None:
    text = regions_text() if name == "regions" else taps_text(name)
    metal, elaborated = read_metal(text), Elaborated(text)
    outputs = {n: w for n, (direction, w) in elaborated.ports.items() if direction == "Out"}
    assert outputs == {name: joined.size for name, joined in metal.joins.items()}
    for output, joined in metal.joins.items():
        drivers = [elaborated.driver(output, bit) for bit in range(joined.size)]
        assert [named(metal, number) for number in joined.ravel().tolist()] == drivers


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("assign p[0][31:0]", "assign p[0][30:0]", "do not fit it"),
        ("assign p[1][31:0]", "assign p[0][31:0]", "or twice"),
        ("assign p[3][63:32]", "assign p[9][63:32]", "do not fit it"),
        ("GND,", "~GND,", "is no input, name or ground"),
        ("= trunk[0][", "= trunk[14][", "lies outside of its input"),
        ("= trunk;", "= trunk & trunk;", "joins no words"),
        ("endmodule", "always_comb x = y; endmodule", "neither a connection nor a wire"),
        ("endmodule", "", "ends with"),
        ("input  logic [13:0]", "inout  logic [13:0]", "is no port of words"),
        ("module tile", "package tile", "no module of ports"),
    ],
)
def test_what_is_no_connection_is_refused(old: str, new: str, told: str) -> None:
    shape = shape_of(scale_range=0, neurons=4)
    text = b"".join(tile_wiring("tile", random_digits(shape, 3), shape.kind, N5)).decode()
    assert old in text
    with pytest.raises(InvalidInput, match=told):
        read_metal(text.replace(old, new, 1))


def test_an_output_that_nothing_drives_is_refused() -> None:
    text = taps_text("plain")
    first = text.index("  assign p[1][31:0]")
    cut = text[:first] + text[text.index("};", first) + 2 :].lstrip("\n")
    with pytest.raises(InvalidInput, match=r"p\[1, 0\] is joined to nothing"):
        read_metal(cut)


def test_trunks_are_numbered_by_value_then_input() -> None:
    shape = shape_of(scale_range=0, neurons=1, blocks=1)
    digits = random_digits(shape, 4)
    text = b"".join(tile_wiring("tile", digits, shape.kind, N5)).decode()
    values = np.array([0, 0, 1, 2, 3, 4, 6, 8, 12, -1, -2, -3, -4, -6, -8, -12])
    joined = read_metal(text).joins["p"][0]
    value = np.where(joined == 0, 0, values[(joined - 2) // 32 + 2])
    assert value.tolist() == digits.integers()[0].tolist()
