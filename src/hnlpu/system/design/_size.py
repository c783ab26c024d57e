"""A plan -> the sizes that make most of a die: vector unit, buffer, memory.

Of all sizes whose die fits under the reticle and that hold most users, those with the most tokens/s per mm2
of die.  Arrays and pads are there whatever is chosen, so that parts grow until they are worth it no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hnlpu.errors import DoesNotFit
from hnlpu.system.design._blocks import blocks, die_mm2
from hnlpu.system.design._plan import ChipSizes, Plan, rate_of
from hnlpu.system.machine import kv_state

UNITS = tuple(2.0**k for k in range(-8, 7))
BUFFERS = tuple(2.0**k for k in range(-14, 3))
LEAST_HEADS = 0.04  # bound of machine.vector_unit.heads_per_cycle


@dataclass(frozen=True)
class Sized:
    """A choice with its die and the users that it holds, and why each part is as large as it is."""

    choice: ChipSizes
    users: int
    die_mm2: float
    tokens_per_second: float
    reasons: dict[str, str]

    @property
    def per_mm2(self) -> float:
        """Tokens/s of the machine for a mm2 of each die."""
        return self.tokens_per_second / self.die_mm2


def size(plan: Plan, *, users_given: bool) -> Sized:
    """The smallest chip of a plan; raises DoesNotFit where none under the reticle holds what is asked."""
    found = [*_on_chip(plan), *_beside(plan)]
    if not found:
        parts = blocks(plan, ChipSizes(UNITS[0], 1, 0))
        areas = ", ".join(
            f"{p.name} {p.area:,.3g}" for p in parts if p.purpose in ("neuron arrays", "links")
        )
        raise DoesNotFit(
            f"{plan.model.name} on {plan.arrays.chips} chip{'s' * (plan.arrays.chips != 1)}: no die of at "
            f"most {plan.outline.mm2:g} mm2 holds its arrays, its links and one sequence of "
            f"{plan.context:,} positions (mm2: {areas}); use another number of `chips`, a shorter `context` "
            "or denser arrays"
        )
    most = max(made.users for made in found)
    if users_given and most < plan.users:
        raise DoesNotFit(
            f"{plan.model.name} on {plan.arrays.chips} chips: no die of at most {plan.outline.mm2:g} mm2 "
            f"holds {plan.users:,} users of {plan.context:,} positions, at most {most:,}; use more `chips`, "
            "fewer `users` or a shorter `context`"
        )
    holding = [made for made in found if made.users == most]
    return max(holding, key=lambda made: (made.per_mm2, -made.die_mm2))


def _on_chip(plan: Plan) -> Iterator[Sized]:
    """Everything in buffers: as many banks as all users need."""
    need = kv_state(plan.base, plan.work, 0, plan.users, plan.context).bytes / plan.base.chips
    bank = plan.machine.buffer.bank_capacity.value * 1e3
    banks = max(1, -int(-need // bank))
    reasons = {
        "buffer": f"keys, values and states of {plan.users:,} users with {plan.context:,} positions, "
        f"{need / 1e3:,.4g} kB of a chip; as many times that as its ports are worth",
        "hbm": "none: the buffers hold everything, and tables are on the chip",
    }
    # few banks have few ports: more of them where they would be what limits
    yield from _made(plan, [banks * 2**k for k in range(6)], [0], reasons)


def _beside(plan: Plan) -> Iterator[Sized]:
    """Memory beside the chips, and the buffer that it takes."""
    hbm, of_library = plan.machine.hbm, plan.machine.buffer.banks
    if hbm is None:
        return
    stacks = sorted({max(1, hbm.stacks // 2**k) for k in range(4)})
    reasons = {
        "buffer": "states of fixed size, windows, and so much of the rest as it is worth",
        "hbm": "what the buffers cannot hold, and the tables",
    }
    yield from _made(
        plan, sorted({max(1, round(of_library * b)) for b in BUFFERS}), stacks, reasons
    )


def _made(
    plan: Plan, banks: Sequence[int], stacks: Sequence[int], reasons: dict[str, str]
) -> Iterator[Sized]:
    """Every size that fits under the reticle and holds a sequence."""
    why = "of powers of two of the library's, the one with the most tokens/s per mm2 of die"
    heads = plan.machine.vector_unit.heads_per_cycle.value
    sizes = [units for units in UNITS if heads * units >= LEAST_HEADS]
    if die_mm2(plan, ChipSizes(sizes[0], min(banks), min(stacks))) is None:
        return  # the smallest of all is too large
    for units, b, s in itertools.product(sizes, banks, stacks):
        choice = ChipSizes(units, b, s)
        area = die_mm2(plan, choice)
        if area is None or (found := rate_of(plan, choice)) is None:
            continue
        yield Sized(
            choice, found.users, area, found.tokens_per_second, reasons | {"vector_unit": why}
        )
