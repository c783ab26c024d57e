"""A box -> its marks, with its upper left corner at the origin, and where wires may meet it.

┌───────────────┐   ┌─ frame ───────────────┐
│     title     │   │ title, detail         │
│▓ metal row   ▓│   │  ┌─────┐              │
│┆ memory row  ┆│   │  │ box │ a panel ...  │
└───────────────┘   └──┴─────┴──────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hnlpu.insight.diagram._marks import (
    SIZES,
    Circle,
    LineMark,
    Mark,
    RectMark,
    TextMark,
    moved,
    text_width,
)
from hnlpu.insight.diagram._model import Box
from hnlpu.insight.diagram._rows import BoxRow

PADDING = 8.0
LINE = 15.0
ROW_GAP = 3.0
STUB = 10.0
ADD_RADIUS = 9.0


@dataclass(frozen=True)
class Drawn:
    """Marks within `width` by `height`; `ins` and `outs`: where wires of values must meet it."""

    width: float
    height: float
    marks: Sequence[Mark]
    ins: Mapping[str, float] = field(default_factory=dict)
    outs: Mapping[str, float] = field(default_factory=dict)


def drawn_box(box: Box, panels: Sequence[Drawn], least_width: float) -> Drawn:
    """A box, at least so wide; `panels` are those inside of it, drawn."""
    match box.shape:
        case "frame":
            return _frame(box, panels, least_width)
        case "add":
            return _sum()
        case "input" | "output":
            width = max(text_width(box.title, "title") + 4 * PADDING, least_width)
            height = LINE + PADDING
            marks = (
                RectMark(0, 0, width, height, "end", height / 2),
                TextMark(width / 2, _base(PADDING / 2, "title"), box.title, "title", "middle"),
            )
            return Drawn(width, height, marks)
        case "box":
            return _plain(box, least_width)


def _sum() -> Drawn:
    r = ADD_RADIUS
    plus = (LineMark(((r, r - 5), (r, r + 5)), "sign"), LineMark(((r - 5, r), (r + 5, r)), "sign"))
    return Drawn(2 * r, 2 * r, (Circle(r, r, r, "sum"), *plus))


def _plain(box: Box, least_width: float) -> Drawn:
    texts = [text_width(box.title, "title"), text_width(box.detail, "detail")]
    width = max(
        *texts, *(row_width(row) for row in box.rows), least_width - 2 * PADDING, 40.0
    ) + 2 * PADDING  # fmt: skip
    marks: list[Mark] = []
    y = PADDING / 2
    marks.append(TextMark(width / 2, _base(y, "title"), box.title, "title", "middle"))
    y += LINE
    if box.detail:
        marks.append(TextMark(width / 2, _base(y, "detail"), box.detail, "detail", "middle"))
        y += LINE
    for row in box.rows:
        y += ROW_GAP
        marks += moved(row_marks(row, width - 2 * PADDING), PADDING, y)
        y += row_height(row)
    y += PADDING if box.rows else PADDING / 2
    return Drawn(width, y, (RectMark(0, 0, width, y, "box", 4), *marks))


def row_width(row: BoxRow) -> float:
    """Width that a row needs."""
    gap = 2 * PADDING if any("  " in line for line in row.lines) else 0.0
    return max(text_width(line, "row") for line in row.lines) + gap + 2 * PADDING


def row_height(row: BoxRow) -> float:
    """Height of a row."""
    return LINE * len(row.lines) + 2


def row_marks(row: BoxRow, width: float) -> list[Mark]:
    """A row's strip and texts; where the thing lies is seen by fill, border and ends."""
    height = row_height(row)
    radius = height / 2 if row.lies == "state" and len(row.lines) == 1 else 8.0
    strip = RectMark(0, 0, width, height, row.lies, radius if row.lies == "state" else 0.0)
    marks: list[Mark] = [strip]
    for n, line in enumerate(row.lines):
        name, _, figures = line.partition("  ")
        y, style = _base(1 + n * LINE, "row"), f"in-{row.lies}"
        marks.append(TextMark(PADDING, y, name, "row", style=style))
        if figures:
            marks.append(TextMark(width - PADDING, y, figures, "row", "end", style))
    return marks


def _base(top: float, of: str) -> float:
    """Base line of a text in a line that begins at `top`."""
    return top + LINE / 2 + 0.34 * SIZES[of]


def _frame(box: Box, panels: Sequence[Drawn], least_width: float) -> Drawn:
    """A frame; wires go through its edge to a lone panel, and end at it where there are several."""
    single = len(panels) == 1
    heads = [_Heading(box.title, [box.detail] if box.detail else [], box.rows)]
    of_panels = [_Heading("", list(inner.heading), ()) for inner in box.panels]
    if single:
        heads[0].lines.extend(box.panels[0].heading)
    body_top = 2 * PADDING + heads[0].height
    if not single:
        body_top += max(head.height for head in of_panels) + 2 * PADDING
    x, marks, lefts = 2 * PADDING, list[Mark](), []
    for panel, inner, head in zip(panels, box.panels, of_panels, strict=True):
        lefts.append(x)
        marks += moved(panel.marks, x, body_top)
        width = panel.width
        if not single:
            marks += head.marks(x, body_top - head.height - 2 * PADDING)
            width = max(width, head.width)
            for value in inner.takes:
                at = x + panel.ins[value]
                style = "stream" if value in inner.stream else "wire"
                marks.append(LineMark(((at, body_top - STUB), (at, body_top)), style))
        x += width + 4 * PADDING
    width = max(x - 2 * PADDING, least_width)
    bottom = body_top + max(panel.height for panel in panels) + (0 if single else 2 * PADDING)
    if not single:
        y1, y2 = heads[0].height + PADDING * 1.5, bottom
        marks += [
            LineMark(((at - 2 * PADDING, y1), (at - 2 * PADDING, y2)), "fold") for at in lefts[1:]
        ]
        width = max(width, heads[0].width + 4 * PADDING)
        marks += heads[0].marks(2 * PADDING, PADDING)
        return Drawn(width, bottom, (RectMark(0, 0, width, bottom, "frame", 6), *marks))
    (panel,), (inner,), left = panels, box.panels, 2 * PADDING
    ins = {value: left + at for value, at in panel.ins.items()}
    outs = {value: left + at for value, at in panel.outs.items()}
    at = _free(sorted(set(ins.values())), heads[0].width, width)
    width = max(width, at + heads[0].width + 2 * PADDING)
    marks += heads[0].marks(at, PADDING)
    for value, place in ins.items():
        style = "stream" if value in inner.stream else "wire"
        marks.append(LineMark(((place, 0), (place, body_top)), style))
    for value, place in outs.items():
        style = "stream" if value in inner.stream else "wire"
        marks.append(LineMark(((place, body_top + panel.height), (place, bottom)), style))
    named = {ours: theirs for theirs, ours in box.through.items()}
    outs = {named.get(value, value): place for value, place in outs.items()}
    return Drawn(width, bottom, (RectMark(0, 0, width, bottom, "frame", 6), *marks), ins, outs)


def _free(taken: Sequence[float], needed: float, width: float) -> float:
    """Where a text so wide stands free of lines at `taken`: as far left as it can."""
    edges = [0.0, *taken]
    for left, right in zip(edges, [*taken, width], strict=True):
        if right - left >= needed + 3 * PADDING:
            return left + 1.5 * PADDING
    return edges[-1] + 1.5 * PADDING


class _Heading:
    """Lines at the top of a frame or a panel, and the rows of what the frame itself holds."""

    def __init__(self, title: str, lines: list[str], rows: Sequence[BoxRow]):
        self.title, self.lines, self.rows = title, lines, rows

    @property
    def height(self) -> float:
        lines = LINE * (len(self.lines) + bool(self.title))
        return lines + sum(row_height(row) + ROW_GAP for row in self.rows)

    @property
    def width(self) -> float:
        widths = [text_width(line, "detail") for line in self.lines]
        widths += [row_width(row) for row in self.rows]
        return max([text_width(self.title, "heading"), *widths])

    def marks(self, x: float, y: float) -> list[Mark]:
        found: list[Mark] = []
        if self.title:
            found.append(TextMark(x, _base(y, "heading"), self.title, "heading"))
            y += LINE
        for line in self.lines:
            found.append(TextMark(x, _base(y, "detail"), line, "detail"))
            y += LINE
        for row in self.rows:
            y += ROW_GAP
            found += moved(row_marks(row, row_width(row)), x, y)
            y += row_height(row)
        return found
