"""What the viewer's script gets: all metal, every digit, levels one in the other, nothing to load."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from subjects import KINDS, SHAPE, subject_of

from hnlpu.arithmetic.mx import TWICE_E2M1, unpack
from hnlpu.silicon.embed import Grid, Rectangles, TileShape
from hnlpu.silicon.masks.picture import fragment, viewer
from hnlpu.silicon.masks.picture._viewer_data import MOST_SHAPES
from hnlpu.silicon.technology import PIN, PROGRAMMABLE


def data_of(markup: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/octet-stream">([^<]*)</script>', markup)
    assert found
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return data


def listed(group: dict[str, Any]) -> Rectangles:
    x, y = np.cumsum(group["x"]), np.cumsum(group["y"])
    return np.stack([x, y, x + np.array(group["width"]), y + group["height"]], -1)


def as_set(rectangles: Rectangles) -> set[tuple[int, ...]]:
    return {tuple(box) for box in rectangles.tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_it_carries_all_metal_and_every_digit(kind: str) -> None:
    subject = subject_of(kind)
    data = data_of(viewer(subject))
    t, drawn = subject.scheme.technology, subject.scheme.draw(subject.digits)
    for on, layer in (("lower", t.lower_cut), ("upper", t.upper_cut), ("stub", t.stub)):
        groups = [group for group in data["shapes"] if group["on"] == on]
        found = set().union(*(as_set(listed(group)) for group in groups))
        key = layer.gds_layer, PROGRAMMABLE
        assert found == (as_set(drawn.rectangles[key]) if key in drawn.rectangles else set())
    assert {layer for layer, _ in drawn.rectangles} <= {
        t.lower_cut.gds_layer, t.upper_cut.gds_layer, t.stub.gds_layer,
    }  # fmt: skip
    base = subject.scheme.base(subject.shape).flat()
    fixed = {
        "lower": t.lower, "stub": t.stub, "upper": t.upper, "port": t.port_cut, "tie": t.lower_cut,
    }  # fmt: skip
    for role, layer in fixed.items():
        grids = [Grid((0, 0), *grid[1:]) for grid in data["grids"] if grid[0] == role]
        found = set().union(*(as_set(grid.rectangles()) for grid in grids))
        key = layer.gds_layer, 0
        assert found == (as_set(base[key]) if key in base else set())
    assert all(key[1] == PIN or key[0] in [v.gds_layer for v in fixed.values()] for key in base)
    codes = [[int(letter, 16) for letter in row] for row in data["digits"]["codes"]]
    assert codes == unpack(subject.digits.codes).tolist()
    assert data["digits"]["shifts"] == subject.digits.shifts.tolist()
    assert data["digits"]["twice"] == TWICE_E2M1.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_trunks_are_named_as_the_labels_say(kind: str) -> None:
    subject = subject_of(kind)
    trunks = data_of(viewer(subject))["trunks"]
    names = [trunks["names"][n][0] for n in trunks["name"]]
    found = set(zip(np.cumsum(trunks["x"]).tolist(), names, strict=True))
    labels = [lab for lab in subject.scheme.base(subject.shape).labels if lab.y == 0]
    assert len(names) == len(labels)
    for label in labels:
        if tap := re.fullmatch(r"x\d+\.([+-]\d+)", label.text):
            words = f"{int(tap[1]) / 2:+g}".replace("-", "−")
        elif trunk := re.fullmatch(r"x(\d+)", label.text):
            words = str(64 + int(trunk[1]))
        else:
            words = {"PWR": "power", "GND": "ground" if kind == "wires" else "0"}[label.text]
        assert (label.x, words) in found


def test_levels_lie_one_in_the_other_and_around_the_weight() -> None:
    data = data_of(viewer(subject_of()))
    boxes = [level["box"] for level in data["levels"]]
    assert [level["name"] for level in data["levels"]] == [
        "die",
        "arrays",
        "tile",
        "rows",
        "weight",
    ]
    for outer, inner in zip(boxes, [*boxes[1:], data["cell"]], strict=True):
        assert outer[2] - outer[0] >= inner[2] - inner[0] - 1e-6
        centre = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
        assert outer[0] <= centre[0] <= outer[2]
        assert outer[1] <= centre[1] <= outer[3]
    assert boxes[2][:2] == [data["tile"][0], data["tile"][1]]


@pytest.mark.parametrize(
    ("kind", "shape"), [("plain", TileShape(600, 8)), ("wires", TileShape(300, 4))]
)
def test_of_a_large_tile_the_rows_about_the_weight_are_carried(kind: str, shape: TileShape) -> None:
    subject = subject_of(kind, shape, row=shape.rows - 10, column=3)
    drawn = subject.scheme.draw(subject.digits).rectangles
    assert sum(map(len, drawn.values())) > MOST_SHAPES
    data = data_of(viewer(subject))
    first, count = data["digits"]["first"], len(data["digits"]["codes"])
    assert first <= shape.rows - 10 < first + count <= shape.rows
    low, high = first * subject.pitch, (first + count) * subject.pitch
    wanted = {
        tuple(box) for found in drawn.values() for box in found.tolist()
        if low <= (box[1] + box[3]) / 2 < high
    }  # fmt: skip
    assert set().union(*(as_set(listed(group)) for group in data["shapes"])) == wanted
    assert 0.8 * MOST_SHAPES < len(wanted) < 1.2 * MOST_SHAPES
    (text,) = (level["text"] for level in data["levels"] if level["name"] == "tile")
    assert text.endswith(
        f"Of the tile's {shape.rows} rows of metal, this page carries {first} to {first + count - 1}."
    )


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    nasty = '</script><img src=x onerror="alert(1)">&'
    subject = subject_of(matrix=nasty, model=nasty)
    parts = fragment(replace(subject, neurons=[nasty] * SHAPE.rows))
    assert "<img" not in parts.markup
    assert parts.markup.count("</script>") == 1
    links = re.findall(r'(?:href|src)="([^"]*)"', parts.markup) + re.findall(r"url\(", parts.style)
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "http" not in parts.script
    assert "http" not in parts.markup
    assert data_of(parts.markup)["matrix"] == nasty


def test_the_whole_has_all_parts() -> None:
    subject = subject_of()
    whole, parts = viewer(subject), fragment(subject)
    assert whole == f"<style>{parts.style}</style>\n{parts.markup}<script>{parts.script}</script>\n"
    assert fragment(subject_of("wires")).style == parts.style
    assert fragment(subject_of("wires")).script == parts.script
