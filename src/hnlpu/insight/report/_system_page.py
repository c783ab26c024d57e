"""A build on chips of its own -> a section of its page: rates, states, cost, and what an audit says."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import HnlpuError
from hnlpu.insight.report._svg import byte_size
from hnlpu.silicon.hardwire import Build
from hnlpu.system.audit import audit
from hnlpu.system.catalog import resized, shape_of_network
from hnlpu.system.cost import Plan, cost, subject_of_directory
from hnlpu.system.machine import (
    MachineTarget,
    Simulation,
    busy_machine,
    default_context,
    open_target,
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
        result = busy_machine(target, default_context(target.model))
        rows = [*_machine_rows(target, result), *_money_rows(build, target, result)]
    except HnlpuError as error:
        return SystemSection((f"Not simulated: {error}",))
    chips = target.specification.chips
    return SystemSection(
        (
            f"{chips} chip{'s' * (chips != 1)} with arrays of this build, and the links, memories and "
            f"vector units of {target.system.title}; every slot busy. Formulas: docs/machine.md, "
            "docs/cost.md, docs/audit.md.",
        ),
        tuple(rows),
    )


def _machine_rows(target: MachineTarget, result: Simulation) -> list[Row]:
    context = default_context(target.model)
    rows = [
        ("tokens/s", f"{result.tokens_per_second:,.0f}",
         f"{result.admitted:,} sequences at {context:,} positions; limit: {result.bottleneck}"),
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


def _counted(target: MachineTarget, chips: int) -> str:
    """Whose count of chips `hnlpu cost` and `hnlpu audit` take, where it is not the build's."""
    if chips == target.specification.chips:
        return ""
    return f" by the area that a bit takes on {target.system.title}"


def _money_rows(build: Build, target: MachineTarget, result: Simulation) -> list[Row]:
    subject = subject_of_directory(build.directory)
    plan = Plan(tokens_per_second=result.processed_per_second)
    found = cost(target.system, subject, plan, trials=200)
    tco, chips = found.bands["tco_musd"], int(found.value.chips)
    machine = resized(target.system, chips, target.model.most_columns)
    context = default_context(target.model)
    claims = audit(machine, target.model, context, None, True, subject.bits, subject.digits).count()
    return [
        ("cost of owning", f"${tco.low:,.3g}M to ${tco.high:,.3g}M",
         f"one system of {chips} chip{'s' * (chips != 1)}{_counted(target, chips)}, "
         f"{float(found.value.years):g} years"),
        ("audit", f"{sum(claims.values())} claims",
         ", ".join(f"{n} {verdict}" for verdict, n in claims.items() if n)),
    ]  # fmt: skip
