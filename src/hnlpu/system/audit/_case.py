"""What is audited: a system, the model on it, the process below, the machine as simulated."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.quantities import Quantity
from hnlpu.silicon.technology import Technology, load_technology
from hnlpu.system.audit._limits import PhysicalLimits, load_limits
from hnlpu.system.catalog import Machine, Model, Prices, Published, System
from hnlpu.system.machine import (
    Specification,
    TokenWork,
    kv_state,
    memories,
    specification,
    token_demand,
    token_work,
    uses_windows,
    usual_context,
)

Ends = tuple[float, float, float]
LEAST_DENSITY = 50e6
"""Transistors a mm2 from which a process is taken to be near 5 nm."""


@dataclass(frozen=True)
class Case:
    """Everything that claims are computed from.

    `rate` is the claimed rate of processed tokens/s, None where nothing is claimed; `sliding` says
    whether layers with a window use it.  `bits` are those of all weights as stored, `digits` are MXFP4 digits a weight of all but experts.
    """

    system: System
    model: Model
    technology: Technology
    machine: Machine
    prices: Prices
    published: Published
    limits: PhysicalLimits
    spec: Specification
    work: TokenWork
    context: int
    rate: float | None
    sliding: bool
    bits: float
    digits: float = 1.0

    @property
    def sequences(self) -> int:
        """Sequences at once: those that the machine is designed for, or one in each slot."""
        return self.system.target.users if self.system.target else self.spec.slots

    @property
    def chips(self) -> int:
        """Chips of the system."""
        return self.system.chips

    @property
    def weights_a_chip(self) -> float:
        """Hardwired weights, spread evenly."""
        return self.model.hardwired_weights / self.chips

    @property
    def modern(self) -> bool:
        """Whether limits of 5 nm memories and links apply, by density of logic."""
        return self.technology.silicon.density.value > LEAST_DENSITY

    @property
    def has_keys(self) -> bool:
        """Whether anything is kept of every position."""
        return any(memories(kind) for kind in self.work.kinds)

    def windowed(self) -> TokenWork:
        """The work of a token where layers use their windows."""
        return token_work(self.model, self.spec.rows, self.spec.columns, sliding=True)

    def demand(self, context: int, work: TokenWork | None = None) -> dict[str, float]:
        """Seconds that one token holds each resource at `context`."""
        work = work or self.work
        kv = kv_state(self.spec, work, self.model.embedding_weights, self.sequences, context)
        return token_demand(self.spec, work, context, kv)


def make_case(
    system: System, model: Model, context: int | None, rate: float | None = None,
    sliding: bool | None = None, bits: float | None = None, spec: Specification | None = None,
) -> Case:  # fmt: skip
    """A case; `rate` stands for the published one, `spec` for the machine that the file describes.

    Raises InvalidInput for a system that is not hardwired, or a context that makes no sense.
    """
    if system.kind != "hardwired" or system.machine is None or system.prices is None:
        raise InvalidInput(
            f"system {system.name} is not hardwired: there is nothing to audit; take "
            "hnlpu-asplos26 or a file like it"
        )
    context = usual_context(system, model) if context is None else context
    sliding = uses_windows(system, model) if sliding is None else sliding
    if not 1 <= context <= 2**24:
        raise InvalidInput(f"`context` {context}: give 1 to {2**24}")
    if rate is not None and not 0 < rate < 1e15:
        raise InvalidInput(f"`tokens_per_second` {rate:g}: give a rate above 0")
    if rate is None and (found := system.published(model.name)):
        rate = found.tokens.value
    assert system.technology
    spec = specification(system, model) if spec is None else spec
    return Case(
        system, model, load_technology(system.technology), system.machine, system.prices,
        system.published_claims or Published(), load_limits(), spec,
        token_work(model, spec.rows, spec.columns, sliding), context, rate, sliding,
        model.hardwired_bits() if bits is None else bits,
    )  # fmt: skip


def ends(quantity: Quantity) -> Ends:
    """Low, value and high."""
    return quantity.low, quantity.value, quantity.high


def times(factor: float, *quantities: Quantity) -> Ends:
    """The product of quantities, all low, at their values, and all high."""
    low = value = high = factor
    for quantity in quantities:
        low, value, high = low * quantity.low, value * quantity.value, high * quantity.high
    return low, value, high
