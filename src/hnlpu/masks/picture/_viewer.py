"""A subject -> markup, style and script: its metal to zoom into on a page, and still drawings.

The page loads nothing: the layout travels as deflated JSON in the markup.  Where scripts do not
run, and on paper, the still drawings stand for it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.embed import BLOCK, LayerKey, Layout, Rectangles, Taps
from hnlpu.masks.picture._focus import Focus, focus_on
from hnlpu.masks.picture._panels import Panel, panels_of
from hnlpu.masks.picture._poster import idea, legend
from hnlpu.masks.picture._scene import Rect, Scene, style_sheet, svg
from hnlpu.masks.picture._subject import (
    E8M0_BIAS,
    Block,
    Box,
    Subject,
    choose_weight,
    roles_of,
)
from hnlpu.quantize import TWICE_E2M1, unpack
from hnlpu.technology import PIN, PROGRAMMABLE

MOST_WEIGHTS = 2**16
"""Weights whose metal a page carries; of a larger tile, the rows about the weight shown last."""


@dataclass(frozen=True)
class Fragment:
    """What a page needs: markup, and a style sheet and a script that are the same for any subject."""

    markup: str
    style: str
    script: str


def viewer(subject: Subject) -> Fragment:
    """The viewer of a subject with its still drawings."""
    panels = panels_of(subject)
    data = json.dumps(_data(subject, panels), ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(data.encode(), 9)).decode()
    first = 1 if subject.floorplan else 3
    names = ("die", "array", "tile", "rows", "weight")[first - 1 :]
    buttons = "".join(f'<button type="button">{name}</button>' for name in names)
    keys = "".join(
        f"<li>{svg(Scene(10, 10, [Rect(0, 0, 10, 10, role)]), role)}{escape(words)}</li>"
        for role, words in legend(subject.scheme)
    )
    stills = "".join(
        f"<figure><h4>{n}. {escape(panel.title)}</h4>{svg(panel.scene, panel.title, panel.caption)}"
        f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
        for n, panel in enumerate(panels, first)
    )
    markup = f"""<div class="metal-view metal-viewer">
<p>{escape(idea(subject.scheme))}</p>
<div class="mv-stage" hidden>
<div class="mv-bar"><div class="mv-levels" role="group" aria-label="Zoom to">{buttons}</div>
<div class="mv-zoom"><button type="button" aria-label="Zoom out">−</button><button type="button" aria-label="Zoom in">+</button></div></div>
<canvas tabindex="0" role="img" aria-label="Layout of {escape(subject.matrix)}, from the die to one via">
</canvas>
<p class="mv-caption" aria-live="polite"></p>
</div>
<ul class="mv-legend">{keys}</ul>
<details open><summary>Still drawings</summary><div class="mv-stills">{stills}</div></details>
<script type="application/octet-stream">{packed}</script>
</div>
"""
    return Fragment(markup, f"{style_sheet()}\n{_file('viewer.css')}", _file("viewer.js"))


def _file(name: str) -> str:
    return (resources.files("hnlpu.masks.picture") / name).read_text("utf-8")


def _data(subject: Subject, panels: Sequence[Panel]) -> dict[str, Any]:
    """What the script reads: lengths in nm from the die's lower left, or the tile's without a die."""
    weight = choose_weight(subject)
    focus = focus_on(subject, weight)
    scheme = subject.scheme
    x, y = 0, 0
    data: dict[str, Any] = {}
    levels: list[Box] = [subject.outline, focus.rows, focus.window]
    if plan := subject.floorplan:
        x, y = round(plan.tile_x * 1000), round(plan.tile_y * 1000)
        data["die"] = [round(plan.width * 1000), round(plan.height * 1000)]
        data["array"] = plan.array
        data["blocks"] = [
            {"name": block.name, "kind": block.kind, "box": _in_nm(block)} for block in plan.blocks
        ]
    levels = [(a + x, b + y, c + x, d + y) for a, b, c, d in levels]
    if plan:
        levels = [(0, 0, *data["die"]), _in_nm(plan.blocks[plan.array]), *levels]
    rows = _rows_shown(subject, weight.row)
    pitch = subject.outline[3] / subject.shape.rows
    return data | {
        "tile": [x, y, *subject.outline[2:]],
        "pitch": pitch,
        "matrix": subject.matrix,
        "firstInput": subject.first_input,
        "levels": [
            {"title": panel.title, "text": panel.caption, "box": box}
            for panel, box in zip(panels, levels, strict=False)
        ],
        "cell": [focus.cell[0] + x, focus.cell[1] + y, focus.cell[2] + x, focus.cell[3] + y],
        "grids": _grids(subject, scheme.base(subject.shape)),
        "shapes": _shapes(
            subject, scheme.draw(subject.digits), rows.start * pitch, rows.stop * pitch
        ),
        "digits": _digits(subject, rows),
        **_cells(subject, focus, weight.column),
    }


def _in_nm(block: Block) -> Box:
    x0, y0 = round(block.x * 1000), round(block.y * 1000)
    return x0, y0, x0 + round(block.width * 1000), y0 + round(block.height * 1000)


def _rows_shown(subject: Subject, row: int) -> range:
    count = min(subject.shape.rows, max(1, MOST_WEIGHTS // (subject.shape.blocks * BLOCK)))
    start = min(max(0, row - count // 2), subject.shape.rows - count)
    return range(start, start + count)


def _drawn_as(subject: Subject) -> dict[LayerKey, str]:
    """Roles of layers as the script draws them: the two fixed cuts have names of their own."""
    t = subject.scheme.technology
    own = {t.port_cut.gds_layer: "port", t.lower_cut.gds_layer: "tie", t.upper_cut.gds_layer: "tie"}
    return {
        layer: own.get(layer[0], role) if role == "fixed" else role
        for layer, role in roles_of(subject.scheme).items()
    }


def _grids(subject: Subject, base: Layout) -> list[list[Any]]:
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


def _shapes(subject: Subject, drawn: Layout, low: float, high: float) -> list[dict[str, Any]]:
    """Programmable metal from y `low` to `high`: per layer, x and y as differences, and sizes."""
    t = subject.scheme.technology
    groups: list[dict[str, Any]] = []
    for layer, role, on in (
        ((t.stub.gds_layer, PROGRAMMABLE), "stub", "stub"),
        ((t.lower_cut.gds_layer, PROGRAMMABLE), "weight", "lower"),
        ((t.upper_cut.gds_layer, PROGRAMMABLE), "weight", "upper"),
    ):
        found = drawn.rectangles.get(layer)
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


def _digits(subject: Subject, rows: range) -> dict[str, Any]:
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
        "twice": TWICE_E2M1.tolist(),
        "neurons": list(subject.neurons[part]),
    }


def _cells(subject: Subject, focus: Focus, column: int) -> dict[str, Any]:
    """Where inputs have their cells, and the names of trunks in one; nothing for other schemes."""
    scheme = subject.scheme
    if not isinstance(scheme, Taps):
        return {}
    inputs = np.arange(subject.shape.blocks * BLOCK)
    x = (inputs // BLOCK * scheme.block_cells + inputs % BLOCK) * scheme.cell
    here = int(x[column])
    return {
        "cells": {"x": x.tolist(), "width": scheme.cell},
        "names": [[name.x - here, name.text, name.role] for name in focus.names],
    }
