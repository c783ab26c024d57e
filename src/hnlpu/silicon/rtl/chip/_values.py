"""Where a value of a network is while a token is worked on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from hnlpu.arithmetic.fixed_point import FRACTION
from hnlpu.silicon.rtl.chip._registers import Beats


@dataclass(frozen=True)
class Held:
    """Numbers in registers, row by row, in units of 2^-`fraction`.

    `clean`: lanes behind the last number hold zeros, so that sums and largest values may take them.
    """

    beats: Beats
    size: int
    fraction: int = FRACTION
    clean: bool = True


@dataclass(frozen=True)
class Pairs:
    """Even and odd numbers of a value, apart: gates and ups."""

    gate: Held
    up: Held


@dataclass(frozen=True)
class Beside:
    """What a unit or an array keeps: digits, sums, angles, shares, numbers of experts, inputs."""

    what: str


Place = Held | Pairs | Beside


def beats_of(place: Place) -> Beats:
    """Registers that a value needs."""
    match place:
        case Held(beats):
            return beats
        case Pairs(gate, up):
            return gate.beats + up.beats
        case Beside():
            return ()
        case _:
            assert_never(place)
