"""A build on chips of its own -> a section of its page: rates, states, cost, and what an audit says."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import HnlpuError
from hnlpu.insight.report._svg import byte_size
from hnlpu.silicon.hardwire import Build
from hnlpu.system.audit import audit
from hnlpu.system.catalog import shape_of_network
from hnlpu.system.cost import CostSubject, OwnershipPlan, cost
from hnlpu.system.design import open_target
from hnlpu.system.machine import (
    MachineTarget,
    Simulation,
    busy_machine,
    state_facts,
)

Row = tuple[str, str, str]


@dataclass(frozen=True)
class SystemSection:
    """Paragraphs, and rows of (name, value, note)."""

    text: tuple[str, ...]
    rows: tuple[Row, ...] = ()


def made_of(build: Build) -> str:
    """Sizes of the model in a sentence."""
    shape = shape_of_network(build.network, build.directory.name)
    layers = f"{shape.layers} layer{'s' * (shape.layers != 1)}"
    active = max(shape.chosen.values(), default=0)
    experts = f"{shape.expert_count} experts of which {active} speak at a time, " if active else ""
    return (
        f"{layers}, hidden size {shape.hidden}, {experts}vocabulary of {build.facts.vocab_size:,}."
    )


def system_section(build: Build) -> SystemSection:
    """What `hnlpu simulate`, `cost` and `audit` say of the build; why not, where they refuse it."""
    try:
        target = open_target(str(build.directory))
        result = busy_machine(target)
        rows = [*_machine_rows(target, result), *_money_rows(target)]
    except HnlpuError as error:
        return SystemSection((f"Not simulated: {error}",))
    chips, die = target.specification.chips, target.system.die
    return SystemSection(
        (
            f"{chips} chip{'s' * (chips != 1)} of {die.area.value:,.4g} mm2, designed for this build, "
            f"{target.users:,} users and {target.context:,} positions (hnlpu design); all users busy. "
            "Formulas: docs/design.md, docs/machine.md, docs/cost.md, docs/audit.md.",
        ),
        tuple(rows),
    )


def _machine_rows(target: MachineTarget, result: Simulation) -> list[Row]:
    context = target.context
    rows = [
        ("tokens/s", f"{result.tokens_per_second:,.0f}",
         f"{result.admitted:,} sequences at {context:,} positions; limit: {result.bottleneck}"),
        ("tokens/s at most", f"{result.bound or 0:,.0f}",
         "what no schedule exceeds, every token generated"),
        ("tokens/s for each", f"{result.tokens_per_second_per_user:,.0f}",
         f"a token takes {result.latency * 1e6:,.2f} us"),
    ]  # fmt: skip
    keys = result.kv.bytes - result.kv.held_bytes
    if keys:
        rows.append(
            ("keys and values", byte_size(keys / result.batch), f"of a sequence of {context:,}")
        )
    if (found := state_facts(target.model, result)) is not None:
        rows.append(("states of fixed size", byte_size(found.bytes), "of a sequence, however long"))
        if found.prompt_rate:
            rows.append(
                ("tokens/s of one prompt", f"at most {found.prompt_rate:,.0f}",
                 f"a serial region takes {found.serial * 1e6:,.2f} us for each position")
            )  # fmt: skip
    return rows


def _money_rows(target: MachineTarget) -> list[Row]:
    subject = CostSubject(target.model, target.bits, target.counted, target.digits)
    found = cost(target.system, subject, OwnershipPlan(), trials=20)
    low, value, high = (float(e.tco_musd) for e in (found.low, found.value, found.high))
    claims = audit(target.system, target.model, bits=subject.bits, digits=subject.digits).count()
    chips = int(found.value.chips)
    return [
        ("cost of owning", f"${value:,.4g}M (${low:,.3g}M to ${high:,.3g}M)",
         f"one system of {chips} chip{'s' * (chips != 1)}, {float(found.value.years):g} years"),
        ("a million tokens", f"${found.usd_per_mtoken(found.value):,.3g}",
         f"{found.rate.tokens_per_second:,.0f} tokens/s, {found.rate.source}"),
        ("audit", f"{sum(claims.values())} claims",
         ", ".join(f"{n} {verdict}" for verdict, n in claims.items() if n)),
    ]  # fmt: skip
