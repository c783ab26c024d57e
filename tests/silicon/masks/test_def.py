"""DEF: its nets say the digits, its pins and supplies are the trunks, and all lies on its tracks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from layouts import KINDS, driver_of_sink, random_digits, scheme_of
from lefdef import SHAPE, TILES, tile_of, write

from hnlpu.silicon.embed import TileShape
from hnlpu.silicon.masks._def import def_lines
from hnlpu.silicon.masks._names import pin_identifier


def section(text: str, name: str) -> list[str]:
    """The entries of a section of a DEF file, whose number it says."""
    count, body = re.search(rf"^{name} (\d+) ;\n(.*?)^END {name}$", text, re.M | re.S).groups()
    entries = [entry.strip() for entry in re.findall(r"^- (.*?);$", body, re.M | re.S)]
    assert len(entries) == int(count)
    return entries


@pytest.mark.parametrize("kind", KINDS)
def test_nets_of_the_def_say_the_digits(kind: str) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    text = "".join(def_lines(scheme, digits, "tile"))
    found: dict[str, str] = {}
    for entry in [*section(text, "SPECIALNETS"), *section(text, "NETS")]:
        net, body = entry.split(None, 1)
        pins = re.findall(r"\( array (\S+) \)", body)
        assert pins[0] == net
        for pin in pins[1:]:
            assert pin not in found
            found[pin] = net
        assert body.count("_tie") >= len(pins) - 1
    wanted = driver_of_sink(scheme, digits)
    assert found == {pin_identifier(a): pin_identifier(b) for a, b in wanted.items()}


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_supplies_are_special_and_trunks_end_in_pins(technology: str, kind: str) -> None:
    scheme, digits = tile_of(technology, kind)
    shape = TileShape(digits.rows, digits.blocks)
    _, height = scheme.size_nm(shape)
    text = "".join(def_lines(scheme, digits, "tile"))
    special = {entry.split()[0]: entry for entry in section(text, "SPECIALNETS")}
    assert special.keys() == {"GND", "PWR"}
    nets = {entry.split()[0]: entry for entry in section(text, "NETS")}
    assert not nets.keys() & special.keys()
    at_edge = Counter(pin_identifier(x.text) for x in scheme.base(shape).labels if x.y == 0)
    pins = {entry.split()[0]: entry for entry in section(text, "PINS")}
    assert pins.keys() == at_edge.keys() & (nets.keys() | special.keys())
    for pin, entry in pins.items():
        assert f"+ NET {pin} " in entry
        assert f"( PIN {pin} )" in (nets | special)[pin]
        y = [int(y) for y in re.findall(r"\+ FIXED \( \d+ (\d+) \) N", entry)]
        assert y == [0, height] * at_edge[pin]
    for name, entry in special.items():
        assert entry.count("+ SHAPE STRIPE") == at_edge[name]
        assert f"+ USE {'POWER' if name == 'PWR' else 'GROUND'}" in entry


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_every_via_and_trunk_is_on_tracks_of_both_directions(technology: str, kind: str) -> None:
    scheme, digits = tile_of(technology, kind)
    t = scheme.technology
    text = "".join(def_lines(scheme, digits, "tile"))
    places: dict[tuple[str, str], set[int]] = {}
    lines = re.findall(r"^TRACKS ([XY]) (\d+) DO (\d+) STEP (\d+) LAYER (\S+) ;$", text, re.M)
    for axis, start, count, step, layer in lines:
        here = range(int(start), int(start) + int(count) * int(step), int(step))
        places.setdefault((axis, layer), set()).update(here)
    assert places.keys() == {(a, m.name) for a in "XY" for m in (t.lower, t.stub, t.upper)}
    vias = re.findall(r"(\S+) (?:0 )?\( (\d+) (\d+) \) (\S+)_tie", text)
    assert len(vias) >= digits.weights // 2
    for metal, x, y, _ in vias:
        assert int(x) in places["X", metal]
        assert int(y) in places["Y", metal]
        assert int(y) in places["Y", t.stub.name]
    for metal, x in re.findall(r"LAYER (\S+) \( \S+ \S+ \) \( \S+ \S+ \) \+ FIXED \( (\d+)", text):
        assert int(x) in places["X", metal]


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_nothing_else_may_be_placed_or_routed_in_a_tile(technology: str, kind: str) -> None:
    scheme, digits = tile_of(technology, kind)
    text = "".join(def_lines(scheme, digits, "tile"))
    (area,) = re.findall(r"^DIEAREA \( 0 0 \) \( (\d+ \d+) \) ;$", text, re.M)
    what = ["PLACEMENT", *(f"LAYER {layer.name}" for layer in scheme.technology.layers)]
    assert section(text, "BLOCKAGES") == [f"{word} RECT ( 0 0 ) ( {area} )" for word in what]


def test_the_same_digits_give_the_same_text(tmp_path: Path) -> None:
    scheme = scheme_of("bank")
    digits = random_digits(scheme, SHAPE)
    first = [path.read_bytes() for path in write(tmp_path, scheme, digits)]
    assert first == [path.read_bytes() for path in write(tmp_path, scheme, digits)]
