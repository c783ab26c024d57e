"""Masks that print any weights: by hand, and two cuts of one mask never too near, on drawn metal."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import (
    ArrayKind,
    Colouring,
    CutGrid,
    LayerExposures,
    Rectangles,
    Regions,
    Scheme,
    Taps,
    TileShape,
    Way,
    WireGrid,
    colouring_of,
    cut_ways,
    layer_exposures,
    line_cuts,
    masks_needed,
    open_scheme,
    programmable_masks,
    scheme_grids,
    wire_ways,
)
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Lithography, Scanner, load_technology
from regions_tiles import random_digits, regions_for, shape_of

DENSE = ArrayKind("taps", 1, 8, 2)
TALL = ArrayKind("taps", 1, 1, 0)


def lithography(technology: str = "n5") -> Lithography:
    found = load_technology(technology).lithography
    assert found
    return found


def scanner(name: str, technology: str = "n5") -> Scanner:
    return next(s for s in lithography(technology).scanner if s.name == name)


def exposures(kind: ArrayKind, technology: str = "n5") -> dict[str, LayerExposures]:
    scheme = open_scheme(load_technology(technology), kind)
    return {layer.layer: layer for layer in layer_exposures([(scheme, None)])}


def centres(rectangles: Rectangles) -> np.ndarray:
    return (rectangles[:, :2].astype(float) + rectangles[:, 2:]) / 2


def nearest(points: np.ndarray) -> float:
    """Least distance of two points, by a sweep along y."""
    points = points[np.lexsort((points[:, 0], points[:, 1]))]
    least = np.inf
    for step in range(1, len(points)):
        apart = points[step:] - points[:-step]
        if apart[:, 1].min() >= least:
            break
        least = min(least, float(np.hypot(*apart.T).min()))
    return least


# -- by hand ---------------------------------------------------------------------------------


def test_k1_of_cuts_84_and_92_nm_apart_is_0_29_and_0_32() -> None:
    immersion = scanner("ArF immersion")
    assert immersion.k1(84) == pytest.approx(42 * 1.35 / 193)
    assert immersion.k1(84) == pytest.approx(0.294, abs=5e-4)
    assert immersion.k1(92) == pytest.approx(0.322, abs=5e-4)
    assert immersion.least_pitch_nm(0.38) == pytest.approx(108.65, abs=0.01)
    assert scanner("EUV").k1(84) == pytest.approx(42 * 0.33 / 13.5)


def test_pitches_of_n5_by_hand() -> None:
    found = exposures(DENSE)
    # a scale cell's pads are 80 nm apart, rows 92 nm; a stub's sites exclude each other
    assert found["VIA8"].pitches.across == 80
    assert found["VIA8"].pitches.along == 92
    assert found["VIA8"].pitches.diagonal == pytest.approx(np.hypot(80, 92))
    # from -12 of a cell to -1 of the next: 840 - 780 + 60
    assert found["VIA9"].pitches.across == 120
    # without scale cells: from a site to the port beside it
    assert exposures(TALL)["VIA8"].pitches.across == 84


def test_dense_rows_of_n5_take_two_exposures_of_each_cut() -> None:
    found = exposures(DENSE)
    assert [layer.masks for layer in found.values()] == [
        ("VIA8 A", "VIA8 B"), ("VIA9 A", "VIA9 B")
    ]  # fmt: skip
    for layer in found.values():
        assert (layer.way.scanner, layer.way.method) == ("ArF immersion", "double")
        extreme = next(way for way in layer.ways if way.scanner == "EUV")
        assert (extreme.method, extreme.programmable, extreme.cost) == ("single", 1, (6, 6))
    assert found["VIA9"].way.k1 == pytest.approx(46 * 1.35 / 193)


def test_tall_rows_of_n5_keep_fixed_cuts_on_a_mask_that_no_weights_change() -> None:
    way = exposures(TALL)["VIA8"].way
    assert (way.method, way.programmable, way.shared) == ("double", 1, 1)
    assert exposures(TALL)["VIA9"].way.method == "single"


def test_regions_of_n5_by_hand() -> None:
    found = exposures(ArrayKind("regions", 1, 8, 2, 4, 32))
    assert found["VIA8"].masks == ("VIA8 A", "VIA8 B")
    # wires 80 nm apart: a line on each track, cuts 92 nm apart along it: 2 x 2 masks
    assert found["M9"].way.method == "spacer, quadruple cut"
    assert found["M9"].masks == ("M9 cut A", "M9 cut B", "M9 cut C", "M9 cut D")
    assert (found["M9"].way.programmable, found["M9"].way.shared) == (4, 1)
    assert found["VIA9"].masks == ("VIA9 A", "VIA9 B")


@pytest.mark.parametrize("kind", [DENSE, TALL, ArrayKind("regions", 1, 8, 2, 4, 32)])
def test_one_exposure_is_enough_in_sky130(kind: ArrayKind) -> None:
    for layer in exposures(kind, "sky130").values():
        assert (layer.way.method, layer.way.programmable, layer.way.shared) == ("single", 1, 0)


def test_asap7_has_its_two_masks_where_they_are_needed() -> None:
    found = exposures(DENSE, "asap7")
    assert (found["V5"].pitches.across, found["V5"].masks) == (96, ("V5 A", "V5 B"))
    assert found["V6"].masks == ("V6 A",)  # 192 nm: the other mask has none of our cuts


def test_the_neediest_kind_of_a_chip_decides() -> None:
    n5 = load_technology("n5")
    both = [(open_scheme(n5, kind), None) for kind in (TALL, DENSE)]
    alone = [masks_needed([one]) for one in both]
    assert [one.programmable for one in alone] == [2, 4]
    needed = masks_needed(both)
    assert (needed.programmable, needed.shared, needed.stated) == (4, 0, 2)
    assert needed.programmable_units == 4


def test_masks_are_those_stated_where_no_scanner_is_named() -> None:
    bare = load_technology("n5").model_copy(update={"lithography": None})
    scheme = Taps(bare, DENSE)
    assert programmable_masks(bare, scheme) == ["VIA8", "VIA9"]
    assert masks_needed([(scheme, None)]).programmable == 2


def test_a_layer_that_no_scanner_prints_is_named() -> None:
    n5 = load_technology("n5")
    coarse = lithography("sky130").model_copy(
        update={"scanner": [scanner("i-line", "sky130")]}
    )  # fmt: skip
    scheme = Taps(n5.model_copy(update={"lithography": coarse}), DENSE)
    with pytest.raises(DoesNotFit, match=r"no scanner prints VIA8, whose shapes stand 80 nm apart"):
        layer_exposures([(scheme, None)])


# -- any pitch -------------------------------------------------------------------------------


@given(st.integers(40, 400), st.integers(40, 400), st.integers(1, 80))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_wider_pitches_never_take_more_masks(across: int, along: int, more: int) -> None:
    def masks(x: int, y: int) -> int:
        grid = CutGrid((0,), x, (False,), (0,), (0,), y)
        return min((way.programmable for way in cut_ways(immersion, grid)), default=99)

    immersion = lithography().model_copy(update={"scanner": [scanner("ArF immersion")]})
    assert masks(across, along) >= masks(across + more, along + more)


def test_wider_wires_never_take_more_masks() -> None:
    immersion = lithography().model_copy(update={"scanner": [scanner("ArF immersion")]})

    def masks(pitch: int) -> int:
        grid = WireGrid(pitch, pitch / 2, pitch)
        return min(way.programmable for way in wire_ways(immersion, grid))

    counts = [masks(pitch) for pitch in range(70, 300, 10)]
    assert all(a >= b for a, b in pairwise(counts))
    assert counts[0] > counts[-1] == 1


@given(
    st.lists(st.integers(40, 300), min_size=1, max_size=6), st.integers(40, 300),
    st.integers(50, 250), st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_no_two_cuts_of_a_mask_are_too_near_in_any_grid(
    gaps: list[int], height: int, limit: int, seed: int
) -> None:
    """Every pair of places of a grid of 4 periods by 6 rows, whatever is drawn there."""
    rng = np.random.default_rng(seed)
    x = tuple(int(n) for n in np.cumsum(gaps) - gaps[0])
    width = sum(gaps)
    fixed = tuple(bool(n) for n in rng.integers(0, 2, len(x)))
    stub = tuple(int(n) for n in np.sort(rng.integers(0, 2, len(x))))
    grid = CutGrid(x, width, fixed, stub, (0,), height)
    found = colouring_of(grid.conflicts(limit))
    if found is None:
        return
    places = [
        (period * width + x[n], row * height, period * len(x) + n, row, period, n)
        for period in range(4) for n in range(len(x)) for row in range(6)
    ]  # fmt: skip
    for i, (ax, ay, acolumn, arow, aperiod, an) in enumerate(places):
        for bx, by, bcolumn, brow, bperiod, bn in places[:i]:
            exclusive = (
                arow == brow and aperiod == bperiod and stub[an] == stub[bn]
                and not fixed[an] and not fixed[bn]
            )  # fmt: skip
            if not exclusive and np.hypot(ax - bx, ay - by) < limit:
                assert found.mask(acolumn, arow) != found.mask(bcolumn, brow)


def test_a_grid_that_is_far_too_fine_has_no_way_and_takes_no_time() -> None:
    grid = CutGrid((0,), 2, (False,), (0,), (0,), 2)
    assert grid.conflicts(10_000) is None
    assert [way.scanner for way in cut_ways(lithography(), grid)] == []


def test_a_colouring_has_no_more_masks_than_a_conflict_asks_for() -> None:
    assert colouring_of([]) == Colouring(1, 0, 0)
    assert colouring_of([(1, 0)]).masks == 2  # type: ignore[union-attr]  # found
    assert colouring_of([(1, 0), (0, 1)]) == Colouring(2, 1, 1)
    # each cut and its eight neighbours: four of them are all near each other
    near = [(1, 0), (0, 1), (1, 1), (1, -1)]
    assert colouring_of(near).masks == 4  # type: ignore[union-attr]  # found
    assert colouring_of([(n, 0) for n in range(1, 40)]) is None


# -- drawn metal -----------------------------------------------------------------------------


def split(
    scheme: Scheme, layer: str, way: Way, cuts: Rectangles, fixed: Rectangles
) -> list[np.ndarray]:
    """Centres of the cuts of each mask, by the place of each alone."""
    grid = scheme_grids(scheme)[layer]
    assert isinstance(grid, CutGrid)
    parts = [(grid, way.colourings[0], np.concatenate([centres(cuts), centres(fixed)]))]
    if len(way.colourings) == 2:
        parts = [
            (grid.only(fixed=False), way.colourings[0], centres(cuts)),
            (grid.only(fixed=True), way.colourings[1], centres(fixed)),
        ]
    masks = []
    for own, colouring, points in parts:
        columns = {x: n for n, x in enumerate(own.x)}
        numbers = np.array([
            colouring.mask(
                int(x) // own.width * len(own.x) + columns[int(x) % own.width],
                int(y) // own.height,
            )
            for x, y in points
        ])  # fmt: skip
        masks += [points[numbers == n] for n in range(colouring.masks)]
    return masks


@pytest.mark.parametrize("technology", ["n5", "asap7", "sky130"])
@pytest.mark.parametrize("kind", [DENSE, TALL, ArrayKind("taps", 1, 8, 8)], ids=lambda k: k.name)
def test_drawn_taps_of_random_digits_are_legal_on_each_mask(
    technology: str, kind: ArrayKind
) -> None:
    t = load_technology(technology)
    scheme = Taps(t, kind)
    for seed in range(2):
        digits = random_digits(12, 3, kind.scale_range, seed)
        drawn, base = scheme.draw(digits).shapes(), scheme.base(shape_of(digits)).shapes()
        for layer, cut in zip(
            layer_exposures([(scheme, None)]), (t.lower_cut, t.upper_cut), strict=True
        ):
            cuts = np.concatenate(drawn[cut.gds_layer, PROGRAMMABLE])
            there = base.get((cut.gds_layer, FIXED), [])
            fixed = np.concatenate([np.zeros((0, 4), np.int32), *there])
            for way in layer.ways:
                masks = split(scheme, cut.name, way, cuts, fixed)
                assert len(masks) == way.programmable + way.shared
                assert sum(map(len, masks)) == len(cuts) + len(fixed)
                assert min(map(nearest, masks)) >= way.least_pitch_nm - 1e-6
            # what one mask would have had on it is at least what was computed, and often less
            both = np.concatenate([centres(cuts), centres(fixed)])
            assert nearest(both) >= layer.pitches.least - 1e-6


@pytest.mark.parametrize("technology", ["n5", "sky130"])
@pytest.mark.parametrize("bank", [1, 8])
def test_drawn_regions_of_random_digits_are_legal_on_each_mask(technology: str, bank: int) -> None:
    digits = random_digits(6, 3, 2, 5)
    scheme = regions_for(digits, 2, 4, technology, bank)
    shape = shape_of(digits)
    lower, stub, upper = scheme.draw_routes(scheme.fitting_routes(digits), shape)
    frame, pitch = scheme.frame(shape), scheme.row_pitch_nm(shape)
    columns = {
        0: np.unique([*frame.port_x.reshape(-1), *frame.tie_x, *frame.power_x, *frame.ground_x]),
        2: frame.trunk_x,
    }
    tracks = max(scheme.kind.tracks, scheme.least_tracks)
    found = layer_exposures([(scheme, shape)])
    for n, cuts in ((0, lower), (2, upper)):
        points = centres(cuts)
        track = track_of(points[:, 1], scheme, pitch, tracks)
        column = np.searchsorted(columns[n], points[:, 0])
        for way in found[n].ways:
            (colouring,) = way.colourings
            number = (colouring.across * column + colouring.along * track) % colouring.masks
            for mask in range(colouring.masks):
                assert nearest(points[number == mask]) >= way.least_pitch_nm - 1e-6
    for way in found[1].ways:
        if way.method.startswith("spacer"):
            cutting = next(s for s in lithography(technology).scanner if s.name == way.scanner)
            for mask in gaps_by_mask(stub, scheme, cutting, pitch, tracks, way.programmable):
                assert nearest(mask) >= way.least_pitch_nm - 1e-6


def track_of(y: np.ndarray, scheme: Regions, pitch: int, tracks: int) -> np.ndarray:
    row, within = np.divmod(y, pitch)
    found = row * tracks + (within - scheme.rules.margin) / scheme.rules.track_pitch
    assert (found == np.round(found)).all()
    return found.astype(int)


def gaps_by_mask(
    wires: Rectangles, scheme: Regions, cutting: Scanner, pitch: int, tracks: int, masks: int
) -> list[np.ndarray]:
    """Centres of the cuts before and behind each wire, by mask: a short gap has one cut, a long one two."""
    least_k1 = lithography(scheme.technology.name).least_k1_cuts.value
    limit = cutting.least_pitch_nm(least_k1) - 1e-6
    along = int(np.ceil(limit / scheme.rules.clear))
    gap = scheme.rules.clear - 2 * scheme.rules.stub_end
    found: list[list[tuple[float, float]]] = [[] for _ in range(masks)]
    track = track_of(centres(wires)[:, 1], scheme, pitch, tracks)
    for t in np.unique(track):
        own = wires[track == t]
        own = own[np.argsort(own[:, 0])]
        y = (own[0, 1] + own[0, 3]) / 2
        cuts = [own[0, 0] - gap / 2]
        for a, b in pairwise(own):
            first, second = a[2] + gap / 2, b[0] - gap / 2
            # between two cuts of a gap stays a piece as long as the shortest wire, or one cut takes all
            cuts += [first] if second - first < scheme.rules.clear else [first, second]
        cuts.append(own[-1, 2] + gap / 2)
        for n, x in enumerate(cuts):
            across = masks // along
            found[(n % along) * across + t % across].append((x, y))
    return [np.array(points).reshape(-1, 2) for points in found]


def test_cut_masks_of_lines_by_hand() -> None:
    immersion = scanner("ArF immersion")
    assert line_cuts(immersion, WireGrid(80, 40, 92), 0.38) == 4
    assert line_cuts(immersion, WireGrid(80, 40, 109), 0.38) == 2
    assert line_cuts(immersion, WireGrid(109, 40, 109), 0.38) == 1


def test_the_height_of_a_row_is_that_of_the_kind() -> None:
    n5 = load_technology("n5")
    for kind in (DENSE, TALL):
        scheme = Taps(n5, kind)
        assert layer_exposures([(scheme, None)])[1].pitches.along == scheme.pitch
    scheme = Regions(n5, ArrayKind("regions", 1, 8, 2, 4, 32))
    shape = TileShape(64, 4)
    wide = scheme_grids(scheme, shape)["VIA9"]
    assert isinstance(wide, CutGrid)
    assert wide.height == scheme.row_pitch_nm(shape)
    near = replace(wide, height=wide.height + 40)
    assert near.pitches().along == wide.pitches().along + 40


def test_the_readme_says_what_is_computed() -> None:
    def taps(technology: str) -> int:
        return masks_needed([(Taps(load_technology(technology), DENSE), None)]).programmable

    readme = (Path(__file__).parents[3] / "README.md").read_text()
    n5, sky130 = taps("n5"), taps("sky130")
    assert f"{n5} programmable masks at 5 nm and {sky130} at 130 nm" in readme
