"""A die -> its floorplan to scale: arrays in the colours of their matrices' roles, the rest grey."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hnlpu.silicon.masks.picture._metal import Box
from hnlpu.silicon.masks.picture._parts import (
    EDGE,
    HEIGHT,
    WIDTH,
    TitledDrawing,
    Viewport,
    around,
    fitted,
    frame,
    length_text,
    scale_bar,
)
from hnlpu.silicon.masks.picture._scene import ROLES, Boxes, Item, Line, Rect, Scene, Text, svg
from hnlpu.silicon.masks.picture._subject import DrawnBlock, DrawnDie, PictureSubject, TilePlace

LETTER = 6.4
"""Width of a letter of a block's name, in points, at most."""
SEEN_ALONE = 4.0
"""Points; smaller blocks are drawn without an edge, or there would be edges only."""
SHAPE, MOST_OBLONG = 0.74, 5.0
"""Height of the window of arrays in its widths; width in heights where arrays are but a strip."""
AXIS, LEGEND_LINE = 26.0, 19.0


@dataclass(frozen=True)
class Share:
    """Blocks of a die that are alike: their role ("" for what is no array), number and area."""

    role: str
    count: int
    area_mm2: float


def shares(die: DrawnDie) -> list[Share]:
    """Arrays by role, those with a colour of their own first, then everything else, if any."""
    found: dict[str, list[DrawnBlock]] = {}
    for block in die.blocks:
        found.setdefault(block.role, []).append(block)
    order = sorted(found, key=lambda role: (role == "", role not in ROLES, role))
    return [
        Share(role, len({b.name for b in found[role]}), sum(b.area_mm2 for b in found[role]))
        for role in order
    ]


def floorplan_svg(die: DrawnDie) -> str:
    """The floorplan as an SVG that stands alone: a scale in mm on two edges and a legend with areas."""
    lines = shares(die)
    left, top, bottom = EDGE + AXIS, 34.0, AXIS + 8
    room = WIDTH - left - EDGE
    scale = min(room / die.width_um, 1.27 * room / die.height_um)
    width, high = die.width_um * scale, die.height_um * scale
    x = left + (room - width) / 2
    view = Viewport((0, 0, die.width_um, die.height_um), x, top, scale)
    field = _reticle(die)
    scene = Scene(WIDTH, top + high + bottom + LEGEND_LINE * (len(lines) + bool(field)) + EDGE)
    scene.add(Text(EDGE, 20, _title(die), 15, "ink", bold=True))
    scene.add(*_blocks(die, view), *_axes(die, view, high))
    if field and not field.holds:
        printed = _common(
            (0, 0, field.width_um, field.height_um), (0, 0, die.width_um, die.height_um)
        )
        scene.add(Rect(*view.rect(printed), "", "weight", 2))
    y = top + high + bottom + LEGEND_LINE / 2
    for line in lines:
        fill = colour(line.role)
        scene.add(Rect(x, y - 11, 13, 13, fill, "card"))
        scene.add(Text(x + 21, y, _words(line, die), 13, "ink"))
        y += LEGEND_LINE
    said = [_words(line, die) for line in lines]
    if field:
        scene.add(Rect(x, y - 11, 13, 13, "", "soft" if field.holds else "weight", 2))
        scene.add(Text(x + 21, y, field.words, 13, "ink"))
        said.append(field.words)
    return svg(scene, _title(die), ". ".join(said), standalone=True)


@dataclass(frozen=True)
class _Reticle:
    """The field that is printed at once, turned as the die is."""

    width_um: float
    height_um: float
    holds: bool

    @property
    def words(self) -> str:
        """Its size, and whether the die is within it."""
        size = f"{self.width_um / 1e3:.4g} × {self.height_um / 1e3:.4g} mm"
        return f"reticle, {size}: the die {'fits' if self.holds else 'is larger'}"


def _reticle(die: DrawnDie) -> _Reticle | None:
    if not die.reticle_um:
        return None
    width, height = die.reticle_um
    if (width > height) != (die.width_um > die.height_um):
        width, height = height, width
    return _Reticle(width, height, die.width_um <= width and die.height_um <= height)


def colour(role: str) -> str:
    """Name of the colour of arrays with a role."""
    return role if role in ROLES else "array" if role else "other"


def _title(die: DrawnDie) -> str:
    return f"{die.name}: {die.width_um / 1e3:.3g} × {die.height_um / 1e3:.3g} mm"


def _words(share: Share, die: DrawnDie) -> str:
    part = share.area_mm2 / die.area_mm2
    name = f"{share.role}: " if share.role else "other blocks: "
    arrays = f"{share.count:,} array{'s' if share.count > 1 else ''}, " if share.role else ""
    return f"{name}{arrays}{share.area_mm2:.3g} mm², {100 * part:.3g} % of the die"


def _blocks(die: DrawnDie, view: Viewport, window: Box | None = None) -> Iterator[Item]:
    """The die and its blocks in a window, each with its name where there is room."""
    whole = 0.0, 0.0, die.width_um, die.height_um
    yield Rect(*view.rect(_common(whole, window or whole)), "paper", "rule")
    seen = [block for block in die.blocks if window is None or meet(block.corners, window)]
    for role in dict.fromkeys(block.role for block in seen):
        boxes = [
            view.rect(_common(block.corners, window or whole))
            for block in seen if block.role == role
        ]  # fmt: skip
        large = tuple(box for box in boxes if min(box[2:]) >= SEEN_ALONE)
        small = merged([box for box in boxes if min(box[2:]) < SEEN_ALONE])
        yield Boxes(large, colour(role), "card", 0.7)
        yield Boxes(tuple(small), colour(role))
    for block in seen:
        x, y, width, height = view.rect(_common(block.corners, window or whole))
        if len(block.name) * LETTER < width and height > 15:
            yield Text(x + width / 2, y + height / 2 + 4, block.name, 11, "ink", "middle")


def _common(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def merged(boxes: Sequence[Box], slack: float = 0.3) -> list[Box]:
    """Boxes (x, y, width, height) with neighbours joined, side by side first and then in stacks.

    `slack` in points is what an edge may be off: a die has thousands of tiles, a drawing of it
    not.
    """

    def joined(found: Sequence[Box], along: int) -> list[Box]:
        across = 1 - along
        out: list[list[float]] = []
        for box in sorted(found, key=lambda b: (round(b[across] / slack), b[along])):
            last = out[-1] if out else None
            if (
                last
                and abs(last[across] - box[across]) <= slack
                and abs(last[across + 2] - box[across + 2]) <= slack
                and abs(last[along] + last[along + 2] - box[along]) <= slack
            ):
                last[along + 2] = box[along] + box[along + 2] - last[along]
            else:
                out.append(list(box))
        return [(x, y, width, height) for x, y, width, height in out]

    return joined(joined(boxes, 0), 1)


def _axes(die: DrawnDie, view: Viewport, high: float) -> Iterator[Item]:
    """Ticks in mm along the lower and the left edge."""
    longest = max(die.width_um, die.height_um) / 1e3
    decade = 10.0 ** math.floor(math.log10(longest / 2))
    step = max(n * decade for n in (1, 2, 5) if n * decade <= longest / 2)
    x0, y0 = view.x, view.y + high
    for n in range(math.floor(die.width_um / 1e3 / step + 1e-9) + 1):
        x = view.point(n * step * 1e3, 0)[0]
        yield Line(((x, y0), (x, y0 + 5)), "soft")
        unit = " mm" if n == 0 else ""
        yield Text(x, y0 + 18, f"{n * step:g}{unit}", 11, "soft", "middle")
    for n in range(math.floor(die.height_um / 1e3 / step + 1e-9) + 1):
        y = view.point(0, n * step * 1e3)[1]
        yield Line(((x0 - 5, y), (x0, y)), "soft")
        if n:
            yield Text(x0 - 8, y + 4, f"{n * step:g}", 11, "soft", "end")


# -- as the first drawings of a picture ------------------------------------------------------------


def die_panel(place: TilePlace, around: Box) -> TitledDrawing:
    """The die, and in a frame the window `around` (um) that the next drawing shows."""
    die = place.die
    lines = shares(die)
    view = fitted((0, 0, die.width_um, die.height_um), bottom=54.0)
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*_blocks(die, view), *frame(view.rect(around), 2), *scale_bar(view, 1e3))
    x = EDGE
    for line in lines:
        name = line.role or "other blocks"
        scene.add(Rect(x, HEIGHT - 43, 12, 12, colour(line.role), "rule"))
        scene.add(Text(x + 17, HEIGHT - 33, name, 12, "soft"))
        x += 17 + 7 * len(name) + 18
    arrays = sum(line.area_mm2 for line in lines if line.role) / die.area_mm2
    return TitledDrawing(
        _title(die),
        f"One die, a chip. In colour: arrays of neurons whose weights are metal, {100 * arrays:.3g} % "
        "of it. There is no memory for weights.",
        scene,
    )


def arrays_window(subject: PictureSubject, place: TilePlace) -> Box:
    """What is seen between the die and the tile, in um: as many times larger as smaller."""
    arrays = [block.corners for block in place.die.blocks if block.role]
    room = (
        min(box[0] for box in arrays), min(box[1] for box in arrays),
        max(box[2] for box in arrays), max(box[3] for box in arrays),
    )  # fmt: skip
    width, height = subject.outline[2] / 1e3, subject.outline[3] / 1e3
    wide = math.sqrt((room[2] - room[0]) * max(width, height / SHAPE))
    wide = max(width, min(wide, MOST_OBLONG * (room[3] - room[1])))
    high = max(height, min(SHAPE * wide, room[3] - room[1]))
    tile = place.x_um, place.y_um, place.x_um + width, place.y_um + height
    return around(tile, wide, high, room)


def arrays_panel(subject: PictureSubject, place: TilePlace) -> TitledDrawing:
    """Arrays about the tile, cut into tiles, and this tile in a frame."""
    window = arrays_window(subject, place)
    view = fitted(window)
    scene = Scene(WIDTH, HEIGHT)
    scene.add(*_blocks(place.die, view, window))
    for block in place.die.blocks:
        if meet(block.corners, window):
            scene.add(*_tile_edges(block, view, window))
    width, height = subject.outline[2] / 1e3, subject.outline[3] / 1e3
    tile = place.x_um, place.y_um, place.x_um + width, place.y_um + height
    scene.add(*frame(view.rect(tile), 3), *scale_bar(view, 1e3))
    size = f"{length_text((window[2] - window[0]) * 1e3)} × {length_text((window[3] - window[1]) * 1e3)}"
    return TitledDrawing(
        f"Arrays of neurons: {size} of the die",
        "Arrays lie side by side, each cut into tiles that are drawn and checked on their own. The "
        f"framed tile has {subject.shape.rows} rows of metal and {subject.shape.blocks * 32} inputs of "
        f"{subject.matrix}.",
        scene,
    )


def _tile_edges(block: DrawnBlock, view: Viewport, window: Box) -> Iterator[Item]:
    """Lines between tiles, unless all of them are small."""
    _, y0, _, y1 = block.corners
    for x in block.edges_um:
        if window[0] < x < window[2] and (y1 - y0) * view.scale > SEEN_ALONE:
            ends = (x, max(y0, window[1])), (x, min(y1, window[3]))
            yield Line(tuple(view.point(*end) for end in ends), "card", 0.7)
