"""A system as published -> the design that a search starts from, or why it cannot be one.

Designs are scaled from what the system's file states: its blocks, memory, energy and prices.
"""

from __future__ import annotations

from collections.abc import Iterator

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Model, Purpose, System, near_square
from hnlpu.system.explore._chip import shared_heads
from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._options import MemoryStack, Options, Package
from hnlpu.system.machine import Specification

SCALED: tuple[Purpose, ...] = ("vector unit", "attention buffer", "links", "HBM PHY")
"""Blocks that designs have more or fewer of."""
OWN, NONE = "own", "none"
"""Memory that is a design's own and none of the options, and no memory at all."""


def check_explorable(system: System, options: Options) -> None:
    """Raise InvalidInput, saying all that is lacking, for a system that no design can be scaled from."""
    if lacking := list(_lacking(system, options)):
        raise InvalidInput(
            f"system {system.name} cannot be explored, as designs are scaled from what its file states: "
            f"{'; '.join(lacking)}; explore hnlpu-asplos26, or a file with all of it"
        )


def _lacking(system: System, options: Options) -> Iterator[str]:
    """What the file of a system lacks, in words."""
    if system.kind != "hardwired":
        yield f"it is of kind {system.kind!r}, not 'hardwired'"
    if _own_package(options) is None:
        yield "no package for a single chip (axes = []) among `options`"
    if system.power.overhead is None:
        yield "no power.overhead"
    if system.target is not None:
        return  # a design has all else
    for purpose in SCALED:
        if not system.area_for(purpose):
            yield f"no block has purpose {purpose!r} and an area"
    if system.chips < 2:
        yield "one chip has no links to take those of a grid from"
    if system.published(system.model or "") is None:
        yield "no rate of its model, which the energy of its arrays follows from"
    if machine := system.machine:
        if round(machine.buffer.capacity.value) < 1:
            yield f"a buffer of {machine.buffer.capacity.value:g} MB, designs have whole MB"
        if machine.hbm is None:
            yield "no [machine.hbm]"
        elif own_memory(system, options) is None:
            yield (
                f"its memory of {machine.hbm.bandwidth.value:g} GB/s a stack is none of "
                f"{', '.join(memory.name for memory in options.memory)} (`options`)"
            )


def own_memory(system: System, options: Options) -> MemoryStack | None:
    """The memory of the options that is that of the system's stacks: by bandwidth, of a design by size, too."""
    assert system.machine
    hbm = system.machine.hbm
    if hbm is None:
        return None
    own, size = hbm.bandwidth.value, hbm.capacity.value
    same = (
        m for m in options.memory
        if abs(m.bandwidth.value - own) <= 1e-6 * own
        and (system.target is None or m.capacity.value == size)
    )  # fmt: skip
    return next(same, None)


def own_options(system: System, options: Options) -> Options:
    """Options with the memory that a design has, of whatever kind."""
    if system.target is None or system.machine is None or system.machine.hbm is None:
        return options
    if own_memory(system, options) is not None:
        return options
    hbm = system.machine.hbm
    own = MemoryStack.model_construct(name=OWN, bandwidth=hbm.bandwidth, capacity=hbm.capacity)
    return options.model_copy(update={"memory": [own, *options.memory]})


def _own_package(options: Options) -> Package | None:
    """The package of the options that holds one chip, as those of the systems do."""
    return next((package for package in options.package if not package.axes), None)


def published_design(
    system: System, model: Model, options: Options, base: Specification
) -> ExploredDesign:
    """The system's own machine as a design; for another model, on a grid that holds it."""
    assert system.machine
    memory, package = own_memory(system, options), _own_package(options)
    assert package
    hbm, buffer_mb = system.machine.hbm, system.machine.buffer.capacity.value
    rows, columns = base.rows, base.columns
    if model.name != system.model:
        needed = system.chips_for(model.hardwired_bits())
        heads = shared_heads(model)
        try:  # as `hnlpu simulate` and `cost` have it
            rows, columns = near_square(needed, min(heads, model.most_columns))
        except InvalidInput:
            columns = min(columns, heads, needed)
            rows = -(-needed // columns)
    shared = max(1, -(-model.expert_count // (rows * columns)))
    if system.target is not None:
        shared = base.experts_per_bank
    else:
        buffer_mb = round(buffer_mb)
    return ExploredDesign(
        rows=rows, columns=columns, package=package.name, modules=1, collective=base.collective,
        sampling=base.sampling, vector_units=1, buffer_mb=buffer_mb,
        memory=memory.name if memory else NONE, stacks=hbm.stacks if hbm else 0,
        kv_bits=system.machine.kv_bits,
        arrays="stated", experts_per_bank=shared, fold=1, stages=system.machine.stages,
    )  # fmt: skip
