"""A design -> the chip that it makes: blocks to scale, power, the machine to simulate, what is wrong.

Blocks scale from those of the system: vector units by number, buffer by megabyte, HBM PHY by stack
(its power by bandwidth), CXL links by number.  The arrays' power is energy: what the system's arrays
take at the published rate, for each token; everything else runs at its full power all the time.  A machine that
was designed for its model has no published rate: its arrays, too, take their power all the time, by area; its
pads ring whatever core there is, and its tables are shared out over the chips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hnlpu.arithmetic.exchange import Widths
from hnlpu.silicon.technology import load_technology
from hnlpu.system.catalog import Model, ModelShape, Purpose, System
from hnlpu.system.design import load_parts
from hnlpu.system.explore._arrays import ArrayCost, array_cost
from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._options import Options
from hnlpu.system.machine import Links, Specification, exact_widths


@dataclass(frozen=True)
class Chip:
    """A design's chip.  `blocks` are mm2; `violations` say what of it cannot be built.

    `masks` differ between chips; `mask_units` is their price in DUV masks, `shared_mask_units` that of all
    others of the set.  `overhead` is the power of the system over that of its chips.  `own` is the system that this is the
    chip of, unchanged: area, power and price are then those of its file, to the last digit.
    """

    blocks: Mapping[str, float]
    idle_w: float
    array_j_per_token: float
    masks: int
    mask_units: float
    shared_mask_units: float
    hbm_gb: float
    package_usd: float
    overhead: float
    specification: Specification
    violations: Mapping[str, float]
    own: System | None = None

    @property
    def area_mm2(self) -> float:
        """Area of the die."""
        return self.own.die.area.value if self.own else sum(self.blocks.values())

    def power_w(self, tokens_per_second: float) -> float:
        """Power of one chip when the machine passes so many tokens."""
        if self.own:
            return self.own.power.system.value / self.own.chips / self.overhead
        return self.idle_w + self.array_j_per_token * tokens_per_second / self.specification.chips


def make_chip(
    system: System, model: Model, options: Options, design: ExploredDesign, base: Specification
) -> Chip:
    """The chip of `design`; `base` is the specification of the system as published."""
    assert system.machine
    assert system.power.overhead
    machine = system.machine
    package, memory = options.find_package(design.package), options.find_memory(design.memory)
    arrays = array_cost(system, model, options, design, base.pass_cycles)
    outside = _outside_links(design, package.axes)
    inside = sum(_neighbours(design, axis) for axis in package.axes) * design.modules
    blocks, idle = _blocks(system, options, design, arrays, outside, inside)
    megabytes = design.buffer_mb / machine.buffer.capacity.value
    d2d = options.die_to_die
    spec = replace(
        base,
        rows=design.rows,
        columns=design.columns,
        slots=design.stages * model.layers,
        column_links=_links(base.column_links, options, design, "column" in package.axes),
        row_links=_links(base.row_links, options, design, "row" in package.axes),
        collective=design.collective,
        sampling=design.sampling,
        heads_per_cycle=base.heads_per_cycle * design.vector_units,
        pass_cycles=arrays.pass_cycles,
        experts_per_bank=design.experts_per_bank,
        buffer_bytes=design.buffer_mb * 1e6,
        buffer_bandwidth=base.buffer_bandwidth * megabytes,
        hbm_bytes=design.stacks * memory.capacity.value * 1e9 if memory else 0.0,
        hbm_bandwidth=design.stacks * memory.bandwidth.value * 1e9 if memory else 0.0,
        kv_bits=design.kv_bits,
        widths=_widths(system, model, design, base),
    )
    die_mm2 = sum(blocks.values())
    in_package = package.chips(design.rows, design.columns)
    stacks = design.stacks if system.blocks_for("HBM PHY") else 0  # others need no wide edge
    edge = (
        options.edge.link.value * outside
        + d2d.edge.value * inside
        + options.edge.stack.value * stacks
    )
    violations = {
        "reticle": die_mm2 / _reticle_mm2(system) - 1,
        "die edge": edge / (4 * math.sqrt(die_mm2)) - 1,
        "chips in a package": in_package / package.most_chips - 1,
        "stacks in a package": design.stacks / package.most_stacks - 1,
        "columns": design.columns / shared_heads(model) - 1,
    }
    if system.die.slot:
        violations["slot"] = (die_mm2 - blocks.get("pads", 0.0)) / system.die.slot.value - 1
    return Chip(
        blocks, idle, _array_energy(system), arrays.masks, arrays.mask_units, arrays.shared_units,
        design.stacks * memory.capacity.value if memory else 0.0, package.price.value,
        system.power.overhead.value, spec, violations,
    )  # fmt: skip


def _blocks(
    system: System, options: Options, design: ExploredDesign, arrays: ArrayCost, outside: int,
    inside: int,
) -> tuple[dict[str, float], float]:  # fmt: skip
    """Blocks of a chip in mm2, and the power that they take whatever passes, in W."""
    assert system.machine
    machine, memory = system.machine, options.find_memory(design.memory)
    area, power, d2d = system.area_for, system.power_for, options.die_to_die
    megabytes = design.buffer_mb / machine.buffer.capacity.value
    ports = machine.rows + machine.columns - 2
    links = outside / ports if ports else 0.0
    share = system.chips / design.chips  # of what is shared out over the chips
    stacks = design.stacks / machine.hbm.stacks if machine.hbm else 0.0
    speed = memory.bandwidth.value / machine.hbm.bandwidth.value if memory and machine.hbm else 1.0
    phy: Purpose = "HBM PHY" if system.blocks_for("HBM PHY") else "memory interface"
    unchanged: tuple[Purpose, ...] = ("control unit", "memory interface")
    if phy == "memory interface":
        unchanged = ("control unit",)
    blocks = {
        "neuron arrays": arrays.area_mm2 / design.chips,
        "vector unit": area("vector unit") * design.vector_units,
        "attention buffer": area("attention buffer") * megabytes,
        "links": area("links") * links + d2d.area.value * inside,
        "HBM PHY": area(phy) * stacks,
        "control unit": area(*unchanged) + area("tables") * share,
    }
    idle = (
        power("vector unit") * design.vector_units
        + power("attention buffer") * megabytes
        + power("links") * links + d2d.power.value * inside
        + power(phy) * stacks * speed
        + power("tables") * share
        + power(*unchanged, "pads")
    )  # fmt: skip
    if system.target is not None:
        pads, core = load_parts().pads, system.die.area.value - area("pads")
        ring, number = pads.ring(sum(blocks.values()))
        own_ring, own_number = pads.ring(core)
        blocks["pads"] = area("pads") + ring - own_ring
        idle += (number - own_number) * pads.power.value
        idle += power("neuron arrays") * blocks["neuron arrays"] / system.array_area_mm2
    return blocks, idle


def _widths(system: System, model: Model, design: ExploredDesign, base: Specification) -> Widths:
    """Bits of exact numbers on links; on another grid sums are of other slices."""
    assert system.machine
    if (design.rows, design.columns) == (base.rows, base.columns):
        return base.widths
    known = system.machine.link.sum_bits if system.machine.link else None
    return exact_widths(model, design.rows, design.columns, system.machine.activation_bits, known)


def shared_heads(model: Model) -> int:
    """Columns of chips at most: heads of keys and values, or what a network can be cut into."""
    return model.attention.kv_heads if isinstance(model, ModelShape) else model.most_columns


def _links(base: Links, options: Options, design: ExploredDesign, inside: bool) -> Links:
    """Links along an axis: between neighbours of a package, or the system's own to all chips."""
    if not inside:
        return base
    d2d = options.die_to_die
    return Links(design.modules * d2d.bandwidth.value * 1e9, d2d.latency.value * 1e-9, True)


def _outside_links(design: ExploredDesign, inside: Sequence[str]) -> int:
    """Links of the system's own kind that a chip has."""
    column = 0 if "column" in inside else design.rows - 1
    row = 0 if "row" in inside else design.columns - 1
    return column + row


def _neighbours(design: ExploredDesign, axis: str) -> int:
    """Neighbours of a chip along an axis, at most two."""
    return min(2, (design.rows if axis == "column" else design.columns) - 1)


def _array_energy(system: System) -> float:
    """Joules that all arrays take for a token: their power at the published rate."""
    if system.target is not None:
        return 0.0
    rate = system.published(system.model or "")
    assert rate
    return system.power_for("neuron arrays") * system.chips / rate.tokens.value


def _reticle_mm2(system: System) -> float:
    """The largest field that the system's scanner prints, or that of its technology."""
    if system.die.reticle:
        return system.die.reticle.value
    assert system.technology
    return load_technology(system.technology).die_outline_mm2
