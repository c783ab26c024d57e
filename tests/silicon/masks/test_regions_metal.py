"""Regions tiles through everything that masks have: extractor, KLayout, OASIS, LEF, DEF, Tcl, proof."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import klayout.db as db
import numpy as np
import pytest
from layouts import difference, read_regions, regions
from lefdef import by_key, macro_metal, read_by_klayout, write

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Layout, Regions, TileDigits, TileShape
from hnlpu.silicon.masks._decode import decode_regions
from hnlpu.silicon.masks._extract import Base
from hnlpu.silicon.masks._gds import gds_cell, write_gds
from hnlpu.silicon.masks._klayout import check_rules
from hnlpu.silicon.masks._klayout import extract_netlist as klayout_nets
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._names import pin_identifier
from hnlpu.silicon.masks._net import LOWER
from hnlpu.silicon.masks._nets import nets, wire_width
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_read import LayoutCell, flatten, parse_cell, read_oasis
from hnlpu.silicon.masks._oasis_regions import regions_payload
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record
from hnlpu.silicon.masks._tcl import tcl_lines
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE
from regions_damage import DAMAGES, damaged, keys
from regions_tiles import (
    WEIGHTS,
    adversarial,
    digits_from,
    random_digits,
    regions_for,
    shape_of,
    whole,
)

KINDS = [("n5", 0, 8), ("n5", 2, 8), ("n5", 2, 3), ("n5", 8, 1), ("n5", 20, 4), ("sky130", 2, 8)]


def from_file(folder: Path, layout: Layout) -> LayoutCell:
    """A layout as a file gives it."""
    path = folder / "cell.oas"
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        writer.put_cell(cell_record("tile", layout_payload(layout)))
        writer.end()
    return flatten(read_oasis(path).cells, "tile")


@pytest.fixture(scope="module")
def tile() -> tuple[Regions, TileDigits]:
    digits = random_digits(4, 3, 2, seed=1)
    return regions_for(digits), digits


# -- independent extraction ------------------------------------------------------------------


@pytest.mark.parametrize(("technology", "scale_range", "group"), KINDS)
def test_the_extractor_reads_the_digits(
    technology: str, scale_range: int, group: int, tmp_path: Path
) -> None:
    digits = random_digits(3, 3, scale_range, seed=group)
    scheme = regions_for(digits, scale_range, group, technology)
    base = Base(scheme.technology, from_file(tmp_path, scheme.base(shape_of(digits))))
    drawn = from_file(tmp_path, scheme.draw(digits)).shapes
    netlist = base.netlist(drawn)
    integers, faults = decode_regions(netlist, digits.rows, digits.blocks)
    assert netlist.faults + faults == []
    np.testing.assert_array_equal(integers, digits.integers())
    np.testing.assert_array_equal(scheme.read(shape_of(digits), drawn)[0], integers)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_extractor_reads_weights_of_every_distribution(name: str, tmp_path: Path) -> None:
    digits = digits_from(WEIGHTS[name](np.random.default_rng(5), (4, 256)), 4)
    scheme = regions_for(digits, 4)
    cell = from_file(tmp_path, whole(scheme, digits))
    netlist = Base(scheme.technology, cell).netlist()
    integers, faults = decode_regions(netlist, digits.rows, digits.blocks)
    assert netlist.faults + faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("name", DAMAGES)
def test_the_extractor_finds_every_fault(
    name: str, tile: tuple[Regions, TileDigits], tmp_path: Path
) -> None:
    scheme, digits = tile
    base = Base(scheme.technology, from_file(tmp_path, scheme.base(shape_of(digits))))
    for seed in range(12):
        shapes, row = damaged(scheme, digits, name, seed)
        netlist = base.netlist({key: [of] for key, of in shapes.items()})
        integers, faults = decode_regions(netlist, digits.rows, digits.blocks)
        rows = {fault.row for fault in netlist.faults + faults}
        rows |= set(np.nonzero(integers != digits.integers())[0].tolist())
        assert row in rows, seed


def edit_fixed(layout: Layout, layer: int, box: list[int], to: list[list[int]]) -> Layout:
    """A fixed rectangle replaced by others."""
    flat = layout.flat()
    key = layer, FIXED
    here = (flat[key] == np.int32(box)).all(1)
    assert here.sum() == 1
    flat[key] = np.concatenate([flat[key][~here], np.int32(to).reshape(-1, 4)])
    return Layout(rectangles=flat, labels=layout.labels)


def fixed_faults(scheme: Regions, shape: TileShape) -> Iterator[tuple[str, Layout]]:
    """A base with a trunk cut, two trunks shorted, a port cut, two ports shorted."""
    t, frame, rules = scheme.technology, scheme.frame(shape), scheme.rules
    base, (_, height) = scheme.base(shape), scheme.size_nm(shape)
    pitch, half = scheme.row_pitch_nm(shape), rules.upper_width // 2
    x = int(frame.trunk_x[5])
    trunk = [x - half, 0, x + half, height]
    middle = 2 * pitch - 100
    pieces = [[trunk[0], 0, trunk[2], middle - 60], [trunk[0], middle + 60, trunk[2], height]]
    yield "trunk cut", edit_fixed(base, t.upper.gds_layer, trunk, pieces)
    bridge = [trunk[0], middle, int(frame.trunk_x[6]) + half, middle + 60]
    yield "trunks shorted", edit_fixed(base, t.upper.gds_layer, trunk, [trunk, bridge])
    x, half = int(frame.port_x[2, 1]), rules.lower_width // 2
    top = rules.height(scheme.kind.tracks) - rules.half_space
    port = [x - half, rules.half_space, x + half, top]
    yield "port missing", edit_fixed(base, t.lower.gds_layer, port, [])
    bridge = [x - half, port[1], int(frame.port_x[2, 2]) + half, port[1] + 40]
    yield "ports shorted", edit_fixed(base, t.lower.gds_layer, port, [port, bridge])


def test_the_extractor_finds_faults_of_the_base(
    tile: tuple[Regions, TileDigits], tmp_path: Path
) -> None:
    scheme, digits = tile
    drawn = scheme.draw(digits).shapes()
    for name, layout in fixed_faults(scheme, shape_of(digits)):
        netlist = Base(scheme.technology, from_file(tmp_path, layout)).netlist(drawn)
        integers, faults = decode_regions(netlist, digits.rows, digits.blocks)
        different = (integers != digits.integers()).any()
        assert netlist.faults + faults or different, name


# -- KLayout ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("technology", "scale_range", "group"), KINDS)
def test_klayout_finds_tiles_legal_and_reads_the_digits(
    technology: str, scale_range: int, group: int
) -> None:
    digits = random_digits(3, 2, scale_range, seed=10 + group)
    scheme = regions_for(digits, scale_range, group, technology)
    layout = whole(scheme, digits)
    assert check_rules(scheme.technology, layout) == []
    assert check_wires(scheme.technology, layout) == []
    integers, faults = weights_of_names(klayout_nets(scheme.technology, layout), shape_of(digits))
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("name", adversarial(2, 2))
def test_klayout_finds_adversarial_tiles_legal(name: str) -> None:
    digits = adversarial(2, 2)[name]
    scheme = regions_for(digits)
    layout = whole(scheme, digits)
    assert check_rules(scheme.technology, layout) == []
    assert check_wires(scheme.technology, layout) == []


@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_what_sorting_finds_legal_klayout_finds_legal(technology: str) -> None:
    """Random damage to routed wires and cuts: sorting may refuse more than KLayout, never less."""
    digits = random_digits(1, 2, 2, seed=3)
    scheme = regions_for(digits, technology=technology)
    t, random, broken = scheme.technology, np.random.default_rng(7), 0
    sound, base = scheme.draw(digits), scheme.base(shape_of(digits))
    judged = {layer.name for layer in (t.lower_cut, t.stub, t.upper_cut)}
    for _ in range(60):
        shapes = {key: of.copy() for key, of in sound.rectangles.items()}
        key = list(shapes)[random.integers(3)]
        reach = int(random.choice([2, 10, 60]))
        by = random.integers(-reach, reach + 1, 4) * scheme.rules.grid
        if random.random() < 0.5:
            by[2:] = by[:2]  # moved, not stretched
        shapes[key][random.integers(len(shapes[key]))] += by.astype(np.int32)
        layout = base.merged(Layout(rectangles=shapes))
        by_klayout = {v.rule for v in check_rules(t, layout) if v.layer in judged} - {"grid"}
        broken += bool(by_klayout)
        assert not by_klayout or check_wires(t, layout), (key, by)
    assert 20 < broken < 60


@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_what_reading_accepts_is_legal(technology: str) -> None:
    """Wires on other tracks, free or not, and other ports: reading judges as the rules do."""
    digits = random_digits(2, 2, 2, seed=5)
    scheme = regions_for(digits, group=4, technology=technology)
    t, random, shape = scheme.technology, np.random.default_rng(1), shape_of(digits)
    base, (cuts, stub, trunk_cuts) = scheme.base(shape), keys(scheme)
    accepted = refused = 0
    for _ in range(120):
        routes = scheme.routes(digits)
        row = random.integers(2)
        for wire in random.choice(np.flatnonzero(routes.port[row] >= 0), random.integers(1, 3)):
            if random.random() < 0.3:  # two inputs of a group change places
                group = routes.port[row, wire] // 4
                other = random.choice(np.flatnonzero(routes.port[row] // 4 == group))
                routes.port[row, [wire, other]] = routes.port[row, [other, wire]]
            else:
                routes.track[row, wire] = random.integers(scheme.kind.tracks)
        lower, wires, upper = scheme.draw_routes(routes, shape)
        drawn = Layout(rectangles={cuts: lower, stub: wires, trunk_cuts: upper})
        integers, faults = scheme.read(shape, drawn.shapes())
        violations = check_wires(t, base.merged(drawn))
        if faults:
            refused += 1
        else:
            accepted += 1
            assert violations == []
            np.testing.assert_array_equal(integers, digits.integers())
    assert min(accepted, refused) > 20


# -- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_files_hold_what_is_drawn(technology: str, tmp_path: Path) -> None:
    digits = random_digits(3, 2, 2, seed=4)
    scheme = regions_for(digits, technology=technology)
    layout = whole(scheme, digits)
    from_file(tmp_path, layout)
    oasis, gds = db.Layout(), db.Layout()
    oasis.read(str(tmp_path / "cell.oas"))
    with (tmp_path / "tile.gds").open("wb") as file:
        write_gds(file, [gds_cell(scheme.technology, "tile", layout, [])])
    gds.read(str(tmp_path / "tile.gds"))
    for read in (oasis, gds):
        assert difference(read_regions(read, read.top_cell()), regions(layout)) == {}


@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_fast_oasis_is_what_is_drawn(technology: str, tmp_path: Path) -> None:
    digits = random_digits(3, 3, 2, seed=4)
    scheme = regions_for(digits, technology=technology)
    path = tmp_path / "tile.oas"
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        writer.put_cell(cell_record("before", layout_payload(scheme.base(shape_of(digits)))))
        writer.put_cell(cell_record("tile", regions_payload(scheme, digits)))
        writer.put_cell(cell_record("behind", layout_payload(scheme.draw(digits))))
        writer.end()
    by_klayout = db.Layout()
    by_klayout.read(str(path))
    drawn = regions(scheme.draw(digits))
    assert difference(read_regions(by_klayout, by_klayout.cell("tile")), drawn) == {}
    assert difference(read_regions(by_klayout, by_klayout.cell("behind")), drawn) == {}
    ours = flatten(read_oasis(path).cells, "tile").shapes
    for layer, found in scheme.draw(digits).rectangles.items():
        np.testing.assert_array_equal(np.concatenate(ours[layer]), found)


def test_fast_oasis_of_no_weights_and_of_weights_that_do_not_fit() -> None:
    nothing = random_digits(1, 1, 0, seed=0)
    nothing = TileDigits(np.zeros_like(nothing.codes), nothing.shifts)
    scheme = regions_for(nothing, 0)
    cell = parse_cell(cell_record("tile", regions_payload(scheme, nothing)), "tile")
    integers, faults = scheme.read(TileShape(1, 1), cell.shapes)
    assert faults == []
    assert not integers.any()
    with pytest.raises(DoesNotFit, match="wiring tracks"):
        regions_payload(scheme, random_digits(1, 32, 0, seed=6))


def test_klayout_reads_lef_and_def_in_silence_and_finds_the_metal(
    tile: tuple[Regions, TileDigits], tmp_path: Path
) -> None:
    scheme, digits = tile
    said, shapes, _ = read_by_klayout(*write(tmp_path, scheme, digits))
    assert said == ""
    base = regions(scheme.base(shape_of(digits)))
    drawn = {(layer, FIXED): of for (layer, _), of in regions(scheme.draw(digits)).items()}
    assert difference(macro_metal(scheme, shapes), base) == {}
    routed = by_key(scheme, shapes, "")
    t = scheme.technology
    assert routed.keys() == {
        (layer.gds_layer, FIXED) for layer in (t.lower, t.lower_cut, t.stub, t.upper_cut, t.upper)
    }
    for key, found in routed.items():
        here, below = drawn.get(key, db.Region()), base.get(key, db.Region())
        # a via brings the metal that it needs: nothing that is not there already
        assert (found - below - here).is_empty()
        assert (here - below - found).is_empty()


def test_nets_say_the_digits_and_are_the_drawn_metal(tile: tuple[Regions, TileDigits]) -> None:
    scheme, digits = tile
    t, sinks, ties, values = scheme.technology, set(), {}, np.zeros((4, 96), np.int32)
    vias: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    wires = []
    found = list(nets(scheme, digits))
    for net in found:
        assert not sinks & set(net.sinks)
        sinks |= set(net.sinks)
        wires += [tuple(wire) for wire in net.wires]
        for level, x, y in net.vias:
            vias[level].append((x, y))
        if net.driver in ("GND", "PWR"):
            ties |= {pin: net.driver == "PWR" for pin in net.sinks if pin.startswith("t")}
    labels = {label.text for label in scheme.base(shape_of(digits)).labels}
    assert sinks == {text for text in labels if text[0] in "pt"}
    for net in found:
        if net.driver.startswith("x"):
            for pin in net.sinks:
                row, group, _ = map(int, pin[1:].split("."))
                bits = [ties[f"t{row}.{group}.{bit}"] for bit in range(scheme.ties)]
                shift = sum(bit << n for n, bit in enumerate(bits[2:]))
                values[row, int(net.driver[1:])] = (-1) ** bits[0] * (1 + 2 * bits[1]) << shift
    np.testing.assert_array_equal(values, digits.integers())
    drawn = scheme.draw(digits).rectangles
    for level, cut in ((LOWER, t.lower_cut), (1 - LOWER, t.upper_cut)):
        of = drawn[cut.gds_layer, PROGRAMMABLE]
        centres = np.stack([of[:, 0] + of[:, 2], of[:, 1] + of[:, 3]], -1) // 2
        assert sorted(vias[level]) == sorted(map(tuple, centres.tolist()))
    of = drawn[t.stub.gds_layer, PROGRAMMABLE]
    assert sorted(wires) == sorted(map(tuple, of.tolist()))
    assert set((of[:, 3] - of[:, 1]).tolist()) == {wire_width(scheme)}


def test_the_script_connects_every_pin(tile: tuple[Regions, TileDigits]) -> None:
    scheme, digits = tile
    text = "".join(tcl_lines(scheme, digits, "tile")).replace("\\\n", " ")
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("hnlpu_connect ")]
    found = {pin: net for net, *pins in lines for pin in pins}
    wanted = {
        pin_identifier(pin): pin_identifier(net.driver)
        for net in nets(scheme, digits)
        for pin in (net.driver, *net.sinks)
    }
    assert found == wanted


def test_nets_of_weights_that_do_not_fit_are_refused(tile: tuple[Regions, TileDigits]) -> None:
    scheme, _ = tile
    hard = random_digits(1, 32, 2, seed=6)
    with pytest.raises(DoesNotFit, match="wiring tracks"):
        list(itertools.islice(nets(scheme, hard), 1))
