"""Layers, shapes and pin labels -> weights: an extractor that knows nothing else.

It shares no table with what draws.  What a pin is, its name says:

    x12.+3   drives 3 half units of input 12       x12   drives input 12 itself
    GND, PWR drive zero and one                    c4.0.5  drives bit 5 of the count of block 0, row 4
    p4.17    port of row 4 for input 17            p4.2.7  port 7 of group 2 of row 4
    q4.0.3   column 3 of the next adder tree for block 0 of row 4
    t4.2.1   tie 1 of group 2 of row 4

A sound layout has one driver on every net that a sink hangs on; what is left over, shorted or
open is a fault, placed by the sink nearest to it.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Fault, LabelTable, Rectangles, Shapes
from hnlpu.silicon.masks._connectivity import BARE_ABOVE, BARE_BELOW, DOUBLED, Fabric, Nets
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.technology import PIN, Technology

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

COUNT_BITS = 6  # of a sum of 32 inputs
BLOCK = 32
FAULTS_KEPT = 50
DRIVERS = frozenset(b"xcGP")
SINKS = frozenset(b"pqt")
NAME = 5  # columns of a parsed name: letter, numbers a, b, c, how many numbers


@dataclass(frozen=True)
class Netlist:
    """Sinks, what drives each, and what is wrong.

    `sinks` int32 [n, 5] are parsed names, `by` int32 [n] says which of `names` int32 [m + 1, 5]
    drives each; the last of them, with the letter 0, is nothing.
    """

    sinks: Int32
    by: Int32
    names: Int32
    faults: list[Fault]

    @property
    def drivers(self) -> Int32:
        """The name of what drives each sink; letter 0 for none."""
        found: Int32 = self.names[self.by]
        return found


@dataclass(frozen=True)
class Pins:
    """Pin labels of a layout: conductor, place, and name in numbers: int32 [n, 5]."""

    layer: Int64
    places: Int64
    names: Int32

    @functools.cached_property
    def sinks(self) -> Int64:
        """Which are sinks."""
        return np.flatnonzero(np.isin(self.names[:, 0], list(SINKS)))

    @functools.cached_property
    def drivers(self) -> Int64:
        """Which drive a net."""
        return np.flatnonzero(np.isin(self.names[:, 0], list(DRIVERS)))

    @functools.cached_property
    def sink_names(self) -> Int32:
        """The names of the sinks."""
        found: Int32 = self.names[self.sinks]
        return found

    @functools.cached_property
    def names_and_nothing(self) -> Int32:
        """All names, and one more with the letter 0."""
        return np.concatenate([self.names, np.zeros((1, NAME), np.int32)])


@njit(cache=True, nogil=True)
def _parse_names(text: npt.NDArray[np.uint8], ends: Int64, names: Int32) -> int:
    """Letter and up to three numbers of every name; returns the first that is no pin, or -1."""
    start = 0
    for n in range(len(ends)):
        names[n, 0] = text[start] if ends[n] > start else 0
        count, at = 0, start + 1
        if names[n, 0] == 71 or names[n, 0] == 80:  # GND and PWR have no number
            start = ends[n]
            continue
        while at < ends[n] and count < 3:
            sign: Any
            value: Any
            sign, value, digits = 1, 0, 0
            if text[at] == 43 or text[at] == 45:
                sign = 44 - np.int64(text[at])
                at += 1
            while at < ends[n] and 48 <= text[at] <= 57:
                value = value * 10 + np.int64(text[at]) - 48
                digits += 1
                at += 1
            if digits == 0 or digits > 9 or (at < ends[n] and text[at] != 46):
                return n
            at += 1
            names[n, 1 + count] = sign * value
            count += 1
        if count == 0 or at <= ends[n]:
            return n
        names[n, 4] = count
        start = ends[n]
    return -1


def pin_name(name: Sequence[int]) -> str:
    """The text of a parsed name."""
    letter, *numbers, count = (int(part) for part in name)
    if letter in b"GP":
        return "GND" if letter == ord("G") else "PWR"
    if not letter:
        return "nothing"
    parts = [str(number) for number in numbers[:count]]
    if letter == ord("x") and count == 2:
        parts[1] = f"{numbers[1]:+d}"
    return chr(letter) + ".".join(parts)


def read_pins(technology: Technology, labels: LabelTable) -> tuple[Pins, list[Fault]]:
    """The pins among the labels of a cell; a label that is no pin is a fault."""
    names = np.zeros((len(labels), NAME), np.int32)
    bad = _parse_names(labels.text, labels.ends, names)
    if bad >= 0:
        text = list(labels)[bad].text
        return Pins(labels.places[:0, 0], labels.places[:0, 1:], names[:0]), [
            Fault(None, None, f"label {text!r} is no pin")
        ]
    conductors = (technology.lower, technology.stub, technology.upper)
    layer = np.full(len(labels), -1, np.int64)
    for n, metal in enumerate(conductors):
        layer[labels.places[:, 0] == metal.gds_layer * 65536 + PIN] = n
    kept = layer >= 0
    return Pins(layer[kept], labels.places[kept, 1:], names[kept]), []


def layers_of(technology: Technology, shapes: Shapes) -> tuple[list[Rectangles], list[Rectangles]]:
    """Conductors and cuts of the embedding from the bottom up, fixed and programmable together."""

    def of(layer: int) -> Rectangles:
        parts = [
            p for key, found in shapes.items() for p in found if key[0] == layer and key[1] < PIN
        ]
        return np.ascontiguousarray(np.concatenate([np.zeros((0, 4), np.int32), *parts]))

    t = technology
    conductors = [of(metal.gds_layer) for metal in (t.lower, t.stub, t.upper)]
    return conductors, [of(cut.gds_layer) for cut in (t.port_cut, t.lower_cut, t.upper_cut)]


class Base:
    """The fixed metal of an array with its pins, joined once for all tiles of its shape.

    `cell` is flat.  A layout whose fixed and programmable metal are not apart is a base of its own
    to which nothing is added.
    """

    def __init__(self, technology: Technology, cell: LayoutCell):
        self.technology = technology
        self.pins, self.faults = read_pins(technology, cell.all_labels())
        self._fabric = Fabric(
            *layers_of(technology, cell.shapes), self.pins.layer, self.pins.places
        )

    def netlist(self, shapes: Shapes | None = None) -> Netlist:
        """The netlist of the base with `shapes` added to it."""
        added = layers_of(self.technology, shapes) if shapes else (None, None)
        return _netlist(self.technology, self._fabric.nets(*added), self.pins, self.faults)


def extract_netlist(technology: Technology, cell: LayoutCell) -> Netlist:
    """Nets of a flat cell, by geometry and labels alone."""
    return Base(technology, cell).netlist()


def _netlist(technology: Technology, nets: Nets, pins: Pins, faults: list[Fault]) -> Netlist:
    faults = list(faults)
    net = nets.under
    where = _Where(pins)
    driver = np.full(len(nets.net) + 1, -1, np.int32)
    shorted = np.full((FAULTS_KEPT, 2), -1, np.int64)
    count = _assign(net, pins.drivers, pins.names, driver, shorted)
    for a, b in shorted[: min(count, FAULTS_KEPT)]:
        x, y = _bridge(nets, pins, int(a), int(b))
        names = f"{pin_name(pins.names[a])} and {pin_name(pins.names[b])}"
        faults.append(where.fault(x, y, f"{names} are shorted at ({x}, {y}) nm"))
    faults += _bare_pins(pins, net, where)
    faults += _floating(nets, net, where)
    faults += _wrong_cuts(technology, nets, where)
    by = driver[net[pins.sinks]]  # of net -1 it is the last entry, which no one drives
    by[by < 0] = len(pins.names)
    return Netlist(pins.sink_names, by, pins.names_and_nothing, faults)


@njit(cache=True, nogil=True)
def _assign(net: Int32, of: Int64, names: Int32, driver: Int32, shorted: Int64) -> int:
    """Enter each driving pin at its net; returns how many nets meet a second signal."""
    count = 0
    for n in of:
        at = net[n]
        if at < 0:
            continue
        first = driver[at]
        if first < 0:
            driver[at] = n
            continue
        same = True
        for i in range(names.shape[1]):
            same &= names[first, i] == names[n, i]
        if not same:
            if count < len(shorted):
                shorted[count, 0], shorted[count, 1] = first, n
            count += 1
    return count


class _Where:
    """Places faults by the nearest sink."""

    def __init__(self, pins: Pins):
        self._pins = pins

    def fault(self, x: int, y: int, what: str) -> Fault:
        sinks = self._pins.sinks
        if not len(sinks):
            return Fault(None, None, what)
        away = self._pins.places[sinks] - np.array([x, y])
        # rows lie closer than cells: the row first
        nearest = int(np.argmin(np.abs(away[:, 1]) * 64 + np.abs(away[:, 0])))
        return Fault(*place_of(self._pins.names[sinks[nearest]]), what)


def place_of(name: Int32) -> tuple[int, int | None]:
    """Row and input that a sink's name tells; for ports of groups the input is not known."""
    row, second, count = int(name[1]), int(name[2]), int(name[4])
    if name[0] == ord("p") and count == 2:
        return row, second
    return (row, second * BLOCK) if name[0] == ord("q") else (row, None)


def _bare_pins(pins: Pins, net: Int32, where: _Where) -> list[Fault]:
    faults = []
    for n in np.flatnonzero(net < 0)[:FAULTS_KEPT]:
        x, y = (int(v) for v in pins.places[n])
        faults.append(where.fault(x, y, f"pin {pin_name(pins.names[n])} has no metal"))
    return faults


def _floating(nets: Nets, net: Int32, where: _Where) -> list[Fault]:
    """Metal that hangs on no pin."""
    named = np.zeros(len(nets.net) + 1, np.bool_)
    named[net] = True
    if named[nets.net].all():
        return []
    faults = []
    for first, rectangles in (piece for layer in nets.rectangles for piece in layer):
        lost = ~named[nets.net[first : first + len(rectangles)]]
        for n in np.flatnonzero(lost)[:FAULTS_KEPT]:
            x, y = _centre(rectangles[n])
            faults.append(where.fault(x, y, f"metal at ({x}, {y}) nm hangs on no pin"))
    return faults


def _wrong_cuts(technology: Technology, nets: Nets, where: _Where) -> list[Fault]:
    t, faults = technology, []
    what = {BARE_BELOW: "not whole on the metal below", BARE_ABOVE: "not whole under the metal above",
            DOUBLED: "on another via"}  # fmt: skip
    for cut, layer in zip((t.port_cut, t.lower_cut, t.upper_cut), nets.cuts, strict=True):
        for rectangles, marks in layer:
            for n in np.flatnonzero(marks)[:FAULTS_KEPT]:
                x, y = _centre(rectangles[n])
                problems = " and ".join(text for bit, text in what.items() if marks[n] & bit)
                faults.append(where.fault(x, y, f"{cut.name} at ({x}, {y}) nm is {problems}"))
    return faults


def _centre(rectangle: npt.NDArray[Any]) -> tuple[int, int]:
    x0, y0, x1, y1 = (int(v) for v in rectangle)
    return (x0 + x1) // 2, (y0 + y1) // 2


def _bridge(nets: Nets, pins: Pins, a: int, b: int) -> tuple[int, int]:
    """Where two pins that should be apart come together: the middle of the way between them."""
    here = nets.under[a]
    boxes, kinds, start, goal, count = [], [], -1, -1, 0
    for level, layer in enumerate(nets.rectangles):
        for first, rectangles in layer:
            box = rectangles[nets.net[first : first + len(rectangles)] == here]
            boxes.append(box)
            kinds.append(np.full(len(box), 2 * level + 1))
            start = _under(box, pins, a, level, count, start)
            goal = _under(box, pins, b, level, count, goal)
            count += len(box)
    for level, cuts in enumerate(nets.cuts):  # between: 0, 2, 4 with the conductors 1, 3, 5
        for rectangles, _ in cuts:
            boxes.append(rectangles)
            kinds.append(np.full(len(rectangles), 2 * level))
    box, kind = np.concatenate(boxes), np.concatenate(kinds)
    came = {start: start}
    queue = deque([start])
    while queue and goal not in came:
        at = queue.popleft()
        touches = (
            (np.minimum(box[:, 2], box[at, 2]) >= np.maximum(box[:, 0], box[at, 0]))
            & (np.minimum(box[:, 3], box[at, 3]) >= np.maximum(box[:, 1], box[at, 1]))
            & ((np.abs(kind - kind[at]) == 1) | ((kind == kind[at]) & (kind[at] % 2 == 1)))
        )
        for n in np.flatnonzero(touches).tolist():
            if n not in came:
                came[n] = at
                queue.append(n)
    way = [goal if goal in came else start]
    while way[-1] != start:
        way.append(came[way[-1]])
    inner = way[1:-1] or way
    return _centre(box[inner[len(inner) // 2]])


def _under(box: Rectangles, pins: Pins, pin: int, level: int, count: int, found: int) -> int:
    """The number (from `count` on) of the shape under a pin, if it is on this level; else `found`."""
    if pins.layer[pin] != level:
        return found
    x, y = pins.places[pin]
    inside = (box[:, 0] <= x) & (x <= box[:, 2]) & (box[:, 1] <= y) & (y <= box[:, 3])
    here = np.flatnonzero(inside)
    return count + int(here[0]) if len(here) else found
