"""Where the metal of a regions tile stands: rules of the process -> widths, pitches, positions.

A pair of groups, g = 2, seen from above; everything upright is lower metal:

    p0 p1 | GND t PWR t GND | p0 p1        t: the ties of a group, short pads one above the other
    group 2q                group 2q+1

Neighbours stand `lower_pitch` apart; `tie_pitch`, which is wider, to both sides of PWR and from
pair to pair, where two wires of one track may end side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.technology import Technology, ViaLayer

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Rules:
    """Widths and pitches in nm that the process's rules ask for; the row's height included."""

    grid: int
    lower_width: int
    stub_width: int
    upper_width: int
    stub_end: int
    """From a via's centre to the end of its wire."""
    clear: int
    """From the last via of a wire to the first of the next on its track."""
    pad_length: int
    lower_pitch: int
    upper_pitch: int
    track_pitch: int
    tie_pitch: int
    tie_step: int
    """Tracks from a group's tie to the next."""
    half_space: int
    """From the edge of a row to the ends of its ports."""
    margin: int
    """From the edge of a row to the centre of its first track."""
    edge: int
    """From the side of a tile to the centre of its outermost trunks and ports."""

    def height(self, tracks: int) -> int:
        """Height of the wiring of a row."""
        return 2 * self.margin + (tracks - 1) * self.track_pitch


def rules_of(technology: Technology) -> Rules:
    """Widths and pitches, all on grid and widths even, so that centres are too."""
    t = technology
    grid = round(t.grid.value)
    port, low, high = t.port_cut, t.lower_cut, t.upper_cut

    def up(*lengths: float) -> int:
        return math.ceil(max(lengths) / grid - 1e-9) * grid

    def even(*lengths: float) -> int:
        return 2 * up(max(lengths) / 2)

    lower_width = even(t.lower.width.value, across(port, above=True), across(low, above=False))
    stub_width = even(t.stub.width.value, across(low, above=True), across(high, above=False))
    upper_width = even(t.upper.width.value, across(high, above=True))
    stub_end = up(along(low, above=True), along(high, above=False), t.stub.length.value / 2)
    pad = even(t.lower.length.value, 2 * along(port, above=True), 2 * along(low, above=False))
    cuts = {cut.name: cut.size.value + cut.space.value for cut in (port, low, high)}
    lower_pitch = up(lower_width + t.lower.space.value, cuts[port.name], cuts[low.name])
    # ends of wires on two tracks may face each other cornerwise
    track_pitch = up(stub_width + t.stub.end_space_nm, cuts[low.name], cuts[high.name])
    half_space = up(t.lower.end_space_nm / 2)
    pad_pitch = max(pad + t.lower.end_space_nm, cuts[port.name])
    clear = up(2 * stub_end + t.stub.end_space_nm, cuts[low.name], cuts[high.name])
    sides = (
        (lower_width + t.lower.space.value) / 2,
        (upper_width + t.upper.space.value) / 2,
        stub_end + t.stub.end_space_nm / 2,
    )
    return Rules(
        grid=grid,
        lower_width=lower_width,
        stub_width=stub_width,
        upper_width=upper_width,
        stub_end=stub_end,
        clear=clear,
        pad_length=pad,
        lower_pitch=lower_pitch,
        upper_pitch=up(upper_width + t.upper.space.value, cuts[high.name]),
        track_pitch=track_pitch,
        tie_pitch=max(lower_pitch, clear),
        tie_step=math.ceil(pad_pitch / track_pitch - 1e-9),
        half_space=half_space,
        margin=up(
            track_pitch / 2,
            half_space + max(pad / 2, along(low, above=False)),
            along(high, above=True),
        ),
        edge=up(*sides),
    )


def across(cut: ViaLayer, *, above: bool) -> float:
    """Width that a wire needs at a via."""
    return cut.size.value + 2 * (cut.enclosure_above if above else cut.enclosure_below).value


def along(cut: ViaLayer, *, above: bool) -> float:
    """Distance from a via's centre to the end of its wire."""
    sides = cut.enclosure_above if above else cut.enclosure_below
    ends = cut.end_enclosure_above if above else cut.end_enclosure_below
    return cut.size.value / 2 + max(sides.value, ends.value)


@dataclass(frozen=True)
class Frame:
    """x in nm of everything upright in a tile, from `inputs`, an even number of groups, g ports.

    The inputs' trunks and the pairs of groups are each spread evenly over the same width, which
    the denser of the two decides.
    """

    rules: Rules
    inputs: int
    groups: int
    group: int

    @property
    def pairs(self) -> int:
        """Pairs of groups, each with one PWR trunk and two of ground."""
        return self.groups // 2

    @property
    def _inner(self) -> int:
        r = self.rules
        pair = (2 * self.group + 2) * r.lower_pitch + 3 * r.tie_pitch
        return max(self.inputs * r.upper_pitch, self.pairs * pair)

    @property
    def width(self) -> int:
        """Width of the tile."""
        return self._inner + 2 * self.rules.edge

    @property
    def trunk_pitch(self) -> int:
        """From one input's trunk to the next."""
        return self._inner // self.inputs // self.rules.grid * self.rules.grid

    @property
    def trunk_x(self) -> Int32:
        """Centres of the inputs' trunks, int32 [inputs]."""
        return self._centred(np.arange(self.inputs) * self.trunk_pitch)

    @property
    def pair_width(self) -> int:
        """From one pair to the next."""
        return self._inner // self.pairs // self.rules.grid * self.rules.grid

    @property
    def port_pitch(self) -> int:
        """From one port to the next."""
        r = self.rules
        free = (self.pair_width - 3 * r.tie_pitch) // (2 * self.group + 2)
        return free // r.grid * r.grid

    @property
    def _from_port(self) -> tuple[int, int, int]:
        """From the first port of a pair to its first ground trunk, its PWR and its last port."""
        ground = self.group * self.port_pitch
        power = ground + self.port_pitch + self.rules.tie_pitch
        return ground, power, 2 * power

    @property
    def _pair_x(self) -> Int32:
        """Centres of the pairs' first ports."""
        starts = np.arange(self.pairs) * self.pair_width
        return self._centred(starts, self._from_port[2])

    def _centred(self, x: npt.NDArray[np.int64], last: int = 0) -> Int32:
        grid = self.rules.grid
        slack = self.width - (int(x[-1]) + last)
        return (x + slack // 2 // grid * grid).astype(np.int32)

    @property
    def power_x(self) -> Int32:
        """Centres of the PWR trunks, int32 [pairs]."""
        return self._pair_x + np.int32(self._from_port[1])

    @property
    def ground_x(self) -> Int32:
        """Centres of the ground trunks, int32 [groups]."""
        return self._beside_power(self.rules.tie_pitch + self.port_pitch)

    @property
    def tie_x(self) -> Int32:
        """Centres of the groups' columns of ties, int32 [groups]."""
        return self._beside_power(self.rules.tie_pitch)

    def _beside_power(self, distance: int) -> Int32:
        sides = np.array([-distance, distance], np.int32)
        return (self.power_x[:, None] + sides).reshape(-1)

    @property
    def port_x(self) -> Int32:
        """Centres of the ports, int32 [groups, g], ascending."""
        k = np.arange(self.group, dtype=np.int32) * np.int32(self.port_pitch)
        ground = self.ground_x.reshape(-1, 2)
        first = ground[:, 0] - np.int32(self.group * self.port_pitch)
        second = ground[:, 1] + np.int32(self.port_pitch)
        starts = np.stack([first, second], -1).reshape(-1, 1)
        ports: Int32 = (starts + k).astype(np.int32)
        return ports
