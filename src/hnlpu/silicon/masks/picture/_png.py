"""Scenes -> pixels, by Pillow: drawn twice as large, then made smaller, so that edges are smooth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from hnlpu.silicon.masks.picture._scene import (
    Bitmap,
    Boxes,
    Disc,
    Item,
    Line,
    Point,
    Polygon,
    Rect,
    Scene,
    Text,
)

FINER = 2
_MISSING = str.maketrans({"−": "-", "×": "x", "µ": "u"})
"""Characters that Pillow's own font lacks, as others that mean the same."""


def render(scene: Scene, theme: dict[str, str], scale: float) -> Image.Image:
    """The scene at `scale` pixels a point."""
    k = scale * FINER
    size = round(scene.width * k), round(scene.height * k)
    image = Image.new("RGB", size, theme["paper"])
    draw = ImageDraw.Draw(image, "RGBA")
    for item in scene.items:
        _put(image, draw, item, theme, k)
    return image.resize(
        (round(scene.width * scale), round(scene.height * scale)), Image.Resampling.BOX
    )


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line in points, as drawn here."""
    return float(_font(40).getlength(text.translate(_MISSING)) / 40 * size * (1.03 if bold else 1))


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _put(image: Image.Image, draw: ImageDraw.ImageDraw, item: Item, theme: dict[str, str], k: float) -> None:  # fmt: skip
    match item:
        case Rect():
            draw.rectangle(
                _corners(item.x * k, item.y * k, item.width * k, item.height * k),
                _colour(theme, item.fill, item.opacity),
                _colour(theme, item.stroke, 1.0), max(1, round(item.line * k)) if item.stroke else 0,
            )  # fmt: skip
        case Boxes():
            _put_boxes(image, draw, item, theme, k)
        case Polygon():
            points = _scaled(item.points, k)
            draw.polygon(points, _shaded(theme, item))
        case Line():
            points = _scaled(item.points, k)
            draw.line(
                points,
                _colour(theme, item.stroke, item.opacity),
                max(1, round(item.line * k)),
                "curve",
            )
        case Disc():
            x, y, r = item.x * k, item.y * k, item.radius * k
            draw.ellipse(
                (x - r, y - r, x + r, y + r),
                _colour(theme, item.fill, 1.0), _colour(theme, item.stroke, 1.0), round(1.4 * k),
            )  # fmt: skip
        case Text():
            anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
            draw.text(
                (item.x * k, item.y * k), item.text.translate(_MISSING),
                theme[item.fill], _font(round(item.size * k)), anchor,
                stroke_width=item.size * k / 55 if item.bold else 0,
            )  # fmt: skip
        case Bitmap():
            size = max(1, round(item.width * k)), max(1, round(item.height * k))
            pixels = Image.fromarray(item.pixels, "RGBA").resize(size, Image.Resampling.BOX)
            image.paste(pixels, (round(item.x * k), round(item.y * k)), pixels)


def _put_boxes(image: Image.Image, draw: ImageDraw.ImageDraw, item: Boxes, theme: dict[str, str], k: float) -> None:  # fmt: skip
    """Fill all rectangles at once, through a mask, so that overlaps are no darker; then outline."""
    corners = [_corners(x * k, y * k, w * k, h * k) for x, y, w, h in item.boxes]
    if not corners:
        return
    left, top = (round(min(c[n] for c in corners)) for n in (0, 1))
    right, bottom = (round(max(c[n] for c in corners)) + 1 for n in (2, 3))
    mask = Image.new("L", (right - left, bottom - top))
    on_mask = ImageDraw.Draw(mask)
    for x0, y0, x1, y1 in corners:
        on_mask.rectangle((x0 - left, y0 - top, x1 - left, y1 - top), round(255 * item.opacity))
    image.paste(_rgb(theme, item.fill), (left, top), mask)
    if item.stroke:
        for box in corners:
            draw.rectangle(
                box, None, _colour(theme, item.stroke, 1.0), max(1, round(item.line * k))
            )


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """As Pillow wants them: it counts the last pixel in, and refuses what has none."""
    return x, y, max(x, x + width - 1), max(y, y + height - 1)


def _scaled(points: Sequence[Point], k: float) -> list[Point]:
    return [(x * k, y * k) for x, y in points]


def _rgb(theme: dict[str, str], name: str) -> tuple[int, int, int]:
    value = theme[name]
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def _colour(theme: dict[str, str], name: str, opacity: float) -> tuple[int, int, int, int] | None:
    return (*_rgb(theme, name), round(255 * opacity)) if name else None


def _shaded(theme: dict[str, str], item: Polygon) -> tuple[int, int, int, int]:
    towards, share = (0 if item.shade < 0 else 255), abs(item.shade)
    red, green, blue = (round(v + (towards - v) * share) for v in _rgb(theme, item.fill))
    return red, green, blue, round(255 * item.opacity)
