"""Some of a tile's metal, drawn large with names and numbers, as an SVG: figures for texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks.picture._metal import Box
from hnlpu.silicon.masks.picture._panels import metal_items
from hnlpu.silicon.masks.picture._parts import Viewport, numbers, scale_bar_at
from hnlpu.silicon.masks.picture._poster import broken
from hnlpu.silicon.masks.picture._scene import Item, Rect, Scene, Text, svg
from hnlpu.silicon.masks.picture._words import words_of

WIDTH, EDGE = 960.0, 16.0
LETTER, LINE = 6.9, 17.0
"""Width of a letter and height of a line of captions, in points."""


@dataclass(frozen=True)
class PictureTag:
    """A word at x nm of a drawing, in the colour of a role."""

    x: float
    text: str
    role: str


@dataclass(frozen=True)
class Spot:
    """A number's place in nm, the role that colours it, and where it stands beside it, in points."""

    x: float
    y: float
    role: str
    beside: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Detail:
    """A window (nm) of a tile with its title and caption, lines of tags above and below it, and
    frames (nm) around what another drawing shows larger.
    """

    title: str
    caption: str
    box: Box
    above: Sequence[Sequence[PictureTag]] = ()
    below: Sequence[Sequence[PictureTag]] = ()
    spots: Sequence[Spot] = ()
    frames: Sequence[Box] = ()


def detail_svg(scheme: Scheme, digits: TileDigits, title: str, details: Sequence[Detail]) -> str:
    """The windows one below the other, each as wide as the drawing, with a legend at the end."""
    layouts = [scheme.base(TileShape(digits.rows, digits.blocks)), scheme.draw(digits)]
    scene = Scene(WIDTH, 0)
    y = EDGE
    for detail in details:
        scene.add(Text(EDGE, y + 14, detail.title, 15, "ink", bold=True))
        y += 24 + LINE * len(detail.above)
        wide, high = detail.box[2] - detail.box[0], detail.box[3] - detail.box[1]
        view = Viewport(detail.box, EDGE, y, (WIDTH - 2 * EDGE) / wide)
        scene.add(*metal_items(scheme, layouts, view))
        for frame in detail.frames:
            scene.add(Rect(*view.rect(frame), "", "ink", 1.5))
        for n, tags in enumerate(detail.above):
            scene.add(*_tags(tags, view, y - 6 - LINE * (len(detail.above) - 1 - n)))
        y += high * view.scale
        for n, tags in enumerate(detail.below):
            scene.add(*_tags(tags, view, y + 15 + LINE * n))
        places = [(*view.point(spot.x, spot.y), spot.role) for spot in detail.spots]
        scene.add(*numbers(places, [spot.beside for spot in detail.spots]))
        y += LINE * len(detail.below) + 24
        scene.add(*scale_bar_at(EDGE, y, 0.16 * WIDTH, view.scale))
        y += 6
        for line in broken(detail.caption, WIDTH - 2 * EDGE, 1, lambda text, _: LETTER * len(text)):
            y += LINE
            scene.add(Text(EDGE, y, line, 13, "soft"))
        y += 26
    for role, words in words_of(scheme).legend.items():
        scene.add(Rect(EDGE, y - 11, 13, 13, role), Text(EDGE + 21, y, words, 13, "ink"))
        y += LINE + 2
    scene.height = y
    return svg(scene, title, " ".join(detail.caption for detail in details), standalone=True)


def _tags(tags: Sequence[PictureTag], view: Viewport, y: float) -> list[Item]:
    return [
        Text(view.point(tag.x, 0)[0], y, tag.text, 11.5, tag.role, "middle", bold=True)
        for tag in tags
    ]
