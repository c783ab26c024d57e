"""Programmable rectangles of a regions tile -> what drives every port and tie, and the digits.

A stub wire joins whatever has a via on it: trunks of inputs above, and below, by number, the nodes

    0 ... group * g + k ...     ports
    ties + 8 * group + b        ties
    power, power + 1            supplies: PWR and ground

What a via stands on is looked up by its x; wires and vias are walked together from row to row,
track to track and left to right.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_values import tie_count, values_of_words

Rectangles = npt.NDArray[np.int32]
Shapes = tuple[Rectangles, Rectangles, Rectangles]
UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]

NOWHERE, POWER, GROUND = -1, -2, -3
"""Drivers beside the inputs, which are 0 and up."""

FINE = 0
OFF_SITE, UNCOVERED, DOUBLED = 1, 2, 3  # of vias
FLOATS, TWO_DRIVERS, SPELLS_NOTHING = 1, 2, 3  # of ports and groups' ties
ONE_WIRE, SECOND_WIRE = 1, 2  # of inputs
OFF_TRACK, TOO_CLOSE, UNDRIVEN, LEADS_NOWHERE = 1, 2, 3, 4  # of wires
TWO_PORTS, TWO_INPUTS, INPUT_AT_SUPPLY, SUPPLIES_SHORTED, POWERED_PORT = 5, 6, 7, 8, 9
TOO_LONG = 10
_FAR = 2**40


class Findings(NamedTuple):
    """What is wrong, FINE or one of the numbers above: by shape as given, and by place.

    `wire_input` is an input on each wrong wire, or NOWHERE.
    """

    lower: UInt8
    stub: UInt8
    upper: UInt8
    wire_input: Int32
    ports: UInt8
    ties: UInt8
    inputs: UInt8

    @property
    def any(self) -> bool:
        """Whether anything is wrong."""
        parts = (self.lower, self.stub, self.upper, self.ports, self.ties)
        return any(part.any() for part in parts) or bool((self.inputs == SECOND_WIRE).any())


class ReadRules(NamedTuple):
    """What shapes must keep to: pitch and first centre of rows and tracks, widths, enclosures.

    What keeps to all of it is legal: `hnlpu.silicon.masks` computes so for every process and shape.
    """

    pitch: int
    margin: int
    track_pitch: int
    tracks: int
    stub_width: int
    stub_space: int
    lower_size: int
    lower_end: int
    upper_size: int
    upper_end: int


class _Sites(NamedTuple):
    """What stands at every x of lower and upper metal; where ties begin, how many, on which tracks."""

    lower: Int32
    upper: Int32
    first_tie: int
    ties: int
    tie_step: int


class _Joined(NamedTuple):
    """Drivers of wires; by node [rows, nodes] its wire, and whether there are two."""

    driver: Int32
    wire_at: Int32
    twice: npt.NDArray[np.bool_]


def read_shapes(
    shapes: Shapes, rows: int, frame: Frame, scale_range: int, rules: ReadRules
) -> tuple[Int32, Findings]:
    """Integer digits [rows, inputs] from lower cuts, stub wires and upper cuts in any order.

    Shapes that are in order, as drawn, are not sorted: others cannot be read without a fault.
    """
    lower, stub, upper = (np.ascontiguousarray(part, np.int32) for part in shapes)
    digits, found, ascending = _read_ascending(
        (lower, stub, upper), rows, frame, scale_range, rules
    )
    if ascending and not found.any:
        return digits, found
    by_lower, by_stub, by_upper = (np.lexsort((p[:, 0], p[:, 1])) for p in (lower, stub, upper))
    in_order = lower[by_lower], stub[by_stub], upper[by_upper]
    digits, found, _ = _read_ascending(in_order, rows, frame, scale_range, rules)
    for marks, order in ((found.lower, by_lower), (found.stub, by_stub), (found.upper, by_upper)):
        marks[order] = marks.copy()
    found.wire_input[by_stub] = found.wire_input.copy()
    return digits, found


def _read_ascending(
    shapes: Shapes, rows: int, frame: Frame, scale_range: int, rules: ReadRules
) -> tuple[Int32, Findings, bool]:
    """Digits and findings, and whether the wires were in order."""
    ports, ties = frame.groups * frame.group, tie_count(scale_range)
    lower, stub, upper = shapes
    found = Findings(
        np.zeros(len(lower), np.uint8),
        np.zeros(len(stub), np.uint8),
        np.zeros(len(upper), np.uint8),
        np.full(len(stub), NOWHERE, np.int32),
        np.zeros((rows, ports), np.uint8),
        np.zeros((rows, frame.groups), np.uint8),
        np.zeros((rows, frame.inputs), np.uint8),
    )
    driver = np.full(len(stub), NOWHERE, np.int32)
    wire_at = np.full((rows, ports + 8 * frame.groups + 2), NOWHERE, np.int32)
    twice = np.zeros(wire_at.shape, np.bool_)
    joined = _Joined(driver, wire_at, twice)
    sites = _Sites(*_sites(frame), ports, ties, frame.rules.tie_step)
    ascending = _join(lower, stub, upper, sites, rules, _WIRE_FAULTS, found, joined)
    digits = np.zeros((rows, frame.inputs), np.int32)
    _spell(frame.group, ties, values_of_words(scale_range), joined, found, digits)
    return digits, found, ascending


def _sites(frame: Frame) -> tuple[Int32, Int32]:
    """What stands at every x: on lower metal a node, on upper metal an input, or NOWHERE."""
    lower = np.full(frame.width, NOWHERE, np.int32)
    upper = lower.copy()
    ports = frame.port_x.reshape(-1)
    power = len(ports) + 8 * frame.groups
    lower[ports] = np.arange(len(ports))
    lower[frame.tie_x] = len(ports) + 8 * np.arange(frame.groups)
    lower[frame.power_x] = power
    lower[frame.ground_x] = power + 1
    upper[frame.trunk_x] = np.arange(frame.inputs)
    return lower, upper


def _wire_fault(inputs: int, ports: int, ties: int, power: int, ground: int) -> int:
    """What is wrong with a wire that joins 0, 1 or more (2) of each of these."""
    if inputs > 1:
        return TWO_INPUTS
    if inputs and (ties or power or ground):
        return INPUT_AT_SUPPLY
    if inputs and ports != 1:
        return TWO_PORTS if ports else LEADS_NOWHERE
    if inputs:
        return FINE
    if power and ground:
        return SUPPLIES_SHORTED
    if not power and not ground:
        return UNDRIVEN
    if power and ports:
        return POWERED_PORT
    return FINE if ports or ties else LEADS_NOWHERE


_WIRE_FAULTS: UInt8 = np.array(
    [
        _wire_fault(inputs, ports, ties, power, ground)
        for inputs, ports, ties, power, ground in itertools.product(*map(range, (3, 3, 2, 2, 2)))
    ],
    np.uint8,
)
"""`_wire_fault` as a table: branches on what a wire joins cannot be predicted."""


@njit(cache=True, nogil=True)
def _line(
    y0: int, y1: int, width: int, pitch: int, margin: int, track_pitch: int, tracks: int
) -> tuple[int, int]:
    """Row and track of a wire `width` wide and centred on a track; track NOWHERE for others."""
    y = y0 + width // 2
    above = y % pitch - margin
    track = above // track_pitch
    if y1 - y0 != width or y < 0 or above < 0 or above % track_pitch or track >= tracks:
        return 0, NOWHERE
    return y // pitch, track


@njit(cache=True, nogil=True)
def _join(
    lower: Rectangles, stub: Rectangles, upper: Rectangles, sites: _Sites, rules: ReadRules,
    faults: UInt8, found: Findings, joined_to: _Joined,
) -> bool:  # fmt: skip
    """Drivers of wires, the wire at every node [rows, nodes], and what is wrong.

    Returns whether the wires ascend.  One loop with everything written out: a call that takes an
    array costs more than all that is done to a wire.
    """
    lower_sites, upper_sites, first_tie, ties, tie_step = sites
    pitch, margin, track_pitch, tracks, stub_width, stub_space = rules[:6]
    lower_size, lower_end, upper_size, upper_end = rules[6:]
    lower_wrong, stub_wrong, upper_wrong, wire_input = found[:4]
    driver, wire_at, twice = joined_to
    lows, ups, low, up = len(lower), len(upper), 0, 0
    power = wire_at.shape[1] - 2
    y0 = y1 = reach = before = np.int64(-_FAR)
    row, track, tie = 0, NOWHERE, 0
    ascending = True
    for n in range(len(stub)):
        if stub[n, 1] != y0 or stub[n, 3] != y1:
            ascending &= stub[n, 1] >= y0
            y0, y1 = np.int64(stub[n, 1]), np.int64(stub[n, 3])
            row, track = _line(int(y0), int(y1), stub_width, pitch, margin, track_pitch, tracks)
            tie = track // tie_step if track % tie_step == 0 else ties
            low_y = y0 + stub_width // 2 - lower_size // 2
            up_y = y0 + stub_width // 2 - upper_size // 2
            reach = np.int64(-_FAR)
        x0, x1 = np.int64(stub[n, 0]), np.int64(stub[n, 2])
        if track == NOWHERE or row >= len(wire_at) or x1 <= x0:
            stub_wrong[n] = OFF_TRACK
            continue
        stub_wrong[n] = TOO_CLOSE if x0 < reach else FINE
        reach = max(reach, x1 + stub_space)

        if tie >= ties and up + 1 < ups and low + 1 < lows:  # most join one input to one port
            a0, b0 = np.int64(upper[up, 0]), np.int64(lower[low, 0])
            plain = (upper[up, 1] == up_y) & (upper[up, 3] == up_y + upper_size)
            plain &= upper[up, 2] == a0 + upper_size
            plain &= (lower[low, 1] == low_y) & (lower[low, 3] == low_y + lower_size)
            plain &= lower[low, 2] == b0 + lower_size
            plain &= x0 == min(a0 - upper_end, b0 - lower_end)
            plain &= x1 == max(a0 + upper_size + upper_end, b0 + lower_size + lower_end)
            plain &= (upper[up + 1, 1] > up_y) | (upper[up + 1, 0] > x1)
            plain &= (lower[low + 1, 1] > low_y) | (lower[low + 1, 0] > x1)
            if plain and x0 >= 0 and x1 <= len(lower_sites):
                input_ = upper_sites[a0 + upper_size // 2]
                node = lower_sites[b0 + lower_size // 2]
                if input_ >= 0 and 0 <= node < first_tie:
                    twice[row, node] |= wire_at[row, node] != NOWHERE
                    wire_at[row, node], driver[n] = n, input_
                    low, up = low + 1, up + 1
                    continue

        inputs, by, before = 0, NOWHERE, np.int64(-_FAR)
        first_end, last_end = np.int64(_FAR), np.int64(-_FAR)
        while up < ups and (
            upper[up, 1] < up_y or (upper[up, 1] == up_y and upper[up, 0] < x0 + upper_end)
        ):
            upper_wrong[up] = UNCOVERED
            up += 1
        while up < ups and upper[up, 1] == up_y and upper[up, 2] <= x1 - upper_end:
            x = np.int64(upper[up, 0]) + upper_size // 2
            square = upper[up, 2] - upper[up, 0] == upper[up, 3] - up_y == upper_size
            input_ = upper_sites[x] if square and 0 <= x < len(upper_sites) else NOWHERE
            upper_wrong[up] = OFF_SITE if input_ < 0 else DOUBLED if x == before else FINE
            if input_ >= 0 and x != before:
                by, before = input_, x
                inputs += 1
            first_end = min(first_end, upper[up, 0] - upper_end)
            last_end = max(last_end, upper[up, 2] + upper_end)
            up += 1

        ports, pads, powered, grounded, before = 0, 0, 0, 0, np.int64(-_FAR)
        while low < lows and (
            lower[low, 1] < low_y or (lower[low, 1] == low_y and lower[low, 0] < x0 + lower_end)
        ):
            lower_wrong[low] = UNCOVERED
            low += 1
        while low < lows and lower[low, 1] == low_y and lower[low, 2] <= x1 - lower_end:
            x = np.int64(lower[low, 0]) + lower_size // 2
            square = lower[low, 2] - lower[low, 0] == lower[low, 3] - low_y == lower_size
            node = lower_sites[x] if square and 0 <= x < len(lower_sites) else NOWHERE
            on_tie = first_tie <= node < power
            if node < 0 or (on_tie and tie >= ties):  # a tie's pad is on its own track only
                lower_wrong[low] = OFF_SITE
            elif x == before:
                lower_wrong[low] = DOUBLED
            else:
                ports += node < first_tie
                pads |= on_tie
                powered |= node == power
                grounded |= node == power + 1
                before = x
                node += tie if on_tie else 0
                twice[row, node] |= wire_at[row, node] != NOWHERE
                wire_at[row, node] = n
            first_end = min(first_end, lower[low, 0] - lower_end)
            last_end = max(last_end, lower[low, 2] + lower_end)
            low += 1

        joined = (min(inputs, 2) * 3 + min(ports, 2)) * 8 + pads * 4 + powered * 2 + grounded
        if not inputs:
            by = POWER if powered else GROUND
        if faults[joined]:
            stub_wrong[n], wire_input[n], by = faults[joined], by if inputs else NOWHERE, NOWHERE
        elif x0 != first_end or x1 != last_end:
            stub_wrong[n], wire_input[n] = TOO_LONG, by if inputs else NOWHERE
        driver[n] = by
    lower_wrong[low:] = UNCOVERED
    upper_wrong[up:] = UNCOVERED
    return ascending


@njit(cache=True, nogil=True)
def _spell(
    group: int, ties: int, values: Int32, joined: _Joined, found: Findings, digits: Int32
) -> None:
    """Digits from what drives ports and ties."""
    driver, wire_at, twice = joined
    port_wrong, tie_wrong, input_wires = found.ports, found.ties, found.inputs
    first_tie = port_wrong.shape[1]
    for row in range(len(digits)):
        for g in range(tie_wrong.shape[1]):
            word, floating, doubled = 0, False, False
            for node in range(first_tie + 8 * g, first_tie + 8 * g + ties):
                by = driver[wire_at[row, node]] if wire_at[row, node] != NOWHERE else NOWHERE
                word |= (by == POWER) << (node - first_tie - 8 * g)
                floating |= by == NOWHERE
                doubled |= twice[row, node]
            value = values[word]
            if floating or doubled or value == 0:
                value = np.int32(0)
                tie_wrong[row, g] = (
                    FLOATS if floating else TWO_DRIVERS if doubled else SPELLS_NOTHING
                )
            for port in range(g * group, (g + 1) * group):
                by = driver[wire_at[row, port]] if wire_at[row, port] != NOWHERE else NOWHERE
                if by >= 0:
                    digits[row, by] = value
                    input_wires[row, by] = SECOND_WIRE if input_wires[row, by] else ONE_WIRE
                elif by == NOWHERE:
                    port_wrong[row, port] = FLOATS
                if twice[row, port]:
                    port_wrong[row, port] = TWO_DRIVERS
