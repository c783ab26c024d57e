"""Dies: tiles and blocks that do not overlap; facts against counts of their own."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hnlpu
from helpers import make_config, random_tensors, write_checkpoint
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import Architecture, matrix_shapes
from hnlpu.silicon.embed import TileShape, clearance_nm, open_scheme
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.place import (
    chip_tiles,
    die_plan,
    landing_nm,
    make_target,
    place,
    placement_facts,
)
from hnlpu.silicon.technology import Technology, load_technology
from models import GPT_OSS_120B, architecture_of, architectures, embeddings_of, placed


@settings(max_examples=40)
@given(
    architectures(), st.integers(1, 6), st.sampled_from(["n5", "sky130", "asap7"]),
    st.sampled_from(["taps", "regions"]),
)  # fmt: skip
def test_nothing_on_a_die_overlaps_or_sticks_out(
    architecture: Architecture, chips: int, technology: str, scheme: str
) -> None:
    try:
        placement, target = placed(architecture, chips, technology=technology, scheme=scheme)
    except (DoesNotFit, InvalidInput):
        assume(False)
    t, grid = target.technology, round(target.technology.grid.value)
    tiles = list(chip_tiles(placement, t.array, chips - 1))
    plan = die_plan(t, chips - 1, tiles)
    dx, dy = clearance_nm(t)
    assert [placed_.tile for placed_ in plan.tiles] == tiles
    assert [block.name for block in plan.blocks] == [block.name for block in t.die.block]
    for at in plan.tiles:
        assert (at.width, at.height) == open_scheme(t, at.tile.kind).size_nm(at.tile.shape)
        assert at.x % grid == at.y % grid == 0
        assert at.y + at.height + dy <= plan.array_height
        assert at.y >= landing_nm(t, at.height)
        scheme_ = open_scheme(t, at.tile.kind)
        assert scheme_.origin_y_nm(at.y) == at.y
    for block, given_ in zip(plan.blocks, t.die.block, strict=True):
        assert block.y >= plan.array_height
        assert block.width * block.height * 1e-12 == pytest.approx(given_.area.value, rel=0.01)
    boxes = np.array(
        [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (*plan.tiles, *plan.blocks)]
    )
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= plan.width
    assert boxes[:, 3].max() <= plan.height
    low, high = (
        np.maximum(boxes[:, None, :2], boxes[:, :2]),
        np.minimum(boxes[:, None, 2:], boxes[:, 2:]),
    )
    # free width or height: blocks may touch, tiles keep their distance to all and to the edge
    free, tiles_ = low - high, len(plan.tiles)
    others = ~np.eye(len(boxes), dtype=bool)
    assert (free >= 0).any(-1)[others].all()
    assert (free >= (dx, dy)).any(-1)[:tiles_][others[:tiles_]].all()
    assert (boxes[:tiles_, 0] >= dx).all()
    assert (boxes[:tiles_, 2] + dx <= plan.width).all()
    assert 0 < plan.array_use <= 1


def areas_by_tiles(technology: Technology, tiles: list) -> float:
    """mm2 of tiles by their outlines, with clearance at a side and landings below."""
    total, t = 0, technology
    metals, cuts = (t.lower, t.stub, t.upper), (t.port_cut, t.lower_cut, t.upper_cut)
    space = max([(m.end_space or m.space).value for m in metals] + [c.space.value for c in cuts])
    assert t.lithography
    k1, dry = t.lithography.least_k1_cuts.value, t.lithography.scanner[0]
    space = max(space, math.ceil(2 * k1 * dry.wavelength.value / dry.aperture.value))
    assert not any(metal.track for metal in metals)
    for tile in tiles:
        width, height = open_scheme(t, tile.kind).size_nm(tile.shape)
        below = max(space, round(height * t.array.landing.value / 100))
        total += (width + space) * (height + below)
    return total * 1e-12


@pytest.mark.parametrize("scheme", ["taps", "regions"])
@pytest.mark.parametrize("chips", [1, 4])
def test_facts_are_what_counting_tiles_gives(scheme: str, chips: int) -> None:
    architecture = architecture_of(layers=1, experts=6)
    target = make_target(chips=chips, scheme=scheme, bank=2)
    embeddings = embeddings_of(architecture, digits=2, tracks=20)
    placement = place(matrix_shapes(architecture), embeddings, target)
    t = target.technology
    facts = placement_facts(matrix_shapes(architecture), embeddings, placement, t)
    of_chip = [list(chip_tiles(placement, t.array, chip)) for chip in range(chips)]
    areas = [areas_by_tiles(t, tiles) for tiles in of_chip]
    digits = [sum(tile.shape.weights for tile in tiles) for tiles in of_chip]
    copies = (chips - 1) * sum(s.weights for s in matrix_shapes(architecture) if s.role == "router")
    assert facts.weights == sum(s.weights for s in matrix_shapes(architecture)) + copies
    assert facts.digits == sum(digits) == 2 * facts.weights
    assert (facts.most_weights, facts.least_weights) == (max(digits) // 2, min(digits) // 2)
    assert facts.array_area_mm2 == pytest.approx(max(areas), rel=1e-9)
    assert facts.area_per_digit_um2 == pytest.approx(sum(areas) / sum(digits) * 1e6, rel=1e-9)
    other = 27.87 + 0.02 + 136.11 + 37.92 + 52
    assert facts.array_room_mm2 == pytest.approx(827.08 - other)
    assert facts.die_area_mm2 == pytest.approx(max(areas) + other)
    assert facts.reticle_mm2 == pytest.approx(26 * 33)
    assert facts.fits
    assert facts.verdict().startswith("fits: ")
    transistors = sum(
        open_scheme(t, tile.kind).transistors(
            32 * sum(o.blocks[1] - o.blocks[0] for o in tiles if _beside(o, tile)),
            sum(o.neurons[1] - o.neurons[0] for o in tiles if _above(o, tile)),
        )
        * tile.shape.weights
        for tiles in of_chip
        for tile in tiles
    )
    assert facts.transistors_per_digit == pytest.approx(transistors / facts.digits, rel=1e-9)


def _beside(a, b) -> bool:
    return (a.matrix, a.members, a.neurons) == (b.matrix, b.members, b.neurons)


def _above(a, b) -> bool:
    return (a.matrix, a.members, a.blocks) == (b.matrix, b.members, b.blocks)


def test_what_does_not_fit_says_by_how_much_and_what_would_do() -> None:
    architecture = architecture_of(**GPT_OSS_120B)
    embeddings = embeddings_of(architecture)
    target = make_target(chips=4)
    placement = place(matrix_shapes(architecture), embeddings, target)
    facts = placement_facts(matrix_shapes(architecture), embeddings, placement, target.technology)
    assert not facts.fits
    assert facts.chips_needed is not None
    assert facts.chips_needed > 4
    times = facts.array_area_mm2 / facts.array_room_mm2
    text = facts.verdict()
    assert text.startswith("does not fit: arrays need ")
    assert f"({times:.2f} times); {facts.chips_needed} of chips would do" in text
    enough = place(matrix_shapes(architecture), embeddings, make_target(chips=facts.chips_needed))
    assert placement_facts(matrix_shapes(architecture), embeddings, enough, target.technology).fits


def test_a_model_that_no_number_of_chips_holds_is_refused() -> None:
    """One head group and one block of inputs: it cannot be cut, and the die is too small for it."""
    architecture = architecture_of(hidden=32, heads=1, kv_heads=1, head_dim=32, vocab=500_000)
    tiny_die = _with_room(load_technology("n5"), 0.01)
    embeddings = embeddings_of(architecture)
    target = dataclasses.replace(make_target(), technology=tiny_die)
    with pytest.raises(
        DoesNotFit, match=r"do not fit the 0.01 mm2 .* however many chips; .*`chips`"
    ):
        place(matrix_shapes(architecture), embeddings, target)
    # but it is placed where the user says so, and told not to fit
    forced = dataclasses.replace(target, chips=1)
    facts = placement_facts(
        matrix_shapes(architecture),
        embeddings,
        place(matrix_shapes(architecture), embeddings, forced),
        tiny_die,
    )
    assert facts.chips_needed is None
    assert "no number of chips would do" in facts.verdict()


def _with_room(technology: Technology, mm2: float) -> Technology:
    die = technology.die
    area = dataclasses.replace(die.area, value=die.other_area_mm2 + mm2)
    return technology.model_copy(update={"die": die.model_copy(update={"area": area})})


def test_more_tracks_make_more_chips_needed() -> None:
    """Facts of a placement count with the tracks that its arrays have."""
    architecture = architecture_of(**(GPT_OSS_120B | {"layers": 4}))
    target = make_target(chips=16, scheme="regions")
    needed = []
    for tracks in (20, 60):
        placement = place(
            matrix_shapes(architecture), embeddings_of(architecture, tracks=tracks), target
        )
        bare = embeddings_of(architecture)
        facts = placement_facts(matrix_shapes(architecture), bare, placement, target.technology)
        needed.append((facts.chips_needed, facts.array_area_mm2))
    assert needed[0] < needed[1]
    assert needed[0][0] is not None
    assert needed[1][0] is not None
    assert needed[0][0] < needed[1][0]


def test_weights_of_the_same_spread_lie_in_the_same_place(tmp_path: Path) -> None:
    """Silicon is made before the weights are known."""
    config = make_config()
    placements = []
    for name, factor in (("a", 1), ("b", 2)):  # negated: other codes, the same exponents
        tensors = random_tensors(config)
        for key, values in tensors.items():
            if values.dtype == np.uint16 and factor == 2:
                tensors[key] = values ^ np.uint16(0x8000)
            elif key.endswith("_blocks") and factor == 2:
                tensors[key] = values ^ np.uint8(0x88)
        checkpoint = write_checkpoint(tmp_path / name, tensors=tensors)
        build = open_build(hnlpu.build(checkpoint, tmp_path / f"{name}.build"))
        placements.append(build.manifest.placement)
    assert placements[0] == placements[1]


def test_the_area_of_a_digit_is_that_of_a_large_tile() -> None:
    t = load_technology("n5")
    for scheme in ("taps", "regions"):
        placement, _ = placed(architecture_of(), 1, scheme=scheme)
        for kind in placement.kinds():
            drawn = open_scheme(t, kind)
            shape = TileShape(4 * kind.rows_per_neuron, 32)
            width, height = drawn.size_nm(shape)
            assert drawn.area_um2() == pytest.approx(width * height * 1e-6 / shape.weights)
