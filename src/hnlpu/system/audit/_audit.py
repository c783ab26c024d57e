"""A system and a model -> `Audit`: every claim with its verdict, and what would have to be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

from hnlpu.errors import InvalidInput
from hnlpu.system.audit._case import Case, make_case
from hnlpu.system.audit._claim import Claim, Verdict
from hnlpu.system.audit._masks import mask_claims
from hnlpu.system.audit._memory import longest_context, memory_claims
from hnlpu.system.audit._package import package_claims
from hnlpu.system.audit._power import power_claims
from hnlpu.system.audit._silicon import silicon_claims
from hnlpu.system.audit._throughput import throughput_claims
from hnlpu.system.catalog import Model, System
from hnlpu.system.machine import Specification, closed_form, kv_state, token_demand

NOTHING_FITS = "memory: not one sequence fits"


@dataclass(frozen=True)
class Condition:
    """Something that would have to be true for the claimed rate: a value, and what there is."""

    what: str
    wanted: float
    there: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.wanted <= self.there


@dataclass(frozen=True)
class Bound:
    """The rate that no schedule exceeds at a context, and the resource that says so: that of `hnlpu simulate`."""

    context: int
    resource: str
    tokens_per_second: float


@dataclass(frozen=True)
class Audit:
    """Claims in order of topic; `conditions` of the claimed rate; `bounds` whatever is claimed."""

    system: str
    model: str
    context: int
    rate: float | None
    sliding: bool
    claims: tuple[Claim, ...]
    conditions: tuple[Condition, ...]
    bounds: tuple[Bound, ...]

    def count(self) -> dict[Verdict, int]:
        """Claims by verdict."""
        found = Counter(claim.verdict for claim in self.claims)
        return {verdict: found[verdict] for verdict in get_args(Verdict)}


def audit(
    system: System, model: Model, context: int | None = None, rate: float | None = None,
    sliding: bool | None = None, bits: float | None = None, digits: float = 1.0, *,
    specification: Specification | None = None,
) -> Audit:  # fmt: skip
    """Audit a hardwired `system` with `model` on it at `context` cached positions (`default_context`).

    `rate` stands for the published one; `sliding` lets layers use their windows (default: as `simulate`;
    the HNLPU paper counts all as full).  `bits` are those of all weights (default: as the model stores them),
    `digits` MXFP4 digits of each weight that is no expert's.  `specification` is the machine as simulated
    (default: what the system's file says), for a grid of one's own.  Raises InvalidInput for a system that is
    not hardwired and numbers that make no sense.
    """
    case = make_case(system, model, context, rate, sliding, bits, specification)
    case = replace(case, digits=digits)
    claims = (
        *silicon_claims(case),
        *mask_claims(case),
        *power_claims(case),
        *package_claims(case),
        *memory_claims(case),
        *throughput_claims(case),
    )
    return Audit(
        system.name,
        model.name,
        case.context,
        case.rate,
        case.sliding,
        claims,
        tuple(conditions(case)),
        tuple(_bounds(case)),
    )


def _bounds(case: Case) -> Iterator[Bound]:
    most = max(case.context, case.model.positions if case.has_keys else 0)
    for context in sorted({case.context, *(min(n, most) for n in (8192, 65_536, 2**18))}):
        try:
            found = closed_form(
                case.spec, case.model, context, case.sequences, sliding=case.sliding, work=case.work
            )
        except InvalidInput:
            yield Bound(context, NOTHING_FITS, 0.0)
        else:
            yield Bound(context, found.resource, found.tokens_per_second)


def conditions(case: Case) -> Iterator[Condition]:
    """What the claimed rate asks of every resource at the case's context, and at long ones."""
    if case.rate is None:
        return
    rate, machine = case.rate, case.machine
    demand = case.demand(case.context)
    at = f"at {case.context:,} positions"
    if case.chips > 1 and machine.link:
        there = machine.link.bandwidth.value
        for axis in ("column links", "row links"):
            yield Condition(
                f"bandwidth of {axis}, {case.spec.collective} exchange",
                rate * demand[axis] * there, there, "GB/s",
            )  # fmt: skip
        better = replace(case.spec, collective="scatter")
        kv = kv_state(better, case.work, case.model.embedding_weights, case.sequences, case.context)
        held = token_demand(better, case.work, case.context, kv)
        worst = max(held["column links"], held["row links"])
        yield Condition(
            "bandwidth of links, reduce-scatter and all-gather",
            rate * worst * there, there, "GB/s",
        )  # fmt: skip
    unit = machine.vector_unit.heads_per_cycle.value
    for context in (case.context, 16 * case.context, 2**18):
        held = case.demand(context)
        yield Condition(
            f"cached heads a cycle at {context:,} positions", rate * held["vector unit"] * unit, unit,
            "heads a cycle",
        )  # fmt: skip
        if machine.hbm is None:
            continue
        yield Condition(
            f"HBM bandwidth of a chip at {context:,} positions",
            rate * held["HBM"] * machine.hbm.bandwidth_gb_s / 1e3, machine.hbm.bandwidth_gb_s / 1e3,
            "TB/s",
        )  # fmt: skip
    yield Condition(
        f"use of the busiest neuron array {at}", rate * demand["neuron arrays"], 1.0, "of the time"
    )
    per_weight = (
        case.technology.silicon.density.value * case.system.array_area_mm2 / case.weights_a_chip
    )
    yield Condition(
        "transistors a weight of the arrays (one full adder)",
        case.technology.silicon.full_adder.value, per_weight, "transistors",
    )  # fmt: skip
    for name in ("vector unit", "HBM", "attention buffer"):
        longest = longest_context(case, rate, name)
        yield Condition(
            f"positions that the {name} carries", float(case.context), float(longest), "positions"
        )
