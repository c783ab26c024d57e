"""Floorplans are to scale, coloured by role, small, and say what they show."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import SHAPE, die_of, subject_of

from hnlpu.silicon.masks.picture import DrawnBlock, DrawnDie, TilePlace, floorplan_svg
from hnlpu.silicon.masks.picture._floorplan import arrays_window, merged

SVG = "{http://www.w3.org/2000/svg}"
ROLES = ("attention", "experts", "router", "unembedding")


def boxes_of(drawing: str, role: str) -> list[tuple[float, float, float, float]]:
    """x, y, width, height of everything with a role's colour in a path."""
    found = []
    for path in ElementTree.fromstring(drawing).iter(f"{SVG}path"):
        if f"f-{role}" in path.get("class", "").split():
            for move in re.findall(r"M(\S+) (\S+)h(\S+)v(\S+?)h\S+?z", path.get("d", "")):
                x, y, width, height = map(float, move)
                found.append((x, y, width, height))
    return found


def scale_of(drawing: str) -> float:
    """Points a um, from the ticks along the lower edge."""
    texts = [
        (float(text.get("x", "0")), text.text or "")
        for text in ElementTree.fromstring(drawing).iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and re.fullmatch(r"[\d.]+( mm)?", text.text or "")
    ]
    (x0, zero), (x1, one) = texts[:2]
    assert zero == "0 mm"
    return (x1 - x0) / (float(one) * 1e3)


def die(*blocks: DrawnBlock, width: float = 26e3, height: float = 33e3) -> DrawnDie:
    return DrawnDie("chip 3", width, height, blocks)


def test_blocks_are_drawn_to_the_scale_of_the_axis() -> None:
    blocks = (
        DrawnBlock("a", "attention", 0, 0, 13e3, 10e3), DrawnBlock("e", "experts", 13e3, 0, 13e3, 20e3),
        DrawnBlock("buffer", "", 0, 30e3, 26e3, 3e3),
    )  # fmt: skip
    drawing = floorplan_svg(die(*blocks))
    scale = scale_of(drawing)
    drawn = {role: boxes_of(drawing, role)[0] for role in ("attention", "experts", "other")}
    for block, name in zip(blocks, ("attention", "experts", "other"), strict=True):
        assert drawn[name][2:] == pytest.approx(
            (block.width_um * scale, block.height_um * scale), abs=0.02
        )
    # upwards on the die is upwards in the drawing
    assert drawn["experts"][1] + drawn["experts"][3] == pytest.approx(
        drawn["attention"][1] + drawn["attention"][3], abs=0.02
    )
    assert drawn["other"][1] < drawn["experts"][1]
    assert drawn["experts"][0] - drawn["attention"][0] == pytest.approx(13e3 * scale, abs=0.02)


def test_the_legend_has_the_areas() -> None:
    blocks = [DrawnBlock("a", role, 0, n * 1000, 2000, 500) for n, role in enumerate(ROLES)]
    drawing = floorplan_svg(
        die(*blocks, DrawnBlock("x", "", 5e3, 0, 1e3, 1e3), width=1e4, height=1e4)
    )
    text = " ".join(ElementTree.fromstring(drawing).itertext())
    for role in ROLES:
        assert f"{role}: 1 array, 1 mm², 1 % of the die" in text
    assert "other blocks: 1 mm², 1 % of the die" in text
    assert "chip 3: 10 × 10 mm" in text


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [(26, 33, True), (33, 26, True), (20, 30, True), (26, 33.1, False), (34, 20, False)],
)
def test_it_says_whether_the_reticle_holds_the_die(width: float, height: float, fits: bool) -> None:
    plan = die(DrawnBlock("a", "experts", 0, 0, 1e4, 1e4), width=width * 1e3, height=height * 1e3)
    drawing = floorplan_svg(replace(plan, reticle_um=(26e3, 33e3)))
    turned = "33 × 26 mm" if width > height else "26 × 33 mm"
    assert f"reticle, {turned}: the die {'fits' if fits else 'is larger'}" in drawing
    frames = [
        rect for rect in ElementTree.fromstring(drawing).iter(f"{SVG}rect")
        if "s-weight" in rect.get("class", "") and float(rect.get("width", "0")) > 20
    ]  # fmt: skip
    assert len(frames) == (not fits)
    if frames:
        printed = (
            min(width, 33 if width > height else 26),
            min(height, 26 if width > height else 33),
        )
        size = [
            float(frames[0].get(side, "0")) / scale_of(drawing) / 1e3
            for side in ("width", "height")
        ]
        assert size == pytest.approx(printed, rel=1e-3)


def test_a_die_of_thousands_of_tiles_is_a_small_drawing() -> None:
    blocks = [
        DrawnBlock(f"t{n}.{m}", ROLES[n // 60], m * 860, n * 70, 860, 70)
        for n in range(240) for m in range(30)
    ]  # fmt: skip
    drawing = floorplan_svg(die(*blocks))
    assert len(drawing) < 12_000
    scale = scale_of(drawing)
    for role in ROLES:
        area = sum(width * height for _, _, width, height in boxes_of(drawing, role))
        assert area == pytest.approx(1800 * 860 * 70 * scale**2, rel=0.02)


@settings(max_examples=100)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=6))
def test_merging_keeps_every_place_covered_once(cells: list[list[bool]]) -> None:
    boxes = [(4.0 * x, 3.0 * y, 4.0, 3.0) for y, row in enumerate(cells) for x, on in enumerate(row) if on]  # fmt: skip
    covered = np.zeros((len(cells), 6), int)
    for x, y, width, height in merged(boxes):
        covered[round(y / 3) : round((y + height) / 3), round(x / 4) : round((x + width) / 4)] += 1
    assert covered.tolist() == np.array(cells).astype(int).tolist()
    assert len(merged(boxes)) <= len(boxes)


def test_names_are_escaped() -> None:
    nasty = '<script>&"'
    drawing = floorplan_svg(replace(die(DrawnBlock(nasty, nasty, 0, 0, 2e4, 2e4)), name=nasty))
    ElementTree.fromstring(drawing)
    assert "<script" not in drawing


def test_the_window_of_arrays_holds_the_tile_and_lies_among_arrays() -> None:
    subject = subject_of()
    width, height = (nm / 1e3 for nm in subject.scheme.size_nm(SHAPE))
    plan = die_of(*subject.scheme.size_nm(SHAPE))
    for column in range(3):
        for row in range(4):
            place = TilePlace(plan, 1 + row, 2000 + column * width, 500 + row * height)
            x0, y0, x1, y1 = arrays_window(subject, place)
            assert 2000 - 1e-6 <= x0 <= place.x_um + 1e-6
            assert place.x_um + width <= x1 + 1e-6 <= 2000 + 3 * width + 2e-6
            assert 500 - 1e-6 <= y0 <= place.y_um + 1e-6
            assert place.y_um + height <= y1 + 1e-6 <= 500 + 4 * height + 2e-6
