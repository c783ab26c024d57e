"""Bands, tornados and the buyers' map -> SVG pictures that stand by themselves.

Plain SVG text without scripts or style sheets, so that a Markdown page and an HTML report show it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from hnlpu._charts import Rows, table_element
from hnlpu.system.cost._buyers import BuyersMap
from hnlpu.system.cost._doubts import Swing

INK, SOFT, GRID, PAPER = "#2b2b2b", "#6b6b6b", "#dcdad4", "#fbfaf7"
LOW_COLOUR, HIGH_COLOUR = "#3a7ca5", "#d1603d"
LOSES, EVEN, PAYS = (209, 96, 61), (251, 250, 247), (42, 120, 102)


def _text(
    x: float, y: float, words: str, size: int = 12, colour: str = INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def _frame(
    width: int, height: int, title: str, description: str, parts: Sequence[str],
    columns: Sequence[str], rows: Rows,
) -> str:  # fmt: skip
    """A whole picture, with its numbers inside."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="system-ui, sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            table_element(columns, rows),
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
            *parts,
            "</svg>\n",
        )
    )


def tornado_svg(swings: Sequence[Swing], centre: float, title: str, unit: str) -> str:
    """A tornado chart: one bar a doubt around the result `centre`, the widest on top."""
    left, right, top, row = 250, 700, 62, 30
    height = top + row * len(swings) + 46
    ends = [end for s in swings for end in (s.at_low, s.at_high)] or [centre]
    low, high = min(*ends, centre), max(*ends, centre)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / span

    parts = [
        _text(24, 30, title, 16),
        _text(24, 48, "each doubt alone at its low (blue) and at its high (orange)", 12, SOFT),
    ]
    for i, swing in enumerate(swings):
        y = top + row * i
        d = swing.doubt
        name = d.key.removeprefix("prices.").replace("_", " ").replace(".", ", ")
        unit_of = "" if d.unit == "dimensionless" else f" {d.unit}"
        parts.append(_text(24, y + 13, name))
        parts.append(_text(24, y + 25, f"{d.low:.4g} to {d.high:.4g}{unit_of}", 9, SOFT))
        for value, colour in ((swing.at_low, LOW_COLOUR), (swing.at_high, HIGH_COLOUR)):
            start, stop = sorted((x(value), x(centre)))
            hint = f"{d.key}: {value:.4g} {unit}"
            parts.append(
                f'<rect x="{start:.1f}" y="{y + 4}" width="{max(stop - start, 0.5):.1f}" height="18" '
                f'fill="{colour}"><title>{escape(hint)}</title></rect>'
            )
    bottom = top + row * len(swings)
    parts.append(
        f'<line x1="{x(centre):.1f}" y1="{top}" x2="{x(centre):.1f}" y2="{bottom}" stroke="{INK}"/>'
    )
    for value, anchor in ((low, "start"), (centre, "middle"), (high, "end")):
        if value in (low, high) and abs(x(value) - x(centre)) < 60:
            continue
        parts.append(_text(x(value), bottom + 18, f"{value:.4g}", 12, SOFT, anchor))
    parts.append(_text(right, bottom + 36, unit, 12, SOFT, "end"))
    widest = f"{swings[0].doubt.key} matters most." if swings else "Nothing is uncertain."
    columns = (
        "doubt",
        "unit",
        "low",
        "high",
        f"{unit} at low",
        f"{unit} at high",
        f"{unit} in the middle",
    )
    rows = [
        (s.doubt.key, s.doubt.unit, s.doubt.low, s.doubt.high, s.at_low, s.at_high, centre)
        for s in swings
    ]
    return _frame(right + 30, height, title, widest, parts, columns, rows)


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: its name, its value, and the band around it."""

    name: str
    low: float
    value: float
    high: float
    rival: bool = False


def bars_svg(bars: Sequence[Bar], title: str, unit: str) -> str:
    """Horizontal bars on a logarithmic axis, each with a whisker from low to high."""
    left, right, top, row = 270, 690, 56, 34
    height = top + row * len(bars) + 40
    first = 10 ** math.floor(math.log10(min(bar.low for bar in bars)))
    last = 10 ** math.ceil(math.log10(max(bar.high for bar in bars) * (1 + 1e-9)))

    def x(value: float) -> float:
        return left + (right - left) * math.log10(value / first) / math.log10(last / first)

    parts = [_text(24, 32, title, 16)]
    for exponent in range(round(math.log10(first)), round(math.log10(last)) + 1):
        at = x(10.0**exponent)
        bottom = top + row * len(bars)
        parts.append(f'<path d="M{at:.1f} {top}V{bottom}" stroke="{GRID}"/>')
        parts.append(_text(at, bottom + 18, _power_of_ten(exponent), 12, SOFT, "middle"))
    for i, bar in enumerate(bars):
        y = top + row * i
        hint = f"{bar.name}: {bar.value:.4g} {unit} ({bar.low:.4g} to {bar.high:.4g})"
        parts.append(_text(left - 12, y + 20, bar.name, 12, INK, "end"))
        parts.append(
            f'<rect x="{left}" y="{y + 6}" width="{x(bar.value) - left:.1f}" height="20" '
            f'fill="{HIGH_COLOUR if bar.rival else LOW_COLOUR}"><title>{escape(hint)}</title></rect>'
        )
        if bar.low < bar.high:
            parts.append(
                f'<path d="M{x(bar.low):.1f} {y + 11}v10m0 -5H{x(bar.high):.1f}m0 -5v10" '
                f'stroke="{INK}" stroke-width="1.5" fill="none"/>'
            )
        parts.append(_text(x(bar.high) + 8, y + 20, _short(bar.value), 12, SOFT))
    parts.append(_text(right, height - 8, unit, 12, SOFT, "end"))
    words = "; ".join(f"{bar.name} {bar.value:.3g}" for bar in bars)
    columns = ("name", f"low, {unit}", f"value, {unit}", f"high, {unit}")
    rows = [(bar.name, bar.low, bar.value, bar.high) for bar in bars]
    return _frame(right + 70, height, title, f"{words} ({unit}).", parts, columns, rows)


def _colour(ratio: float) -> str:
    """From orange (a third or less) over paper (even) to green (three times or more)."""
    t = max(-1.0, min(1.0, math.log(ratio) / math.log(3))) if ratio > 0 else -1.0
    ends = LOSES if t < 0 else PAYS
    mixed = (round(e + (o - e) * abs(t)) for e, o in zip(EVEN, ends, strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def buyers_svg(found: BuyersMap, title: str, caption: str) -> str:
    """The buyers' map: life of a model to the right, volume upwards, colour by rent / hardwiring."""
    left, top, width, height = 92, 70, 560, 330
    lives, volumes, ratio = found.lives, found.volumes, found.ratio
    columns, rows = len(lives), len(volumes)
    cell_w, cell_h = width / columns, height / rows
    parts = [_text(24, 30, title, 16), _text(24, 50, caption, 12, SOFT)]
    parts.extend(
        f'<rect x="{left + j * cell_w:.1f}" y="{top + height - (i + 1) * cell_h:.1f}" '
        f'width="{cell_w + 0.4:.1f}" height="{cell_h + 0.4:.1f}" fill="{_colour(ratio[i, j])}"/>'
        for j in range(columns)
        for i in range(rows)
    )
    edge = []
    for j, volume in enumerate(found.break_even()):
        if np.isfinite(volume):
            i = int(np.flatnonzero(volumes == volume)[0])
            y = top + height - i * cell_h
            edge.append(f"M{left + j * cell_w:.1f} {y:.1f}h{cell_w:.1f}")
    parts.append(f'<path d="{"".join(edge)}" stroke="{INK}" stroke-width="2" fill="none"/>')
    for exponent in range(
        math.ceil(math.log10(volumes[0])), math.floor(math.log10(volumes[-1])) + 1
    ):
        share = math.log10(10.0**exponent / volumes[0]) / math.log10(volumes[-1] / volumes[0])
        y = top + height * (1 - share)
        parts.append(
            f'<line x1="{left - 5}" y1="{y:.1f}" x2="{left}" y2="{y:.1f}" stroke="{SOFT}"/>'
        )
        parts.append(_text(left - 9, y + 4, _power_of_ten(exponent), 12, SOFT, "end"))
    for j in range(0, columns, max(1, columns // 12)):
        x = left + (j + 0.5) * cell_w
        parts.append(_text(x, top + height + 18, f"{lives[j]:g}", 12, SOFT, "middle"))
    parts.append(
        _text(left + width / 2, top + height + 38, "life of a model, months", 12, INK, "middle")
    )
    x, y = 26.0, top + height / 2
    parts.append(
        f'<text x="{x}" y="{y}" font-size="12" fill="{INK}" text-anchor="middle" '
        f'transform="rotate(-90 {x} {y})">output tokens a day</text>'
    )
    parts.extend(_legend(left + width + 24, top))
    return _frame(
        left + width + 150, top + height + 58, title,
        "Green where hardwiring costs less than renting GPUs, orange where it costs more.", parts,
        ("life of a model, months", "output tokens a day", "rent / hardwiring"),
        [
            (float(life), _six(volume), _six(ratio[i, j]))
            for j, life in enumerate(lives) for i, volume in enumerate(volumes)
        ],
    )  # fmt: skip


def _legend(x: float, y: float) -> list[str]:
    parts = [_text(x, y + 4, "rent / hardwiring")]
    for i, ratio in enumerate((3.0, 2.0, 1.5, 1.0, 1 / 1.5, 0.5, 1 / 3)):
        top = y + 16 + 22 * i
        parts.append(
            f'<rect x="{x}" y="{top}" width="22" height="22" fill="{_colour(ratio)}" stroke="{GRID}"/>'
        )
        words = {0: "3 and more", 6: "a third and less"}.get(i, f"{ratio:.2g}")
        parts.append(_text(x + 30, top + 15, words, 11, SOFT))
    parts.append(_text(x, y + 190, "line: pays above", 11, SOFT))
    return parts


def _six(value: float) -> float:
    """Six figures: more would only make the file longer."""
    return float(f"{value:.6g}")


def _short(value: float) -> str:
    """Three figures, or a whole number with separators."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
