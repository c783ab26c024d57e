"""Boxes and panels: what a diagram shows, without places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hnlpu.insight.diagram._rows import BoxRow


@dataclass(frozen=True)
class Box:
    """Steps that are drawn as one thing; `takes` and `gives` are values of the panel it is in.

    A frame has `panels` inside.  `through` says, of a frame with one panel, by which name that
    panel gives a value of `gives`; the same name where it is silent.
    """

    title: str
    detail: str
    rows: tuple[BoxRow, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    panels: tuple[Panel, ...] = ()
    shape: Literal["box", "frame", "add", "input", "output"] = "box"
    through: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """Boxes joined by values.  `labels` has the text on each value's wire."""

    heading: tuple[str, ...]
    boxes: tuple[Box, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    stream: frozenset[str]
    labels: Mapping[str, str]


def all_rows(panel: Panel) -> Iterator[BoxRow]:
    """Rows of all boxes, inner ones too."""
    for box in panel.boxes:
        yield from box.rows
        for inner in box.panels:
            yield from all_rows(inner)
