"""Draw the pictures of docs/masks.md from the schemes' own geometry:  python scripts/mask_images.py

taps-cell.svg     a cell and the scale cell behind it, one row
regions-row.svg   a row of 32 inputs and the wires of its weights
tile.png          a tile of the bundled model, from the die to one via

The digits of the first two are made up; the last is built from checkpoints/stdlib-8m.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import hnlpu
from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.silicon.embed import (
    ArrayKind,
    Label,
    Scheme,
    Taps,
    TileDigits,
    TileShape,
    canonical,
    open_scheme,
    tracks_needed,
)
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.masks.picture import Detail, PictureTag, Spot, detail_svg, draw_png, subject_of
from hnlpu.silicon.place import find_tiles
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, load_technology

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
ONE_ROW = TileShape(1, 1)
CODE, SHIFT = 3, 1  # of the weight and the block that taps-cell.svg shows
MIXTURE = (0, 0, 1, 9, 1, 9, 2, 10, 2, 10, 3, 11, 4, 12, 5, 13)  # codes of regions-row.svg


def digits_of(codes: list[int], shift: int) -> TileDigits:
    """One row of one block."""
    pairs = np.array(codes, np.uint8).reshape(1, 1, 16, 2)
    packed = pairs[..., 0] | pairs[..., 1] << 4
    return canonical(
        packed.astype(np.uint8), np.full((1, 1), shift, np.uint8), np.zeros(1, np.uint8)
    )


def value(twice: int) -> str:
    """The value whose double is given: +1.5, -6, 0."""
    return f"{twice / 2:+g}".replace("-", "−") if twice else "0"


# -- taps ----------------------------------------------------------------------------------------


def taps_cell() -> str:
    """The last cell of a block and its scale cell."""
    scheme = open_scheme(load_technology("n5"), ArrayKind("taps", 1, 1, 2))
    assert isinstance(scheme, Taps)
    width, high = scheme.size_nm(ONE_ROW)
    behind = 32 * scheme.cell
    labels = scheme.base(ONE_ROW).labels
    details = [_cell(scheme, labels, behind - scheme.cell, behind, high),
               _scale_cell(scheme, labels, behind, width, high)]  # fmt: skip
    digits = digits_of([CODE] * 32, SHIFT)
    return detail_svg(scheme, digits, "The taps scheme: a cell and a scale cell", details)


def _cell(scheme: Taps, labels: list[Label], left: int, right: int, high: int) -> Detail:
    own = [label for label in labels if left <= label.x < right]
    trunks = [label for label in own if label.y == 0]
    (port,) = (label for label in own if label.text.startswith("p"))
    (weight,) = (t for t in trunks if t.text.endswith(f".{int(TWICE_E2M1[CODE]):+d}"))
    lower = [
        PictureTag(t.x, _tap(t), "lower")
        for t in trunks
        if t.layer[0] == scheme.technology.lower.gds_layer
    ]
    upper = [
        PictureTag(t.x, _tap(t), "upper")
        for t in trunks
        if t.layer[0] == scheme.technology.upper.gds_layer
    ]
    return Detail(
        "A cell: one weight of one neuron",
        "The input comes ready-made times every value that a weight may have: zero and the positive "
        "ones in the lower metal, the negative ones in the upper. The neuron's stub (2) crosses them "
        "all; a fixed via (4) ties it to the port below. One more via (3) joins it to one trunk (1), "
        f"here {value(int(TWICE_E2M1[CODE]))}: that via is the weight. Fifteen places, each legal "
        "whatever the neighbours hold.",
        (left, 0, right, high), [[*lower, PictureTag(port.x, "port", "fixed")]], [upper],
        [
            Spot(weight.x, 0.12 * high, "lower"),
            Spot(upper[-1].x - 60, high / 2, "stub", (0, 34)),
            Spot(weight.x, high / 2, "weight", (0, -40)),
            Spot(port.x, high / 2, "fixed", (0, 40)),
        ],
    )  # fmt: skip


def _tap(label: Label) -> str:
    if label.text in ("GND", "PWR"):
        return "0" if label.text == "GND" else "power"
    return value(int(label.text.rsplit(".", 1)[1]))


def _scale_cell(scheme: Taps, labels: list[Label], left: int, right: int, high: int) -> Detail:
    pads = [label for label in labels if left <= label.x and label.text[0] in "cq"]
    ground = [label for label in labels if left <= label.x and label.text == "GND"]
    bits = [PictureTag(p.x, f"{p.text[0]}{p.text.rsplit('.', 1)[1]}", "lower") for p in pads]
    vias = scheme.draw(digits_of([CODE] * 32, SHIFT)).rectangles
    lower = vias[scheme.technology.lower_cut.gds_layer, PROGRAMMABLE]
    x = next(box[0] + box[2] for box in lower.tolist() if box[0] > left) / 2
    return Detail(
        "The scale cell behind 32 of them: what their sum is multiplied by",
        "The silicon counts the 32 ports of a row in six bits, c0 to c5. Columns q0, q1, … of the "
        "next adder tree have a stub each, over pads of the bits that they may take, and one via a "
        f"column chooses (1). Here all choose a shift of {SHIFT}, times {2**SHIFT}: q1 takes c0, q2 "
        "takes c1, and so on; the columns that take none are tied to a trunk of ground.",
        (left, 0, right, high), [bits], [[PictureTag(g.x, "ground", "upper") for g in ground]],
        [Spot(x, high / 2, "weight", (0, -30))],
    )  # fmt: skip


# -- regions -------------------------------------------------------------------------------------


def regions_row() -> str:
    """A whole row of 32 inputs."""
    bare = ArrayKind("regions", 1, 1, 0, 4)
    technology = load_technology("n5")
    codes = np.random.default_rng(7).permutation(np.array(MIXTURE * 2)).tolist()
    digits = digits_of(codes, 0)
    scheme = open_scheme(technology, replace(bare, tracks=tracks_needed(technology, bare, digits)))
    base = scheme.base(ONE_ROW)
    labels, (width, whole) = base.labels, scheme.size_nm(ONE_ROW)
    metal = base.flat()[technology.lower.gds_layer, FIXED]
    high = int(metal[metal[:, 3] < whole, 3].max()) + 100  # the ports' end
    trunks = {int(label.text[1:]): label for label in labels if label.text[0] == "x"}
    ports = {label.x: label.text for label in labels if label.text[0] == "p"}
    wires = _wires(scheme, digits, trunks)
    groups: dict[str, list[int]] = {}
    for x, text in ports.items():
        groups.setdefault(text.rsplit(".", 1)[0], []).append(x)
    counted = {ports[x].rsplit(".", 1)[0]: codes[n] for n, (x, _) in wires.items()}
    above = [
        PictureTag(
            sum(x) / len(x),
            value(int(TWICE_E2M1[counted[group]])) if group in counted else "–",
            "lower",
        )
        for group, x in groups.items()
    ]
    below = [PictureTag(label.x, str(n), "upper") for n, label in trunks.items()]
    shown = min(wires, key=lambda n: abs(abs(trunks[n].x - wires[n][0]) - 900))
    end, y = wires[shown]
    start, counts = trunks[shown].x, value(int(TWICE_E2M1[codes[shown]]))
    left, right = min(start, end) - 350, max(start, end) + 350
    closer = left, max(0, round(y) - 260), right, round(y) + 260
    row = Detail(
        "A row: 32 weights of one neuron",
        "Inputs 0 to 31 come on trunks in the upper metal. Ports of the neuron stand in groups of "
        "four in the lower metal; what a group counts stands above it, and its short wires to power "
        "and ground, beside it, say so to the silicon. Every weight that is not zero is one wire. "
        "Ports without an input are tied to ground. The row goes on upwards, as its adders below need "
        "more room than its wires.",
        (0, 0, width, high), [above], [below], frames=[closer],
    )  # fmt: skip
    wire = Detail(
        f"Closer: input {shown}, whose weight is {counts}",
        f"A wire (2) joins the trunk of input {shown} (1) by a via (3), and by another (4) a port (5) "
        f"of a group that counts {counts}. Which port of the group it is does not matter, and which "
        "track the wire takes neither: the weight is the group.",
        closer, [[tag for tag in above if left < tag.x < right]],
        [[tag for tag in below if left < tag.x < right]],
        [
            Spot(start, closer[3] - 60, "upper"), Spot((start + end) / 2, y, "stub", (0, 34)),
            Spot(start, y, "weight", (0, -34)), Spot(end, y, "weight", (0, -34)),
            Spot(end, closer[1] + 60, "lower"),
        ],
    )  # fmt: skip
    return detail_svg(scheme, digits, "The regions scheme: a row of 32 weights", [row, wire])


def _wires(
    scheme: Scheme, digits: TileDigits, trunks: dict[int, Label]
) -> dict[int, tuple[int, float]]:
    """For every input with a wire, the place of the wire's via on a port."""
    t = scheme.technology
    drawn = scheme.draw(digits).rectangles
    stub, lower, upper = (
        drawn[layer.gds_layer, PROGRAMMABLE].tolist()
        for layer in (t.stub, t.lower_cut, t.upper_cut)
    )
    of_trunk = {label.x: n for n, label in trunks.items()}
    found = {}
    for via in upper:
        x, y = (via[0] + via[2]) / 2, (via[1] + via[3]) / 2
        (wire,) = (w for w in stub if w[0] <= x <= w[2] and w[1] <= y <= w[3])
        (end,) = (
            v for v in lower if wire[0] <= v[0] and v[2] <= wire[2] and wire[1] <= v[1] < wire[3]
        )
        found[of_trunk[round(x)]] = (end[0] + end[2]) // 2, y
    return found


# -- a tile of the bundled model -----------------------------------------------------------------


def tile() -> bytes:
    """The first tile of experts of the bundled model, built anew."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdlib-8m"
        hnlpu.build(ROOT / "checkpoints" / "stdlib-8m", path, workers=1)
        build = open_build(path)
        manifest = build.manifest
        (first, *_) = find_tiles(
            manifest.placement,
            manifest.technology.array,
            patterns=["*layers.0.mlp.experts.gate_up*"],
        )
        return draw_png(subject_of(build, first), pixels_a_point=1.0)


if __name__ == "__main__":
    (IMAGES / "taps-cell.svg").write_text(taps_cell(), "utf-8")
    (IMAGES / "regions-row.svg").write_text(regions_row(), "utf-8")
    (IMAGES / "tile.png").write_bytes(tile())
