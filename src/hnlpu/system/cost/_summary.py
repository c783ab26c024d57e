"""A system, what it runs and how often it is built -> every figure of `hnlpu cost`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Rate, System
from hnlpu.system.cost._assumptions import Assumptions, assume, end
from hnlpu.system.cost._baselines import Comparison, compare
from hnlpu.system.cost._doubts import Band, Swing, bands, tornado
from hnlpu.system.cost._estimate import Estimate, chips_needed, estimate
from hnlpu.system.cost._rate import PricedRate, computed_rate, given_rate
from hnlpu.system.cost._sizing import CostSubject
from hnlpu.system.machine import MachineTarget, machine_target

LOW_VOLUME_DECIMALS = 3


@dataclass(frozen=True)
class OwnershipPlan:
    """How often a system is built, re-spun and used, and for what.

    `tokens_per_second` is what one system processes; None for what it does by its closed form with `users` at
    `context` cached positions each (None: one in every slot; `default_context`), windows used or not
    (`sliding`; None: as `hnlpu simulate` has it).  `grid` and `kv_bits` stand for the system's own.
    `paper_rounding` rounds the facility's megawatts to three decimals.
    """

    systems: int = 1
    respins: int = 0
    tokens_per_second: float | None = None
    users: int | None = None
    context: int | None = None
    sliding: bool | None = None
    grid: tuple[int, int] | None = None
    kv_bits: int | None = None
    output_share: float = 0.5
    utilisation: float = 1.0
    paper_rounding: bool = False

    def check(self) -> None:
        """Raise InvalidInput for numbers that make no sense."""
        for name, least, most in (("systems", 1, 10**6), ("respins", 0, 1000)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidInput(f"`{name}` {value}: give {least} to {most:,}")
        for name in ("utilisation", "output_share"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise InvalidInput(f"`{name}` {value:g}: give a share above 0, at most 1")
        if self.tokens_per_second is not None:
            given_rate(self.tokens_per_second)


@dataclass(frozen=True)
class Costing:
    """Estimates at the source's low, value and high, and what doubts make of them.

    `system` is the machine that is priced, of as many chips as it takes; `rate` what it does; `published` are
    the rates that its file has for the model, each for what it was published.
    """

    subject: CostSubject
    target: MachineTarget
    plan: OwnershipPlan
    rate: PricedRate
    published: tuple[Rate, ...]
    low: Estimate
    value: Estimate
    high: Estimate
    bands: Mapping[str, Band]
    tornado: list[Swing]

    @property
    def system(self) -> System:
        """The machine that is priced."""
        return self.target.system

    def usd_per_mtoken(self, which: Estimate, tokens_per_second: float | None = None) -> float:
        """Dollars a million processed tokens at the plan's rate, or at another."""
        rate = self.rate.tokens_per_second if tokens_per_second is None else tokens_per_second
        return float(which.usd_per_mtoken(rate, self.plan.utilisation))

    def comparisons(self, gpu: System) -> list[Comparison]:
        """Beside GPUs at each of their published rates on the same model."""
        return compare(
            self.value, self.rate.tokens_per_second, gpu, self.plan.output_share,
            self.subject.shape.name, self.plan.utilisation,
        )  # fmt: skip


def cost(
    system: System, subject: CostSubject, plan: OwnershipPlan, trials: int = 2000, seed: int = 0
) -> Costing:
    """What `plan.systems` of `system`, sized for `subject`, take.

    Raises InvalidInput for a plan that makes no sense, a system that is not built and one that holds no
    sequence at all; DoesNotFit where its chips hold less than the model.
    """
    plan.check()
    assume(system)  # refuses what is bought
    target = machine_target(
        system, subject.shape, subject.bits, grid=plan.grid, kv_bits=plan.kv_bits
    )
    published = tuple(rate for rate in system.rate if rate.model == subject.shape.name)
    if plan.tokens_per_second is not None:
        rate = given_rate(plan.tokens_per_second, plan.users)
    else:
        rate = computed_rate(
            target, plan.context, plan.users, sliding=plan.sliding, output_share=plan.output_share
        )
    system = target.system

    def at(a: Assumptions) -> Estimate:
        decimals = LOW_VOLUME_DECIMALS if plan.paper_rounding else None
        chips = np.maximum(system.chips, chips_needed(subject.bits, a))
        return estimate(a, chips, plan.systems, plan.respins, power_decimals=decimals)

    def outcome(a: Assumptions) -> dict[str, Any]:
        e = at(a)
        return {
            "masks_musd": e.masks_musd,
            "nre_musd": e.nre_musd,
            "first_build_musd": e.first_build_musd,
            "respin_musd": e.respin_musd,
            "tco_musd": e.tco_musd,
            "tco2e": e.tco2e,
            "tco2e_with_masks": e.tco2e_with_masks,
            "usd_per_mtoken": e.usd_per_mtoken(rate.tokens_per_second, plan.utilisation),
        }

    low, value, high = (at(assume(system, end(e))) for e in ("low", "value", "high"))
    return Costing(
        subject, target, plan, rate, published, low, value, high,
        bands(system, outcome, trials, seed), tornado(system, outcome, "tco_musd"),
    )  # fmt: skip
