"""What is told of a simulated model beside its rates: states of fixed size, serial regions."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.system.catalog import Model, NetworkShape
from hnlpu.system.machine._kv import HELD_BYTES
from hnlpu.system.machine._open import MachineTarget
from hnlpu.system.machine._simulate import Load, Simulation, simulate


@dataclass(frozen=True)
class StateFacts:
    """States of fixed size of one sequence, and what a serial region makes of a prompt.

    `bytes` are those of the states themselves, `chip_bytes` those of all chips, copies too.
    `serial` is the longest serial region in seconds, 0 where there is none; `prompt_rate` the tokens
    of one prompt per second that it lets pass, None without one.
    """

    bytes: int
    chip_bytes: float
    serial: float

    @property
    def prompt_rate(self) -> float | None:
        """Tokens of one prompt per second at most."""
        return 1 / self.serial if self.serial else None


def state_facts(model: Model, result: Simulation) -> StateFacts | None:
    """The states of fixed size of a simulated model; None where it has none."""
    if not isinstance(model, NetworkShape) or not (model.held_values or result.serial):
        return None
    of_one = result.kv.held_bytes / result.batch
    return StateFacts(model.held_values * HELD_BYTES, of_one, result.serial)


def busy_machine(target: MachineTarget, context: int | None = None) -> Simulation:
    """The machine of a target with all its users, each with `context` positions (default: its own)."""
    load = Load(target.context if context is None else context, target.users)
    return simulate(target.specification, target.model, load, sliding=target.windows)
