"""Drawings -> one page: title, drawings in order, legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO

from hnlpu.silicon.embed import Scheme
from hnlpu.silicon.masks.picture._focus import focus_on
from hnlpu.silicon.masks.picture._panels import panels_of
from hnlpu.silicon.masks.picture._parts import HEIGHT, WIDTH, TitledDrawing
from hnlpu.silicon.masks.picture._scene import (
    DARK,
    LIGHT,
    Bitmap,
    Boxes,
    Disc,
    Item,
    Line,
    Polygon,
    Rect,
    Scene,
    Text,
)
from hnlpu.silicon.masks.picture._subject import PictureSubject
from hnlpu.silicon.masks.picture._words import words_of

MARGIN, GAP, TOP, ROWS = 28.0, 18.0, 80.0, 2
TITLE_SIZE, CAPTION_SIZE, LINE_HEIGHT = 15.0, 12.5, 16.5
IDEA_SIZE, IDEA_LINE, LEGEND_LINE = 15.5, 22.0, 28.0
Measure = Callable[[str, float], float]
"""Width of a text at a size, in points."""


def draw_png(subject: PictureSubject, *, dark: bool = False, pixels_a_point: float = 1.25) -> bytes:
    """The page as a PNG file."""
    from hnlpu.silicon.masks.picture._png import render, text_width

    page = poster(subject, panels_of(subject, focus_on(subject)), text_width)
    file = BytesIO()
    render(page, DARK if dark else LIGHT, pixels_a_point).save(file, "PNG", optimize=True)
    return file.getvalue()


def poster(subject: PictureSubject, panels: Sequence[TitledDrawing], measure: Measure) -> Scene:
    """The page as a scene; `measure` breaks lines as the renderer will draw them."""
    captions = [broken(panel.caption, WIDTH - 24, CAPTION_SIZE, measure) for panel in panels]
    columns = math.ceil(len(panels) / ROWS)
    rows = [range(n, min(n + columns, len(panels))) for n in range(0, len(panels), columns)]
    heights = [HEIGHT + 58 + LINE_HEIGHT * max(len(captions[n]) for n in row) for row in rows]
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP
    idea = broken(words_of(subject.scheme).idea, width - 2 * MARGIN, IDEA_SIZE, measure)
    top = TOP + IDEA_LINE * len(idea)
    y = top + sum(heights) + GAP * len(rows) + 24
    legend, legend_lines = _legend(subject.scheme, MARGIN, y, width, measure)
    height = y + LEGEND_LINE * legend_lines + 26
    page = Scene(width, height)
    page.add(Rect(0, 0, width, height, "paper"))
    page.add(Text(MARGIN, 50, f"{subject.model} in metal", 30, "ink", bold=True))
    for n, line in enumerate(idea):
        page.add(Text(MARGIN, 80 + n * IDEA_LINE, line, IDEA_SIZE, "soft"))
    y = top
    for row, box_height in zip(rows, heights, strict=True):
        for n in row:
            x = MARGIN + (n - row.start) * (WIDTH + GAP)
            page.add(Rect(x, y, WIDTH, box_height, "card", "rule"))
            page.add(*moved(_panel(panels[n], n + 1, captions[n]), x, y))
        y += box_height + GAP
    page.add(*legend)
    return page


def _panel(panel: TitledDrawing, number: int, caption: Sequence[str]) -> list[Item]:
    """A drawing below its title and above its caption."""
    items: list[Item] = [Disc(22, 22, 11, "weight")]
    items.append(Text(22, 27, str(number), 14, "card", "middle", bold=True))
    items.append(Text(42, 27, panel.title, TITLE_SIZE, "ink", bold=True))
    items += moved(panel.scene.items, 0, 38)
    for k, words in enumerate(caption):
        items.append(Text(12, 38 + HEIGHT + 16 + k * LINE_HEIGHT, words, CAPTION_SIZE, "soft"))
    return items


def _legend(
    scheme: Scheme, x: float, y: float, width: float, measure: Measure
) -> tuple[list[Item], int]:
    """Colours and their meanings, and the number of lines that they take."""
    items: list[Item] = []
    at, lines = x, 1
    for role, words in words_of(scheme).legend.items():
        room = 26 + measure(words, 14) + 26
        if at + room > width and at > x:
            at, y, lines = x, y + LEGEND_LINE, lines + 1
        items += [Rect(at, y - 12, 16, 16, role), Text(at + 26, y + 1, words, 14, "ink")]
        at += room
    return items, lines


def broken(text: str, width: float, size: float, measure: Measure) -> list[str]:
    """Text in lines no wider than `width`; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def moved(items: Sequence[Item], dx: float, dy: float) -> list[Item]:
    """The items elsewhere."""
    out: list[Item] = []
    for item in items:
        if isinstance(item, Boxes):
            boxes = tuple((x + dx, y + dy, w, h) for x, y, w, h in item.boxes)
            out.append(replace(item, boxes=boxes))
        elif isinstance(item, Polygon | Line):
            out.append(replace(item, points=tuple((x + dx, y + dy) for x, y in item.points)))
        else:
            assert isinstance(item, Rect | Disc | Text | Bitmap)
            out.append(replace(item, x=item.x + dx, y=item.y + dy))
    return out
