"""Steps, and the one step that holds others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hnlpu.model.network.ops import Op

Arg = str | float
"""The name of a value or parameter, or a number."""


@dataclass(frozen=True)
class Step:
    """One operation: names of what it takes and of what it defines; its block, if of one."""

    op: Op
    args: tuple[Arg, ...]
    outs: tuple[str, ...]
    block: int | None = None


@dataclass(frozen=True)
class Repeat:
    """`body` again and again within one position: `ticks` times, or until a truth of it holds.

    The body sees parameters and its `inputs`, to which the step's values are bound.  The first
    inputs are carried: after each tick the body's `outputs` take their place, and after the last
    one they are what the step gives.  The tick in which `until` first holds is the last.  States
    move with positions, not with ticks, and cannot be read or written here.
    """

    ticks: int
    inputs: tuple[str, ...]
    body: tuple[Step, ...]
    outputs: tuple[str, ...]
    until: str | None = None
