"""LEF and DEF: KLayout reads them without a word and finds the metal that the scheme draws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import klayout.db as db
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import KINDS, difference, driver_of_sink, random_digits, regions, scheme_of

from hnlpu.embed import LayerKey, Layout, Scheme, TileDigits, TileShape
from hnlpu.masks._def import def_lines
from hnlpu.masks._lef import lef_lines, macro_name
from hnlpu.masks._names import identifier, pin_identifier, pin_label
from hnlpu.technology import FIXED

SHAPE = TileShape(8, 2)
READ = """
import sys
import klayout.db as db
options = db.LoadLayoutOptions()
config = options.lefdef_config
config.lef_files = sys.argv[1:-1]
config.read_lef_with_def = False
options.lefdef_config = config
layout = db.Layout()
layout.read(sys.argv[-1], options)
layout.write(sys.argv[-1] + ".oas")
"""


def write(folder: Path, scheme: Scheme, digits: TileDigits) -> tuple[Path, Path]:
    lef, def_ = folder / "tile.lef", folder / "tile.def"
    with lef.open("w", encoding="ascii") as file:
        file.writelines(lef_lines(scheme, TileShape(digits.rows, digits.blocks)))
    with def_.open("w", encoding="ascii") as file:
        file.writelines(def_lines(scheme, digits, "model.layers.0/q-proj"))
    return lef, def_


def read_by_klayout(lef: Path, def_: Path) -> tuple[str, dict[str, db.Region], db.Layout]:
    """What KLayout said, the shapes by its layer names, and the layout."""
    command = [sys.executable, "-c", READ, str(lef), str(def_)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    layout = db.Layout()
    if done.returncode == 0:
        layout.read(f"{def_}.oas")
    shapes = {
        layout.get_info(index).name: db.Region(layout.top_cell().begin_shapes_rec(index))
        for index in layout.layer_indexes()
    }
    return said, shapes, layout


def by_key(scheme: Scheme, shapes: dict[str, db.Region], suffix: str) -> dict[LayerKey, db.Region]:
    """Regions of KLayout's layers `name + suffix` under the keys of a fixed layer."""
    found = {}
    for layer in scheme.technology.layers:
        here = shapes.get(layer.name + suffix)
        if here is not None and here.count():
            found[layer.gds_layer, FIXED] = here
    return found


def as_fixed(layout: Layout) -> dict[LayerKey, db.Region]:
    return {(layer, FIXED): region for (layer, _), region in regions(layout).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_klayout_reads_it_in_silence_and_finds_the_metal(kind: str, tmp_path: Path) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    said, shapes, layout = read_by_klayout(*write(tmp_path, scheme, digits))
    assert said == ""
    assert layout.top_cell().name == "model_layers_0_q_proj"
    base, drawn = regions(scheme.base(SHAPE)), as_fixed(scheme.draw(digits))
    assert difference(by_key(scheme, shapes, ".PIN"), base) == {}
    routed = by_key(scheme, shapes, "")
    t = scheme.technology
    for cut in (t.lower_cut, t.upper_cut):
        key = cut.gds_layer, FIXED
        assert (routed[key] ^ drawn[key]).is_empty()
    for metal in (t.lower, t.stub, t.upper):
        key = metal.gds_layer, FIXED
        here = drawn.get(key, db.Region())
        # a via brings the metal that it needs: nothing that is not there already
        assert (routed[key] - base[key] - here).is_empty()
        assert (here - base[key] - routed[key]).is_empty()


@pytest.mark.parametrize(
    ("old", "new"),
    [("VIA8_tie", "VIA8_gone"), ("- array taps", "- array nothing"), ("+ USE SIGNAL ;", "+ USE SIGNAL")],
)  # fmt: skip
def test_klayout_is_not_silent_about_what_is_wrong(old: str, new: str, tmp_path: Path) -> None:
    scheme = scheme_of("plain")
    lef, def_ = write(tmp_path, scheme, random_digits(scheme, SHAPE))
    def_.write_text(def_.read_text().replace(old, new, 1))
    said, _, _ = read_by_klayout(lef, def_)
    assert said != ""


@pytest.mark.parametrize("kind", KINDS)
def test_nets_of_the_def_say_the_digits(kind: str, tmp_path: Path) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    _, def_ = write(tmp_path, scheme, digits)
    text = def_.read_text()
    section = text[text.index("\nNETS ") : text.index("\nEND NETS")]
    found: dict[str, str] = {}
    nets = re.findall(r"^- (\S+)\n(.*?) ;$", section, re.MULTILINE | re.DOTALL)
    assert int(re.match(r"\nNETS (\d+) ;", section)[1]) == len(nets)
    for net, body in nets:
        pins = re.findall(r"\( array (\S+) \)", body)
        assert pins[0] == net
        for pin in pins[1:]:
            assert pin not in found
            found[pin] = net
        assert body.count("_tie") >= len(pins) - 1
    wanted = driver_of_sink(scheme, digits)
    assert found == {pin_identifier(a): pin_identifier(b) for a, b in wanted.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_macro_has_every_pin_once_and_its_size(kind: str) -> None:
    scheme = scheme_of(kind)
    text = "".join(lef_lines(scheme, SHAPE))
    pins = re.findall(r"^  PIN (\S+)$", text, re.MULTILINE)
    assert len(pins) == len(set(pins))
    assert {pin_label(pin) for pin in pins} == {label.text for label in scheme.base(SHAPE).labels}
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", pin)  # what Verilog takes without an escape
    width, height = scheme.size_nm(SHAPE)
    assert f"SIZE {width / 1000:.3f} BY {height / 1000:.3f} ;" in text
    assert f"\nMACRO {macro_name(scheme, SHAPE)}\n" in text
    assert f"\nEND {macro_name(scheme, SHAPE)}\n" in text


def test_the_same_digits_give_the_same_text(tmp_path: Path) -> None:
    scheme = scheme_of("bank")
    digits = random_digits(scheme, SHAPE)
    first = [path.read_bytes() for path in write(tmp_path, scheme, digits)]
    assert first == [path.read_bytes() for path in write(tmp_path, scheme, digits)]


labels = st.from_regex(
    r"(x[0-9]{1,5}\.[+-][0-9]{1,2}|[xcpqt][0-9]{1,4}(\.[0-9]{1,4}){0,2}|GND|PWR)", fullmatch=True
)


@given(labels, labels)
def test_pin_names_translate_both_ways(a: str, b: str) -> None:
    assert pin_label(pin_identifier(a)) == a
    assert (pin_identifier(a) == pin_identifier(b)) == (a == b)


@pytest.mark.parametrize("label", ["", "x", "x1.", "X1", "x1 2", "gnd", "p1_2", "x1;", "é1"])
def test_what_is_no_pin_has_no_name(label: str) -> None:
    with pytest.raises(ValueError, match="not the label of a pin"):
        pin_identifier(label)


@given(st.text(min_size=1))
def test_any_name_of_a_design_becomes_legal(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", identifier(text))
