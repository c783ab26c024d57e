"""LEF and DEF: KLayout reads them without a word and finds the metal that the scheme draws."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections import Counter
from pathlib import Path

import klayout.db as db
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from layouts import difference, random_digits, regions, scheme_of
from lefdef import (
    SHAPE,
    TILES,
    as_fixed,
    by_key,
    macro_metal,
    read_by_klayout,
    tile_of,
    write,
    write_lef,
)
from test_random_processes import processes

import regions_tiles
from hnlpu.silicon.embed import ArrayKind, LayerKey, TileShape, open_scheme, tracks_needed
from hnlpu.silicon.masks._gds import gds_cell, write_gds
from hnlpu.silicon.masks._lef import macro_lef_lines, macro_name
from hnlpu.silicon.masks._lef_technology import (
    layer_names,
    routing_pitch,
    technology_file,
    technology_lef_lines,
    via_shapes,
)
from hnlpu.silicon.masks._names import identifier, pin_identifier, pin_label
from hnlpu.silicon.technology import Technology, ViaLayer, load_technology

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def blocks_of(text: str, word: str) -> dict[str, str]:
    """What stands between `word NAME` and its END, at any indent, by name."""
    found = re.findall(rf"^( *){word} (\S+)[^\n]*\n(.*?)^\1END \2$", text, re.M | re.S)
    assert len({name for _, name, _ in found}) == len(found)
    return {name: body for _, name, body in found}


def number(body: str, key: str) -> float | None:
    """The value of a statement, None without it."""
    values = re.findall(rf"^ *{key} (\S+) ;$", body, re.M)
    assert len(values) < 2
    return float(values[0]) if values else None


# -- KLayout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_klayout_reads_it_in_silence_and_finds_the_metal(
    technology: str, kind: str, tmp_path: Path
) -> None:
    scheme, digits = tile_of(technology, kind)
    said, shapes, layout = read_by_klayout(*write(tmp_path, scheme, digits))
    assert said == ""
    assert layout.top_cell().name == "model_layers_0_q_proj"
    shape = TileShape(digits.rows, digits.blocks)
    base, drawn = regions(scheme.base(shape)), as_fixed(scheme.draw(digits))
    assert difference(macro_metal(scheme, shapes), base) == {}
    routed = by_key(scheme, shapes, "")
    for layer in scheme.technology.layers[1:]:  # nothing is routed on the lowest cut
        key = layer.gds_layer, 0
        here, below = drawn.get(key, db.Region()), base.get(key, db.Region())
        if isinstance(layer, ViaLayer):
            assert (routed[key] ^ here).is_empty()
        # a via brings the metal that it needs: nothing that is not there already
        assert (routed[key] - below - here).is_empty()
        assert (here - below - routed[key]).is_empty()
    assert scheme.technology.port_cut.gds_layer not in {layer for layer, _ in routed}


@given(processes(), st.sampled_from([0, 2, 8]), st.booleans())
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True)
def test_klayout_finds_the_metal_whatever_the_rules_of_the_process(
    technology: Technology, scale_range: int, routed: bool
) -> None:
    """Above all: vias bring no metal that is not drawn, however wide the wires of a process are."""
    digits = regions_tiles.random_digits(2, 2, scale_range, seed=3)
    kind = ArrayKind("regions" if routed else "taps", 1, 8, scale_range, 4 if routed else 0)
    if routed:
        kind = dataclasses.replace(kind, tracks=tracks_needed(technology, kind, digits))
    scheme = open_scheme(technology, kind)
    with tempfile.TemporaryDirectory() as folder:
        said, shapes, _ = read_by_klayout(*write(Path(folder), scheme, digits))
    assert said == ""
    base, drawn = regions(scheme.base(TileShape(2, 2))), as_fixed(scheme.draw(digits))
    assert difference(macro_metal(scheme, shapes), base) == {}
    both = {key: base.get(key, db.Region()) + drawn.get(key, db.Region()) for key in base | drawn}
    for key, found in by_key(scheme, shapes, "").items():
        assert (found - both[key]).is_empty()


@pytest.mark.parametrize(
    ("old", "new"),
    [("VIA8_tie", "VIA8_gone"), ("- array base", "- array nothing"), ("+ USE SIGNAL ;", "+ USE SIGNAL")],
)  # fmt: skip
def test_klayout_is_not_silent_about_what_is_wrong(old: str, new: str, tmp_path: Path) -> None:
    scheme = scheme_of("plain")
    def_, *lef = write(tmp_path, scheme, random_digits(scheme, SHAPE))
    assert old in def_.read_text()
    def_.write_text(def_.read_text().replace(old, new, 1))
    said, _, _ = read_by_klayout(def_, *lef)
    assert said != ""


@pytest.mark.parametrize("technology", ["n5", "sky130", "asap7"])
def test_the_macro_is_the_cell_of_fixed_metal_in_gdsii(technology: str, tmp_path: Path) -> None:
    """No FOREIGN is needed: a tool that takes macros from GDSII finds this one by its name."""
    scheme = scheme_of("scales", technology)
    def_, tech, macro = write(tmp_path, scheme, random_digits(scheme, SHAPE))
    with (tmp_path / "base.gds").open("wb") as file:
        cell = gds_cell(scheme.technology, macro_name(scheme, SHAPE), scheme.base(SHAPE), [])
        write_gds(file, [cell])
    options = db.LoadLayoutOptions()
    config = options.lefdef_config
    config.lef_files, config.read_lef_with_def = [str(tech), str(macro)], False
    config.macro_layout_files, config.macro_resolution_mode = [str(tmp_path / "base.gds")], 2
    options.lefdef_config = config
    layout = db.Layout()
    layout.read(str(def_), options)
    array = layout.cell(macro_name(scheme, SHAPE))
    found: dict[LayerKey, db.Region] = {}
    for index in layout.layer_indexes():
        info = layout.get_info(index)
        here = db.Region(array.begin_shapes_rec(index))
        if here.count() and not info.name:
            found[info.layer, info.datatype] = here
    assert difference(found, regions(scheme.base(SHAPE))) == {}


# -- technology LEF -------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", ["n5", "sky130", "asap7"])
def test_layers_have_the_rules_and_figures_of_the_technology(technology: str) -> None:
    scheme = scheme_of("scales", technology)
    t = scheme.technology
    layers = blocks_of("".join(technology_lef_lines(scheme)), "LAYER")
    assert list(layers) == ["below", *(layer.name for layer in t.layers)]
    for layer in t.layers:
        body = layers[layer.name]
        assert number(body, "SPACING") == layer.space.value / 1000
        for key, figure in (
            ("ANTENNAAREARATIO" if isinstance(layer, ViaLayer) else "ANTENNASIDEAREARATIO",
             layer.antenna_ratio),
            ("RESISTANCE", layer.resistance) if isinstance(layer, ViaLayer)
            else ("RESISTANCE RPERSQ", layer.sheet_resistance),
        ):  # fmt: skip
            assert number(body, key) == (figure.value if figure else None)
        if isinstance(layer, ViaLayer):
            assert number(body, "WIDTH") == layer.size.value / 1000
            for side in ("below", "above"):
                lengths = [getattr(layer, f"{end}enclosure_{side}").value for end in ("", "end_")]
                words = re.search(rf"ENCLOSURE {side.upper()} (\S+) (\S+) ;", body).groups()
                assert [float(word) for word in words] == [length / 1000 for length in lengths]
            continue
        across = layer is t.stub
        assert f"DIRECTION {'HORIZONTAL' if across else 'VERTICAL'} ;" in body
        width, least = number(body, "WIDTH"), number(body, "MINWIDTH")
        assert least == layer.width.value / 1000 <= width
        assert number(body, "PITCH") >= width + layer.space.value / 1000
        assert number(body, "AREA") == pytest.approx(
            layer.width.value * layer.length.value * 1e-6, rel=1e-5
        )
        assert ("ENDOFLINE" in body) == bool(layer.end_space)
        # of a wire of least width, as the technology has it; pF per um from fF per um
        load = least * number(body, "CAPACITANCE CPERSQDIST")
        load += 2 * (number(body, "EDGECAPACITANCE") or 0)
        assert load == pytest.approx(layer.capacitance.value / 1000, rel=1e-4)


@pytest.mark.parametrize(("technology", "metal", "pitch"), [
    ("sky130", "lower", 350),  # (140 + 280) / 2 + 140: via2 is 200 wide, its metal 40 beyond
    ("sky130", "stub", 630), ("sky130", "upper", 620), ("n5", "lower", 80), ("n5", "upper", 120),
    ("asap7", "lower", 48), ("asap7", "stub", 64),
])  # fmt: skip
def test_a_wire_may_have_a_via_beside_another(technology: str, metal: str, pitch: int) -> None:
    scheme = scheme_of("plain", technology)
    assert routing_pitch(scheme, getattr(scheme.technology, metal)) == pitch


@pytest.mark.parametrize("technology", ["n5", "sky130", "asap7"])
def test_vias_have_the_enclosures_and_are_no_narrower_than_wires(technology: str) -> None:
    scheme = scheme_of("plain", technology)
    t = scheme.technology
    for cut, low, high in ((t.lower_cut, t.lower, t.stub), (t.upper_cut, t.stub, t.upper)):
        below, middle, above = (db.Region(db.Box(*s.box)) for s in via_shapes(t, cut))
        assert (middle.bbox().width(), middle.bbox().height()) == cut.size_nm
        assert middle.enclosed_check(below, round(cut.enclosure_below.value)).count() == 0
        assert middle.enclosed_check(above, round(cut.enclosure_above.value)).count() == 0
        for metal, region in ((low, below), (high, above)):
            sizes = region.bbox().width(), region.bbox().height()
            along, across = sizes if metal is t.stub else sizes[::-1]
            assert across >= metal.width.value
            ends = cut.end_enclosure_below if metal is low else cut.end_enclosure_above
            assert along >= cut.size_nm[metal is not t.stub] + 2 * ends.value


def test_what_a_technology_has_no_figure_for_is_left_out(tmp_path: Path) -> None:
    """A file without the figures for routers is as good as ever."""
    scheme = scheme_of("scales", "sky130")
    known = "".join([*technology_lef_lines(scheme), *macro_lef_lines(scheme, SHAPE)])
    t = scheme.technology
    none = {"area_capacitance": None, "sheet_resistance": None, "thickness": None}
    metals = {
        key: getattr(t, key).model_copy(update=none | {"antenna_ratio": None})
        for key in ("lower", "stub", "upper")
    }
    cuts = {
        key: getattr(t, key).model_copy(update={"resistance": None, "antenna_ratio": None})
        for key in ("port_cut", "lower_cut", "upper_cut")
    }
    electrical = t.electrical.model_copy(
        update={"port_gate_area": None, "driver_diffusion_area": None}
    )
    bare = type(scheme)(
        t.model_copy(update=metals | cuts | {"electrical": electrical}), scheme.kind
    )
    said, _, _ = read_by_klayout(*write(tmp_path, bare, random_digits(bare, SHAPE)))
    assert said == ""
    text = "".join([*technology_lef_lines(bare), *macro_lef_lines(bare, SHAPE)])
    for word in ("RESISTANCE RPERSQ", "THICKNESS", "EDGECAPACITANCE", "ANTENNAMODEL",
                 "ANTENNAGATEAREA", "ANTENNADIFFAREA", "SIDEAREA", "RATIO"):  # fmt: skip
        assert word in known
        assert word not in text


# -- macro LEF ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_the_macro_has_every_pin_once_and_its_size(technology: str, kind: str) -> None:
    scheme, digits = tile_of(technology, kind)
    shape = TileShape(digits.rows, digits.blocks)
    text = "".join(macro_lef_lines(scheme, shape))
    ((name, macro),) = blocks_of(text, "MACRO").items()
    assert name == macro_name(scheme, shape)
    width, height = scheme.size_nm(shape)
    assert f"SIZE {width / 1000:.3f} BY {height / 1000:.3f} ;" in macro
    assert "CLASS BLOCK ;" in macro
    assert ("SYMMETRY X Y ;" in macro) == (technology != "asap7")
    pins = blocks_of(macro, "PIN")
    assert {pin_label(pin) for pin in pins} == {label.text for label in scheme.base(shape).labels}
    for pin, body in pins.items():
        assert NAME.fullmatch(pin)  # what Verilog takes without an escape
        direction = "INOUT" if pin in ("GND", "PWR") else "OUTPUT" if pin[0] in "xc" else "INPUT"
        use = {"GND": "GROUND", "PWR": "POWER"}.get(pin, "SIGNAL")
        assert f"DIRECTION {direction} ;" in body
        assert f"USE {use} ;" in body


@pytest.mark.parametrize(("technology", "kind"), TILES)
def test_areas_for_antenna_rules_are_those_of_the_metal(technology: str, kind: str) -> None:
    """KLayout merges the shapes of each pin's ports, and measures."""
    scheme, digits = tile_of(technology, kind)
    t, shape = scheme.technology, TileShape(digits.rows, digits.blocks)
    metals = {metal.name: metal for metal in (t.lower, t.stub, t.upper)}
    cuts = {cut.name: regions(scheme.base(shape)).get((cut.gds_layer, 0), db.Region())
            for cut in (t.port_cut, t.lower_cut, t.upper_cut)}  # fmt: skip
    lower_and_stub = {t.port_cut.name: t.lower.name, t.lower_cut.name: t.stub.name}
    checked = Counter()
    for pin, body in blocks_of("".join(macro_lef_lines(scheme, shape)), "PIN").items():
        found = {
            (key, layer): float(value)
            for key, value, layer in re.findall(r"(ANTENNA\w+) (\S+) LAYER (\S+) ;", body)
        }
        if pin in ("GND", "PWR"):
            assert "ANTENNA" not in body
            continue
        drawn = port_regions(body)
        wanted = {}
        for layer, region in drawn.items():
            wanted["ANTENNAPARTIALMETALAREA", layer] = region.area() * 1e-6
            thickness = metals[layer].thickness
            if thickness:
                side = region.perimeter() * 1e-3 * thickness.value
                wanted["ANTENNAPARTIALMETALSIDEAREA", layer] = side
        for cut, above in lower_and_stub.items():
            area = (cuts[cut] & drawn.get(above, db.Region())).area()
            if area:
                wanted["ANTENNAPARTIALCUTAREA", cut] = area * 1e-6
        assert found == pytest.approx(wanted, rel=1e-5)
        silicon = t.electrical.driver_diffusion_area, t.electrical.port_gate_area
        area = "ANTENNADIFFAREA" if pin[0] in "xc" else "ANTENNAGATEAREA"
        assert number(body, area) == silicon[pin[0] not in "xc"].value
        checked[pin[0]] += 1
    assert set(checked) == {*"xcpq"} if kind in ("scales", "bank") else {*checked} >= {*"xp"}


def port_regions(body: str) -> dict[str, db.Region]:
    """Merged shapes of a pin by layer, in nm, as its text has them."""
    found: dict[str, db.Region] = {}
    layer = ""
    for words in (line.split() for line in body.splitlines()):
        if words[0] == "LAYER":
            layer = words[1]
        elif words[0] == "RECT":
            box = db.Box(*(round(float(word) * 1000) for word in words[1:5]))
            found.setdefault(layer, db.Region()).insert(box)
    return {name: region.merged() for name, region in found.items()}


# -- names ----------------------------------------------------------------------------------------


def test_layers_of_any_names_have_legal_ones(tmp_path: Path) -> None:
    t = load_technology("n5")
    odd = {"port_cut": "below", "lower": "8.M", "lower_cut": "V-8", "stub": "V 8", "upper": "V_8"}
    renamed = t.model_copy(
        update={key: getattr(t, key).model_copy(update={"name": name}) for key, name in odd.items()}
    )
    scheme = type(scheme_of("scales"))(renamed, scheme_of("scales").kind)
    names = layer_names(renamed)
    assert len(set(names.values())) == 6
    assert all(NAME.fullmatch(name) for name in names.values())
    said, _, _ = read_by_klayout(*write(tmp_path, scheme, random_digits(scheme, SHAPE)))
    assert said == ""
    tech, macro = (path.read_text() for path in write_lef(tmp_path, scheme, SHAPE))
    assert blocks_of(tech, "LAYER").keys() == {*names.values(), "below_"}
    used = set(re.findall(r"^ +LAYER (\S+) ;$", tech + macro, re.M))
    assert used <= {*names.values()}


def test_no_macro_has_the_name_of_the_technology_file() -> None:
    assert technology_file(load_technology("n5")) == "n5.tech.lef"
    assert "." not in macro_name(scheme_of("bank"), SHAPE)


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
    assert NAME.fullmatch(identifier(text))
