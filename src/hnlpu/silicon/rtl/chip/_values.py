"""Where a value of a network is while a token is worked on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import FRACTION
from hnlpu.silicon.rtl.chip._registers import Beats

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RegisterRows:
    """Numbers in registers, row by row, in units of 2^-`fraction`.

    `clean`: lanes behind the last number hold zeros, so that sums and largest values may take them.
    """

    beats: Beats
    size: int
    fraction: int = FRACTION
    clean: bool = True


@dataclass(frozen=True, eq=False)
class RegisterPlaces:
    """Numbers in registers, each in a place of its own, in units of 2^-`fraction`.

    `places`, of the value's shape, counts lanes from the first beat on.  Steps that move numbers change
    them alone: several numbers may share a place, and beats may hold what is no number of the value.
    """

    beats: Beats
    places: Places
    fraction: int = FRACTION


@dataclass(frozen=True)
class Pairs:
    """Even and odd numbers of a value, apart: gates and ups."""

    gate: RegisterRows
    up: RegisterRows


@dataclass(frozen=True)
class Beside:
    """What a unit or an array keeps: digits, sums, angles, shares, numbers of experts, inputs.

    `number` tells sets of angles apart.
    """

    what: str
    number: int = 0


Place = RegisterRows | RegisterPlaces | Pairs | Beside


def beats_of(place: Place) -> Beats:
    """Registers that a value needs."""
    match place:
        case RegisterRows(beats) | RegisterPlaces(beats):
            return beats
        case Pairs(gate, up):
            return gate.beats + up.beats
        case Beside():
            return ()
        case _:
            assert_never(place)
