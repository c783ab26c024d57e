"""What a design is made of and for -> `Plan`, and choices of it -> the machine to compute with.

The library is a system of the catalog: its vector unit, buffer, links and memory are taken in any number,
their areas scaled by the density of logic where the process is another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from hnlpu.arithmetic.exchange import ExchangeFormats
from hnlpu.errors import HnlpuError
from hnlpu.model.checkpoint import kept_parameters
from hnlpu.system.catalog import Machine, Model, NetworkShape, System
from hnlpu.system.design._arrays import Arrays
from hnlpu.system.design._parts import ChipParts
from hnlpu.system.machine import (
    ClosedForm,
    Specification,
    TokenWork,
    closed_form,
    exact_widths,
    specification,
    token_work,
)

TABLE_BYTES = 2  # a number of a table or a norm, bfloat16


@dataclass(frozen=True)
class Outline:
    """The largest die, or the largest core within pads that are there already; `reticle` is that of the scanner."""

    mm2: float
    reticle: float
    core: bool
    why: str


@dataclass(frozen=True)
class Plan:
    """A model on a grid of chips of a process, for users with a context; parts come from `library`.

    `width` is the part of the library's lanes that each link has; `scale` is the area of logic in this process over that in the library's, `density` its transistors per
    mm2.
    """

    library: System
    model: Model
    arrays: Arrays
    parts: ChipParts
    technology: str
    scale: float
    density: float
    outline: Outline
    context: int
    users: int
    formats: ExchangeFormats
    width: float = 1.0

    @cached_property
    def work(self) -> TokenWork:
        """The tasks of a token on the grid."""
        return token_work(self.model, *self.arrays.grid)

    @cached_property
    def base(self) -> Specification:
        """A machine of the library's own parts with the grid and arrays of the plan."""
        machine = self.machine.model_copy(update={"breakdown": []})
        alone = self.library.model_copy(update={"model": None, "machine": machine})
        found = specification(alone, self.model)
        column, row = (
            replace(links, bandwidth=links.bandwidth * self.width)
            for links in (found.column_links, found.row_links)
        )
        return replace(
            found,
            column_links=column,
            row_links=row,
            rows=self.arrays.grid[0],
            columns=self.arrays.grid[1],
            experts_per_bank=self.arrays.bank,
            formats=self.formats,
            widths=exact_widths(
                self.model, *self.arrays.grid, machine.activation_bits, self.arrays.sum_bits
            ),
        )

    @property
    def machine(self) -> Machine:
        """The library's machine."""
        assert self.library.machine
        return self.library.machine

    @property
    def table_bytes(self) -> float:
        """Bytes of everything that is looked up and never changes: tables and other parameters."""
        if isinstance(self.model, NetworkShape):
            kept = kept_parameters(self.model.network)
            return TABLE_BYTES * sum(math.prod(parameter.shape) for parameter in kept)
        return TABLE_BYTES * self.model.embedding_weights


@dataclass(frozen=True)
class ChipSizes:
    """Sizes of a chip: vector units of the library, banks of its buffer, stacks of its memory (0: none)."""

    units: float
    banks: int
    stacks: int


def machine_of(plan: Plan, choice: ChipSizes) -> Specification:
    """The machine of a choice, in the units that the closed form computes in."""
    machine = plan.machine
    hbm = machine.hbm if choice.stacks else None
    return replace(
        plan.base,
        heads_per_cycle=machine.vector_unit.heads_per_cycle.value * choice.units,
        buffer_bytes=choice.banks * machine.buffer.bank_capacity.value * 1e3,
        buffer_bandwidth=machine.buffer.bandwidth.value
        * 1e12
        * choice.banks
        / machine.buffer.banks,
        hbm_bytes=choice.stacks * hbm.capacity.value * 1e9 if hbm else 0.0,
        hbm_bandwidth=choice.stacks * hbm.bandwidth.value * 1e9 if hbm else 0.0,
    )


def rate_of(plan: Plan, choice: ChipSizes) -> ClosedForm | None:
    """What a choice does for the plan's users and context; None where it holds no sequence."""
    try:
        return closed_form(
            machine_of(plan, choice), plan.model, plan.context, plan.users, work=plan.work
        )
    except HnlpuError:
        return None
