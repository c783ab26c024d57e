"""Pictures show the metal that is there, name the right weight, and need nothing but themselves."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from subjects import KINDS, SHAPE, subject_of

from hnlpu.arithmetic.mx import dequantize, unpack
from hnlpu.silicon.embed import Grid, Layout, Taps
from hnlpu.silicon.masks.picture import (
    DrawnBlock,
    DrawnDie,
    PictureSubject,
    TilePlace,
    draw_png,
    viewer,
)
from hnlpu.silicon.masks.picture._focus import focus_on
from hnlpu.silicon.masks.picture._metal import within
from hnlpu.silicon.masks.picture._panels import (
    LOWER_VIAS,
    UPPER_VIAS,
    _names_width,
    _programmed,
    metal_items,
    panels_of,
)
from hnlpu.silicon.masks.picture._parts import EDGE, HEIGHT, WIDTH, TitledDrawing, fitted
from hnlpu.silicon.masks.picture._png import render
from hnlpu.silicon.masks.picture._scene import DARK, LIGHT, Boxes, Rect, Scene, Text, png_bytes, svg
from hnlpu.silicon.masks.picture._subject import weight_at
from hnlpu.silicon.technology import PROGRAMMABLE


def weights_of_codes(subject: PictureSubject) -> list[tuple[int, int]]:
    """A weight of every code but minus zero."""
    codes = unpack(subject.digits.codes)
    places = [np.argwhere(codes == code) for code in range(16) if code != 8]
    return [tuple(found[len(found) // 2].tolist()) for found in places]


def panels(subject: PictureSubject) -> list[TitledDrawing]:
    return panels_of(subject, focus_on(subject))


def with_code(subject: PictureSubject, row: int, column: int, code: int) -> PictureSubject:
    """The subject with one weight changed, and that weight shown last."""
    codes = subject.digits.codes.copy()
    block, n = divmod(column, 32)
    high = n % 2 * 4
    byte = int(codes[row, block, n // 2])
    codes[row, block, n // 2] = byte & ~(15 << high) | code << high
    return replace(subject, digits=replace(subject.digits, codes=codes), row=row, column=column)


def rgb(name: str, theme: dict[str, str] = LIGHT) -> list[int]:
    return [int(theme[name][n : n + 2], 16) for n in (1, 3, 5)]


# -- which weight --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_told_as_the_digits_say(kind: str) -> None:
    subject = subject_of(kind)
    assert subject.exponents is not None
    exponents = subject.exponents[:, None] + subject.digits.shifts
    values = dequantize(subject.digits.codes, exponents.astype(np.uint8))
    integers = subject.digits.integers()
    for row, column in weights_of_codes(subject):
        weight = weight_at(subject, row, column)
        told = weight.meaning.replace("−", "-")
        assert told.startswith(f"layers.0.q, neuron {row}, input {64 + column}: ")
        assert float(told.rsplit(" ", 1)[1]) == pytest.approx(float(values[row, column]), rel=5e-4)
        assert 2 * float(weight.in_row.replace("−", "-")) == integers[row, column]


def test_without_a_choice_the_weight_is_inside_and_not_zero() -> None:
    for seed in range(5):
        weight = focus_on(subject_of("scales", seed=seed)).weight
        assert weight.digit in ("+1.5", "−1.5")
        assert 8 <= weight.column % 32 < 24


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_of_zeros_still_has_a_picture(kind: str) -> None:
    subject = subject_of(kind)
    zeros = replace(subject.digits, codes=np.zeros_like(subject.digits.codes))
    zero = replace(subject, digits=zeros)
    assert focus_on(zero).weight.digit == "0"
    assert "is ground" in panels(zero)[-1].caption or "has no wire" in panels(zero)[-1].caption
    assert draw_png(zero)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons": ["neuron 0"]}, "1 names for 24 rows"),
        ({"exponents": np.zeros(3, np.uint8)}, "exponents for 24 rows"),
        ({"place": TilePlace(DrawnDie("c", 9, 9, [DrawnBlock("a", "router", 0, 0, 9, 9)]), 0, 8, 0)}, "beyond its block"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subject_of(**changes)


def test_a_weight_beyond_the_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond the tile"):
        focus_on(subject_of(row=24, column=0))


# -- its metal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_metal_followed_joins_the_pins_that_the_scheme_reads_as_the_weight(kind: str) -> None:
    """Without the vias that were followed, the reader misses this weight and no other."""
    base = subject_of(kind)
    for row, column in weights_of_codes(base):
        subject = replace(base, row=row, column=column)
        focus = focus_on(subject)
        if focus.weight.code == 0 and not isinstance(subject.scheme, Taps):
            continue  # has no metal
        t = subject.scheme.technology
        shapes: dict[tuple[int, int], list[Any]] = {}
        for key, found in focus.drawn.rectangles.items():
            gone = focus.trace.shapes.get(key, np.empty((0, 4), np.int32))
            kept = [box for box in found.tolist() if box not in gone.tolist()]
            shapes[key] = [np.array(kept, np.int32).reshape(-1, 4)]
            if key[0] != t.stub.gds_layer:
                assert len(found) - len(kept) == (len(gone) > 0)
        whole, _ = subject.scheme.read(subject.shape, focus.drawn.shapes())
        found, faults = subject.scheme.read(subject.shape, shapes)
        assert faults
        assert {fault.row for fault in faults} == {row}
        if isinstance(subject.scheme, Taps):
            assert [fault.column for fault in faults] == [column]
        else:
            assert found[row, column] == 0 != whole[row, column]
        differing = np.argwhere(found != whole).tolist()
        assert differing in ([], [[row, column]])


@pytest.mark.parametrize(
    ("kind", "process"),
    [("plain", "n5"), ("scales", "n5"), ("bank", "n5"), ("plain", "asap7"), ("scales", "sky130")],
)
def test_the_via_stands_on_the_trunk_named_as_the_weight(kind: str, process: str) -> None:
    base = subject_of(kind, process=process)
    for row, column in weights_of_codes(base):
        focus = focus_on(replace(base, row=row, column=column))
        assert (focus.weight.row, focus.weight.column) == (row, column)
        drawn = within([focus.drawn], focus.cell)
        (via,) = np.concatenate(list(drawn.values()))
        (level,) = (key[0] for key in drawn)
        role = "lower" if level == base.scheme.technology.lower_cut.gds_layer else "upper"
        (name,) = (n for n in focus.names if n.chosen)
        assert (name.text, name.role) == (focus.weight.digit, role)
        assert name.x == (via[0] + via[2]) / 2


def test_a_wire_goes_from_its_inputs_trunk_to_a_port_of_its_value() -> None:
    base = subject_of("wires")
    for row, column in weights_of_codes(base)[1:]:
        focus = focus_on(replace(base, row=row, column=column))
        (wire,) = focus.trace.of(base.scheme.technology.stub, PROGRAMMABLE).tolist()
        assert focus.cell[0] <= wire[0] < wire[2] <= focus.cell[2]
        assert wire[0] <= focus.inputs[column] <= wire[2]
        (name,) = (n for n in focus.names if n.chosen)
        assert name.text == str(64 + column)
        roles = [mark.role for mark in focus.marks]
        assert roles[:4] == ["upper", "stub", "weight", "weight"]
        assert focus.weight.in_row in focus.marks[-1].text


@pytest.mark.parametrize(
    ("kind", "process"),
    [
        *((kind, "n5") for kind in KINDS),
        ("scales", "sky130"),
        ("wires", "sky130"),
        ("bank", "asap7"),
    ],
)
def test_marks_stand_on_metal_of_their_layer_inside_the_window(kind: str, process: str) -> None:
    base = subject_of(kind, process=process)
    for row, column in weights_of_codes(base)[1:]:
        focus = focus_on(replace(base, row=row, column=column))
        assert len(focus.marks) >= 4
        metal = within(focus.layouts, focus.window)
        for mark in focus.marks:
            boxes = [
                b for key, found in metal.items() if key[0] == mark.layer for b in found.tolist()
            ]
            assert any(b[0] <= mark.x <= b[2] and b[1] <= mark.y <= b[3] for b in boxes), mark


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_inputs_are_named_where_they_are(kind: str) -> None:
    subject = subject_of(kind)
    focus = focus_on(subject)
    labels = {label.text: label for label in focus.base.labels}
    assert len(focus.inputs) == SHAPE.blocks * 32
    for n, x in enumerate(focus.inputs):
        own = [
            lab.x for text, lab in labels.items() if text == f"x{n}" or text.startswith(f"x{n}.")
        ]
        assert x == (min(own) + max(own)) / 2


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


# -- drawings ------------------------------------------------------------------------------------


def vias_drawn(panel: TitledDrawing) -> list[tuple[float, float, float, float]]:
    return [
        box for item in panel.scene.items
        if isinstance(item, Boxes) and item.fill == "weight" for box in item.boxes
    ]  # fmt: skip


def test_the_drawing_from_above_has_the_via_under_its_name() -> None:
    subject = subject_of("plain")
    focus = focus_on(subject)
    plan = panels(subject)[4]
    (name,) = [
        i.x for i in plan.scene.items if isinstance(i, Text) and i.text == focus.weight.digit
    ]
    middles = [x + width / 2 for x, _, width, _ in vias_drawn(plan)]
    assert any(abs(middle - name) < 0.6 for middle in middles)


@pytest.mark.parametrize("kind", ["plain", "scales"])
def test_another_weight_moves_its_via_and_changes_nothing_else(kind: str) -> None:
    """From above and in pixels: the via's old and new place differ, the rest of the metal does not."""
    base = subject_of(kind)
    row, column = 12, 12
    a, b = (with_code(base, row, column, code) for code in (2, 6))
    shown = []
    for subject in (a, b):
        panel = panels(subject)[3]
        metal = [item for item in panel.scene.items if isinstance(item, Boxes)]
        scene = Scene(panel.scene.width, panel.scene.height, [*metal])
        shown.append((metal, np.asarray(render(scene, LIGHT, 2.0)).astype(int)))
    (metal_a, pixels_a), (metal_b, pixels_b) = shown
    assert [m for m in metal_a if m.fill != "weight"] == [m for m in metal_b if m.fill != "weight"]
    vias = [
        {box for m in metal if m.fill == "weight" for box in m.boxes}
        for metal in (metal_a, metal_b)
    ]
    gone, come = vias[0] - vias[1], vias[1] - vias[0]
    assert len(gone) == len(come) == 1
    changed = np.argwhere(np.abs(pixels_a - pixels_b).max(-1) > 2)
    assert len(changed)
    near = np.zeros(pixels_a.shape[:2], bool)
    for x, y, width, height in gone | come:
        near[
            int(2 * y) - 1 : int(2 * (y + height)) + 2, int(2 * x) - 1 : int(2 * (x + width)) + 2
        ] = True
    assert near[tuple(changed.T)].all()
    middles = [x + width / 2 for x, _, width, _ in (*gone, *come)]
    view = fitted(focus_on(a).rows, top=24, left=EDGE + _names_width(a))
    assert isinstance(base.scheme, Taps)
    sites = base.scheme.site_x
    assert middles[1] - middles[0] == pytest.approx((sites[6] - sites[2]) * view.scale)


def test_another_wire_changes_its_row_and_no_other() -> None:
    base = subject_of("wires")
    a, b = (with_code(base, 12, 12, code) for code in (2, 3))
    view = fitted(base.outline)
    shown = []
    for subject in (a, b):
        layouts = subject.scheme.base(SHAPE), subject.scheme.draw(subject.digits)
        scene = Scene(WIDTH, HEIGHT, metal_items(subject.scheme, layouts, view))
        shown.append(np.asarray(render(scene, LIGHT, 2.0)).astype(int))
    changed = np.flatnonzero((np.abs(shown[0] - shown[1]).max(-1) > 2).any(1))
    _, top, _, height = view.rect((0, 12 * base.pitch, 1, 13 * base.pitch))
    assert len(changed)
    assert 2 * top - 4 <= changed.min()
    assert changed.max() <= 2 * (top + height) + 4


@pytest.mark.parametrize("kind", ["plain", "bank"])
def test_the_whole_tiles_dots_are_as_many_as_its_vias(kind: str) -> None:
    subject = subject_of(kind)
    drawn = subject.scheme.draw(subject.digits)
    pitch = subject.pitch
    # pixels wider than a via, and narrower than from one via to the next
    pixels = _programmed(subject, drawn, int(subject.outline[2] // 60), SHAPE.rows)
    lit = np.argwhere(pixels[..., 3] > 0)
    assert set(map(tuple, pixels[pixels[..., 3] > 0][:, :3].tolist())) == {LOWER_VIAS, UPPER_VIAS}
    vias = np.concatenate(list(drawn.rectangles.values()))
    rows = np.bincount((vias[:, [1, 3]].mean(1) // pitch).astype(int), minlength=SHAPE.rows)
    assert np.bincount(SHAPE.rows - 1 - lit[:, 0], minlength=SHAPE.rows).tolist() == rows.tolist()


@pytest.mark.parametrize("dark", [False, True])
def test_the_png_is_an_image_with_all_layers_in_colour(dark: bool) -> None:
    image = Image.open(BytesIO(draw_png(subject_of(), dark=dark))).convert("RGB")
    assert image.width > 1500
    assert image.height > 900
    pixels = np.asarray(image).reshape(-1, 3).astype(int)
    for role in (
        "paper",
        "card",
        "attention",
        "other",
        "lower",
        "stub",
        "upper",
        "fixed",
        "weight",
    ):
        near = np.abs(pixels - rgb(role, DARK if dark else LIGHT)).max(1) <= 2
        assert near.sum() > 50, role


def test_text_and_layers_can_be_told_from_what_they_stand_on() -> None:
    """Contrast by WCAG 2.2: text 4.5 (1.4.3), graphics that one must see 3 (1.4.11)."""

    def luminance(name: str, theme: dict[str, str]) -> float:
        linear = [
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
            for v in (channel / 255 for channel in rgb(name, theme))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str, theme: dict[str, str]) -> float:
        low, high = sorted(luminance(name, theme) + 0.05 for name in (a, b))
        return high / low

    for theme in (LIGHT, DARK):
        for ground in ("paper", "card"):
            assert contrast("ink", ground, theme) > 7
            assert contrast("soft", ground, theme) > 4.5
        for ground in ("attention", "experts", "router", "unembedding", "array", "other"):
            assert contrast("ink", ground, theme) > 4.5
        for layer in ("lower", "upper", "fixed", "weight"):
            assert contrast(layer, "card", theme) > 3


def test_the_same_subject_gives_the_same_bytes() -> None:
    assert draw_png(subject_of()) == draw_png(subject_of())
    assert viewer(subject_of()) == viewer(subject_of())


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_stay_small(kind: str) -> None:
    assert len(draw_png(subject_of(kind))) < 500_000
    assert len(viewer(subject_of(kind))) < 400_000


def test_without_a_die_it_begins_at_the_tile() -> None:
    subject = subject_of(place=None)
    titles = [panel.title for panel in panels(subject)]
    assert len(titles) == 4
    assert titles[0] == "One tile: 1,536 weights"
    assert Image.open(BytesIO(draw_png(subject))).width > 1000


@pytest.mark.parametrize(
    ("kind", "process"),
    [
        *((kind, "n5") for kind in KINDS),
        ("plain", "asap7"),
        ("bank", "sky130"),
        ("wires", "sky130"),
    ],
)
def test_drawings_stay_in_their_frame_and_are_sound_svg(kind: str, process: str) -> None:
    for panel in panels(subject_of(kind, process=process)):
        boxes = [(i.x, i.y, i.width, i.height) for i in panel.scene.items if isinstance(i, Rect)]
        boxes += [box for i in panel.scene.items if isinstance(i, Boxes) for box in i.boxes]
        for x, y, width, height in boxes:
            assert x > -6
            assert x + width < panel.scene.width + 6
            assert y > -6
            assert y + height < panel.scene.height + 6
        drawn = svg(panel.scene, panel.title, panel.caption, standalone=True)
        assert ElementTree.fromstring(drawn).find("{http://www.w3.org/2000/svg}title") is not None


def test_our_png_writer_is_read_by_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    assert (np.asarray(Image.open(BytesIO(png_bytes(pixels)))) == pixels).all()


def test_overlapping_boxes_are_no_darker() -> None:
    boxes = Boxes(((0, 0, 6, 10), (4, 0, 6, 10)), "weight", opacity=0.5)
    pixels = np.asarray(render(Scene(10, 10, [boxes]), LIGHT, 1.0))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1
