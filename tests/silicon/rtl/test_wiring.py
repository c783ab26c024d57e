"""Wiring is the metal: the same nets, and nothing but connections and ties."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from rtl_arrays import random_digits, shape_of

from hnlpu.silicon.embed import ArrayKind, Taps, TileDigits
from hnlpu.silicon.masks._nets import nets
from hnlpu.silicon.rtl import ArrayShape, wiring
from hnlpu.silicon.technology import load_technology

KINDS = {
    "plain": shape_of(scale_range=0),
    "scales": shape_of(scale_range=4, blocks=3),
    "two digits, bank of three": shape_of(digits=2, bank=3, scale_range=1),
}
_TRUNKS = ["+1", "+2", "+3", "+4", "+6", "+8", "+12", "-1", "-2", "-3", "-4", "-6", "-8", "-12"]


def body(shape: ArrayShape, digits: TileDigits) -> str:
    """Statements of a tile's module."""
    text = b"".join(wiring("tile", digits, shape.kind)).decode()
    return text[text.index(");\n") + 3 : text.index("endmodule")]


def connections(text: str) -> Iterator[tuple[str, str]]:
    """(driver, sink) by the names of masks."""
    named = {"GND": "GND"}
    for name, trunk, column in re.findall(r"assign (\w+) = trunk\[(\d+)\]\[(\d+)\];", text):
        named[name] = f"x{column}.{_TRUNKS[int(trunk)]}"
    for row, high, low, inside in re.findall(
        r"assign p\[(\d+)\]\[(\d+):(\d+)\] = {([^}]*)};", text
    ):
        names = [name.strip() for name in inside.split(",")]
        columns = range(int(high), int(low) - 1, -1)
        for column, name in zip(columns, names, strict=True):
            yield named[name], f"p{row}.{column}"
    for row, block, inside in re.findall(r"assign q\[(\d+)\]\[(\d+)\] = {([^}]*)};", text):
        bits: list[str] = []
        for name in reversed([name.strip() for name in inside.split(",")]):
            whole = [f"c{row}.{block}.{bit}" for bit in range(6)]
            bits += ["GND"] if name == "GND" else whole
            assert name in ("GND", f"c[{row}][{block}]")
        yield from ((bit, f"q{row}.{block}.{j}") for j, bit in enumerate(bits))


@pytest.mark.parametrize("name", KINDS)
def test_wiring_has_the_nets_of_the_masks(name: str) -> None:
    shape = KINDS[name]
    digits = random_digits(shape, 1)
    scheme = Taps(load_technology("n5"), ArrayKind(**shape.kind.__dict__))
    drawn = {sink: net.driver for net in nets(scheme, digits) for sink in net.sinks}
    written = {sink: driver for driver, sink in connections(body(shape, digits))}
    assert written == drawn


def test_wiring_holds_nothing_but_names() -> None:
    shape = KINDS["two digits, bank of three"]
    statement = re.compile(
        r"\s*(localparam logic \[LANES-1:0\] GND = '0"
        r"|logic [\[\]:\w-]+(\[\d+:0\])*(\[LANES-1:0\])? \w+"
        r"|assign [\w\[\]:]+ = ([\w\[\]]+|{[\w\[\],\s]+})(;  // [^\n]*)?)\s*"
    )
    text = body(shape, random_digits(shape, 2))
    for found in re.sub(r"//[^\n]*", "", text).split(";"):
        assert not found.strip() or statement.fullmatch(found), found
