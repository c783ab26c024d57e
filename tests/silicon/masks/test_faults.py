"""Faults in a tile's metal, each at a hundred random places: found, with row and input."""

from __future__ import annotations

import numpy as np
import pytest
from layouts import random_digits
from taps_damage import FIXED_DAMAGES, PROGRAMMABLE_DAMAGES, damaged

from hnlpu.arithmetic.mx import unpack
from hnlpu.silicon.embed import ArrayKind, Fault, Layout, Taps, TileDigits, TileShape
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.masks._decode import decode_regions, decode_taps
from hnlpu.silicon.masks._extract import extract_netlist
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.technology import FIXED, Technology, load_technology
from regions_damage import DAMAGES
from regions_damage import damaged as damaged_regions
from regions_tiles import random_digits as random_regions_digits
from regions_tiles import regions_for, shape_of

PLACES = 100
SHAPE = TileShape(4, 2)
ALL = PROGRAMMABLE_DAMAGES | FIXED_DAMAGES


def taps_of(technology: str = "n5", scale_range: int = 2) -> Taps:
    return Taps(load_technology(technology), ArrayKind("taps", 1, 1, scale_range))


def extract(
    technology: Technology, layout: Layout, shape: TileShape, scheme: str = "taps"
) -> tuple[np.ndarray, list[Fault]]:
    """What the extractor finds in a layout that went through the bytes of a file."""
    cell = parse_cell(cell_record("tile", layout_payload(layout), compress=False), "tile")
    decode = decode_taps if scheme == "taps" else decode_regions
    netlist = extract_netlist(technology, cell)
    found, faults = decode(netlist, shape.rows, shape.blocks)
    return found, [*netlist.faults, *faults]


def told(
    found: np.ndarray, faults: list[Fault], digits: TileDigits
) -> set[tuple[int | None, int | None]]:
    """Row and input of every fault and of every digit that is not the build's."""
    wrong = np.argwhere(found != digits.integers()).tolist()
    return {(row, column) for row, column in wrong} | {(f.row, f.column) for f in faults}


@pytest.mark.parametrize("technology", ["n5", "asap7"])
@pytest.mark.parametrize("name", ALL)
def test_the_extractor_finds_every_fault_of_taps(name: str, technology: str) -> None:
    taps = taps_of(technology)
    for seed in range(PLACES if technology == "n5" else PLACES // 4):
        digits = random_digits(taps, SHAPE, seed)
        layout, _, (row, column) = damaged(taps, digits, ALL[name], seed)
        places = told(*extract(taps.technology, layout, SHAPE), digits)
        assert places, seed
        assert all(r is not None and 0 <= r < SHAPE.rows for r, _ in places), seed
        if column is not None:
            assert {c // 32 for _, c in places if c is not None} == {column // 32}, seed
            assert row is None or (row, column) in places, seed
            assert column in {c for _, c in places}, seed


@pytest.mark.parametrize("name", PROGRAMMABLE_DAMAGES)
def test_the_bulk_reader_finds_every_fault_of_vias(name: str) -> None:
    taps = taps_of()
    for seed in range(PLACES):
        digits = random_digits(taps, SHAPE, seed)
        _, drawn, place = damaged(taps, digits, ALL[name], seed)
        assert place in told(*taps.read(SHAPE, drawn.shapes()), digits), seed


def test_a_sound_tile_has_no_fault() -> None:
    """Else the tests above would say nothing."""
    taps = taps_of()
    digits = random_digits(taps, SHAPE, 1)
    whole = taps.base(SHAPE).merged(taps.draw(digits))
    assert told(*extract(taps.technology, whole, SHAPE), digits) == set()
    assert told(*taps.read(SHAPE, taps.draw(digits).shapes()), digits) == set()


def test_any_change_of_any_via_is_found_by_the_bulk_reader() -> None:
    taps, random = taps_of(), np.random.default_rng(5)
    digits = random_digits(taps, SHAPE, 5)
    sound = taps.draw(digits)
    for _ in range(500):
        layers = {key: found.copy() for key, found in sound.rectangles.items()}
        key = list(layers)[random.integers(len(layers))]
        by = random.integers(-300, 301, 4) * (random.random(4) < 0.4)
        if random.random() < 0.7:
            by[2:] = by[:2]
        layers[key][random.integers(len(layers[key]))] += by.astype(np.int32)
        found, faults = taps.read(SHAPE, {k: [of] for k, of in layers.items()})
        assert faults or (found != digits.integers()).any() or not by.any()


def test_a_via_at_the_edge_of_the_tile_is_on_no_site() -> None:
    """Also where dividing by the width of a block rounds down, which some widths and blocks do."""
    for scale_range in (0, 1, 2, 4, 8):
        taps = taps_of(scale_range=scale_range)
        for blocks in range(1, 9):
            shape = TileShape(2, blocks)
            digits = random_digits(taps, shape, blocks)
            shapes = taps.draw(digits).shapes()
            wide, high = taps.technology.lower_cut.size_nm
            right, y = taps.size_nm(shape)[0], taps.pitch // 2
            extra = [[right - wide // 2, y - high // 2, right + wide // 2, y + high // 2]]
            key = next(iter(shapes))
            found, faults = taps.read(shape, shapes | {key: [*shapes[key], np.int32(extra)]})
            assert [fault.what for fault in faults] == [
                f"{taps.technology.lower_cut.name} at ({right}, {y}) nm is on no site"
            ]
            np.testing.assert_array_equal(found, digits.integers())


# -- the fixed metal of regions (what is drawn: tests/silicon/masks/test_regions_metal.py) ---------


@pytest.mark.parametrize("what", ["trunks shorted", "trunk cut", "port shorted", "port cut"])
def test_the_extractor_finds_every_fault_of_regions_base(what: str) -> None:
    digits = random_regions_digits(3, 1, 2, seed=1)
    scheme = regions_for(digits)
    t, shape = scheme.technology, shape_of(digits)
    frame, base, drawn = scheme.frame(shape), scheme.base(shape), scheme.draw(digits)
    sound, height = base.merged(drawn).flat(), scheme.size_nm(shape)[1]
    pitch = scheme.row_pitch_nm(shape)
    for seed in range(PLACES):
        random = np.random.default_rng(seed)
        layers = {key: found.copy() for key, found in sound.items()}
        row = int(random.integers(1, shape.rows))
        y = row * pitch + int(random.integers(100, scheme.rules.height(scheme.kind.tracks) - 100))
        trunk = what.startswith("trunk")
        key = ((t.upper if trunk else t.lower).gds_layer, FIXED)
        places = frame.trunk_x if trunk else frame.port_x.reshape(-1)
        n = int(random.integers(len(places) - 1))
        n -= 0 if trunk or (n + 1) % frame.group else 1  # its neighbour in the group
        x, beside = int(places[n]), int(places[n + 1])
        boxes = layers[key]
        own = np.flatnonzero((boxes[:, 0] <= x) & (x <= boxes[:, 2])
                             & (boxes[:, 1] <= y) & (y <= boxes[:, 3]))  # fmt: skip
        if what.endswith("cut"):
            (at,) = own
            x0, y0, x1, y1 = boxes[at].tolist()
            pieces = [(x0, y0, x1, y - 5), (x0, y + 5, x1, y1)]
            layers[key] = np.concatenate([np.delete(boxes, at, 0), np.int32(pieces)])
        else:
            layers[key] = np.concatenate(
                [boxes, np.int32([[min(x, beside), y, max(x, beside), y + 8]])]
            )
        assert 0 < y < height
        layout = Layout(rectangles=layers, labels=base.labels)
        places_told = told(*extract(t, layout, shape, "regions"), digits)
        if what.endswith("shorted") and not places_told:
            assert what == "port shorted"  # two ports of one net: nothing has changed
            assert _same_driver(scheme, digits, row, n)
            continue
        assert places_told, seed
        assert all(r is not None and 0 <= r < shape.rows for r, _ in places_told), seed
        assert trunk or row in {r for r, _ in places_told}, seed


def _same_driver(scheme: object, digits: TileDigits, row: int, n: int) -> bool:
    """Whether neighbouring ports n and n + 1 of a row are both unused, hence grounded."""
    routes = scheme.routes(digits)
    used = set(routes.port[row].tolist())
    return n not in used and n + 1 not in used


# -- a wrong table in what draws -----------------------------------------------------------------


def test_a_wrong_site_table_is_found_by_the_extractor_alone() -> None:
    """Sites of two values swapped where vias are drawn and read: the trunks' labels say otherwise."""
    taps = taps_of()
    digits = random_digits(taps, SHAPE, 3)
    base = taps.base(SHAPE)
    swapped = taps_of()
    sites = dict(swapped.site_x)
    for a, b in ((1, 2), (5, 7), (9, 15)):
        sites[a], sites[b] = sites[b], sites[a]
    swapped.site_x = sites
    drawn = swapped.draw(digits)
    assert told(*swapped.read(SHAPE, drawn.shapes()), digits) == set(), "it fooled the bulk reader"
    found, faults = extract(taps.technology, base.merged(drawn), SHAPE)
    assert faults == []
    wrong = found != digits.integers()
    np.testing.assert_array_equal(wrong, np.isin(unpack(digits.codes), [1, 2, 5, 7, 9, 15]))


def test_trunks_of_regions_in_the_wrong_order_are_found_by_the_extractor_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trunks of neighbouring inputs swapped where wires are drawn and read."""
    digits = random_regions_digits(3, 2, 2, seed=2)
    order, trunk_x = np.arange(64) ^ 1, Frame.trunk_x.fget
    with monkeypatch.context() as patch:
        patch.setattr(Frame, "trunk_x", property(lambda frame: trunk_x(frame)[order]))
        scheme = regions_for(digits)
        drawn = scheme.draw(digits)
        assert told(*scheme.read(shape_of(digits), drawn.shapes()), digits) == set()
    base = scheme.base(shape_of(digits))
    found, faults = extract(scheme.technology, base.merged(drawn), shape_of(digits), "regions")
    assert faults == []
    np.testing.assert_array_equal(found, digits.integers()[:, order])


@pytest.mark.parametrize("name", DAMAGES)
def test_the_extractor_finds_every_fault_of_regions(name: str) -> None:
    digits = random_regions_digits(3, 1, 2, seed=1)
    scheme, shape = regions_for(digits), shape_of(digits)
    base = scheme.base(shape)
    for seed in range(PLACES):
        shapes, row = damaged_regions(scheme, digits, name, seed)
        layout = base.merged(Layout(rectangles=shapes))
        assert row in {
            r for r, _ in told(*extract(scheme.technology, layout, shape, "regions"), digits)
        }
