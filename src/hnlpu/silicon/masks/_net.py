"""`Net`: what drives it, what it reaches, and the programmable metal between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

LOWER, UPPER = 0, 1
"""A via between lower metal and stubs, or between stubs and upper metal."""


class Via(NamedTuple):
    """A via at its centre, in nm."""

    level: int
    x: int
    y: int


class StubWire(NamedTuple):
    """A wire of the stub layer: its corners in nm."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass
class Net:
    """What drives a net, the pins it reaches, and the programmable metal that does it."""

    driver: str
    sinks: list[str] = field(default_factory=list)
    vias: list[Via] = field(default_factory=list)
    wires: list[StubWire] = field(default_factory=list)
