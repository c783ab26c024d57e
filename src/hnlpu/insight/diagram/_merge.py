"""Panels that differ in figures only -> one panel that shows each kind's figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hnlpu.insight.diagram._model import Box, Panel
from hnlpu.insight.diagram._rows import BoxRow


def merged(panels: Sequence[Panel], letters: Sequence[str]) -> Panel | None:
    """One panel for all, under the names of the first; None where they are joined differently."""
    first = panels[0]
    if any(_skeleton(panel) != _skeleton(first) for panel in panels):
        return None
    others = [_renaming(panel, first) for panel in panels]
    texts = {
        value: _one_text(
            [p.labels[by[value]] for p, by in zip(panels, others, strict=True)], letters
        )
        for value in first.labels
    }
    boxes = tuple(
        _merged_box(group, letters) for group in zip(*(p.boxes for p in panels), strict=True)
    )
    heading = tuple(line for panel in panels for line in panel.heading)
    return replace(first, heading=heading, boxes=boxes, labels=texts)


def _skeleton(panel: Panel) -> object:
    """What must be equal: boxes, how they are joined, and how many rows of which sort they have."""
    places = {value: n for n, value in enumerate(_values(panel))}

    def numbered(values: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(places[value] for value in values)

    return (
        tuple(
            (
                box.title, box.shape, tuple(row.lies for row in box.rows), numbered(box.takes),
                numbered(box.gives), tuple(_skeleton(inner) for inner in box.panels),
            )
            for box in panel.boxes
        ),
        numbered(panel.takes), numbered(panel.gives), numbered(tuple(sorted(panel.stream, key=places.__getitem__))),
    )  # fmt: skip


def _values(panel: Panel) -> list[str]:
    found = dict.fromkeys(panel.takes)
    for box in panel.boxes:
        found.update(dict.fromkeys((*box.takes, *box.gives)))
    return list(found)


def _renaming(panel: Panel, first: Panel) -> dict[str, str]:
    """Names of the first panel's values to this one's."""
    return dict(zip(_values(first), _values(panel), strict=True))


def _merged_box(boxes: Sequence[Box], letters: Sequence[str]) -> Box:
    rows = tuple(
        _merged_row(group, letters) for group in zip(*(box.rows for box in boxes), strict=True)
    )
    panels = []
    for group in zip(*(box.panels for box in boxes), strict=True):
        one = merged(group, letters)
        assert one is not None, "skeletons are equal"
        panels.append(one)
    detail = _one_text([box.detail for box in boxes], letters)
    return replace(boxes[0], detail=detail, rows=rows, panels=tuple(panels))


def _merged_row(rows: Sequence[BoxRow], letters: Sequence[str]) -> BoxRow:
    names = tuple(name for row in rows for name in row.names)
    return BoxRow(rows[0].lies, _texts([row.lines[0] for row in rows], letters), names)


def _texts(texts: Sequence[str], letters: Sequence[str]) -> tuple[str, ...]:
    """A text for each that differs, with the letters of the kinds that it holds for."""
    holds: dict[str, list[str]] = {}
    for text, letter in zip(texts, letters, strict=True):
        holds.setdefault(text, []).append(letter)
    if len(holds) == 1:
        return (texts[0],)
    return tuple(f"{' '.join(of)}: {text or 'none'}" for text, of in holds.items())


def _one_text(texts: Sequence[str], letters: Sequence[str]) -> str:
    return ", ".join(_texts(texts, letters))
