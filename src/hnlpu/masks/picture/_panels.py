"""A subject -> drawings from the die to one weight, each a frame into the one before.

1 die    2 array    3 tile    4 some rows    5 one weight, from above    6 the same, as a solid
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hnlpu.embed import Layout
from hnlpu.masks.picture._focus import Focus, focus_on
from hnlpu.masks.picture._oblique import Oblique, heights, oblique_items
from hnlpu.masks.picture._scene import Bitmap, Disc, Item, Line, Rect, Scene, Text
from hnlpu.masks.picture._subject import (
    Block,
    Box,
    Floorplan,
    Subject,
    Weight,
    choose_weight,
    ordered,
    within,
)
from hnlpu.technology import FIXED, PROGRAMMABLE, Cut, Metal

WIDTH, HEIGHT, EDGE = 480.0, 372.0, 10.0
"""Of every drawing, in points, and the free edge around it."""


@dataclass(frozen=True)
class Panel:
    """One drawing with its title and the sentence below it."""

    title: str
    caption: str
    scene: Scene


@dataclass(frozen=True)
class View:
    """A window of the world (y up) in a drawing (y down), without distortion."""

    window: Box
    x: float
    y: float
    scale: float
    """Points a unit of the window."""

    def rect(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """x, y, width, height of a box of the world in the drawing."""
        x0, y0, x1, y1 = box
        width, height = (x1 - x0) * self.scale, (y1 - y0) * self.scale
        return self.x + (x0 - self.window[0]) * self.scale, self.y + (self.window[3] - y1) * self.scale, width, height  # fmt: skip

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place of the world in the drawing."""
        return self.rect((x, y, x, y))[:2]


def fitted(window: Box, top: float = EDGE, bottom: float = 34.0) -> View:
    """The window as large as it goes in a drawing, in its middle; a scale bar fits below."""
    width, height = window[2] - window[0], window[3] - window[1]
    high = HEIGHT - top - bottom
    scale = min((WIDTH - 2 * EDGE) / width, high / height)
    return View(window, (WIDTH - width * scale) / 2, top + (high - height * scale) / 2, scale)


def panels_of(subject: Subject) -> list[Panel]:
    """All drawings of a subject; without a floorplan they begin at the tile."""
    weight = choose_weight(subject)
    focus = focus_on(subject, weight)
    layouts = [subject.scheme.base(subject.shape), subject.scheme.draw(subject.digits)]
    panels = []
    if subject.floorplan:
        panels += [_die(subject, subject.floorplan), _array(subject, subject.floorplan)]
    panels += [
        _tile(subject, layouts[1], focus), _rows(subject, layouts, focus, weight),
        _plan(subject, layouts, focus, weight), _solid(subject, layouts, focus, weight),
    ]  # fmt: skip
    return panels


# -- 1 and 2: die and array ----------------------------------------------------------------------


def _die(subject: Subject, plan: Floorplan) -> Panel:
    view = fitted((0, 0, plan.width, plan.height))
    scene = Scene(WIDTH, HEIGHT)
    for n, block in enumerate(plan.blocks):
        x, y, width, height = view.rect(_corners(block))
        fill = "array" if block.kind == "array" else "other"
        scene.add(Rect(x, y, width, height, fill, "card"))
        if len(block.name) * 6.2 < width and height > 16 and n != plan.array:
            scene.add(Text(x + width / 2, y + height / 2 + 4, block.name, 11, "soft", "middle"))
    scene.add(*_frame(view.rect(_corners(plan.blocks[plan.array])), 2))
    scene.add(*_scale_bar(view, 1e3))
    size = f"{plan.width / 1e3:.3g} × {plan.height / 1e3:.3g} mm"
    return Panel(
        f"{plan.chip}: {size}",
        "One die. Blue are arrays of hardwired neurons; there is no memory for weights.",
        scene,
    )


def _array(subject: Subject, plan: Floorplan) -> Panel:
    block = plan.blocks[plan.array]
    box = _corners(block)
    view = fitted(box)
    scene = Scene(WIDTH, HEIGHT)
    scene.add(Rect(*view.rect(box), "array", "soft"))
    width, height = subject.outline[2] / 1e3, subject.outline[3] / 1e3
    columns, rows = math.floor(block.width / width + 1e-6), math.floor(block.height / height + 1e-6)
    for step, start, count, upright in (
        (width, plan.tile_x, columns, True), (height, plan.tile_y, rows, False),
    ):  # fmt: skip
        if step * view.scale < 4:  # lines would be a grey area
            continue
        first = -round((start - box[not upright]) / step)
        for n in range(first, first + count + 1):
            at = start + n * step
            ends = ((at, box[1]), (at, box[3])) if upright else ((box[0], at), (box[2], at))
            scene.add(Line(tuple(view.point(*end) for end in ends), "card", 0.8))
    tile = plan.tile_x, plan.tile_y, plan.tile_x + width, plan.tile_y + height
    scene.add(*_frame(view.rect(tile), 3))
    scene.add(*_scale_bar(view, 1e3))
    tiles = max(columns, 1) * max(rows, 1)
    share = f"{tiles:,} tiles like the framed one" if tiles > 1 else "It is one tile"
    return Panel(
        f"{block.name}: {_length(block.width * 1e3)} wide",
        f"An array of neurons. {share}, of {subject.shape.rows} rows of metal and "
        f"{subject.shape.blocks * 32} inputs each.",
        scene,
    )


def _corners(block: Block) -> Box:
    return block.x, block.y, block.x + block.width, block.y + block.height


# -- 3: tile -------------------------------------------------------------------------------------


def _tile(subject: Subject, drawn: Layout, focus: Focus) -> Panel:
    view = fitted(subject.outline)
    scene = Scene(WIDTH, HEIGHT)
    x, y, width, height = view.rect(subject.outline)
    scene.add(Rect(x, y, width, height, "tile"))
    scene.add(Bitmap(x, y, width, height, _vias(subject, drawn, round(width), round(height))))
    scene.add(*_frame(view.rect(focus.rows), 4))
    scene.add(*_scale_bar(view))
    t = subject.scheme.technology
    return Panel(
        f"One tile: {subject.shape.weights:,} weights",
        f"Every dot is a via that this model asks for, blue in {t.lower_cut.name} and green in "
        f"{t.upper_cut.name}. Another model has other dots, and nothing else changes."
        f"{_stripes(subject)}",
        scene,
    )


def _stripes(subject: Subject) -> str:
    """What stands between blocks, where there is something."""
    if not subject.scheme.kind.scale_range:
        return ""
    return " Upright stripes behind every 32 inputs hold the vias of their common scale."


def _vias(subject: Subject, drawn: Layout, width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:  # fmt: skip
    """Programmable vias as pixels [height, width, 4]: how many fall on each, by layer."""
    t = subject.scheme.technology
    size = np.array([subject.outline[2], subject.outline[3]])
    width, height = max(1, width), max(1, height)
    light = np.zeros((2, height, width))
    for n, cut in enumerate((t.lower_cut, t.upper_cut)):
        vias = drawn.rectangles.get((cut.gds_layer, PROGRAMMABLE))
        if vias is not None and len(vias):
            centre = (vias[:, :2] + vias[:, 2:]) / 2 / size * (width, height)
            x, y = np.clip(centre.astype(int), 0, (width - 1, height - 1)).T
            np.add.at(light[n], (height - 1 - y, x), 1)
    total = light.sum(0)
    pixels = np.zeros((height, width, 4))
    colours = np.array([[35, 100, 190], [20, 150, 90]])
    share = light / np.maximum(total, 1)
    pixels[..., :3] = np.tensordot(share, colours, (0, 0))
    pixels[..., 3] = 255 * np.minimum(1, total / max(1, np.quantile(total, 0.9)))
    return pixels.round().astype(np.uint8)


# -- 4 and 5: metal from above -------------------------------------------------------------------


def _rows(subject: Subject, layouts: Sequence[Layout], focus: Focus, weight: Weight) -> Panel:
    view = fitted(focus.rows)
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*_metal(subject, layouts, view))
    scene.add(*_frame(view.rect(focus.cell), 5))
    scene.add(*_scale_bar(view))
    t = subject.scheme.technology
    return Panel(
        "A few rows and inputs",
        f"Upright {t.lower.name} (blue) and {t.upper.name} (green): trunks, which carry the inputs. "
        f"Across, in {t.stub.name} (amber): the neurons' wires. Every red square is a via that a "
        "weight put there.",
        scene,
    )


def _plan(subject: Subject, layouts: Sequence[Layout], focus: Focus, weight: Weight) -> Panel:
    view = fitted(focus.window, top=26, bottom=50)
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*_metal(subject, layouts, view))
    x, y, width, height = view.rect(focus.window)
    cell = view.rect(focus.cell)
    below = cell[1] + cell[3]
    for top, bottom in ((y, cell[1]), (below, y + height)):  # neighbours step back
        if bottom - top > 0.5:
            scene.add(Rect(x, top, width, bottom - top, "card", opacity=0.55))
    for name in focus.names:
        at = view.point(name.x, 0)[0]
        if x <= at <= x + width:
            row = y + height + 15 if name.role == "upper" else y - 7
            scene.add(Text(at, row, name.text, 12.5, name.role, "middle", bold=True))
    places = [(*view.point(mark.x, mark.y), mark.role) for mark in focus.marks]
    scene.add(*_numbers(places, [(0, 0 if n == 0 else -26) for n in range(len(places))]))
    scene.add(*_scale_bar(view))
    return Panel(f"One weight, from above: {weight.digit}", f"{weight.meaning}.", scene)


def _metal(subject: Subject, layouts: Sequence[Layout], view: View) -> list[Item]:
    items: list[Item] = [Rect(*view.rect(view.window), "tile", opacity=0.4)]
    opacity = {"upper": 0.62, "stub": 0.92}
    layers = ordered(within(layouts, view.window), subject.scheme)
    # weights lie under the upper metal, but they are what one looks for
    for _, role, boxes in sorted(layers, key=lambda layer: layer[1] == "weight"):
        for box in boxes.tolist():
            x, y, width, height = view.rect(box)
            if role == "weight":  # small ones as large as can be seen
                more = max(0.0, 5.5 - min(width, height)) / 2
                x, y, width, height = x - more, y - more, width + 2 * more, height + 2 * more
            items.append(Rect(x, y, width, height, role, opacity=opacity.get(role, 1.0)))
    return items


# -- 6: the weight as a solid --------------------------------------------------------------------


def _solid(subject: Subject, layouts: Sequence[Layout], focus: Focus, weight: Weight) -> Panel:
    box = focus.cell
    deep = (box[3] - box[1]) / (box[2] - box[0])
    view = Oblique(box, EDGE + 4, HEIGHT - 26, WIDTH - 2 * EDGE - 8, stretch=max(1.0, 0.34 / deep))
    scene = Scene(WIDTH, HEIGHT)
    shapes = within(layouts, box)
    trunk, _, via, *_ = focus.marks
    chosen = [
        (trunk.x - 1, box[1], trunk.x + 1, box[3]),
        (via.x - 1, via.y - 1, via.x + 1, via.y + 1),
    ]
    scene.add(*oblique_items(view, shapes, subject.scheme, chosen))
    reach = heights(subject.scheme)
    t = subject.scheme.technology
    places = []
    layer_of: dict[str, Metal | Cut] = {
        "lower": t.lower,
        "upper": t.upper,
        "stub": t.stub,
        "fixed": t.port_cut,
    }
    for mark in focus.marks:
        cut = t.lower_cut if trunk.role == "lower" else t.upper_cut
        layer = layer_of.get(mark.role, cut)
        low, high = reach[layer.gds_layer, FIXED]
        y = box[1] if mark is trunk else mark.y
        z = (low + high) / 2 if mark.role in ("weight", "fixed") else high
        places.append((*view.point(mark.x, y, z), mark.role))
    scene.add(*_numbers(places, [(0, 0), (0, 0), (-24, 0), (24, 0)]))
    scene.add(Text(EDGE, HEIGHT - 8, "heights not to scale; silicon below", 11, "soft"))
    text = " ".join(f"({n}) {mark.text}" for n, mark in enumerate(focus.marks, 1))
    return Panel("The same weight as a solid", text, scene)


# -- what several share --------------------------------------------------------------------------


def _frame(rect: tuple[float, float, float, float], number: int) -> list[Item]:
    """A red frame that says which drawing shows it larger; small ones get a wider ring."""
    x, y, width, height = rect
    if min(width, height) < 7:
        x, y = x - (7 - width) / 2 * (width < 7), y - (7 - height) / 2 * (height < 7)
        width, height = max(width, 7), max(height, 7)
    label_x = x + width + (11 if height < 20 else 0)
    label_x = min(label_x, WIDTH - 12) if label_x + 12 < WIDTH or height >= 20 else x - 11
    label_y = min(max(y + (height / 2 if height < 20 else 0), 12), HEIGHT - 12)
    return [
        Rect(x, y, width, height, "", "weight", 2.2),
        Disc(label_x, label_y, 9, "weight", "card"),
        Text(label_x, label_y + 4.4, str(number), 12.5, "card", "middle", bold=True),
    ]


def _numbers(
    places: Sequence[tuple[float, float, str]], offsets: Sequence[tuple[float, float]]
) -> list[Item]:
    """Numbered discs beside places of metal, each with a line to its place."""
    items: list[Item] = []
    for n, ((x, y, role), (dx, dy)) in enumerate(zip(places, offsets, strict=True), 1):
        if dx or dy:
            items.append(Line(((x, y), (x + dx, y + dy)), "ink", 1.5))
            items.append(Disc(x, y, 2.2, "ink"))
        items.append(Disc(x + dx, y + dy, 9.5, "card", role))
        items.append(Text(x + dx, y + dy + 4.5, str(n), 12.5, "ink", "middle", bold=True))
    return items


def _scale_bar(view: View, unit_nm: float = 1.0) -> list[Item]:
    """A bar of a round length, at the lower left."""
    room = 0.24 * WIDTH / view.scale * unit_nm
    decade = 10.0 ** math.floor(math.log10(room))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= room)
    width = length / unit_nm * view.scale
    y = HEIGHT - 8
    bar = ((EDGE, y - 5), (EDGE, y), (EDGE + width, y), (EDGE + width, y - 5))
    return [Line(bar, "ink", 1.5), Text(EDGE + width + 8, y, _length(length), 12, "soft")]


def _length(nm: float) -> str:
    for size, unit in ((1e6, "mm"), (1e3, "µm")):
        if nm >= size:
            return f"{nm / size:.3g} {unit}"
    return f"{nm:.3g} nm"
