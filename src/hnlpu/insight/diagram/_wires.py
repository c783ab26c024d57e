"""Wires between two layers: down, along a track, down; each net's track is its own where they meet.

│ a      │ b
└──┐     │        track 0
   │  ┌──┘        track 1
   ▼  ▼
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.insight.diagram._box import ADD_RADIUS
from hnlpu.insight.diagram._marks import LineMark, Mark

TRACK = 8.0
ARROW = 12.0
_NEAR = 7.0


@dataclass(frozen=True)
class DrawnWire:
    """From a node at `start` to `ends`: the place, whether with an arrow, whether to a sum's side."""

    source: int
    start: float
    ends: tuple[tuple[float, bool, bool], ...]
    stream: bool

    @property
    def reach(self) -> tuple[float, float]:
        """From where to where it goes along its track."""
        places = [self.start, *(at for at, _, _ in self.ends)]
        return min(places), max(places)

    @property
    def straight(self) -> bool:
        """Whether it needs no track."""
        low, high = self.reach
        return high - low < 0.5


def tracks(wires: Sequence[DrawnWire]) -> dict[int, int]:
    """A track for each wire that is not straight, by number.

    Where one wire ends below the place at which another starts, that other turns off above, so
    that they do not run upon each other; a ring of such wires is broken at one place.
    """
    bent = [n for n, wire in enumerate(wires) if not wire.straight]
    above: dict[int, set[int]] = {n: set() for n in bent}  # wires that must turn off before
    for n in bent:
        for m in bent:
            if n != m and any(abs(at - wires[m].start) < _NEAR for at, _, _ in wires[n].ends):
                above[n].add(m)
    found: dict[int, int] = {}
    left = list(bent)
    while left:
        ready = [n for n in left if not above[n] & set(left)] or left[:1]
        for n in ready:
            low, high = wires[n].reach
            track = max((found[m] + 1 for m in above[n] if m in found), default=0)
            while any(
                found[m] == track and wires[m].reach[0] < high + _NEAR
                and low < wires[m].reach[1] + _NEAR
                for m in found
            ):  # fmt: skip
                track += 1
            found[n] = track
        left = [n for n in left if n not in found]
    return found


def wire_marks(wire: DrawnWire, top: float, track: float, bottom: float) -> list[Mark]:
    """The lines of a wire from `top` along `track` to `bottom`."""
    style = "stream" if wire.stream else "wire"
    found: list[Mark] = []
    for at, arrow, aside in wire.ends:
        points = [(wire.start, top)]
        if abs(at - wire.start) >= 0.5:
            points += [(wire.start, track), (at, track)]
        if aside:
            level = bottom + ADD_RADIUS
            points += [(at, level), (at - 16.0, level)]
        else:
            points.append((at, bottom))
        found.append(LineMark(tuple(points), style, arrow))
    return found
