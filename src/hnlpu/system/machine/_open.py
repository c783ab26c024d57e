"""A system and a model -> `MachineTarget`: a specification to simulate, and what it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hnlpu.arithmetic.exchange import Widths
from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Machine, Model, NetworkShape, System, load_system, sized
from hnlpu.system.machine._closed import default_context
from hnlpu.system.machine._published import exact_widths, specification
from hnlpu.system.machine._specification import Specification

OWN_SYSTEM = "hnlpu-asplos26"
KV_BITS = (4, 8, 16)


@dataclass(frozen=True)
class MachineTarget:
    """A machine and the model on it; `windows` says whether sliding windows are on by default.

    `bits` are those of the model's weights, `counted` the way in which they are counted, `digits` MXFP4 digits of
    a weight that is no expert's, on average.
    """

    name: str
    specification: Specification
    model: Model
    system: System
    windows: bool
    bits: float
    counted: str = "stored"
    digits: float = 1.0

    @property
    def context(self) -> int:
        """Positions that the machine is designed for, or `default_context`."""
        return usual_context(self.system, self.model)

    @property
    def users(self) -> int:
        """Sequences at once that the machine is designed for, or one in every slot."""
        made_for = self.system.target
        return made_for.users if made_for else self.specification.slots


def usual_context(system: System, model: Model) -> int:
    """Positions that every command takes where nobody says."""
    if system.target is not None and system.model == model.name:
        return system.target.context
    return default_context(model)


def uses_windows(system: System, model: Model) -> bool:
    """Whether windows are used where nobody says: not where a publication gives shares of time.

    It counts every layer of its own model as full attention.
    """
    own = system.model == model.name
    return not (own and system.machine is not None and system.machine.breakdown)


def machine_target(
    system: System, model: Model, bits: float, *, kv_bits: int | None = None,
    grid: tuple[int, int] | None = None, name: str | None = None,
) -> MachineTarget:  # fmt: skip
    """`model`, of `bits` stored bits, on the machine of `system` for it (`sized`).

    Raises InvalidInput for a system without a machine, DoesNotFit where its chips hold less than the model.
    """
    if kv_bits is not None and kv_bits not in KV_BITS:
        raise InvalidInput(f"`kv_bits` {kv_bits}: choose from {', '.join(map(str, KV_BITS))}")
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
        widths=_widths(machine.machine, model),
    )
    return MachineTarget(
        name or machine.name, spec, model, machine, uses_windows(system, model), bits
    )


def _widths(machine: Machine, model: Model) -> Widths:
    known = machine.link.sum_bits if machine.link else None
    return exact_widths(model, machine.rows, machine.columns, machine.activation_bits, known)


def parse_grid(text: str) -> tuple[int, int]:
    """Rows and columns of "4x8"; raises InvalidInput."""
    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text.strip())
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (1 <= rows <= 256 and 1 <= columns <= 256):
        raise InvalidInput(f"`grid` {text!r}: give rows x columns, 1x1 to 256x256, as in 4x8")
    return rows, columns


def open_network(shape: NetworkShape, grid: tuple[int, int] = (1, 1)) -> MachineTarget:
    """A network on a grid of chips with the links, memories and vector units of `OWN_SYSTEM`."""
    system = load_system(OWN_SYSTEM)
    assert system.machine
    # as the paper has them, with nothing fitted to its model
    plain = system.model_copy(update={"model": None})
    widths = exact_widths(shape, *grid, system.machine.activation_bits)
    spec = replace(specification(plain, shape), rows=grid[0], columns=grid[1], widths=widths)
    return MachineTarget(shape.name, spec, shape, system, True, shape.hardwired_bits())
