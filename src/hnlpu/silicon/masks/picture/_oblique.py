"""Metal in a window -> a drawing as seen from the front, above and right; heights not to scale.

z   y               upper metal
|  /                  via
| /                 stub
+---- x               via
                    lower metal
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hnlpu.silicon.embed import LayerKey, Rectangles, Scheme
from hnlpu.silicon.masks.picture._metal import Box, roles_of
from hnlpu.silicon.masks.picture._scene import Item, Line, Point, Polygon
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE

RISE, METAL, CUT = 0.5, 0.08, 0.17
"""Depth drawn upwards; heights of a metal and of a cut, as parts of the window's width."""
LEAN, LEAST_DEPTH = 0.62, 0.34
TALL = 3 * (METAL + CUT)
"""Height of all layers, in widths of the window."""
_ROLE_OPACITY = {"upper": 0.5}


@dataclass(frozen=True)
class Oblique:
    """Projects nm to points: the front lower left of the window `box` at (x, y)."""

    box: Box
    x: float
    y: float
    scale: float
    """Points a nm across."""
    stretch: float
    """How much deeper rows are drawn than they are."""

    @classmethod
    def fitted(cls, box: Box, x: float, y: float, width: float, height: float) -> Oblique:
        """The box as large as it goes in width and height, its front lower left at (x, y).

        What is flat is drawn deeper than it is.
        """
        wide, deep = box[2] - box[0], box[3] - box[1]
        stretch = max(1.0, LEAST_DEPTH * wide / deep)
        scale = min(
            width / (wide + LEAN * stretch * deep),
            height / (RISE * stretch * deep + TALL * wide),
        )
        return cls(box, x, y, scale, stretch)

    def point(self, x: float, y: float, z: float) -> Point:
        """Where a place at height z (in widths of the window) is drawn."""
        box = self.box
        depth = (y - box[1]) * self.stretch
        across = (x - box[0] + LEAN * depth) * self.scale
        up = (RISE * depth + z * (box[2] - box[0])) * self.scale
        return self.x + across, self.y - up


def heights(scheme: Scheme) -> dict[LayerKey, tuple[float, float]]:
    """From where to where every layer reaches, in widths of the window; roles give the order."""
    t = scheme.technology
    out: dict[LayerKey, tuple[float, float]] = {}
    z = 0.0
    for layer, height in (
        (t.port_cut, CUT), (t.lower, METAL), (t.lower_cut, CUT), (t.stub, METAL),
        (t.upper_cut, CUT), (t.upper, METAL),
    ):  # fmt: skip
        for datatype in (FIXED, PROGRAMMABLE):
            out[layer.gds_layer, datatype] = z, z + height
        z += height
    return out


def oblique_items(
    view: Oblique, shapes: Mapping[LayerKey, Rectangles], scheme: Scheme,
    chosen: Mapping[LayerKey, Rectangles],
) -> list[Item]:  # fmt: skip
    """The boxes of all shapes, those behind first; what meets `chosen` ones is not seen through."""
    items: list[Item] = [_floor(view)]
    reach = heights(scheme)
    for layer, role in roles_of(scheme).items():
        if layer not in shapes:
            continue
        near = chosen[layer].tolist() if layer in chosen else []
        boxes = sorted(shapes[layer].tolist(), key=lambda box: (-box[1], box[0]))
        for box in boxes:
            solid = any(_meets(box, other) for other in near)
            opacity = 1.0 if solid else _ROLE_OPACITY.get(role, 1.0)
            items += _solid(view, box, reach[layer], role, opacity)
    return items


def _meets(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _floor(view: Oblique) -> Polygon:
    x0, y0, x1, y1 = view.box
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return Polygon(tuple(view.point(x, y, 0) for x, y in corners), "other")


def _solid(
    view: Oblique, box: Sequence[float], reach: tuple[float, float], role: str, opacity: float
) -> list[Item]:
    x0, y0, x1, y1 = box
    low, high = reach
    top = tuple(view.point(x, y, high) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    front = (*(view.point(x, y0, z) for x, z in ((x0, low), (x1, low), (x1, high), (x0, high))),)
    side = (*(view.point(x1, y, z) for y, z in ((y0, low), (y1, low), (y1, high), (y0, high))),)
    edge = Line((top[0], top[1], top[2]), "card", 0.7, 0.5 * opacity)
    return [
        Polygon(side, role, opacity, -0.28), Polygon(front, role, opacity, -0.12),
        Polygon(top, role, opacity, 0.0), edge,
    ]  # fmt: skip
