"""A subject -> drawings from the die to one weight, each a frame into the one before.

1 die    2 arrays    3 tile    4 some rows    5 one weight, from above    6 the same, as a solid
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Layout, Rectangles, Scheme
from hnlpu.silicon.masks.picture._floorplan import arrays_panel, arrays_window, die_panel
from hnlpu.silicon.masks.picture._focus import Focus, Mark, Name
from hnlpu.silicon.masks.picture._metal import ordered, within
from hnlpu.silicon.masks.picture._oblique import Oblique, heights, oblique_items
from hnlpu.silicon.masks.picture._parts import (
    EDGE,
    HEIGHT,
    WIDTH,
    TitledDrawing,
    Viewport,
    fitted,
    frame,
    numbers,
    scale_bar,
)
from hnlpu.silicon.masks.picture._scene import Bitmap, Boxes, Item, Rect, Scene, Text
from hnlpu.silicon.masks.picture._subject import PictureSubject, weight_at
from hnlpu.silicon.masks.picture._words import words_of
from hnlpu.silicon.technology import FIXED

ROW_LETTER, LEAST_ROW_NAMES, MOST_ROW_NAMES = 5.7, 78.0, 150.0
"""Width of a letter, and of all names of rows at the left of a drawing, in points."""
LETTER = 8.0
"""Width of a letter of a name above or below a drawing, in points, at most."""
OPACITY = {"upper": 0.62, "stub": 0.92}
LOWER_VIAS, UPPER_VIAS, WIRES = (35, 100, 190), (20, 150, 90), (196, 128, 20)
"""Red, green, blue of what weights decide in a whole tile, where it is too small to be drawn."""
LEAST_VIA = 5.5
"""Points; vias of weights are drawn at least as large, or they would not be seen."""
MOST_COVERED = 0.05
"""Part of a drawing that vias drawn larger may cover."""


def panels_of(subject: PictureSubject, focus: Focus) -> list[TitledDrawing]:
    """All drawings of a subject; without a place they begin at the tile."""
    first = []
    if place := subject.place:
        first = [die_panel(place, arrays_window(subject, place)), arrays_panel(subject, place)]
    return [
        *first, _tile(subject, focus), _rows(subject, focus), _plan(subject, focus),
        _solid(subject, focus),
    ]  # fmt: skip


def _number(subject: PictureSubject, drawing: int) -> int:
    """Of a drawing, where the first ones may be missing."""
    return drawing if subject.place else drawing - 2


# -- 3: tile -------------------------------------------------------------------------------------


def _tile(subject: PictureSubject, focus: Focus) -> TitledDrawing:
    view = fitted(subject.outline)
    scene = Scene(WIDTH, HEIGHT)
    x, y, width, height = view.rect(subject.outline)
    scene.add(Rect(x, y, width, height, "tile"))
    dot = max(0.5, 0.3 * subject.pitch * view.scale)  # points; seen where rows are far apart
    pixels = _programmed(subject, focus.drawn, round(width / dot), round(height / dot))
    scene.add(Bitmap(x, y, width, height, pixels))
    scene.add(*frame(view.rect(focus.rows), _number(subject, 4)), *scale_bar(view))
    title = f"One tile: {subject.shape.weights:,} weights"
    return TitledDrawing(title, words_of(subject.scheme).tile, scene)


def _programmed(
    subject: PictureSubject, drawn: Layout, width: int, height: int
) -> npt.NDArray[np.uint8]:
    """Metal that weights decide as pixels [height, width, 4]: how much falls on each, by layer."""
    t = subject.scheme.technology
    width, height = max(1, width), max(1, height)
    found = {layer[0]: shapes for layer, shapes in drawn.rectangles.items() if len(shapes)}
    layers = [(t.stub.gds_layer, WIRES)] if t.stub.gds_layer in found else [
        (t.lower_cut.gds_layer, LOWER_VIAS), (t.upper_cut.gds_layer, UPPER_VIAS),
    ]  # fmt: skip
    light = np.zeros((len(layers), height, width))
    for pixels, (layer, _) in zip(light, layers, strict=True):
        if layer in found:
            _coverage(found[layer], subject.outline[2:], pixels)
    total = light.sum(0)
    picture = np.zeros((height, width, 4))
    share = light / np.maximum(total, 1)
    picture[..., :3] = np.tensordot(share, np.array([colour for _, colour in layers]), (0, 0))
    picture[..., 3] = 255 * np.minimum(1, total / max(1, np.quantile(total, 0.9)))
    return picture.round().astype(np.uint8)


def _coverage(shapes: Rectangles, size: tuple[float, float], pixels: npt.NDArray[np.float64]) -> None:  # fmt: skip
    """Add 1 to the pixels [height, width] that each shape of a tile of this size touches across."""
    height, width = pixels.shape
    x0, x1 = shapes[:, 0] * width / size[0], shapes[:, 2] * width / size[0]
    centre_y = (shapes[:, 1] + shapes[:, 3]) / 2 * height / size[1]
    y = np.clip(height - 1 - centre_y.astype(int), 0, height - 1)
    small = x1 - x0 < 1  # lies on one pixel, its middle's
    first = np.clip(np.where(small, (x0 + x1) / 2, x0).astype(int), 0, width - 1)
    last = np.clip(np.where(small, (x0 + x1) / 2, x1).astype(int), 0, width - 1)
    while len(first):
        np.add.at(pixels, (y, first), 1)
        longer = first < last
        y, first, last = y[longer], first[longer] + 1, last[longer]


# -- 4 and 5: metal from above -------------------------------------------------------------------


def _rows(subject: PictureSubject, focus: Focus) -> TitledDrawing:
    view = fitted(focus.rows, top=24, left=EDGE + _names_width(subject))
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*metal_items(subject.scheme, focus.layouts, view))
    scene.add(*_row_names(subject, view))
    inputs = [
        Name(x, f"input {subject.first_input + n}", "soft", n == focus.weight.column)
        for n, x in enumerate(focus.inputs)
    ]
    scene.add(*_line_of_names(inputs, view, view.y - 7))
    scene.add(*frame(view.rect(focus.cell), _number(subject, 5)), *scale_bar(view))
    return TitledDrawing("A few rows and inputs", words_of(subject.scheme).rows, scene)


def _plan(subject: PictureSubject, focus: Focus) -> TitledDrawing:
    view = fitted(focus.window, top=26, bottom=50, left=EDGE + _names_width(subject))
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*metal_items(subject.scheme, focus.layouts, view))
    x, y, width, height = view.rect(focus.window)
    cell = view.rect(focus.cell)
    below = cell[1] + cell[3]
    for top, bottom in ((y, cell[1]), (below, y + height)):  # neighbours step back
        if bottom - top > 0.5:
            scene.add(Rect(x, top, width, bottom - top, "card", opacity=0.55))
    scene.add(*_row_names(subject, view, focus.weight.column))
    upper = [name for name in focus.names if name.role == "upper"]
    others = [name for name in focus.names if name.role != "upper"]
    scene.add(*_line_of_names(others, view, y - 7))
    scene.add(*_line_of_names(upper, view, y + height + 15))
    words = words_of(subject.scheme)
    before = words.before_trunks.format(input=f"input {subject.first_input + focus.weight.column}")
    at = y - 7 if words.trunks == "lower" else y + height + 15
    scene.add(Text(x - 7, at, before, 11, "soft", "end"))
    places = [(*view.point(mark.x, mark.y), mark.role) for mark in focus.marks]
    scene.add(*numbers(places, _offsets(focus.marks)))
    scene.add(*scale_bar(view))
    title = f"One weight, from above: {focus.weight.digit}"
    return TitledDrawing(title, f"{focus.weight.meaning}.", scene)


def _offsets(marks: Sequence[Mark]) -> list[tuple[float, float]]:
    """Where numbers stand beside their places: that of a trunk has room on it."""
    return [(0, 0) if n == 0 else (0, -26 if n % 2 else 26) for n in range(len(marks))]


def metal_items(scheme: Scheme, layouts: Sequence[Layout], view: Viewport) -> list[Item]:
    """The metal of layouts in a window from above, vias of weights in front."""
    items: list[Item] = [Rect(*view.rect(view.window), "tile", opacity=0.4)]
    layers = ordered(within(layouts, view.window), scheme)
    # weights lie under the upper metal, but they are what one looks for
    for _, role, found in sorted(layers, key=lambda layer: layer[1] == "weight"):
        least = _least_size(view, len(found)) if role == "weight" else 0.0
        boxes = []
        for x, y, width, height in (view.rect(box) for box in found.tolist()):
            more = max(0.0, least - min(width, height)) / 2
            boxes.append((x - more, y - more, width + 2 * more, height + 2 * more))
        items.append(Boxes(tuple(boxes), role, opacity=OPACITY.get(role, 1.0)))
    return items


def _names_width(subject: PictureSubject) -> float:
    longest = max(len(name) for name in subject.neurons)
    return min(max(LEAST_ROW_NAMES, longest * ROW_LETTER + 8), MOST_ROW_NAMES)


def _least_size(view: Viewport, count: int) -> float:
    """What vias are drawn as large as at least: less where they would hide the metal."""
    _, _, width, height = view.rect(view.window)
    return min(LEAST_VIA, math.sqrt(MOST_COVERED * width * height / max(1, count)))


def _row_names(
    subject: PictureSubject, view: Viewport, column: int | None = None
) -> Iterator[Item]:
    """Names of the rows in a window at its left, with their weights at an input if one is given."""
    pitch, (_, low, _, high) = subject.pitch, view.window
    x, free = view.x - 7, -20.0
    for row in reversed(range(subject.digits.rows)):
        seen = min(high, (row + 1) * pitch) - max(low, row * pitch)
        if seen < pitch / 2 and seen < (high - low) / 2:
            continue
        middle = min(max((row + 0.5) * pitch, low + 16 / view.scale), high - 16 / view.scale)
        y = view.point(0, middle)[1]
        if y - free < 13:
            continue
        free = y
        yield Text(x, y + (4 if column is None else -2), subject.neurons[row], 11, "soft", "end")
        if column is not None:
            digit = weight_at(subject, row, column).digit
            yield Text(x, y + 13, f"weight {digit}", 11, "weight", "end", bold=True)
            free = y + 15


def _line_of_names(names: Sequence[Name], view: Viewport, y: float) -> list[Item]:
    """Names over what they name, as many as have room, the weight's own before others."""
    taken: list[tuple[float, float]] = []
    items: list[Item] = []
    for name in sorted(names, key=lambda name: not name.chosen):
        x, half = view.point(name.x, 0)[0], len(name.text) * LETTER / 2
        inside = view.x - 1 <= x <= min(view.x + view.rect(view.window)[2] + 1, WIDTH - half)
        if inside and all(x + half < low or x - half > high for low, high in taken):
            taken.append((x - half, x + half))
            items.append(Text(x, y, name.text, 12, name.role, "middle", bold=True))
    return items


# -- 6: the weight as a solid --------------------------------------------------------------------


def _solid(subject: PictureSubject, focus: Focus) -> TitledDrawing:
    box, scheme = focus.cell, subject.scheme
    view = Oblique.fitted(box, EDGE + 4, HEIGHT - 26, WIDTH - 2 * EDGE - 8, HEIGHT - 36)
    scene = Scene(WIDTH, HEIGHT)
    shapes = within(focus.layouts, box)
    scene.add(*oblique_items(view, shapes, scheme, focus.trace.shapes))
    reach = heights(scheme)
    places = []
    for n, mark in enumerate(focus.marks):
        low, high = reach[mark.layer, FIXED]
        y = box[1] if n == 0 else mark.y
        z = (low + high) / 2 if mark.role in ("weight", "fixed") else high
        places.append((*view.point(mark.x, y, z), mark.role))
    offsets = [(0.0, 0.0)] * min(2, len(places))
    offsets += [(-24.0 if n % 2 == 0 else 24.0, 0.0) for n in range(len(places) - len(offsets))]
    scene.add(*numbers(places, offsets))
    scene.add(Text(EDGE, HEIGHT - 8, "heights not to scale; silicon below", 11, "soft"))
    text = " ".join(f"({n}) {mark.text}" for n, mark in enumerate(focus.marks, 1))
    return TitledDrawing("The same weight as a solid", text, scene)
