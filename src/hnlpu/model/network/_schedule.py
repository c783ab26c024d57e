"""Which steps may run for many positions at once, and which must go position by position.

A read before the write sees what the position before left, so everything from the first such read
of a state to its write is a serial region: position by position.  All other steps may run for all
positions of a piece together, since reads after the write see entries that are there by then.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.model.network._form import Network
from hnlpu.model.network.ops import Read, Write


@dataclass(frozen=True)
class Region:
    """Steps `start` to `stop`, the one behind the last."""

    start: int
    stop: int
    serial: bool


def regions(network: Network) -> tuple[Region, ...]:
    """All steps of a checked network in order, serial regions as short as they can be."""
    writes = {
        step.op.state: n for n, step in enumerate(network.steps) if isinstance(step.op, Write)
    }
    serial: list[Region] = []
    for n, step in enumerate(network.steps):
        if isinstance(step.op, Read) and step.op.when == "before":
            stop = writes[step.op.state] + 1
            if serial and n < serial[-1].stop:
                start, stop = serial[-1].start, max(stop, serial.pop().stop)
                serial.append(Region(start, stop, True))
            else:
                serial.append(Region(n, stop, True))
    found: list[Region] = []
    end = 0
    for region in (*serial, Region(len(network.steps), len(network.steps), True)):
        if end < region.start:
            found.append(Region(end, region.start, False))
        if region.start < region.stop:
            found.append(region)
        end = region.stop
    return tuple(found)
