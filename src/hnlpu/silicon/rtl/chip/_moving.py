"""Numbers from the places where they lie into the lanes in which they are taken.

in its lane, in one register          the register is the operand
of one register, in other lanes       the operand goes through the mover, by a pattern
of several registers                  MOVE by MOVE into a register of their own
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hnlpu.silicon.rtl.chip._code import Field, ProgramBuilder
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._registers import Register
from hnlpu.silicon.rtl.chip._values import Places, RegisterPlaces


def compact(view: RegisterPlaces, width: int) -> RegisterPlaces:
    """The same without beats that hold none of its numbers."""
    used = np.unique(view.places // width)
    if len(used) == len(view.beats):
        return view
    beats = np.searchsorted(used, view.places // width)
    registers = tuple(view.beats[beat] for beat in used.tolist())
    return replace(view, beats=registers, places=beats * width + view.places % width)


def compacted(places: Places, width: int) -> Places | None:
    """Places for new numbers that lie as others do, without empty beats; None if two share one."""
    if len(np.unique(places)) != places.size:
        return None
    used = np.unique(places // width)
    return np.asarray(np.searchsorted(used, places // width) * width + places % width)


def by_beat(places: Places, width: int) -> Places:
    """The flat numbers [beats, width] that lie in each lane, -1 for none."""
    found = np.full((int(places.max()) // width + 1) * width, -1)
    found[places.ravel()] = np.arange(places.size)
    return found.reshape(-1, width)


def source(
    code: ProgramBuilder, view: RegisterPlaces, lanes: Places
) -> tuple[Operand, dict[str, Field]] | None:
    """What an instruction takes to have, by lane, what lies at `lanes` (-1: anything); None if it cannot."""
    beats = np.unique(lanes[lanes >= 0] // code.width)
    if len(beats) > 1:
        return None
    register = view.beats[int(beats[0])] if len(beats) else view.beats[0]
    pattern = np.where(lanes >= 0, lanes % code.width, -1)
    if (pattern[lanes >= 0] == np.flatnonzero(lanes >= 0)).all():
        return Operand.REGISTER, {"b": register}
    return Operand.MOVED, {"b": register, "index": code.pattern(pattern.tolist())}


def gather(code: ProgramBuilder, view: RegisterPlaces, lanes: Places, dst: Register) -> None:
    """What lies at `lanes` into a register that is none of the view's; zeros for -1."""
    beats = np.unique(lanes[lanes >= 0] // code.width).tolist() or [0]
    for n, beat in enumerate(beats):
        here = (lanes >= 0) & (lanes // code.width == beat)
        pattern = code.pattern(np.where(here, lanes % code.width, -1).tolist())
        code.emit(Op.MOVE, dst=dst, a=dst, b=view.beats[beat], index=pattern, first=n == 0)
