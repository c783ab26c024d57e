"""A subject -> where to look: one weight with its metal, windows around it, marks and names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hnlpu.silicon.embed import Label, Layout
from hnlpu.silicon.masks.picture._metal import Box, roles_of, within
from hnlpu.silicon.masks.picture._parts import around
from hnlpu.silicon.masks.picture._subject import PictureSubject, Weight, candidates
from hnlpu.silicon.masks.picture._trace import Trace, trace
from hnlpu.silicon.masks.picture._words import filled, input_of, pin_name, words_of
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Metal, ViaLayer

HEIGHT_TO_WIDTH = 0.72
"""Of the windows of the last drawings."""
CELL_HEIGHT = 0.45
"""Of the metal of a weight that is shown alone, at most, in its widths: a row may be far higher."""
INPUTS_SEEN, ROWS_SEEN = (3, 5), (2.2, 14)
"""Least and most about the weight; rather too many than too few."""
WIRE_PITCHES = 14
"""Length of a weight's metal that a drawing shows best, in pitches of the lower metal."""


@dataclass(frozen=True)
class Mark:
    """A numbered place in nm, on metal of a GDS layer with a role, and what it is."""

    x: float
    y: float
    layer: int
    role: str
    text: str


@dataclass(frozen=True)
class Name:
    """What stands upright at x nm: the words, the role of its metal, whether the weight uses it."""

    x: float
    text: str
    role: str
    chosen: bool


@dataclass(frozen=True)
class Focus:
    """Windows in nm: `rows` shows neighbours, `window` the weight, `cell` its metal alone.

    `marks` begin with the trunk and the wire.  `inputs` has the middle of every input's trunks, x
    in nm, in the order of the inputs; `base` and `drawn` are the scheme's own drawings of the tile.
    """

    weight: Weight
    trace: Trace
    base: Layout
    drawn: Layout
    rows: Box
    window: Box
    cell: Box
    marks: tuple[Mark, ...]
    names: tuple[Name, ...]
    inputs: tuple[float, ...]

    @property
    def layouts(self) -> tuple[Layout, Layout]:
        """Fixed metal, and what the weights decide."""
        return self.base, self.drawn


def focus_on(subject: PictureSubject) -> Focus:
    """The weight shown last and all that is said about it."""
    scheme = subject.scheme
    base, drawn = scheme.base(subject.shape), scheme.draw(subject.digits)
    weight, net = _shown(subject, (base, drawn))
    cell = _cell(subject, net)
    width = cell[2] - cell[0]
    window_width = 1.12 * width
    least, most = (rows * subject.pitch / HEIGHT_TO_WIDTH for rows in ROWS_SEEN)
    rows_width = max(INPUTS_SEEN[0] * width, least, min(INPUTS_SEEN[1] * width, most))
    rows_width = max(window_width, min(rows_width, subject.outline[2]))
    window = around(cell, window_width, HEIGHT_TO_WIDTH * window_width, subject.outline)
    return Focus(
        weight, net, base, drawn,
        around(cell, rows_width, HEIGHT_TO_WIDTH * rows_width, subject.outline), window, cell,
        _marks(subject, (base, drawn), weight, net, cell, window),
        _names(subject, base.labels, net, cell), _inputs(base.labels),
    )  # fmt: skip


def _cell(subject: PictureSubject, net: Trace) -> Box:
    """Around the weight's metal: its row, or the part of it about the wire."""
    free = subject.scheme.technology.stub.space.value / 2
    x0, _, x1, _ = net.box
    x0, x1 = x0 - free, x1 + free
    high = min(subject.pitch, CELL_HEIGHT * (x1 - x0))
    middle = _wire_y(subject, net)
    y0 = min(max(middle - high / 2, net.row[1]), net.row[3] - high)
    return x0, y0, x1, y0 + high


def _wire_y(subject: PictureSubject, net: Trace) -> float:
    wires = net.of(subject.scheme.technology.stub, FIXED, PROGRAMMABLE)
    return float(wires[:, [1, 3]].mean()) if len(wires) else (net.row[1] + net.row[3]) / 2


def _shown(subject: PictureSubject, layouts: tuple[Layout, Layout]) -> tuple[Weight, Trace]:
    """The first weight that may be shown; where wires differ, one whose metal fits a window best."""
    weights = candidates(subject)
    wanted = {f"p{w.row}.{w.column}" for w in weights} | {f"x{w.column}" for w in weights}
    labels = {label.text: label for label in layouts[0].labels if label.text in wanted}
    width, pitch, lower = subject.outline[2], subject.pitch, subject.scheme.technology.lower
    best = WIRE_PITCHES * (lower.width.value + lower.space.value)
    found = []
    for weight in weights:
        row = 0, weight.row * pitch, width, (weight.row + 1) * pitch
        if port := labels.get(f"p{weight.row}.{weight.column}"):  # cells are all alike
            return weight, trace(subject.scheme, layouts, port, row)
        trunk = labels[f"x{weight.column}"]
        found.append((weight, trace(subject.scheme, layouts, trunk, row)))

    def misfit(pair: tuple[Weight, Trace]) -> float:
        x0, _, x1, _ = pair[1].box
        return abs(math.log((x1 - x0) / best))

    return min(found, key=misfit)


# -- marks ---------------------------------------------------------------------------------------


def _marks(
    subject: PictureSubject,
    layouts: Sequence[Layout],
    weight: Weight,
    net: Trace,
    cell: Box,
    window: Box,
) -> tuple[Mark, ...]:
    """Trunk, wire, vias and port of the weight; what it has none of is left out."""
    t, words = subject.scheme.technology, words_of(subject.scheme)
    roles = roles_of(subject.scheme)
    wires, wire_y = net.of(t.stub, FIXED, PROGRAMMABLE), _wire_y(subject, net)
    marks: list[Mark] = []

    def mark(x: float, y: float, layer: Metal | ViaLayer, role: str, sentence: str) -> None:
        text = filled(sentence, subject.first_input + weight.column,
                      subject.neurons[weight.row], weight)  # fmt: skip
        marks.append(Mark(x, y, layer.gds_layer, role, text))

    trunk = words.trunk if weight.code else words.zero
    upper_half = window[3] - wire_y > wire_y - window[1]
    y = ((window[3] if upper_half else window[1]) + wire_y) / 2
    for metal in (t.upper, t.lower):
        for box in net.trunks(metal)[:1].tolist():
            mark((box[0] + box[2]) / 2, y, metal, roles[metal.gds_layer, FIXED], trunk)
    vias = [
        (cut, sentence, box)
        for cut, sentence in ((t.upper_cut, words.upper_via), (t.lower_cut, words.lower_via))
        for box in net.of(cut, PROGRAMMABLE).tolist()
    ]
    ports = net.of(t.port_cut, FIXED).tolist()
    for box in wires[:1].tolist():
        covers = within(layouts, net.row).get((t.upper.gds_layer, FIXED))
        taken = [(b[0] + b[2]) / 2 for b in [*(via[2] for via in vias), *ports]]
        x = _free_place(box, covers.tolist() if covers is not None else [], taken)
        mark(x, wire_y, t.stub, "stub", words.wire)
    for cut, sentence, box in vias:
        mark((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, cut, "weight", sentence)
    for box in ports:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if cell[1] <= y <= cell[3]:
            mark(x, y, t.port_cut, "fixed", words.port)
        else:  # the port is a wire that goes down elsewhere: mark it where it is seen
            ends = [cell[1], cell[3]]
            y = max(ends, key=lambda end: abs(end - wire_y)) * 0.7 + wire_y * 0.3
            mark(x, y, t.lower, "lower", words.port)
    return tuple(marks)


def _free_place(wire: Sequence[float], covers: Iterable[Sequence[float]], taken: Sequence[float]) -> float:  # fmt: skip
    """A place on a wire that no upper metal covers, as far as can be from what is taken."""
    end = (wire[3] - wire[1]) / 2
    places = np.linspace(wire[0] + end, wire[2] - end, 97)
    seen = np.ones(len(places), bool)
    for box in covers:
        seen &= (places < box[0]) | (places > box[2])
    if seen.any():
        places = places[seen]
    away = np.abs(places[:, None] - np.array([*taken, np.inf])).min(1)
    away = np.where(np.isinf(away), 0, away)
    return float(places[int(away.argmax())])


# -- names ---------------------------------------------------------------------------------------


def _names(
    subject: PictureSubject, labels: Sequence[Label], net: Trace, cell: Box
) -> tuple[Name, ...]:
    """Pins of trunks over the weight's metal and of its own row, from the left."""
    t = subject.scheme.technology
    roles = roles_of(subject.scheme)
    trunks = {metal.gds_layer: net.trunks(metal).tolist() for metal in (t.lower, t.upper)}
    names = []
    for label in labels:
        on_row = net.row[1] <= label.y < net.row[3]
        if not (cell[0] <= label.x <= cell[2] and (label.y == 0 or on_row)):
            continue
        role = roles[label.layer[0], FIXED] if label.y == 0 else "fixed"
        chosen = label.y == 0 and any(b[0] <= label.x < b[2] for b in trunks[label.layer[0]])
        names.append(
            Name(label.x, pin_name(label.text, subject.scheme, subject.first_input), role, chosen)
        )
    return tuple(sorted(set(names), key=lambda name: (name.x, name.role)))


def _inputs(labels: Sequence[Label]) -> tuple[float, ...]:
    """The middle of every input's trunks."""
    spans: dict[int, tuple[int, int]] = {}
    for label in labels:
        if label.y == 0 and (n := input_of(label.text)) is not None:
            low, high = spans.get(n, (label.x, label.x))
            spans[n] = min(low, label.x), max(high, label.x)
    return tuple(sum(spans[n]) / 2 for n in range(len(spans)))
