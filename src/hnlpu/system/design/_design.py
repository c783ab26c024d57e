"""A model, a process and a target -> `Design`: the chip that is made once, right-sized, for every command.

A model becomes arrays; arrays and a library of parts become blocks, buffer, memory, links and pads; of all that
fit under the reticle, the best per mm2 of all dies becomes a system's file, each value with its reason.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hnlpu._paths import absolute
from hnlpu._whole import new_file
from hnlpu.arithmetic.exchange import USUAL, ExchangeFormats, parse_formats
from hnlpu.errors import DoesNotFit, InvalidInput, OutputExists
from hnlpu.silicon.hardwire import read_manifest
from hnlpu.silicon.technology import Technology, load_technology
from hnlpu.system.catalog import Model, System, load_system, system_names
from hnlpu.system.cost import CostSubject
from hnlpu.system.design._arrays import Arrays, arrays_of, built_arrays, grids, scaled
from hnlpu.system.design._parts import load_parts
from hnlpu.system.design._plan import Outline, Plan
from hnlpu.system.design._shape import NamedModel, open_named, renamed
from hnlpu.system.design._size import Sized, size
from hnlpu.system.design._system import plain, system_values
from hnlpu.system.design._write import to_toml
from hnlpu.system.machine import (
    ClosedForm,
    MachineTarget,
    closed_form,
    default_context,
    machine_target,
)

DEFAULT_TECHNOLOGY = "n5"
DEFAULT_SCHEME = "taps"
MORE_CHIPS, APART = 1.5, 1.04
"""Grids are compared up to so many times the fewest chips, each so many times the one before or more."""
WIDTHS = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
"""Of the lanes of the library's links: a port of 16 is divided into ports of 8, 4, 2 and 1."""
SLOT = 0.5
"""Of a reticle: below it the die of a process's file is a slot that others share."""


@dataclass(frozen=True)
class Design:
    """A machine of one's own for a model: dies, memories, links, vector units, clock and prices in `system`.

    `subject` is the model with its weights; `library` names the system that parts and prices are taken from;
    `users` and `context` are what it is designed for.
    """

    system: System
    subject: CostSubject
    library: str
    users: int
    context: int
    values: dict[str, Any]

    def target(self) -> MachineTarget:
        """The machine with its model, to simulate."""
        return _target(self.system, self.subject, self.system.name)

    def rate(self, context: int | None = None, users: int | None = None) -> ClosedForm:
        """Tokens/s that no schedule exceeds, every token generated (default: at the design's target)."""
        made = self.target()
        return closed_form(
            made.specification, made.model, self.context if context is None else context,
            self.users if users is None else users, sliding=made.windows,
        )  # fmt: skip

    def to_toml(self) -> str:
        """The text of its file, which every command takes in place of a system."""
        return to_toml(self.values)


def design(
    model: str, *, system: str | None = None, technology: str | None = None, users: int | None = None,
    context: int | None = None, chips: int | None = None, grid: tuple[int, int] | None = None,
    scheme: str | None = None, weights: str | None = None, exchange: str | None = None,
) -> Design:  # fmt: skip
    """Design the chips of a model: a name of the catalog, a build, a checkpoint, a config.json or a Hub id.

    `system` is the library of parts and prices (default: the catalog's of this process, or of the nearest).
    A build has its own process, scheme and chips.  `users` (default: one in each slot) have `context`
    positions each (default: 2,048, or all of the model's).  `exchange` is what crosses links: a format, or
    KIND=FORMAT,... (docs/exchange.md).  Raises InvalidInput for what makes no sense,
    DoesNotFit where no die under the reticle holds it, and the errors of reading a model.
    """
    named = open_named(model, weights)
    library = None if system is None else load_system(system)
    process, name = _process(named, technology, library)
    library = _library(process) if library is None else library
    _check_library(library)
    made_with = _check_asked(named, users, context, chips, grid, scheme)
    shape = named.subject.shape
    assert library.machine
    slots = library.machine.slots(shape.layers)
    formats = USUAL if exchange is None else parse_formats(exchange)
    last: DoesNotFit | None = None
    for outline, width in _outlines(library, process):
        held: list[tuple[Plan, Sized]] = []
        for arrays in _candidates(named, outline, library, name, made_with, chips, grid):
            if held and arrays.chips > MORE_CHIPS * held[0][0].arrays.chips:
                break
            if held and arrays.chips < APART * held[-1][0].arrays.chips:
                continue
            plan = _plan(
                named, arrays, library, process, name, outline, context, users or slots, formats,
                width,
            )  # fmt: skip
            try:
                held.append((plan, size(plan, users_given=users is not None)))
            except DoesNotFit as error:
                last = error
        if held:
            plan, made = max(held, key=_worth)
            values = system_values(plan, made, named.subject, named.place)
            return Design(
                plain(values), named.subject, library.name, made.users, plan.context, values
            )
    raise last or _no_grid(shape, chips)


def _worth(held: tuple[Plan, Sized]) -> tuple[int, float]:
    """What decides between grids, as between the sizes of one: users, then tokens/s per mm2 of all dies."""
    plan, made = held
    return made.users, made.per_mm2 / plan.arrays.chips


def _no_grid(shape: Model, chips: int | None) -> DoesNotFit:
    """The error of a model that makes no grid, or none of as many chips as were asked for."""
    if chips is None:
        return DoesNotFit(f"{shape.name}: no grid of chips can be cut out of it")
    larger = next(grids(shape, chips, 2 * chips + 8), None)
    instead = "another number" if larger is None else f"{larger[0] * larger[1]} or another number"
    return DoesNotFit(
        f"`chips` {chips}: they make no grid for {shape.name} that is near a square; take {instead}"
    )


def _process(
    named: NamedModel, technology: str | None, library: System | None
) -> tuple[Technology, str]:
    """The process that a design is in, and the name by which files name it."""
    if named.build is not None:
        made = read_manifest(named.build).technology
        for option, given in (
            ("technology", technology), ("system", library.technology if library else None),
        ):  # fmt: skip
            if given is not None and load_technology(given).name != made.name:
                raise InvalidInput(
                    f"`{option}` {library.name if library and option == 'system' else given}: {named.build} "
                    f"is made for technology {made.name}; build it again with `technology` "
                    f"{load_technology(given).name}"
                )
        return made, technology or made.name
    name = technology or (library.technology if library else None) or DEFAULT_TECHNOLOGY
    return load_technology(name), name


def _library(process: Technology) -> System:
    """The catalog's hardwired system in a process, or in the one with the nearest density of logic."""
    hardwired = [s for s in map(load_system, system_names()) if s.kind == "hardwired"]

    def far(system: System) -> tuple[bool, float]:
        theirs = load_technology(system.technology or DEFAULT_TECHNOLOGY)
        return theirs.name != process.name, abs(math.log(scaled(theirs, process)))

    return min(hardwired, key=far)


def _check_library(library: System) -> None:
    if library.kind != "hardwired" or library.machine is None:
        raise InvalidInput(
            f"system {library.name} is not hardwired: it has no parts to design with; take hnlpu-asplos26 or "
            "a file like it"
        )
    if not library.area_for("vector unit") or not library.area_for("attention buffer"):
        raise InvalidInput(
            f"system {library.name} has no blocks with purpose 'vector unit' and 'attention buffer' to take "
            "parts from"
        )


def _check_asked(
    named: NamedModel, users: int | None, context: int | None, chips: int | None,
    grid: tuple[int, int] | None, scheme: str | None,
) -> str:  # fmt: skip
    """The scheme; raises InvalidInput for numbers that make no sense, and for a build's that it has not."""
    for name, value, most in (
        ("users", users, 2**20),
        ("context", context, 2**24),
        ("chips", chips, 65536),
    ):
        if value is not None and not 1 <= value <= most:
            raise InvalidInput(f"`{name}` {value}: give 1 to {most:,}")
    if named.build is None:
        return scheme or DEFAULT_SCHEME
    placement = read_manifest(named.build).placement
    if grid is not None and grid != placement.grid:
        raise InvalidInput(
            f"`grid` {grid[0]}x{grid[1]}: {named.build} is placed on {placement.grid[0]} x "
            f"{placement.grid[1]} chips; build it again with `chips` {grid[0] * grid[1]}"
        )
    for option, given, made in (
        ("chips", chips, placement.chips), ("scheme", scheme, placement.scheme)
    ):  # fmt: skip
        if given is not None and given != made:
            raise InvalidInput(
                f"`{option}` {given}: {named.build} is made for {made}; build it again with `{option}` {given}"
            )
    return placement.scheme


def _outlines(library: System, process: Technology) -> Iterator[tuple[Outline, float]]:
    """A slot of a shuttle, where the process's file is about one, and then as much as a scanner prints.

    Beside each the width of links: narrower ones where those of the library leave no grid.
    """
    reticle = library.die.reticle.value if library.die.reticle else process.die_outline_mm2
    slot = process.die.area
    if process.die_outline_mm2 < SLOT * reticle:
        why = f"its core within {slot.value:g} mm2 ({slot.source})"
        yield Outline(slot.value, reticle, True, why), 1
    whole = Outline(reticle, reticle, False, f"within the reticle's {reticle:g} mm2")
    for width in WIDTHS[:1] if _has_no_links(library) else WIDTHS:
        yield whole, width


def _has_no_links(library: System) -> bool:
    return not library.area_for("links") or library.machine is None or library.machine.link is None


def _candidates(
    named: NamedModel, outline: Outline, library: System, technology: str, scheme: str, chips: int | None,
    grid: tuple[int, int] | None,
) -> Iterator[Arrays]:  # fmt: skip
    """Arrays on grids of more and more chips; the one of a build, or of what is asked for."""
    if named.build is not None:
        yield built_arrays(read_manifest(named.build))
        return
    shape, one_digit = named.subject.shape, named.subject.counted == "one-digit"
    if grid is not None:
        yield arrays_of(shape, technology, scheme, grid, one_digit)
        return
    fewest = chips
    if fewest is None:
        alone = arrays_of(shape, technology, scheme, (1, 1), one_digit)
        fewest = max(1, math.floor(alone.area_mm2 / outline.mm2))
        if fewest > 1 and not outline.core and _has_no_links(library):
            raise DoesNotFit(
                f"{shape.name} needs {fewest:,} chips and more, and system {library.name} has no links to join "
                "them with; give another with `system`"
            )
        if outline.core:  # a slot is for a model that one holds
            if fewest == 1:
                yield alone
            return
    for found in grids(shape, fewest, fewest if chips else 4 * fewest + 8):
        yield arrays_of(shape, technology, scheme, found, one_digit)


def _plan(
    named: NamedModel, arrays: Arrays, library: System, process: Technology, technology: str,
    outline: Outline, context: int | None, users: int, formats: ExchangeFormats, width: float,
) -> Plan:  # fmt: skip
    shape = named.subject.shape
    theirs = load_technology(library.technology or DEFAULT_TECHNOLOGY)
    return Plan(
        library=library,
        model=shape,
        arrays=arrays,
        parts=load_parts(),
        technology=technology,
        scale=1.0 if theirs.name == process.name else scaled(theirs, process),
        density=process.silicon.density.value,
        outline=outline,
        context=default_context(shape) if context is None else context,
        users=users,
        formats=formats,
        width=width,
    )


@dataclass(frozen=True)
class NamedMachine:
    """A system and what it is to run, whatever was named: the one answer to what a command is about."""

    system: System
    subject: CostSubject


def open_machine(
    what: str, *, model: str | None = None, system: str | None = None, weights: str | None = None,
    grid: tuple[int, int] | None = None,
) -> NamedMachine:  # fmt: skip
    """A system by its name or file with a model (default: its own), or a model on chips designed for it.

    `system` is then the library that they are designed from.  Raises InvalidInput where these contradict each
    other, and whatever reading them does.
    """
    if what in system_names() or _is_system_file(what):
        if system is not None:
            raise InvalidInput(f"`system` {system}: {what} is a system already; give a model")
        found = load_system(what)
        name = model or found.checkpoint or found.model
        if name is None and found.rate:
            name = found.rate[0].model
        if name is None:
            raise InvalidInput(f"{what}: give `model` NAME, its file names none")
        named = open_named(name, weights or (found.weights if model is None else None))
        if model is None and found.model:
            named = renamed(named, found.model)
        return NamedMachine(found, named.subject)
    if model is not None:
        raise InvalidInput(f"`model` {model}: {what} is a model already; give a system's name")
    made = design(what, system=system, weights=weights, grid=grid)
    return NamedMachine(made.system, made.subject)


def open_target(
    what: str, model: str | None = None, *, system: str | None = None, kv_bits: int | None = None,
    grid: tuple[int, int] | None = None,
) -> MachineTarget:  # fmt: skip
    """What `open_machine` opens, ready to be simulated, on a `grid` of one's own or with other `kv_bits`."""
    found = open_machine(what, model=model, system=system, grid=grid)
    name = None if found.system.target is None else what
    return _target(found.system, found.subject, name, kv_bits=kv_bits, grid=grid)


def _target(
    system: System, subject: CostSubject, name: str | None, *, kv_bits: int | None = None,
    grid: tuple[int, int] | None = None,
) -> MachineTarget:  # fmt: skip
    made = machine_target(
        system, subject.shape, subject.bits, kv_bits=kv_bits, grid=grid, name=name
    )
    return replace(made, counted=subject.counted, digits=subject.digits)


def _is_system_file(what: str) -> bool:
    """Whether it is a .toml file, and not one of a model."""
    if not what.lower().endswith(".toml"):
        return False
    try:
        values = tomllib.loads(absolute(what).read_text("utf-8"))
    except (OSError, ValueError):
        return True  # reading it as a system says what is wrong
    return "attention" not in values


def write_design(made: Design, output: str | Path) -> Path:
    """Write a design's file and return its path; raises OutputExists, OutputFailed."""
    path = absolute(output)
    if path.exists():
        raise OutputExists(f"{path}: exists already; remove it or choose another with `output`")
    with new_file(path) as write:
        write(made.to_toml().encode())
    return path
