"""A plan and a choice -> the blocks of its die, each with area, power and the reason of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hnlpu.errors import DoesNotFit
from hnlpu.system.catalog import Purpose
from hnlpu.system.design._plan import ChipSizes, Plan


@dataclass(frozen=True)
class PlannedBlock:
    """A block of the die; mm2, W, and why."""

    name: str
    purpose: Purpose
    area: float
    power: float
    why: str


def blocks(plan: Plan, choice: ChipSizes) -> list[PlannedBlock]:
    """All blocks of one chip.  Raises DoesNotFit where the library has no part that is needed."""
    core = list(_core(plan, choice))
    area = sum(part.area for part in core)
    pads = plan.parts.pads
    ring, number = pads.ring(area)
    why = (
        f"{number} pads of {pads.pitch.value:g} x {pads.depth.value:g} um around a core of "
        f"{area:.4g} mm2"
    )
    return [*core, PlannedBlock("pads", "pads", ring, number * pads.power.value, why)]


def _core(plan: Plan, choice: ChipSizes) -> Iterator[PlannedBlock]:
    lib, machine, arrays = plan.library, plan.machine, plan.arrays
    density = lib.power_for("neuron arrays") / lib.array_area_mm2
    yield PlannedBlock(
        "neuron arrays", "neuron arrays", arrays.area_mm2, arrays.area_mm2 * density,
        f"{arrays.why}; power by area as on {lib.name}",
    )  # fmt: skip
    scale = f", {plan.scale:.3g} times for the density of logic" if plan.scale != 1 else ""
    yield _taken(plan, "vector unit", choice.units, f"{choice.units:g} of {lib.name}'s{scale}")
    buffer = choice.banks / machine.buffer.banks
    size = machine.buffer.bank_capacity.value
    yield _taken(
        plan, "attention buffer", buffer, f"{choice.banks:,} of its banks of {size:g} kB{scale}"
    )
    if choice.stacks:
        yield _memory(plan, choice.stacks)
    else:
        share = plan.table_bytes / arrays.chips / (machine.buffer.capacity.value * 1e6)
        why = f"{plan.table_bytes / 1e3:,.4g} kB of tables and norms, as large per byte as the buffer{scale}"
        taken = _taken(plan, "attention buffer", share, why)
        yield PlannedBlock("tables", "tables", taken.area, taken.power, why)
    if arrays.chips > 1:
        yield _links(plan, scale)
    transistors = plan.parts.controller.transistors
    yield PlannedBlock(
        "controller", "control unit", transistors.value / plan.density, 0.0,
        f"{transistors.value:,.0f} transistors ({transistors.source}); power with the vector unit's",
    )  # fmt: skip


def _taken(plan: Plan, purpose: Purpose, share: float, why: str) -> PlannedBlock:
    """A share of the library's blocks of a purpose."""
    lib = plan.library
    return PlannedBlock(
        purpose,
        purpose,
        lib.area_for(purpose) * share * plan.scale,
        lib.power_for(purpose) * share,
        why,
    )


def _memory(plan: Plan, stacks: int) -> PlannedBlock:
    """PHYs, or interfaces of another kind; they do not scale with logic."""
    lib, hbm = plan.library, plan.machine.hbm
    assert hbm
    purpose: Purpose = "HBM PHY" if lib.blocks_for("HBM PHY") else "memory interface"
    share = stacks / hbm.stacks
    return PlannedBlock(
        purpose, purpose, lib.area_for(purpose) * share, lib.power_for(purpose) * share,
        f"{stacks} of {lib.name}'s {hbm.stacks}",
    )  # fmt: skip


def _links(plan: Plan, scale: str) -> PlannedBlock:
    lib, machine = plan.library, plan.machine
    rows, columns = plan.arrays.grid
    ports, theirs = rows + columns - 2, machine.rows + machine.columns - 2
    if not lib.area_for("links") or not theirs or machine.link is None:
        raise DoesNotFit(
            f"{plan.model.name} needs {plan.arrays.chips} chips, and system {lib.name} has no links to join "
            "them with; give another with `system`"
        )
    share = ports / theirs * plan.width
    lanes = "" if plan.width == 1 else f", each of 1/{1 / plan.width:g} of {lib.name}'s lanes"
    return PlannedBlock(
        "links", "links", lib.area_for("links") * share, lib.power_for("links") * share,
        f"{ports} links to the other chips of a row and of a column{lanes}{scale and ', not scaled'}",
    )  # fmt: skip


def die_mm2(plan: Plan, choice: ChipSizes) -> float | None:
    """Area of the die; None where it is larger than its outline."""
    parts = blocks(plan, choice)
    die, outline = sum(part.area for part in parts), plan.outline
    within = die - parts[-1].area if outline.core else die
    return die if within <= outline.mm2 and die <= outline.reticle else None
