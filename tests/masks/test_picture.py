"""Pictures show the metal that is there, name the right weight, and need nothing but themselves."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, random_digits, scheme_of
from PIL import Image

from hnlpu.embed import Grid, Layout, Rectangles, Taps, TileShape
from hnlpu.masks.picture import Block, Floorplan, Subject, draw_png, viewer
from hnlpu.masks.picture._focus import focus_on
from hnlpu.masks.picture._panels import fitted, panels_of
from hnlpu.masks.picture._scene import Rect, Text, png_bytes, svg
from hnlpu.masks.picture._subject import choose_weight, weight_at, within
from hnlpu.masks.picture._viewer import MOST_WEIGHTS
from hnlpu.quantize import TWICE_E2M1, dequantize, unpack
from hnlpu.technology import PIN, PROGRAMMABLE

SHAPE = TileShape(24, 2)


def subject_of(kind: str = "scales", shape: TileShape = SHAPE, **changes: Any) -> Subject:
    scheme = scheme_of(kind)
    width, height = scheme.size_nm(shape)
    array = Block("array 1", "array", 2000, 500, 3 * width / 1e3, 4 * height / 1e3)
    buffer = Block("buffer", "other", 100, 100, 1500, 4000)
    plan = Floorplan("chip 0", 9000, 8000, [buffer, array], 1, 2000 + width / 1e3, 500)
    subject = Subject(
        "a model", "layers.0.q", scheme, random_digits(scheme, shape),
        [f"neuron {n}" for n in range(shape.rows)], 64,
        np.full(shape.rows, 121, np.uint8), plan,
    )  # fmt: skip
    return replace(subject, **changes)


def weights_of_codes(subject: Subject) -> list[tuple[int, int]]:
    """A weight of every code but minus zero."""
    codes = unpack(subject.digits.codes)
    places = [np.argwhere(codes == code) for code in range(16) if code != 8]
    return [tuple(found[len(found) // 2].tolist()) for found in places]


# -- which weight --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_told_as_the_digits_say(kind: str) -> None:
    subject = subject_of(kind)
    assert subject.exponents is not None
    exponents = subject.exponents[:, None] + subject.digits.shifts
    values = dequantize(subject.digits.codes, exponents.astype(np.uint8))
    for row, column in weights_of_codes(subject):
        weight = weight_at(subject, row, column)
        told = weight.meaning.replace("−", "-")
        assert told.startswith(f"layers.0.q, neuron {row}, input {64 + column}: ")
        assert float(told.rsplit(" ", 1)[1]) == pytest.approx(float(values[row, column]), rel=5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_via_stands_on_the_trunk_named_as_the_weight(kind: str) -> None:
    base = subject_of(kind)
    for row, column in weights_of_codes(base):
        subject = replace(base, row=row, column=column)
        weight = choose_weight(subject)
        assert (weight.row, weight.column) == (row, column)
        focus = focus_on(subject, weight)
        drawn = within([subject.scheme.draw(subject.digits)], focus.cell)
        (via,) = np.concatenate(list(drawn.values()))
        assert isinstance(subject.scheme, Taps)
        on = {name.text for name in focus.names if abs(name.x - (via[0] + via[2]) / 2) < 1}
        level = subject.scheme.technology.lower_cut.gds_layer
        role = "lower" if (level, PROGRAMMABLE) in drawn else "upper"
        assert weight.digit in {n.text for n in focus.names if n.text in on and n.role == role}


def test_the_drawing_from_above_has_the_via_under_its_name() -> None:
    subject = subject_of("plain")
    weight = choose_weight(subject)
    focus = focus_on(subject, weight)
    plan = panels_of(subject)[4]
    view = fitted(focus.window, top=26, bottom=50)
    _, y, _, height = view.rect(focus.cell)
    vias = [
        item.x + item.width / 2 for item in plan.scene.items
        if isinstance(item, Rect) and item.fill == "weight" and y < item.y < y + height
        and view.rect(focus.cell)[0] < item.x < view.rect(focus.cell)[0] + view.rect(focus.cell)[2]
    ]  # fmt: skip
    (name,) = [i.x for i in plan.scene.items if isinstance(i, Text) and i.text == weight.digit]
    assert vias == [pytest.approx(name, abs=0.6)]


def test_without_a_choice_the_weight_is_inside_and_not_zero() -> None:
    for seed in range(5):
        subject = subject_of(digits=random_digits(scheme_of("scales"), SHAPE, seed))
        weight = choose_weight(subject)
        assert weight.digit in ("+1.5", "−1.5")
        assert 8 <= weight.column % 32 < 24


def test_a_tile_of_zeros_still_has_a_picture() -> None:
    digits = random_digits(scheme_of("plain"), SHAPE)
    zeros = replace(digits, codes=np.zeros_like(digits.codes))
    assert choose_weight(subject_of("plain", digits=zeros)).digit == "0"
    assert "is ground" in panels_of(subject_of("plain", digits=zeros))[-1].caption


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons": ["neuron 0"]}, "1 names for 24 rows"),
        ({"exponents": np.zeros(3, np.uint8)}, "exponents for 24 rows"),
        ({"floorplan": Floorplan("c", 9, 9, [Block("a", "array", 0, 0, 9, 9)], 0, 8, 0)}, "beyond its array"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subject_of(**changes)


def test_a_weight_beyond_the_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond the tile"):
        choose_weight(subject_of(row=24, column=0))


# -- windows -------------------------------------------------------------------------------------

spans = st.tuples(st.integers(-80, 250), st.integers(1, 200))


@settings(max_examples=200)
@given(
    st.tuples(*[st.integers(-50, 50)] * 2), st.tuples(*[st.integers(1, 20)] * 2),
    st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(21, 40)] * 2), spans, spans,
)  # fmt: skip
def test_a_window_shows_what_touches_it(
    corner: tuple[int, int], size: tuple[int, int], counts: tuple[int, int],
    steps: tuple[int, int], across: tuple[int, int], up: tuple[int, int],
) -> None:  # fmt: skip
    (x, y), (w, h) = corner, size
    grid = Grid((1, 0), x, y, x + w, y + h, counts[0], steps[0], counts[1], steps[1])
    window = across[0], up[0], sum(across), sum(up)
    all_ = grid.rectangles()
    rect = np.clip(all_, window[:2] * 2, window[2:] * 2)
    wanted = rect[(rect[:, 2] > rect[:, 0]) & (rect[:, 3] > rect[:, 1])]
    for layout in (Layout([grid]), Layout(rectangles={(1, 0): all_})):
        found = within([layout], window).get((1, 0), np.empty((0, 4), np.int32))
        assert found.tolist() == wanted.tolist()


# -- page and image ------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
def test_the_png_is_an_image_with_all_layers_in_colour(dark: bool) -> None:
    png = draw_png(subject_of(), dark=dark)
    image = Image.open(BytesIO(png)).convert("RGB")
    assert image.width > 1500
    assert image.height > 900
    pixels = np.asarray(image).reshape(-1, 3).astype(int)
    from hnlpu.masks.picture._scene import DARK, LIGHT

    theme = DARK if dark else LIGHT
    for role in ("paper", "card", "array", "other", "lower", "stub", "upper", "fixed", "weight"):
        colour = [int(theme[role][n : n + 2], 16) for n in (1, 3, 5)]
        assert (np.abs(pixels - colour).max(1) <= 2).sum() > 50, role


def test_the_same_subject_gives_the_same_bytes() -> None:
    assert draw_png(subject_of()) == draw_png(subject_of())
    assert viewer(subject_of()) == viewer(subject_of())


def test_without_a_floorplan_it_begins_at_the_tile() -> None:
    titles = [panel.title for panel in panels_of(subject_of(floorplan=None))]
    assert len(titles) == 4
    assert titles[0] == "One tile: 1,536 weights"
    assert Image.open(BytesIO(draw_png(subject_of(floorplan=None)))).width > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_stay_in_their_frame_and_are_sound_svg(kind: str) -> None:
    for panel in panels_of(subject_of(kind)):
        for item in panel.scene.items:
            if isinstance(item, Rect):
                assert item.x > -6
                assert item.x + item.width < panel.scene.width + 6
                assert item.y > -6
                assert item.y + item.height < panel.scene.height + 6
        drawn = svg(panel.scene, panel.title, panel.caption, standalone=True)
        assert ElementTree.fromstring(drawn).find("{http://www.w3.org/2000/svg}title") is not None


def test_our_png_writer_is_read_by_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    assert (np.asarray(Image.open(BytesIO(png_bytes(pixels)))) == pixels).all()


# -- viewer --------------------------------------------------------------------------------------


def data_of(markup: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/octet-stream">([^<]*)</script>', markup)
    assert found
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return data


def listed(group: dict[str, Any]) -> Rectangles:
    x, y = np.cumsum(group["x"]), np.cumsum(group["y"])
    return np.stack([x, y, x + np.array(group["width"]), y + group["height"]], -1)


def as_set(rectangles: Rectangles) -> set[tuple[int, ...]]:
    return {tuple(box) for box in rectangles.tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_viewer_carries_all_metal_and_every_digit(kind: str) -> None:
    subject = subject_of(kind)
    data = data_of(viewer(subject).markup)
    t, drawn = subject.scheme.technology, subject.scheme.draw(subject.digits)
    for on, cut in (("lower", t.lower_cut), ("upper", t.upper_cut)):
        groups = [group for group in data["shapes"] if group["on"] == on]
        found = set().union(*(as_set(listed(group)) for group in groups))
        assert found == as_set(drawn.rectangles[cut.gds_layer, PROGRAMMABLE])
    base = subject.scheme.base(subject.shape).flat()
    fixed = {
        "lower": t.lower,
        "stub": t.stub,
        "upper": t.upper,
        "port": t.port_cut,
        "tie": t.lower_cut,
    }
    for role, layer in fixed.items():
        grids = [Grid((0, 0), *grid[1:]) for grid in data["grids"] if grid[0] == role]
        found = set().union(*(as_set(grid.rectangles()) for grid in grids))
        assert found == as_set(base[layer.gds_layer, 0])
    assert all(key[1] == PIN or key[0] in [v.gds_layer for v in fixed.values()] for key in base)
    codes = [[int(letter, 16) for letter in row] for row in data["digits"]["codes"]]
    assert codes == unpack(subject.digits.codes).tolist()
    assert data["digits"]["shifts"] == subject.digits.shifts.tolist()
    assert data["digits"]["twice"] == TWICE_E2M1.tolist()


def test_levels_lie_one_in_the_other_and_around_the_weight() -> None:
    subject = subject_of()
    data = data_of(viewer(subject).markup)
    boxes = [level["box"] for level in data["levels"]]
    assert len(boxes) == 5
    for outer, inner in zip(boxes, [*boxes[1:], data["cell"]], strict=True):
        assert outer[2] - outer[0] >= inner[2] - inner[0] - 1e-6
        centre = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
        assert outer[0] <= centre[0] <= outer[2]
        assert outer[1] <= centre[1] <= outer[3]
    assert boxes[2][:2] == [data["tile"][0], data["tile"][1]]


def test_of_a_large_tile_the_rows_about_the_weight_are_carried() -> None:
    shape = TileShape(600, 8)
    subject = subject_of("plain", shape, row=590, column=3)
    assert shape.weights > MOST_WEIGHTS
    data = data_of(viewer(subject).markup)
    first, count = data["digits"]["first"], len(data["digits"]["codes"])
    assert count * 256 <= MOST_WEIGHTS
    assert first <= 590 < first + count <= 600
    assert sum(len(group["x"]) for group in data["shapes"]) == count * 256


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    nasty = '</script><img src=x onerror="alert(1)">&'
    subject = subject_of(matrix=nasty, model=nasty)
    fragment = viewer(replace(subject, neurons=[nasty] * SHAPE.rows))
    assert "<img" not in fragment.markup
    assert fragment.markup.count("</script>") == 1
    links = re.findall(
        r'(?:href|src)="([^"]*)"|url\(|https?://[^\s"<]*', fragment.markup + fragment.style
    )
    assert all(link.startswith("data:image/png;base64,") for link in links if link)
    assert "http" not in fragment.script
    assert set(re.findall(r'https?://[^\s"<]*', fragment.markup)) == {"http://www.w3.org/2000/svg"}
    assert data_of(fragment.markup)["matrix"] == nasty
