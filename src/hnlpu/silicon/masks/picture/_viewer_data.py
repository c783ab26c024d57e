"""A subject -> what the viewer's script reads: geometry, digits and names, as plain values for JSON.

Lengths are nm from the die's lower left, or the tile's where there is no die.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import open_codebook
from hnlpu.arithmetic.mx import unpack
from hnlpu.silicon.embed import LayerKey, Layout, Rectangles
from hnlpu.silicon.masks.picture._floorplan import arrays_window, colour, meet, merged
from hnlpu.silicon.masks.picture._focus import Focus
from hnlpu.silicon.masks.picture._metal import Box, roles_of
from hnlpu.silicon.masks.picture._parts import TitledDrawing
from hnlpu.silicon.masks.picture._subject import E8M0_BIAS, PictureSubject, TilePlace
from hnlpu.silicon.masks.picture._words import pin_name
from hnlpu.silicon.technology import FIXED, PIN, PROGRAMMABLE

MOST_SHAPES = 96_000
"""Programmable shapes that a page carries; of a larger tile, those of the rows about the weight."""

FAR_SLACK_UM = 30.0
"""What edges of arrays that are seen in the whole die only may be off, when they are joined."""


def viewer_data(
    subject: PictureSubject, focus: Focus, levels: Mapping[str, TitledDrawing]
) -> dict[str, Any]:
    """All of it; `levels` are the drawings that explain what is seen at each."""
    x, y = 0, 0
    data: dict[str, Any] = {}
    boxes: dict[str, Box] = {
        "tile": subject.outline, "rows": focus.rows, "weight": focus.window,
    }  # fmt: skip
    if place := subject.place:
        x, y = round(place.x_um * 1000), round(place.y_um * 1000)
        die = place.die
        data["die"] = [round(die.width_um * 1000), round(die.height_um * 1000)]
        data |= _die(subject, place)
    boxes = {name: (a + x, b + y, c + x, d + y) for name, (a, b, c, d) in boxes.items()}
    if place:
        window = _in_nm(arrays_window(subject, place))
        boxes |= {"die": (0, 0, *data["die"]), "arrays": window}
    shown = _rows_shown(subject, focus)
    pitch = subject.pitch
    low, high = shown.start * pitch, shown.stop * pitch
    return data | {
        "tile": [x, y, *subject.outline[2:]],
        "pitch": pitch,
        "matrix": subject.matrix,
        "firstInput": subject.first_input,
        "levels": [
            {
                "name": name,
                "title": panel.title,
                "box": boxes[name],
                "text": _said(name, panel.caption, shown, subject.shape.rows),
            }
            for name, panel in levels.items()
        ],
        "cell": [focus.cell[0] + x, focus.cell[1] + y, focus.cell[2] + x, focus.cell[3] + y],
        "grids": _grids(subject, focus.base),
        "shapes": _shapes(subject, focus.drawn, low, high),
        "chosen": _chosen(subject, focus),
        "marks": [[mark.x, mark.y, mark.role, mark.text] for mark in focus.marks],
        "digits": _digits(subject, shown),
        "inputs": list(focus.inputs),
        "trunks": _trunks(subject, focus.base),
        "cells": _cells(focus),
    }


def _die(subject: PictureSubject, place: TilePlace) -> dict[str, Any]:
    """Blocks: colour, corners, name, edges of tiles.  Arrays far from the tile are joined, nameless."""
    window = arrays_window(subject, place)
    wide, high = window[2] - window[0], window[3] - window[1]
    near = window[0] - wide, window[1] - high, window[2] + wide, window[3] + high
    far: dict[str, list[Box]] = {}
    blocks: list[list[Any]] = []
    for block in place.die.blocks:
        if block.role and not meet(block.corners, near):
            size = block.width_um, block.height_um
            far.setdefault(block.role, []).append((block.x_um, block.y_um, *size))
            continue
        edges = [round(x * 1000) for x in block.edges_um]
        blocks.append([colour(block.role), *_in_nm(block.corners), block.name, edges])
    joined = [
        [colour(role), *_in_nm((x, y, x + width, y + height)), "", []]
        for role, boxes in far.items() for x, y, width, height in merged(boxes, FAR_SLACK_UM)
    ]  # fmt: skip
    return {"blocks": [*joined, *blocks]}


def _in_nm(box: Box) -> Box:
    x0, y0, x1, y1 = (round(um * 1000) for um in box)
    return x0, y0, x1, y1


def _rows_shown(subject: PictureSubject, focus: Focus) -> range:
    rows = subject.shape.rows
    shapes = sum(len(found) for found in focus.drawn.rectangles.values())
    count = max(1, min(rows, MOST_SHAPES * rows // max(1, shapes)))
    start = min(max(0, focus.weight.row - count // 2), rows - count)
    return range(start, start + count)


def _said(name: str, text: str, shown: range, rows: int) -> str:
    """What is said at a level; at that of the tile also which rows the page has."""
    if name != "tile" or len(shown) == rows:
        return text
    return f"{text} Of the tile's {rows} rows of metal, this page carries {shown.start} to {shown.stop - 1}."


# -- metal ---------------------------------------------------------------------------------------


def _drawn_as(subject: PictureSubject) -> dict[LayerKey, str]:
    """Roles of layers as the script draws them: the two fixed cuts have names of their own."""
    t = subject.scheme.technology
    own = {t.port_cut.gds_layer: "port", t.lower_cut.gds_layer: "tie", t.upper_cut.gds_layer: "tie"}
    return {
        layer: own.get(layer[0], role) if role == "fixed" else role
        for layer, role in roles_of(subject.scheme).items()
    }


def _grids(subject: PictureSubject, base: Layout) -> list[list[Any]]:
    """The fixed metal: role, rectangle, columns, step, rows, step."""
    roles = _drawn_as(subject)
    grids = [
        [roles[g.layer], g.x0, g.y0, g.x1, g.y1, g.columns, g.dx, g.rows, g.dy]
        for g in base.grids
        if g.layer[1] != PIN
    ]
    for layer, found in base.rectangles.items():
        grids += [[roles[layer], *box, 1, 0, 1, 0] for box in found.tolist()]
    return grids


def _shapes(
    subject: PictureSubject, drawn: Layout, low: float, high: float
) -> list[dict[str, Any]]:
    """Programmable metal from y `low` to `high`: per layer, x and y as differences, and sizes."""
    t = subject.scheme.technology
    groups: list[dict[str, Any]] = []
    for layer, role, on in (
        (t.stub, "stub", "stub"), (t.lower_cut, "weight", "lower"), (t.upper_cut, "weight", "upper"),
    ):  # fmt: skip
        found = drawn.rectangles.get((layer.gds_layer, PROGRAMMABLE))
        if found is None or not len(found):
            continue
        middle = (found[:, 1] + found[:, 3]) / 2
        found = found[(middle >= low) & (middle < high)]
        heights = found[:, 3] - found[:, 1]
        groups += [
            {"role": role, "on": on} | _listed(found[heights == height])
            for height in np.unique(heights)
        ]
    return groups


def _listed(found: Rectangles) -> dict[str, Any]:
    found = found[np.lexsort((found[:, 0], found[:, 1]))]
    width = found[:, 2] - found[:, 0]
    return {
        "x": _differences(found[:, 0]), "y": _differences(found[:, 1]),
        "width": int(width[0]) if (width == width[0]).all() else width.tolist(),
        "height": int(found[0, 3] - found[0, 1]),
    }  # fmt: skip


def _differences(values: npt.NDArray[np.int32]) -> list[int]:
    differences: list[int] = np.diff(values, prepend=np.int32(0)).tolist()
    return differences


def _chosen(subject: PictureSubject, focus: Focus) -> list[list[Any]]:
    """The metal of the weight shown last: role and rectangle, from the silicon up."""
    roles = roles_of(subject.scheme)
    shapes = focus.trace.shapes
    return [
        [role, *box]
        for layer, role in roles.items() if layer in shapes for box in shapes[layer].tolist()
    ]  # fmt: skip


# -- what it means -------------------------------------------------------------------------------


def _digits(subject: PictureSubject, rows: range) -> dict[str, Any]:
    """What the shown weights are: a hexadecimal code each, shifts of blocks, powers of rows."""
    part = slice(rows.start, rows.stop)
    letters = np.frombuffer(b"0123456789abcdef", "S1")
    codes = letters[unpack(subject.digits.codes[part])]
    powers = subject.exponents
    return {
        "first": rows.start,
        "codes": [row.tobytes().decode() for row in codes],
        "shifts": subject.digits.shifts[part].tolist(),
        "powers": None if powers is None else (powers[part].astype(int) - E8M0_BIAS).tolist(),
        "twice": list(open_codebook(subject.digits.codebook).table),
        "neurons": list(subject.neurons[part]),
    }


def _trunks(subject: PictureSubject, base: Layout) -> dict[str, Any]:
    """Trunks from the left: x as differences, and for each the number of its word and its role."""
    roles = roles_of(subject.scheme)
    found = sorted(
        (label.x, pin_name(label.text, subject.scheme, subject.first_input),
         roles[label.layer[0], FIXED])
        for label in base.labels if label.y == 0
    )  # fmt: skip
    words = sorted({(word, role) for _, word, role in found})
    number = {pair: n for n, pair in enumerate(words)}
    x = np.array([x for x, _, _ in found], np.int32)
    return {
        "x": _differences(x), "names": words, "name": [number[pair[1:]] for pair in found],
    }  # fmt: skip


def _cells(focus: Focus) -> int | None:
    """Width of an input's own cell; None where inputs have one trunk each and no cell."""
    x0, _, x1, _ = focus.cell
    own = f"p{focus.weight.row}.{focus.weight.column}"
    return round(x1 - x0) if focus.trace.label.text == own else None
