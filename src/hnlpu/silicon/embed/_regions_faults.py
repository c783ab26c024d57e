"""What reading a regions tile found wrong -> faults by row and input, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hnlpu.silicon.embed._layout import Rectangles
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_read import (
    DOUBLED,
    FLOATS,
    INPUT_AT_SUPPLY,
    LEADS_NOWHERE,
    NOWHERE,
    OFF_SITE,
    OFF_TRACK,
    POWERED_PORT,
    SECOND_WIRE,
    SPELLS_NOTHING,
    SUPPLIES_SHORTED,
    TOO_CLOSE,
    TOO_LONG,
    TWO_DRIVERS,
    TWO_INPUTS,
    TWO_PORTS,
    UNCOVERED,
    UNDRIVEN,
    Findings,
    Shapes,
)
from hnlpu.silicon.embed._scheme import Fault

FAULTS_KEPT = 1000  # of each kind: a file of another build is nothing but faults

_OF_VIA = {
    OFF_SITE: "stands on no trunk, port or tie",
    UNCOVERED: "is not on a wire",
    DOUBLED: "is a second via at its place",
}
_OF_WIRE = {
    OFF_TRACK: "is on no track of any row",
    TOO_CLOSE: "is too close to the wire before it",
    TOO_LONG: "reaches further than its vias ask for",
    UNDRIVEN: "has no driver",
    LEADS_NOWHERE: "leads nowhere",
    TWO_PORTS: "joins two ports to one input",
    TWO_INPUTS: "joins two inputs",
    INPUT_AT_SUPPLY: "joins an input with ties or supplies",
    SUPPLIES_SHORTED: "joins PWR and ground",
    POWERED_PORT: "joins a port with PWR",
}
_OF_PORT = {FLOATS: "floats", TWO_DRIVERS: "hangs on more than one wire"}
_OF_TIES = {
    FLOATS: "float",
    TWO_DRIVERS: "hang on more than one wire each",
    SPELLS_NOTHING: "spell no value",
}


def faults_of(
    found: Findings, shapes: Shapes, names: Sequence[str], frame: Frame, pitch: int
) -> Iterator[Fault]:
    """Faults in words: shapes by place, then ports, ties and inputs; `names` are the layers'."""
    lower, stub, upper = shapes
    yield from _vias(found.lower, lower, names[0], pitch)
    yield from _vias(found.upper, upper, names[2], pitch)
    for n in np.flatnonzero(found.stub)[:FAULTS_KEPT]:
        x, y = _centre(stub[n])
        by = int(found.wire_input[n])
        what = f"{names[1]} wire at ({x}, {y}) nm {_OF_WIRE[int(found.stub[n])]}"
        yield Fault(y // pitch, None if by == NOWHERE else by, what)
    for row, port in np.argwhere(found.ports)[:FAULTS_KEPT]:
        group, k = divmod(int(port), frame.group)
        yield Fault(int(row), None, f"port {k} of group {group} {_OF_PORT[found.ports[row, port]]}")
    for row, group in np.argwhere(found.ties)[:FAULTS_KEPT]:
        yield Fault(int(row), None, f"ties of group {group} {_OF_TIES[found.ties[row, group]]}")
    for row, column in np.argwhere(found.inputs == SECOND_WIRE)[:FAULTS_KEPT]:
        yield Fault(int(row), int(column), "is wired to more than one port")


def _vias(marks: np.ndarray, vias: Rectangles, name: str, pitch: int) -> Iterator[Fault]:
    for n in np.flatnonzero(marks)[:FAULTS_KEPT]:
        x, y = _centre(vias[n])
        yield Fault(y // pitch, None, f"{name} at ({x}, {y}) nm {_OF_VIA[int(marks[n])]}")


def _centre(box: Rectangles) -> tuple[int, int]:
    x0, y0, x1, y1 = (int(v) for v in box)
    return (x0 + x1) // 2, (y0 + y1) // 2
