"""A design -> the chip that it makes: blocks to scale, power, the machine to simulate, what is wrong.

Blocks scale from those of the system: vector units by number, buffer by megabyte, HBM PHY by stack
(its power by bandwidth), CXL links by number.  The arrays' power is energy: what the system's arrays
take at the published rate, for each token; everything else runs at its full power all the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hnlpu.silicon.technology import load_technology
from hnlpu.system.catalog import Model, ModelShape, Purpose, System
from hnlpu.system.explore._arrays import array_cost
from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._options import Options
from hnlpu.system.machine import Links, Specification

UNCHANGED: tuple[Purpose, ...] = ("control unit", "memory interface", "tables", "pads")
"""Blocks that no design changes."""


@dataclass(frozen=True)
class Chip:
    """A design's chip.  `blocks` are mm2; `violations` say what of it cannot be built.

    `masks` differ between chips; `mask_units` is their price in DUV masks, `shared_mask_units` that of all
    others of the set.
    """

    blocks: Mapping[str, float]
    idle_w: float
    array_j_per_token: float
    masks: int
    mask_units: float
    shared_mask_units: float
    hbm_gb: float
    package_usd: float
    specification: Specification
    violations: Mapping[str, float]

    @property
    def area_mm2(self) -> float:
        """Area of the die."""
        return sum(self.blocks.values())

    def power_w(self, tokens_per_second: float) -> float:
        """Power of one chip when the machine passes so many tokens."""
        return self.idle_w + self.array_j_per_token * tokens_per_second / self.specification.chips


def make_chip(
    system: System, model: Model, options: Options, design: ExploredDesign, base: Specification
) -> Chip:
    """The chip of `design`; `base` is the specification of the system as published."""
    assert system.machine
    assert system.machine.hbm
    machine, hbm = system.machine, system.machine.hbm
    package, memory = options.find_package(design.package), options.find_memory(design.memory)
    arrays = array_cost(system, model, options, design, base.pass_cycles)
    area, power = system.area_for, system.power_for
    outside = _outside_links(design, package.axes)
    inside = sum(_neighbours(design, axis) for axis in package.axes) * design.modules
    d2d = options.die_to_die
    ports = machine.rows + machine.columns - 2
    megabytes = design.buffer_mb / machine.buffer.capacity.value
    stacks = design.stacks / hbm.stacks
    speed = memory.bandwidth.value / hbm.bandwidth.value
    blocks = {
        "neuron arrays": arrays.area_mm2 / design.chips,
        "vector unit": area("vector unit") * design.vector_units,
        "attention buffer": area("attention buffer") * megabytes,
        "links": area("links") * outside / ports + d2d.area.value * inside,
        "HBM PHY": area("HBM PHY") * stacks,
        "control unit": area(*UNCHANGED),
    }
    idle = (
        power("vector unit") * design.vector_units
        + power("attention buffer") * megabytes
        + power("links") * outside / ports + d2d.power.value * inside
        + power("HBM PHY") * stacks * speed
        + power(*UNCHANGED)
    )  # fmt: skip
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
        hbm_bytes=design.stacks * memory.capacity.value * 1e9,
        hbm_bandwidth=design.stacks * memory.bandwidth.value * 1e9,
        kv_bits=design.kv_bits,
    )
    die_mm2 = sum(blocks.values())
    in_package = package.chips(design.rows, design.columns)
    edge = (
        options.edge.link.value * outside
        + d2d.edge.value * inside
        + options.edge.stack.value * design.stacks
    )
    violations = {
        "reticle": die_mm2 / _reticle_mm2(system) - 1,
        "die edge": edge / (4 * math.sqrt(die_mm2)) - 1,
        "chips in a package": in_package / package.most_chips - 1,
        "stacks in a package": design.stacks / package.most_stacks - 1,
        "columns": design.columns / shared_heads(model) - 1,
    }
    return Chip(
        blocks, idle, _array_energy(system), arrays.masks, arrays.mask_units, arrays.shared_units,
        design.stacks * memory.capacity.value, package.price.value, spec, violations,
    )  # fmt: skip


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
    rate = system.published(system.model or "")
    assert rate
    return system.power_for("neuron arrays") * system.chips / rate.tokens.value


def _reticle_mm2(system: System) -> float:
    """The largest field that the system's scanner prints, or that of its technology."""
    if system.die.reticle:
        return system.die.reticle.value
    assert system.technology
    return load_technology(system.technology).die_outline_mm2
