"""Axes of charts: values to places, ticks that read well, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hnlpu.insight.report._svg import element, join, line, text

LETTER, SWATCH, KEY_ROW = 5.2, 18, 15
"""Of a key: mean width of a letter at its size, of a sample with its gap, and a row's height."""


@dataclass(frozen=True)
class Axis:
    """Values `low` to `high` onto places `start` to `stop`, linear or logarithmic."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value, kept within the axis."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten (with 2 and 5 where they are few), or five even steps."""
        if not self.log:
            return [self.low + (self.high - self.low) * i / 4 for i in range(5)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 3 else (1,)
        ticks = [s * 10.0**e for e in range(first, last + 1) for s in steps]
        return [t for t in ticks if self.low * 0.999 <= t <= self.high * 1.001]


def log_axis(values: Sequence[float], start: float, stop: float, room: float = 1.25) -> Axis:
    """A logarithmic axis that holds `values` with some room."""
    positive = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    return Axis(min(positive) / room, max(positive) * room, start, stop, log=True)


def short(value: float) -> str:
    """1.5K, 250K, 2M: a count on an axis."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def binary(value: float) -> str:
    """2K, 64K: a context length."""
    return f"{value / 1024:.3g}K" if value >= 1024 else f"{value:.0f}"


def left_axis(axis: Axis, left: float, right: float, unit: str) -> Markup:
    """Horizontal grid lines with their values on the left."""
    parts = [text(left, axis.stop - 8, unit, "start", "tick")]
    for tick in axis.ticks():
        y = axis.at(tick)
        parts.append(line(left, y, right, y, "grid"))
        parts.append(text(left - 4, y + 3, short(tick), "end", "tick"))
    return join(*parts)


def bottom_axis(axis: Axis, bottom: float, ticks: Sequence[tuple[float, str]], unit: str) -> Markup:
    """The axis below with its values."""
    parts = [line(axis.start, bottom, axis.stop, bottom, "axis")]
    for value, label in ticks:
        parts.append(text(axis.at(value), bottom + 14, label, "middle", "tick"))
    parts.append(text(axis.stop, bottom + 28, unit, "end", "tick"))
    return join(*parts)


def key(
    entries: Sequence[tuple[str, str]], left: float, top: float, right: float, lines: bool = False
) -> tuple[Markup, int]:
    """(class, name) entries in rows from `left` to `right`, each with a sample; and their height.

    Samples are boxes, or short lines with the dashes of their class.
    """
    parts, x, y = [], left, top
    for class_, name in entries:
        width = SWATCH + LETTER * len(name) + 12
        if x > left and x + width > right:
            x, y = left, y + KEY_ROW
        if lines:
            parts.append(line(x, y + 5, x + 14, y + 5, class_))
        else:
            box = f"M{x:.1f} {y:.1f}h10v10h-10Z"
            parts.append(element("path", d=box, class_=class_))
        parts.append(text(x + SWATCH - 2, y + 9, name, "start", "tick"))
        x += width
    return join(*parts), round(y + KEY_ROW - top)
