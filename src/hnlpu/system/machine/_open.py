"""Names and folders -> what to simulate: a specification and a model.

A build directory is simulated on the chips that it is placed on, with the paper's links, memories and
vector units, at what their numbers say by themselves (nothing fitted to another model).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import shapes_of
from hnlpu.silicon.hardwire import MANIFEST, read_manifest
from hnlpu.silicon.place import chip_grid
from hnlpu.system.catalog import (
    DIGIT_BITS,
    Model,
    NetworkShape,
    System,
    load_model,
    load_system,
    shape_of_folder,
    sized,
)
from hnlpu.system.machine._published import bit_serial_cycles, specification
from hnlpu.system.machine._specification import Specification

OWN_SYSTEM = "hnlpu-asplos26"
CONFIG = "config.json"
KV_BITS = (4, 8, 16)


@dataclass(frozen=True)
class MachineTarget:
    """A machine and the model on it; `windows` says whether sliding windows are on by default."""

    name: str
    specification: Specification
    model: Model
    system: System
    windows: bool


def open_target(
    what: str,
    model: str | None = None,
    *,
    kv_bits: int | None = None,
    grid: tuple[int, int] | None = None,
) -> MachineTarget:
    """The target named by a system, a system's file, a build directory or a checkpoint folder.

    Raises InvalidInput for unknown names, DoesNotFit where the chips hold less than the model.
    """
    if kv_bits is not None and kv_bits not in KV_BITS:
        raise InvalidInput(f"`kv_bits` {kv_bits}: choose from {', '.join(map(str, KV_BITS))}")
    folder = Path(what)
    if folder.is_dir():
        return _open_folder(folder, model, kv_bits, grid)
    system = load_system(what)
    name = model or system.model
    if name is None:
        raise InvalidInput(f"system {system.name} names no model; give `model`")
    shape = load_model(name)
    return machine_target(system, shape, shape.hardwired_bits(), kv_bits=kv_bits, grid=grid)


def machine_target(
    system: System, model: Model, bits: float, *, kv_bits: int | None = None,
    grid: tuple[int, int] | None = None,
) -> MachineTarget:  # fmt: skip
    """`model`, of `bits` stored bits, on the machine of `system` for it (`sized`).

    Raises InvalidInput for a system without a machine, DoesNotFit where its chips hold less than the model.
    """
    if system.machine is None:
        specification(system)  # which says so
    machine, own = (
        sized(system, model.name, bits, model.most_columns, grid),
        system.model == model.name,
    )
    assert machine.machine
    # of its own model the chips are those that a publication is about, in whatever grid they stand
    spec = replace(
        specification(system if own else machine, model, kv_bits=kv_bits),
        rows=machine.machine.rows,
        columns=machine.machine.columns,
    )
    # a publication that gives shares of time for a model counts every layer as full attention
    assert system.machine
    windows = not (own and system.machine.breakdown)
    return MachineTarget(machine.name, spec, model, machine, windows)


def parse_grid(text: str) -> tuple[int, int]:
    """Rows and columns of "4x8"; raises InvalidInput."""
    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text.strip())
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (1 <= rows <= 256 and 1 <= columns <= 256):
        raise InvalidInput(f"`grid` {text!r}: give rows x columns, 1x1 to 256x256, as in 4x8")
    return rows, columns


def _open_folder(
    folder: Path, model: str | None, kv_bits: int | None, grid: tuple[int, int] | None
) -> MachineTarget:
    if model is not None:
        raise InvalidInput(f"{folder}: a folder is its own model; leave `model` out")
    if (folder / CONFIG).exists() and not (folder / MANIFEST).exists():
        return _open_checkpoint(folder, kv_bits, grid)
    return _open_build(folder, kv_bits, grid)


def _open_build(folder: Path, kv_bits: int | None, grid: tuple[int, int] | None) -> MachineTarget:
    manifest = read_manifest(folder)
    placement = manifest.placement
    if grid is not None and grid != placement.grid:
        raise InvalidInput(
            f"`grid` {grid[0]}x{grid[1]}: {folder} is placed on {placement.grid[0]} x "
            f"{placement.grid[1]} chips; build it again with `chips` {grid[0] * grid[1]}"
        )
    return _own_machine(
        folder,
        shape_of_folder(folder),
        placement.grid,
        placement.bank,
        manifest.policy.activation_bits,
        kv_bits,
    )


def _open_checkpoint(
    folder: Path, kv_bits: int | None, grid: tuple[int, int] | None
) -> MachineTarget:
    """A checkpoint as `hnlpu build` would place it by bits alone: one digit a weight, or two."""
    shape = shape_of_folder(folder)
    system = load_system(OWN_SYSTEM)
    assert system.machine
    digits = sum(count * (1 if bits <= DIGIT_BITS else 2) for count, bits in shape.stored())
    bits = digits * DIGIT_BITS
    if grid is None:
        chips = system.chips_for(bits)
        grid = next(g for g in _grids(shape, chips))
    sized(system, shape.name, bits, grid=grid)  # refuses a grid that holds less
    return _own_machine(folder, shape, grid, 0, system.machine.activation_bits, kv_bits)


def _grids(shape: NetworkShape, chips: int) -> Iterator[tuple[int, int]]:
    """Grids of `chips` chips or more, the fewest first, that the model can be cut over."""
    for more in range(chips, 2 * chips + 8):
        with contextlib.suppress(DoesNotFit):
            yield chip_grid(shapes_of(shape.network), more)
    raise DoesNotFit(f"no grid of {chips} to {2 * chips + 7} chips can share this model's heads")


def open_network(shape: NetworkShape, grid: tuple[int, int] = (1, 1)) -> MachineTarget:
    """A network on a grid of chips of its own, with activations of the width that the paper has."""
    machine = load_system(OWN_SYSTEM).machine
    assert machine
    return _own_machine(shape.name, shape, grid, 0, machine.activation_bits, None)


def _own_machine(
    name: object, shape: NetworkShape, grid: tuple[int, int], bank: int, activation_bits: int,
    kv_bits: int | None,
) -> MachineTarget:  # fmt: skip
    """Chips with the links, memories and vector units of `OWN_SYSTEM`, and arrays of our own."""
    system = load_system(OWN_SYSTEM)
    assert system.machine
    spec = replace(
        specification(system.model_copy(update={"model": None}), kv_bits=kv_bits),
        rows=grid[0],
        columns=grid[1],
        slots=system.machine.slots(shape.layers),
        pass_cycles=bit_serial_cycles(activation_bits, shape.hidden),
        experts_per_bank=bank,
    )
    return MachineTarget(str(name), spec, shape, system, windows=True)
