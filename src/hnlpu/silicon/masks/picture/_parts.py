"""What drawings share: their size, a window of the world in them, frames, numbers, scale bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.silicon.masks.picture._metal import Box
from hnlpu.silicon.masks.picture._scene import Disc, Item, Line, Rect, Scene, Text

WIDTH, HEIGHT, EDGE = 480.0, 372.0, 10.0
"""Of every drawing, in points, and the free edge around it."""


@dataclass(frozen=True)
class TitledDrawing:
    """One drawing with its title and the sentence below it."""

    title: str
    caption: str
    scene: Scene


@dataclass(frozen=True)
class Viewport:
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


def fitted(window: Box, *, top: float = EDGE, bottom: float = 34.0, left: float = EDGE) -> Viewport:
    """The window as large as it goes in a drawing, in the middle of what the edges leave.

    A scale bar fits below.
    """
    width, height = window[2] - window[0], window[3] - window[1]
    room, high = WIDTH - left - EDGE, HEIGHT - top - bottom
    scale = min(room / width, high / height)
    return Viewport(
        window, left + (room - width * scale) / 2, top + (high - height * scale) / 2, scale
    )


def frame(rect: tuple[float, float, float, float], number: int) -> list[Item]:
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


def numbers(
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


def scale_bar(view: Viewport, unit_nm: float = 1.0) -> list[Item]:
    """A bar of a round length, at the lower left."""
    return scale_bar_at(EDGE, HEIGHT - 8, 0.24 * WIDTH, view.scale / unit_nm)


def scale_bar_at(x: float, y: float, room: float, points_a_nm: float) -> list[Item]:
    """A bar of a round length within `room` points, its left end at (x, y)."""
    most = room / points_a_nm
    decade = 10.0 ** math.floor(math.log10(most))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= most)
    width = length * points_a_nm
    bar = ((x, y - 5), (x, y), (x + width, y), (x + width, y - 5))
    return [Line(bar, "ink", 1.5), Text(x + width + 8, y, length_text(length), 12, "soft")]


def length_text(nm: float) -> str:
    for size, unit in ((1e6, "mm"), (1e3, "µm")):
        if nm >= size:
            return f"{nm / size:.3g} {unit}"
    return f"{nm:.3g} nm"


def around(box: Box, width: float, height: float, outline: Box) -> Box:
    """A window of this size about a box's middle, moved to stay in the outline where it fits."""

    def span(
        low: float, high: float, size: float, first: float, last: float
    ) -> tuple[float, float]:
        start = (low + high - size) / 2
        if size <= last - first:
            start = min(max(start, first), last - size)
        return start, start + size

    x0, x1 = span(box[0], box[2], width, outline[0], outline[2])
    y0, y1 = span(box[1], box[3], height, outline[1], outline[3])
    return x0, y0, x1, y1
