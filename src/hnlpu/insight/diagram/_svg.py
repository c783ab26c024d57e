"""Marks -> SVG: plain, without scripts, on a ground of its own, so that it reads anywhere.

Colours are of Okabe and Ito's set for all kinds of sight; in grey, metal is dark with light text,
memory has a dashed border, a state round ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from hnlpu.insight.diagram._marks import SIZES, Circle, LineMark, Mark, RectMark, TextMark

STYLES = {
    "ground": 'fill="#ffffff"',
    "box": 'fill="#ffffff" stroke="#333333"',
    "frame": 'fill="#f4f4f4" stroke="#555555" stroke-width="1.2"',
    "end": 'fill="#ffffff" stroke="#333333" stroke-width="1.2"',
    "metal": 'fill="#00527f" stroke="#00344f"',
    "memory": 'fill="#ffffff" stroke="#333333" stroke-dasharray="4 2.5"',
    "state": 'fill="#f5c767" stroke="#5f4300"',
    "sum": 'fill="#ffffff" stroke="#111111" stroke-width="1.5"',
    "sign": 'fill="none" stroke="#111111" stroke-width="1.5"',
    "wire": 'fill="none" stroke="#333333" stroke-width="1.1"',
    "stream": 'fill="none" stroke="#111111" stroke-width="3"',
    "fold": 'fill="none" stroke="#777777" stroke-dasharray="2 4"',
}  # fmt: skip
_INK = {"in-metal": "#ffffff"}
_BOLD = ("title", "heading", "name")
_FACE = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def svg(
    marks: Iterable[Mark], width: float, height: float, title: str, says: str, holds: str = ""
) -> str:
    """The text of an SVG file; `title` and `says` are for readers of screens; `holds` is put in as it is."""
    # frames lie below all else, outer ones below inner ones, as they come
    in_order = sorted(
        marks, key=lambda mark: not (isinstance(mark, RectMark) and mark.style == "frame")
    )
    body = "\n".join(map(_element, in_order))
    w, h = _number(width), _number(height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" '
        f'viewBox="0 0 {w} {h}" role="img" font-family={quoteattr(_FACE)}>\n'
        f"<title>{escape(_clean(title))}</title>\n<desc>{escape(_clean(says))}</desc>\n{holds}"
        f'<rect width="{w}" height="{h}" {STYLES["ground"]}/>\n{body}\n</svg>\n'
    )


def _element(mark: Mark) -> str:
    match mark:
        case RectMark(x, y, width, height, style, radius):
            place = f'x="{_number(x)}" y="{_number(y)}"'
            size = f'width="{_number(width)}" height="{_number(height)}"'
            rounded = f' rx="{_number(radius)}"' if radius else ""
            return f"<rect {place} {size}{rounded} {STYLES[style]}/>"
        case Circle(x, y, radius, style):
            return (
                f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}" '
                f"{STYLES[style]}/>"
            )
        case LineMark():
            return _line(mark)
        case TextMark():
            bold = ' font-weight="bold"' if mark.of in _BOLD else ""
            anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
            return (
                f'<text x="{_number(mark.x)}" y="{_number(mark.y)}" '
                f'font-size="{_number(SIZES[mark.of])}" '
                f'fill="{_INK.get(mark.style, "#111111")}"{bold}{anchor}>'
                f"{escape(_clean(mark.text))}</text>"
            )
        case _:
            assert_never(mark)


def _line(line: LineMark) -> str:
    points = list(line.points)
    head = ""
    if line.arrow:
        (x0, y0), (x1, y1) = points[-2:]
        size = 7.0 if line.style == "stream" else 5.0
        dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        points[-1] = (x1 - dx * size, y1 - dy * size)
        wing = 0.6 * size
        corners = ((x1, y1), (x1 - dx * size - dy * wing, y1 - dy * size - dx * wing),
                   (x1 - dx * size + dy * wing, y1 - dy * size + dx * wing))  # fmt: skip
        head = f'<path d="{_path(corners)}Z" fill="#111111"/>'
    return f'<path d="{_path(points)}" {STYLES[line.style]}/>{head}'


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _clean(text: str) -> str:
    """A text with what XML cannot hold replaced."""
    return "".join(
        c if c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe" else "\ufffd" for c in text
    )
