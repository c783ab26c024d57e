"""KLayout judges what we draw: rules, nets, and the tile that proves all others legal."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from layouts import random_digits

from hnlpu.arithmetic.mx import unpack
from hnlpu.errors import DoesNotFit, ToolMissing
from hnlpu.silicon.embed import ArrayKind, LayerKey, Layout, Taps, TileDigits, TileShape
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist, klayout
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._proof import proof_tile
from hnlpu.silicon.masks._proof_taps import require_short_reach
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import FIXED, PIN, PROGRAMMABLE, load_technology

NAMES = ("n5", "sky130", "asap7")


def taps_of(technology: str, scale_range: int = 2, digits: int = 1, bank: int = 1) -> Taps:
    return Taps(load_technology(technology), ArrayKind("taps", digits, bank, scale_range))


def tile(taps: Taps, rows: int = 4, blocks: int = 2) -> tuple[TileDigits, Layout]:
    """Random digits and all their metal, every rectangle apart so that it can be moved."""
    shape = TileShape(rows, blocks)
    digits = random_digits(taps, shape, seed=rows)
    whole = taps.base(shape).merged(taps.draw(digits))
    return digits, Layout(rectangles=whole.flat(), labels=whole.labels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("scale_range", "digits", "bank"),
    [(0, 1, 1), (0, 1, 8), (1, 2, 1), (2, 1, 1), (2, 1, 8), (8, 1, 1)],
)
def test_random_tiles_are_legal_and_say_their_weights(
    name: str, scale_range: int, digits: int, bank: int
) -> None:
    taps = taps_of(name, scale_range, digits, bank)
    what, layout = tile(taps)
    assert check_rules(taps.technology, layout) == []
    assert check_wires(taps.technology, layout) == []
    nets = extract_netlist(taps.technology, layout)
    integers, faults = weights_of_names(nets, TileShape(what.rows, what.blocks))
    assert faults == []
    np.testing.assert_array_equal(integers, what.integers())


# -- the proof tile --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale_range", "bank"), [(0, 1), (2, 1), (2, 8), (8, 1)])
def test_the_proof_tile_is_legal(name: str, scale_range: int, bank: int) -> None:
    taps = taps_of(name, scale_range, bank=bank)
    _, digits = proof_tile(taps)
    layout = taps.base(TileShape(digits.rows, digits.blocks)).merged(taps.draw(digits))
    assert check_rules(taps.technology, layout) == []
    assert check_wires(taps.technology, layout) == []


def pairs(values: np.ndarray, down: int, right: int) -> set[tuple[int, int]]:
    rows, columns = values.shape
    return {
        (int(values[y, x]), int(values[y + down, x + right]))
        for y in range(rows - down)
        for x in range(max(0, -right), columns - max(0, right))
    }


@pytest.mark.parametrize("scale_range", [0, 1, 2, 4, 8, 12, 16, 20])
def test_the_proof_tile_has_all_neighbours(scale_range: int) -> None:
    _, digits = proof_tile(taps_of("n5", scale_range))
    codes = unpack(digits.codes).reshape(digits.rows, digits.blocks, 32)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        found = set().union(*(pairs(codes[:, b], down, right) for b in range(digits.blocks)))
        assert len(found) == 225, (down, right)
        assert 8 not in {code for pair in found for code in pair}
    if not scale_range:
        return
    shifts = scale_range + 1
    assert len(pairs(digits.shifts, 1, 0)) == shifts**2
    inner = digits.shifts[:, :-1].ravel().tolist()
    assert len(set(zip(codes[:, :-1, -1].ravel().tolist(), inner, strict=True))) == 15 * shifts
    assert len(set(zip(inner, codes[:, 1:, 0].ravel().tolist(), strict=True))) == 15 * shifts


@pytest.mark.parametrize("name", NAMES)
def test_all_neighbours_of_the_proof_tile_are_drawn(name: str) -> None:
    """The same by geometry: places of vias in cells, whatever they mean."""
    taps = taps_of(name, 2)
    _, digits = proof_tile(taps)
    kinds: dict[tuple[int, int], int] = {}
    cells = np.full((digits.rows, digits.blocks * taps.block_cells), -1)
    scales: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for (layer, _), vias in taps.draw(digits).rectangles.items():
        for x0, y0, x1, y1 in vias.tolist():
            x, row = (x0 + x1) // 2, (y0 + y1) // 2 // taps.pitch
            cell, place = divmod(x, taps.cell)
            block, within = divmod(cell, taps.block_cells)
            if within < 32:
                assert cells[row, cell] == -1
                cells[row, cell] = kinds.setdefault((layer, place), len(kinds))
            else:
                scales.setdefault((row, block), set()).add(
                    (layer, x - block * taps.block_cells * taps.cell)
                )
    assert len(kinds) == 15
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbours = {pair for pair in pairs(cells, down, right) if min(pair) >= 0}
        assert len(neighbours) == 225, (down, right)
    patterns = {place: frozenset(of) for place, of in scales.items()}
    assert len(set(patterns.values())) == 3
    above = {(of, patterns.get((row + 1, block))) for (row, block), of in patterns.items()}
    assert len([pair for pair in above if pair[1]]) == 9
    before = {
        (cells[row, block * taps.block_cells + 31], of) for (row, block), of in patterns.items()
    }
    assert len(before) == 45
    after = {
        (of, cells[row, (block + 1) * taps.block_cells])
        for (row, block), of in patterns.items()
        if block + 1 < digits.blocks
    }
    assert len(after) == 45


def test_the_proof_holds_only_where_cuts_of_other_rows_are_out_of_reach() -> None:
    taps = taps_of("n5", 0, bank=8)
    require_short_reach(taps)
    taps.pitch = 70
    with pytest.raises(DoesNotFit, match="one row apart 30 nm, and need 40 nm"):
        proof_tile(taps)


# -- faults that rules find ------------------------------------------------------------------

Edit = Callable[[Taps, dict[LayerKey, np.ndarray]], None]


def layer_of(taps: Taps, name: str, datatype: int = FIXED) -> LayerKey:
    return getattr(taps.technology, name).gds_layer, datatype


def move_via(name: str, dx: float, dy: float = 0) -> Edit:
    """Move a via of a weight by so many widths of itself (or nm, under 1)."""

    def edit(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
        vias = shapes[layer_of(taps, name, PROGRAMMABLE)]
        wide, high = getattr(taps.technology, name).size_nm
        vias[5] += np.array([dx * wide, dy * high] * 2).astype(np.int32)

    return edit


def double_via(name: str) -> Edit:
    def edit(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
        key = layer_of(taps, name, PROGRAMMABLE)
        extra = shapes[key][5:6] + np.int32([2 * taps.grid, 0, 2 * taps.grid, 0])
        shapes[key] = np.concatenate([shapes[key], extra])

    return edit


def stretch(name: str, sides: tuple[float, float, float, float]) -> Edit:
    """Move the sides of a shape that is not at a corner of the tile, by parts of the metal's width."""

    def edit(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
        metal = shapes[layer_of(taps, name)]
        n = len(metal) // 2
        step = getattr(taps.technology, name).width.value
        metal[n] += np.round(np.array(sides) * step / taps.grid).astype(np.int32) * taps.grid

    return edit


def nudge(name: str) -> Edit:
    """Move a shape by 1 nm."""

    def edit(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
        shapes[layer_of(taps, name)][7, [0, 2]] += 1

    return edit


def remove_pad(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    key = layer_of(taps, "lower")
    metal = shapes[key]
    pads = np.flatnonzero(metal[:, 3] - metal[:, 1] == taps.pad_length)
    shapes[key] = np.delete(metal, pads[3], 0)


def shorten_stub(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    shapes[layer_of(taps, "stub")][:, 2] -= taps.grid


def add_scrap(name: str) -> Edit:
    """A piece of metal far from everything, too short for a wire."""

    def edit(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
        metal = getattr(taps.technology, name)
        key, side = layer_of(taps, name), round(metal.width.value)
        scrap = np.int32([[-9000, -9000, side - 9000, side - 9000]])
        shapes[key] = np.concatenate([shapes[key], scrap])

    return edit


def shift_trunk(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    """Half a track, far from all others."""
    key = layer_of(taps, "upper")
    scrap = shapes[key][:1] + np.int32([-9000 // 64 * 64 - 32, 0] * 2)
    shapes[key] = np.concatenate([shapes[key], scrap])


def foreign_layer(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    shapes[9999, 0] = np.int32([[0, 0, 50, 50]])


RULES: list[tuple[str, Edit, str, str, bool]] = [
    ("n5", move_via("lower_cut", 1), "VIA8", "enclosure by M8", True),
    ("n5", move_via("lower_cut", 0, 0.5), "VIA8", "enclosure by M9", True),
    ("n5", move_via("upper_cut", 1), "VIA9", "enclosure by M10", True),
    ("sky130", move_via("upper_cut", 0.1), "via3", "enclosure by met4", True),
    ("sky130", move_via("lower_cut", 0, 0.05), "via2", "enclosure by met3", True),
    ("asap7", move_via("lower_cut", 1), "V5", "enclosure by M5", True),
    ("n5", double_via("lower_cut"), "VIA8", "size", True),
    ("asap7", double_via("upper_cut"), "V6", "size", False),
    ("n5", shorten_stub, "VIA8", "end enclosure by M9", True),
    ("sky130", shorten_stub, "via3", "end enclosure by met3", True),
    ("n5", remove_pad, "VIA7", "enclosure by M8", False),
    ("n5", stretch("upper", (0, 0, 0.5, 0)), "M10", "space", False),
    ("n5", stretch("upper", (0, 0, -0.1, 0)), "M10", "width", False),
    ("n5", stretch("stub", (0, 0, 0.5, 0)), "M9", "space", True),
    ("n5", stretch("stub", (0, 0, 0, -0.1)), "M9", "width", True),
    ("asap7", stretch("stub", (0, 0, 0.25, 0)), "M6", "end space", True),
    ("asap7", stretch("lower", (0, 0, 0.5, 0)), "M5", "space", False),
    ("asap7", shift_trunk, "M7", "track", False),
    ("sky130", add_scrap("stub"), "met3", "length", True),
    ("n5", add_scrap("lower"), "M8", "length", False),
    ("sky130", nudge("upper"), "met4", "grid", False),
    ("sky130", nudge("port_cut"), "via", "grid", False),
    ("n5", foreign_layer, "layer 9999", "unknown", False),
]


@pytest.mark.parametrize(("name", "edit", "layer", "rule", "of_wires"), RULES)
def test_a_broken_rule_is_reported(
    name: str, edit: Edit, layer: str, rule: str, of_wires: bool
) -> None:
    taps = taps_of(name)
    _, layout = tile(taps)
    edit(taps, layout.rectangles)
    found = check_rules(taps.technology, layout)
    assert rule in {violation.rule for violation in found if violation.layer == layer}, found
    by_sorting = {violation.layer for violation in check_wires(taps.technology, layout)}
    assert not of_wires or layer in by_sorting


@pytest.mark.parametrize("name", NAMES)
def test_what_sorting_finds_legal_klayout_finds_legal(name: str) -> None:
    """Random damage to wires and cuts: sorting may refuse more than KLayout, but never less."""
    taps, random = taps_of(name), np.random.default_rng(7)
    t = taps.technology
    _, sound = tile(taps, rows=2, blocks=1)
    keys = [(t.stub.gds_layer, FIXED)]
    keys += [(cut.gds_layer, PROGRAMMABLE) for cut in (t.lower_cut, t.upper_cut)]
    judged = {t.stub.name, t.lower_cut.name, t.upper_cut.name}
    broken = 0
    for _ in range(60):
        shapes = {key: of.copy() for key, of in sound.rectangles.items()}
        key = keys[random.integers(len(keys))]
        reach = int(random.choice([2, 10, 60]))
        by = random.integers(-reach, reach + 1, 4) * taps.grid
        if random.random() < 0.5:
            by[2:] = by[:2]  # moved, not stretched
        shapes[key][random.integers(len(shapes[key]))] += by.astype(np.int32)
        layout = Layout(rectangles=shapes)
        by_klayout = {v.rule for v in check_rules(t, layout) if v.layer in judged} - {"grid"}
        broken += bool(by_klayout)
        assert not by_klayout or check_wires(t, layout), (key, by)
    assert 20 < broken < 60


def test_a_violation_is_placed() -> None:
    taps = taps_of("n5")
    _, layout = tile(taps)
    vias = layout.rectangles[layer_of(taps, "lower_cut", PROGRAMMABLE)]
    vias[5] += np.int32([40, 0, 40, 0])
    x, y = (vias[5, :2] + vias[5, 2:]) // 2
    found = [v for v in check_rules(taps.technology, layout) if v.rule == "enclosure by M8"]
    assert [str(violation) for violation in found] == [f"VIA8 enclosure by M8 at ({x}, {y}) nm"]


# -- faults that only nets show --------------------------------------------------------------


def one_trunk_on(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    """The via of input 3's +1 moves to its +3/2."""
    vias = shapes[layer_of(taps, "lower_cut", PROGRAMMABLE)]
    x = (vias[:, 0] + vias[:, 2]) // 2
    at = np.flatnonzero(x % taps.cell == taps.site_x[2])[0]
    vias[at, [0, 2]] += taps.site_x[3] - taps.site_x[2]


def no_via(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    key = layer_of(taps, "upper_cut", PROGRAMMABLE)
    shapes[key] = shapes[key][1:]


def bridge_trunks(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    key = layer_of(taps, "upper")
    first = shapes[key][0]
    bridge = np.int32([[first[0], 0, first[2] + taps.site_x[10] - taps.site_x[9], 60]])
    shapes[key] = np.concatenate([shapes[key], bridge])


def bridge_stubs(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    shapes[layer_of(taps, "stub")][0, 2] += taps.cell // 2


def cut_stub(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    """Only the piece with the port is left."""
    stubs = shapes[layer_of(taps, "stub")]
    stubs[:, 0] = stubs[:, 0] + taps.port_x - taps.stub_span[0] - 40
    stubs[:, 2] = stubs[:, 0] + 80


def cut_trunk(taps: Taps, shapes: dict[LayerKey, np.ndarray]) -> None:
    shapes[layer_of(taps, "upper")][:, 3] //= 2


NETS: list[tuple[Edit, str]] = [
    (one_trunk_on, ""),
    (no_via, "hangs on nothing"),
    (bridge_trunks, "are shorted"),
    (bridge_stubs, "are shorted"),
    (cut_stub, "hangs on nothing"),
    (cut_trunk, "hangs on nothing"),
    (remove_pad, "has no metal"),
]


@pytest.mark.parametrize(("edit", "says"), NETS)
def test_a_fault_shows_in_the_nets(edit: Edit, says: str) -> None:
    taps = taps_of("n5")
    digits, layout = tile(taps)
    edit(taps, layout.rectangles)
    shape = TileShape(digits.rows, digits.blocks)
    integers, faults = weights_of_names(extract_netlist(taps.technology, layout), shape)
    if says:
        assert any(says in fault.what for fault in faults), faults[:5]
    else:
        assert faults == []
        assert (integers != digits.integers()).sum() == 1


def test_a_via_on_the_wrong_trunk_breaks_no_rule() -> None:
    """Why rules alone do not do."""
    taps = taps_of("n5")
    _, layout = tile(taps)
    one_trunk_on(taps, layout.rectangles)
    assert check_rules(taps.technology, layout) == []


def test_labels_without_metal_are_told() -> None:
    taps = taps_of("n5")
    _, layout = tile(taps)
    stray = layout.labels[0]._replace(text="x99.+2", x=-5000)
    nets = extract_netlist(
        taps.technology, Layout(rectangles=layout.rectangles, labels=[*layout.labels, stray])
    )
    assert nets.bare == ["x99.+2"]
    assert stray.layer[1] == PIN


def test_without_klayout_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "klayout.db", None)
    with pytest.raises(
        ToolMissing, match=r"^KLayout's Python module is missing .*: pip install klayout$"
    ):
        klayout()


def test_an_old_klayout_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import klayout as package

    monkeypatch.setattr(package, "__version__", "0.28.17")
    with pytest.raises(ToolMissing, match=r"is 0\.28\.17, and 0\.29 is the least: pip install"):
        klayout()
