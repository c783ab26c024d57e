"""A design -> the chip that it makes: blocks to scale, power, the machine to simulate, what is wrong.

Blocks scale from those of the system: vector units by number, buffer by megabyte, HBM PHY by stack
(its power by bandwidth), CXL links by number.  The arrays' power is energy: what the system's arrays
take at the published rate, for each token; everything else runs at its full power all the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hnlpu.system.catalog import ModelShape, System
from hnlpu.system.explore._arrays import array_cost
from hnlpu.system.explore._design import Design
from hnlpu.system.explore._options import Options
from hnlpu.system.machine import Links, Specification, specification

VECTOR, BUFFER, LINKS, PHY = "VEX", "attention buffer", "interconnect engine", "HBM PHY"


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
    system: System, model: ModelShape, options: Options, design: Design, base: Specification
) -> Chip:
    """The chip of `design`; `base` is the specification of the system as published."""
    assert system.machine
    machine = system.machine
    package, memory = options.find_package(design.package), options.find_memory(design.memory)
    arrays = array_cost(system, model, design, base.pass_cycles)
    block = {b.name: b for b in system.block}
    outside = _outside_links(design, package.axes)
    inside = sum(_neighbours(design, axis) for axis in package.axes) * design.modules
    d2d = options.die_to_die
    ports = machine.rows + machine.columns - 2
    megabytes = design.buffer_mb / machine.buffer.capacity.value
    stacks = design.stacks / machine.hbm.stacks
    speed = memory.bandwidth.value / machine.hbm.bandwidth.value
    blocks = {
        "neuron arrays": arrays.area_mm2 / design.chips,
        "vector unit": block[VECTOR].area.value * design.vector_units,
        "attention buffer": block[BUFFER].area.value * megabytes,
        "links": block[LINKS].area.value * outside / ports + d2d.area.value * inside,
        "HBM PHY": block[PHY].area.value * stacks,
        "control unit": _rest(system, "area"),
    }
    idle = (
        block[VECTOR].power.value * design.vector_units
        + block[BUFFER].power.value * megabytes
        + block[LINKS].power.value * outside / ports + d2d.power.value * inside
        + block[PHY].power.value * stacks * speed
        + _rest(system, "power")
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
    reticle = system.die.reticle.value if system.die.reticle else 858.0
    area = sum(blocks.values())
    in_package = package.chips(design.rows, design.columns)
    edge = (
        options.edge.link.value * outside
        + d2d.edge.value * inside
        + options.edge.stack.value * design.stacks
    )
    violations = {
        "reticle": area / reticle - 1,
        "die edge": edge / (4 * math.sqrt(area)) - 1,
        "chips in a package": in_package / package.most_chips - 1,
        "stacks in a package": design.stacks / package.most_stacks - 1,
        "columns": design.columns / model.attention.kv_heads - 1,
    }
    return Chip(
        blocks, idle, _array_energy(system), arrays.masks, arrays.mask_units, arrays.shared_units,
        design.stacks * memory.capacity.value, package.price.value, spec, violations,
    )  # fmt: skip


def published_design(system: System, model: ModelShape, base: Specification) -> Design:
    """The system's own machine as a design; for another model, on a grid that holds it."""
    assert system.machine
    assert system.array
    per_chip = system.array_area_mm2 * 1e6 / system.array.area_per_bit.value
    needed = -(-model.hardwired_bits() // (per_chip * 1.002))
    rows, columns = base.rows, base.columns
    if model.name != system.model:
        columns = min(columns, model.attention.kv_heads)
        rows = max(1, int(-(-needed // columns)))
    shared = -(-model.experts.count // (rows * columns)) if model.experts else 1
    return Design(
        rows=rows, columns=columns, package="board", modules=1, collective="direct",
        sampling="gather", vector_units=1, buffer_mb=round(system.machine.buffer.capacity.value),
        memory="HBM3", stacks=system.machine.hbm.stacks, kv_bits=system.machine.kv_bits,
        arrays="published", experts_per_bank=shared, fold=1, stages=system.machine.stages,
    )  # fmt: skip


def base_specification(system: System) -> Specification:
    """The system as published, for designs to change."""
    return specification(system)


def _links(base: Links, options: Options, design: Design, inside: bool) -> Links:
    """Links along an axis: between neighbours of a package, or the system's own to all chips."""
    if not inside:
        return base
    d2d = options.die_to_die
    return Links(design.modules * d2d.bandwidth.value * 1e9, d2d.latency.value * 1e-9, True)


def _outside_links(design: Design, inside: Sequence[str]) -> int:
    """Links of the system's own kind that a chip has."""
    column = 0 if "column" in inside else design.rows - 1
    row = 0 if "row" in inside else design.columns - 1
    return column + row


def _neighbours(design: Design, axis: str) -> int:
    """Neighbours of a chip along an axis, at most two."""
    return min(2, (design.rows if axis == "column" else design.columns) - 1)


def _rest(system: System, what: str) -> float:
    """Area or power of the blocks that no option changes."""
    known = (VECTOR, BUFFER, LINKS, PHY)
    return float(
        sum(getattr(b, what).value for b in system.block if not b.array and b.name not in known)
    )


def _array_energy(system: System) -> float:
    """Joules that all arrays take for a token: their power at the published rate."""
    rate = system.published(system.model or "")
    watts = sum(b.power.value for b in system.block if b.array) * system.chips
    return watts / rate.tokens.value if rate else 0.0
