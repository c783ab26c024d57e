"""The regions scheme: what is drawn is read, any weights have ports, and silicon knows no weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic.mx import TWICE_E2M1, unpack
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.silicon.embed import (
    ArrayKind,
    Layout,
    Regions,
    TileDigits,
    TileShape,
    array_kind,
    open_scheme,
    tracks_needed,
)
from hnlpu.silicon.embed._regions_values import (
    NO_VALUE,
    ground_ties,
    group_bound,
    groups_of,
    tie_count,
    value_count,
    values_of_words,
    words_of_codes,
)
from hnlpu.silicon.technology import PROGRAMMABLE, load_technology
from regions_tiles import (
    CODES,
    WEIGHTS,
    adversarial,
    digits_from,
    digits_of,
    random_digits,
    regions_for,
    shape_of,
    whole,
)

RANGES = (0, 1, 2, 4, 8, 12, 16, 20)


@st.composite
def tiles(draw: st.DrawFn) -> tuple[TileDigits, int, int]:
    """Any digits with their scale range and group: rows of few values and rows of many."""
    rows, blocks = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    scale_range, group = draw(st.sampled_from(RANGES)), draw(st.integers(1, 17))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    choice = [random.choice(CODES, draw(st.integers(1, 15))) for _ in range(rows)]
    codes = np.stack([random.choice(of, blocks * 32) for of in choice])
    shifts = random.integers(0, scale_range + 1, (rows, blocks))
    return digits_of(codes, shifts), scale_range, group


@given(tiles())
@settings(max_examples=150, deadline=None)
def test_what_is_drawn_is_read(tile: tuple[TileDigits, int, int]) -> None:
    digits, scale_range, group = tile
    scheme = regions_for(digits, scale_range, group)
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_weights_of_every_distribution(name: str, technology: str) -> None:
    weights = WEIGHTS[name](np.random.default_rng(3), (8, 512))
    digits = digits_from(weights, 4)
    scheme = regions_for(digits, 4, technology=technology)
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("scale_range", [0, 2, 20])
@pytest.mark.parametrize("name", adversarial(3, 0))
@pytest.mark.parametrize("group", [1, 3, 8])
def test_adversarial_rows(name: str, scale_range: int, group: int) -> None:
    digits = adversarial(3, scale_range)[name]
    scheme = regions_for(digits, scale_range, group)
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


def test_order_and_pieces_of_a_file_do_not_matter() -> None:
    digits = random_digits(5, 4, 2, seed=1)
    scheme = regions_for(digits)
    random = np.random.default_rng(0)
    shapes = {}
    for key, found in scheme.draw(digits).rectangles.items():
        mixed = random.permutation(found)
        shapes[key] = [mixed[:7], mixed[7:7], mixed[7:]]
    integers, faults = scheme.read(shape_of(digits), shapes)
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


# -- values and groups -----------------------------------------------------------------------


@pytest.mark.parametrize("scale_range", RANGES)
def test_every_value_has_one_word_and_no_word_is_all_ones(scale_range: int) -> None:
    values, words = values_of_words(scale_range), words_of_codes()
    spelled = {}
    for code in CODES[1:].tolist():
        for shift in range(scale_range + 1):
            word = int(words[code]) + 4 * shift
            value = int(TWICE_E2M1[code]) << shift
            assert values[word] == value
            assert spelled.setdefault(value, word) == word
            assert word < 2 ** tie_count(scale_range) - 1
            assert not word >> ground_ties(scale_range)[word] & 1
    assert len(spelled) == value_count(scale_range) == np.count_nonzero(values)
    assert words[0] == words[8] == NO_VALUE


@given(st.data(), st.integers(1, 40), st.integers(1, 32), st.sampled_from(RANGES))
def test_the_groups_hold_any_mixture_of_values(
    data: st.DataObject, blocks: int, group: int, scale_range: int
) -> None:
    """No mixture needs more, and one needs just as many."""
    inputs, values = blocks * 32, value_count(scale_range)
    bound = group_bound(inputs, group, scale_range)
    assert groups_of(inputs, group, scale_range) == bound + bound % 2
    counts, left = [], inputs
    for _ in range(values - 1):
        counts.append(data.draw(st.integers(0, min(left, 3 * group))))
        left -= counts[-1]
    assert sum(-(-count // group) for count in [*counts, left]) <= bound
    if inputs >= values:  # every value once, and one has all the rest
        assert values - 1 + -(-(inputs - values + 1) // group) == bound


# -- what is silicon -------------------------------------------------------------------------


def test_the_base_depends_on_the_shape_alone() -> None:
    first, second = random_digits(3, 2, 2, seed=1), digits_of(np.zeros((3, 64)))
    scheme = regions_for(first)
    before = scheme.base(TileShape(3, 2))
    scheme.draw(second)
    scheme.draw(first)
    after = Regions(scheme.technology, scheme.kind).base(TileShape(3, 2))
    assert before == after
    assert all(key[1] != PROGRAMMABLE for key in before.flat())
    assert all(key[1] == PROGRAMMABLE for key in scheme.draw(first).flat())
    names = {layer.gds_layer: layer.name for layer in scheme.technology.layers}
    assert tuple(names[layer] for layer, _ in scheme.draw(first).rectangles) == scheme.programmable


def test_the_same_digits_give_the_same_bytes() -> None:
    digits = random_digits(6, 8, 2, seed=4)
    scheme = regions_for(digits)
    first, second = scheme.draw(digits), regions_for(digits).draw(digits)
    assert list(first.rectangles) == list(second.rectangles)
    for layer, found in first.rectangles.items():
        assert found.tobytes() == second.rectangles[layer].tobytes()


def test_everything_lies_in_its_row_and_in_the_tile() -> None:
    digits = random_digits(4, 3, 2, seed=5)
    scheme = regions_for(digits)
    width, height = scheme.size_nm(shape_of(digits))
    pitch = scheme.row_pitch_nm(shape_of(digits))
    for found in whole(scheme, digits).flat().values():
        assert found[:, :2].min() >= 0
        assert found[:, 2].max() <= width
        assert found[:, 3].max() <= height
    for found in scheme.draw(digits).rectangles.values():
        assert (found[:, 1] // pitch == found[:, 3] // pitch).all()


def test_every_pin_has_one_label() -> None:
    digits = random_digits(2, 2, 2, seed=6)
    scheme = regions_for(digits)
    labels = [label.text for label in scheme.base(shape_of(digits)).labels]
    supplies = [text for text in labels if text in ("GND", "PWR")]
    groups = groups_of(64, 8, 2)
    assert supplies.count("PWR") * 2 == supplies.count("GND") == groups
    pins = [text for text in labels if text not in ("GND", "PWR")]
    assert len(pins) == len(set(pins)) == 64 + 2 * groups * (8 + tie_count(2))


def test_digits_and_banks_are_rows_of_metal() -> None:
    """Two digits, three members: six rows of a neuron, whose integers come back row by row."""
    digits = random_digits(12, 2, 4, seed=7)
    scheme = regions_for(digits, 4, bank=3, per_weight=2)
    assert scheme.kind.rows_per_neuron == 6
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())
    alone = regions_for(digits, 4)
    assert scheme.transistors(1024, 1024) < alone.transistors(1024, 1024)


def test_area_is_the_silicons_or_the_wirings_whatever_is_more() -> None:
    t = load_technology("n5")
    shape = TileShape(1, 32)
    few, many = (Regions(t, ArrayKind("regions", 1, 1, 2, 8, tracks)) for tracks in (8, 200))
    density = t.silicon.density.value * 1e-6  # transistors a um2
    silicon = few.transistors(1024, 1024) / density
    assert few.area_um2() == pytest.approx(silicon, rel=1e-3)
    assert many.row_pitch_nm(shape) == many.wiring_height > few.row_pitch_nm(shape)
    assert many.area_um2() == pytest.approx(
        many.wiring_height * many.frame(shape).width * 1e-6 / 1024
    )


def test_parts_of_a_neuron_are_its_transistors() -> None:
    scheme = Regions(load_technology("n5"), ArrayKind("regions", 1, 1, 0, 8, 40))
    parts = scheme.transistor_parts(1024, 1024)
    assert sum(parts.values()) == scheme.transistors(1024, 1024)
    groups = groups_of(1024, 8, 0)
    # eight ports: four full and three half adders
    assert parts["popcount"] == groups * (4 * 28 + 3 * 16) / 1024
    assert "bank selection" not in parts


# -- tracks ----------------------------------------------------------------------------------


def test_tracks_needed_suffice_and_fewer_do_not() -> None:
    digits = random_digits(12, 16, 2, seed=8)
    scheme = regions_for(digits)
    assert scheme.kind.tracks % 4 == 0
    assert scheme.needs(digits)["fits"]
    less = Regions(scheme.technology, replace(scheme.kind, tracks=scheme.kind.tracks - 4))
    needs = less.needs(digits)
    assert not needs["fits"]
    tracks = needs["tracks_of_row"]
    assert tracks["missing"] == tracks["worst"] - less.kind.tracks > 0
    with pytest.raises(
        DoesNotFit, match=rf"needs {tracks['worst']} wiring tracks, {tracks['missing']} more"
    ):
        less.draw(digits)


def test_tracks_of_many_tiles_are_found_one_by_one() -> None:
    parts = [random_digits(6, 16, 2, seed) for seed in range(3)]
    t, kind = load_technology("n5"), array_kind("regions", 1, 1, 2)
    tracks = 0
    for part in parts:
        tracks = tracks_needed(t, kind, part, tracks)
    assert tracks == max(tracks_needed(t, kind, part) for part in parts)
    scheme = Regions(t, replace(kind, tracks=tracks))
    assert all(scheme.needs(part)["fits"] for part in parts)


def test_a_shift_beyond_the_array_is_refused() -> None:
    digits = digits_of(np.ones((1, 32)), 3)
    scheme = Regions(load_technology("n5"), ArrayKind("regions", 1, 1, 2, 8, 40))
    with pytest.raises(DoesNotFit, match=r"shifted by 3, array kind .* holds at most 2"):
        scheme.draw(digits)


# -- needs -----------------------------------------------------------------------------------


def test_needs_count_what_is_drawn() -> None:
    digits = random_digits(6, 4, 2, seed=9)
    scheme = regions_for(digits)
    needs, codes = scheme.needs(digits), unpack(digits.codes)
    groups = groups_of(128, 8, 2) * 6
    assert needs["ports"] == groups * 8
    assert needs["ports_grounded"] == needs["ports"] - np.count_nonzero(codes)
    assert needs["fan_out"]["worst"] == np.count_nonzero(codes, axis=0).max()
    assert needs["ties"] == groups * tie_count(2)
    stubs = scheme.draw(digits).rectangles[scheme.technology.stub.gds_layer, PROGRAMMABLE]
    track = (stubs[:, 1] % scheme.row_pitch_nm(shape_of(digits)) - 26) // 80
    longest = (stubs[:, 2] - stubs[:, 0])[track % scheme.rules.tie_step != 0].max() * 1e-3
    assert needs["wire_um_per_weight"]["worst"] >= longest
    assert needs["wire_um_per_weight"]["mean"] * digits.weights <= (
        (stubs[:, 2] - stubs[:, 0]).sum() * 1e-3
    )


def test_repeaters_are_named_where_a_trunk_has_too_much_to_drive() -> None:
    t = load_technology("n5")
    light, heavy = digits_of(np.zeros((64, 32))), digits_of(np.full((64, 32), 7))
    kind = ArrayKind("regions", 1, 1, 0, 8, 60)
    scheme = Regions(t, kind)
    before, after = scheme.needs(light), scheme.needs(heavy)
    assert after["load_ff"]["worst"] > t.electrical.largest_load.value
    assert after["trunks_over_load"] == 32
    assert after["repeaters"] > before["repeaters"]
    assert after["fan_out"] == {"mean": 64.0, "worst": 64.0}


# -- refusals --------------------------------------------------------------------------------


def test_processes_and_kinds_that_do_not_do() -> None:
    asap7 = load_technology("asap7")
    with pytest.raises(InvalidInput, match="asap7 are not enough for scheme regions"):
        open_scheme(asap7, ArrayKind("regions", 1, 1, 0, 8, 40))
    claimed = asap7.model_copy(update={"schemes": ["taps", "regions"]})
    with pytest.raises(InvalidInput, match="M5 has tracks of its own"):
        open_scheme(claimed, ArrayKind("regions", 1, 1, 0, 8, 40))
    n5 = load_technology("n5")
    height = replace(n5.upper_cut.size, value=44.0)
    cut = n5.upper_cut.model_copy(update={"height": height})
    with pytest.raises(InvalidInput, match="VIA9 is no square"):
        open_scheme(n5.model_copy(update={"upper_cut": cut}), ArrayKind("regions", 1, 1, 0, 8, 40))
    with pytest.raises(InvalidInput, match="a group needs ports"):
        open_scheme(n5, ArrayKind("regions", 1, 1, 0))


def test_an_empty_file_is_all_faults() -> None:
    scheme = Regions(load_technology("n5"), ArrayKind("regions", 1, 1, 2, 8, 40))
    integers, faults = scheme.read(TileShape(2, 1), Layout().shapes())
    assert not integers.any()
    assert {fault.row for fault in faults} == {0, 1}
