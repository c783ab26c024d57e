"""A drawing in points, before any format, and its SVG.

Colours are names; a theme gives them values, so that one drawing suits light and dark pages.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Point = tuple[float, float]

LIGHT = {
    "paper": "#faf9f6", "card": "#ffffff", "ink": "#1c1f24", "soft": "#5b6270", "rule": "#cfccc3",
    "array": "#c3d5ee", "other": "#e6e2d8", "tile": "#dce7f5",
    "lower": "#4f86c6", "stub": "#e3a43a", "upper": "#3d9c7c", "fixed": "#6f7682",
    "weight": "#d0342c",
    "attention": "#a9cbe8", "router": "#efb78f", "experts": "#a3d6c0", "unembedding": "#dfb6d3",
}  # fmt: skip
DARK = {
    "paper": "#14161a", "card": "#1c1f25", "ink": "#e9e7e1", "soft": "#a3a9b5", "rule": "#454b56",
    "array": "#2c4564", "other": "#343942", "tile": "#23344a",
    "lower": "#5b95dd", "stub": "#e0aa4c", "upper": "#45ad8b", "fixed": "#a3a9b5",
    "weight": "#ff5d52",
    "attention": "#285679", "router": "#7d4a22", "experts": "#216350", "unembedding": "#6d4161",
}  # fmt: skip
ROLES = ("attention", "router", "experts", "unembedding")
"""Roles of matrices whose arrays have a colour of their own."""


@dataclass(frozen=True)
class Rect:
    """A rectangle; an empty `fill` or `stroke` is none."""

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    stroke: str = ""
    line: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Boxes:
    """Many rectangles, each x, y, width, height, painted alike and as one: none shows through."""

    boxes: tuple[tuple[float, float, float, float], ...]
    fill: str
    stroke: str = ""
    line: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Polygon:
    """A filled polygon with an optional outline; `shade` darkens it (below 0) or lightens it."""

    points: tuple[Point, ...]
    fill: str
    opacity: float = 1.0
    shade: float = 0.0


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[Point, ...]
    stroke: str
    line: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Disc:
    """A circle."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text on its baseline; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    size: float = 13.0
    fill: str = "ink"
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True)
class Bitmap:
    """Pixels uint8 [height, width, 4], stretched over a rectangle without smoothing."""

    x: float
    y: float
    width: float
    height: float
    pixels: UInt8


Item = Rect | Boxes | Polygon | Line | Disc | Text | Bitmap


@dataclass
class Scene:
    """Items from the back to the front, in points from the upper left."""

    width: float
    height: float
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Put items in front of what is there."""
        self.items += items


def style_sheet(names: Iterable[str] = tuple(LIGHT)) -> str:
    """CSS that gives names of colours their values in drawings, in both themes."""
    names = sorted(set(names))

    def variables(theme: dict[str, str]) -> str:
        return "".join(f"--m-{name}:{theme[name]};" for name in names)

    rules = "".join(
        f".metal-view .f-{name}{{fill:var(--m-{name})}}"
        f".metal-view .s-{name}{{stroke:var(--m-{name})}}"
        for name in names
    )
    return (
        f".metal-view{{{variables(LIGHT)}}}\n"
        f"@media (prefers-color-scheme: dark){{.metal-view{{{variables(DARK)}}}}}\n{rules}\n"
        '.metal-view text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",'
        "sans-serif}"
    )


def _colours(scene: Scene) -> set[str]:
    """Names of the colours that a drawing uses."""
    found = {getattr(item, key, "") for item in scene.items for key in ("fill", "stroke")}
    return found - {""}


def svg(scene: Scene, title: str, description: str = "", *, standalone: bool = False) -> str:
    """The drawing as an SVG element; `standalone` brings its own style sheet and background."""
    size = f"0 0 {_number(scene.width)} {_number(scene.height)}"
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""  # known within HTML
    parts = [f'<svg{space} viewBox="{size}" role="img" class="metal-view">']
    parts.append(f"<title>{escape(title)}</title>")
    if description:
        parts.append(f"<desc>{escape(description)}</desc>")
    if standalone:
        parts.append(f"<style>{style_sheet(_colours(scene) | {'card'})}</style>")
        parts.append(_element(Rect(0, 0, scene.width, scene.height, "card")))
    parts += [_element(item) for item in scene.items]
    parts.append("</svg>\n")
    return "\n".join(parts)


def _element(item: Item) -> str:
    match item:
        case Rect():
            paint = _paint(item.fill, item.stroke, item.line, item.opacity)
            box = _pairs(x=item.x, y=item.y, width=item.width, height=item.height)
            return f"<rect{box}{paint}/>"
        case Boxes():
            path = "".join(
                f"M{_number(x)} {_number(y)}h{_number(w)}v{_number(h)}h{_number(-w)}z"
                for x, y, w, h in item.boxes
            )
            return f'<path d="{path}"{_paint(item.fill, item.stroke, item.line, item.opacity)}/>'
        case Polygon():
            points = " ".join(f"{_number(x)},{_number(y)}" for x, y in item.points)
            polygon = f'<polygon points="{points}"{_paint(item.fill, "", 0, item.opacity)}/>'
            if not item.shade:
                return polygon
            cover = "#000" if item.shade < 0 else "#fff"
            return f'{polygon}<polygon points="{points}" fill="{cover}" opacity="{abs(item.shade):.2f}"/>'
        case Line():
            path = "L".join(f"{_number(x)} {_number(y)}" for x, y in item.points)
            return f'<path d="M{path}"{_paint("", item.stroke, item.line, item.opacity)}/>'
        case Disc():
            place = _pairs(cx=item.x, cy=item.y, r=item.radius)
            return f"<circle{place}{_paint(item.fill, item.stroke, 1.2, 1.0)}/>"
        case Text():
            weight = ' font-weight="650"' if item.bold else ""
            return (
                f'<text{_pairs(x=item.x, y=item.y, font_size=item.size)} text-anchor="{item.anchor}"'
                f'{weight} class="f-{item.fill}">{escape(item.text)}</text>'
            )
        case Bitmap():
            data = base64.b64encode(png_bytes(item.pixels)).decode()
            box = _pairs(x=item.x, y=item.y, width=item.width, height=item.height)
            return (
                f'<image{box} preserveAspectRatio="none" style="image-rendering:pixelated" '
                f'href="data:image/png;base64,{data}"/>'
            )


def _paint(fill: str, stroke: str, line: float, opacity: float) -> str:
    classes = " ".join([f"f-{fill}"] * bool(fill) + [f"s-{stroke}"] * bool(stroke))
    out = f' class="{classes}"' + ("" if fill else ' fill="none"')
    if stroke and line != 1:
        out += f' stroke-width="{_number(line)}"'
    return out + (f' opacity="{_number(opacity)}"' if opacity < 1 else "")


def _pairs(**values: float) -> str:
    return "".join(f' {name.replace("_", "-")}="{_number(v)}"' for name, v in values.items())


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def png_bytes(pixels: UInt8) -> bytes:
    """RGBA pixels uint8 [height, width, 4] as a PNG file (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 4 * width), np.uint8)  # each begins with filter type 0
    lines[:, 1:] = pixels.reshape(height, 4 * width)

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    )  # fmt: skip
