"""What a drawing is made of: rectangles, lines and texts with places, in units of a pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

Point = tuple[float, float]

SIZES = {"title": 13.0, "detail": 11.0, "row": 11.0, "wire": 10.5, "heading": 14.0, "name": 18.0}
"""Sizes of type by what a text is."""

_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[]/ *"), frozenset("mwMW@%&")


@dataclass(frozen=True)
class RectMark:
    """A rectangle; `style` is a class of the style sheet."""

    x: float
    y: float
    width: float
    height: float
    style: str
    radius: float = 0.0


@dataclass(frozen=True)
class Circle:
    """A circle around a point."""

    x: float
    y: float
    radius: float
    style: str


@dataclass(frozen=True)
class LineMark:
    """A line through points; `arrow` at its end."""

    points: tuple[Point, ...]
    style: str
    arrow: bool = False


@dataclass(frozen=True)
class TextMark:
    """A line of text that stands on the base line `y`; `anchor`: what of it lies at `x`."""

    x: float
    y: float
    text: str
    of: str
    anchor: str = "start"
    style: str = ""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what it covers at most."""
        width, size = text_width(self.text, self.of), SIZES[self.of]
        left = {"start": self.x, "middle": self.x - width / 2, "end": self.x - width}[self.anchor]
        return left, self.y - 0.8 * size, left + width, self.y + 0.22 * size


Mark = RectMark | Circle | LineMark | TextMark


def text_width(text: str, of: str) -> float:
    """Width of a text at most: of the wider sans-serif faces that a viewer may put in."""
    size = SIZES[of] * (1.08 if of in ("title", "heading", "name") else 1.0)  # these are bold
    return size * sum(map(_character_width, text))


def _character_width(c: str) -> float:
    """Width of a character at most, as a share of the size of the type."""
    if c > "~" or c in _WIDE:
        return 1.05
    if c in _NARROW:
        return 0.44
    return 0.78 if c.isupper() else 0.9 if c in "+=<>~^" else 0.64


def moved(marks: Iterable[Mark], dx: float, dy: float) -> list[Mark]:
    """The marks at another place."""
    found: list[Mark] = []
    for mark in marks:
        if isinstance(mark, LineMark):
            found.append(replace(mark, points=tuple((x + dx, y + dy) for x, y in mark.points)))
        else:
            found.append(replace(mark, x=mark.x + dx, y=mark.y + dy))
    return found
