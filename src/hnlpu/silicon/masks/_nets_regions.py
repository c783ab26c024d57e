"""Digits of a regions tile -> nets: the router's choice of ports and tracks, spelled pin by pin.

Written apart from the drawing code: tests compare the metal of these nets with what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hnlpu.silicon.embed import Regions, TileDigits, TileShape
from hnlpu.silicon.masks._net import LOWER, UPPER, Net, StubWire, Via


def regions_nets(scheme: Regions, digits: TileDigits) -> Iterator[Net]:
    """Inputs' trunks with their ports, by input; then GND with unused ports and ties, and PWR.

    Raises DoesNotFit where a row needs more tracks than the array has.
    """
    shape = TileShape(digits.rows, digits.blocks)
    routes, frame = scheme.fitting_routes(digits), scheme.frame(shape)
    places = _Places(scheme, shape)
    for column, trunk in enumerate(frame.trunk_x.tolist()):
        net = Net(f"x{column}")
        for row in np.flatnonzero(routes.port[:, column] >= 0).tolist():
            group, k = divmod(int(routes.port[row, column]), frame.group)
            y, port = places.y(row, int(routes.track[row, column])), places.ports[group][k]
            net.sinks.append(f"p{row}.{group}.{k}")
            net.vias += [Via(UPPER, trunk, y), Via(LOWER, port, y)]
            net.wires.append(places.wire([trunk, port], y))
        if net.sinks:
            yield net
    supplies = Net("GND"), Net("PWR")
    for row in range(digits.rows):
        words, used = routes.word[row].tolist(), routes.used[row].tolist()
        for pair in range(frame.pairs):
            _tie(places, row, pair, words, used, *supplies)
    yield from (net for net in supplies if net.sinks)


class _Places:
    """Where pins and tracks of a tile are, as lists of integers."""

    def __init__(self, scheme: Regions, shape: TileShape):
        frame = scheme.frame(shape)
        self.ports: list[list[int]] = frame.port_x.tolist()
        self.ties: list[int] = frame.tie_x.tolist()
        self.ground: list[int] = frame.ground_x.tolist()
        self.power: list[int] = frame.power_x.tolist()
        self.ties_of_group, self.tie_step = scheme.ties, frame.rules.tie_step
        self._rules, self._pitch = frame.rules, scheme.row_pitch_nm(shape)

    def y(self, row: int, track: int) -> int:
        """Centre of a track."""
        return row * self._pitch + self._rules.margin + track * self._rules.track_pitch

    def wire(self, x: Sequence[int], y: int) -> StubWire:
        """A wire over vias at x."""
        half, end = self._rules.stub_width // 2, self._rules.stub_end
        return StubWire(min(x) - end, y - half, max(x) + end, y + half)


def _tie(
    places: _Places, row: int, pair: int, words: list[int], used: list[int], ground: Net, power: Net
) -> None:
    """Enter the ties and unused ports of a pair of groups."""
    for tie in range(places.ties_of_group):
        y = places.y(row, tie * places.tie_step)
        at_power: list[int] = []
        for group in (2 * pair, 2 * pair + 1):
            sink = f"t{row}.{group}.{tie}"
            if words[group] >> tie & 1:
                power.sinks.append(sink)
                at_power.append(places.ties[group])
                continue
            ground.sinks.append(sink)
            x = [places.ties[group], places.ground[group]]
            if words[group] % (1 << tie) == (1 << tie) - 1:  # its first tie at ground
                x += _unused(places, row, group, used[group], ground)
            ground.vias += [Via(LOWER, at, y) for at in x]
            ground.wires.append(places.wire(x, y))
        if at_power:
            x = [places.power[pair], *at_power]
            power.vias += [Via(LOWER, at, y) for at in x]
            power.wires.append(places.wire(x, y))


def _unused(places: _Places, row: int, group: int, used: int, ground: Net) -> list[int]:
    """Enter a group's unused ports, those nearest to its ties, into `ground`; returns their x."""
    ports = places.ports[group]
    free = range(len(ports) - used) if group % 2 else range(used, len(ports))
    ground.sinks += [f"p{row}.{group}.{k}" for k in free]
    return [ports[k] for k in free]
