"""The state of an assembler: what has been written, where living values lie, what may be overwritten."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np

from hnlpu.arithmetic.fixed_point import FRACTION, to_fixed
from hnlpu.errors import NotFinite, UnsupportedArchitecture
from hnlpu.model.network import formats, op_name
from hnlpu.silicon.rtl.chip._code import WORD, ProgramBuilder
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._moving import by_beat, compact, gather
from hnlpu.silicon.rtl.chip._program import AttentionSizes, ExpertSizes, Norms, RopeFactor
from hnlpu.silicon.rtl.chip._registers import STATE, Beats, Register, in_order
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._uses import Uses
from hnlpu.silicon.rtl.chip._values import Place, Places, RegisterPlaces, RegisterRows, beats_of

FRACTIONS = (16, 20, 24)
"""Fraction bits that numbers may have."""


def fixed(x: float, fraction: int = FRACTION) -> int:
    """A written number in units of 2^-`fraction`."""
    if not np.isfinite(x):
        raise NotFinite(f"hnlpu chip: a step takes the number {x}, which no value is")
    return int(to_fixed(np.array(x * 2.0 ** (fraction - FRACTION))))


def _named(name: str, fraction: int) -> str:
    """The name of another form of a value."""
    return f"{name} in 2^-{fraction}"


def _in_a_row(name: str, fraction: int) -> str:
    """The name of another form of a value: its numbers one behind the other, then zeros."""
    return f"{_named(name, fraction)} in a row"


class Assembler:
    """Code, and the places of living values; `_lower` walks the steps with it.

    `stop` is the step behind those that are being lowered: a value that nobody takes from there on is
    dead.  `rank` is that of the expert whose steps are being lowered.
    """

    def __init__(self, shape: ChipShape):
        self.network = network = shape.network
        self.uses = Uses(network)
        self.chips = shape.chips
        self.has_experts = bool(shape.expert_places)  # each whole on one chip
        own = {m.name for m in network.matrices if m.members} if self.has_experts else set[str]()
        self.code = ProgramBuilder(shape.width, shape.exchanged - own)
        self.context = shape.context
        self.places: dict[str, Place] = {}
        self.states: dict[str, Beats] = {}
        self.layouts: dict[str, Places] = {}
        self.most_terms = 1
        self.walk: Callable[[int, int], None] | None = None
        self.formats = formats(network)
        self.skipped = self.sampled = self.of_signals = False
        self.stop = 0
        self.rank: int | None = None
        self.result: str | None = None
        self.protected: frozenset[str] = frozenset()
        self.embedding: str | None = None
        self.head_dim: int | None = None
        self.attention: AttentionSizes | None = None
        self.norms = Norms()
        self.rope: RopeFactor | None = None
        self.angles: list[tuple[int, ...]] = []
        self.turned: int | None = None
        self.experts: ExpertSizes | None = None

    def refuse(self, what: str, where: int, why: str) -> NoReturn:
        """Say that the chip has nothing for step `where`, part of `what`."""
        raise UnsupportedArchitecture(
            f"hnlpu chip: {self.named(what, where)}: {why}; "
            "hnlpu rtl writes the arrays of any network"
        )

    def named(self, what: str, where: int) -> str:
        """Step `where`, part of `what` if that is not empty, as a message names it."""
        step = self.network.steps[where]
        block = "" if step.block is None else f" of layer {step.block}"
        return f"{what or op_name(step.op)}{block} (step {where})"

    # living values

    def dies(self, name: str) -> bool:
        """Whether nobody takes a value behind the steps that are being lowered."""
        return name not in self.protected and self.uses.last.get(name, -1) < self.stop

    def bury(self) -> None:
        """Forget the dead."""
        for name in [name for name in self.places if self.dies(name)]:
            del self.places[name]

    def held(self, name: str | float) -> RegisterRows | None:
        """Where a value's numbers lie, if registers hold them."""
        place = self.places.get(name) if isinstance(name, str) else None
        return place if isinstance(place, RegisterRows) else None

    def value(self, name: str) -> RegisterRows:
        """The same as a value of 2^-16 whose lanes behind the last number hold zeros."""
        return self.tidy(name, FRACTION)

    def tidy(self, name: str, fraction: int) -> RegisterRows:
        """A value in units of 2^-`fraction` with zeros behind its last number."""
        known = self.places.get(_in_a_row(name, fraction))
        if isinstance(known, RegisterRows):
            return known
        found = self.brought(name, fraction)
        if isinstance(found, RegisterPlaces):
            row = self._row(found)
            self._remember(_in_a_row(name, fraction), row, name)
            return row
        if found.clean:
            return found
        dst = self.code.registers.pool(len(found.beats), self.busy())
        for beat, (a, to) in enumerate(zip(found.beats, dst, strict=True)):
            mask = self.code.parameter("", "mask", found.size, beat)
            self.code.multiply(to, a, Operand.PARAMETER, first=True, index=mask)
        tidied = replace(found, beats=dst, clean=True)
        self._remember(_named(name, fraction), tidied, name)
        return tidied

    def brought(self, name: str, fraction: int) -> RegisterRows | RegisterPlaces:
        """A value in units of 2^-`fraction`; brought there once."""
        found = self.places.get(_named(name, fraction), self.places.get(name))
        assert isinstance(found, RegisterRows | RegisterPlaces), name
        if found.fraction == fraction:
            return found
        if isinstance(found, RegisterPlaces):
            found = compact(found, self.code.width)
        dst = self.code.registers.pool(len(found.beats), self.busy())
        for a, to in zip(found.beats, dst, strict=True):
            down = max(0, found.fraction - fraction)
            one = 1 << max(0, fraction - found.fraction)
            self.code.multiply(to, a, Operand.IMMEDIATE, first=True, shift=down, immediate=one)
        moved = replace(found, beats=dst, fraction=fraction)
        self._remember(_named(name, fraction), moved, name)
        return moved

    def spread(self, name: str, fraction: int | None = None) -> RegisterPlaces | None:
        """Where each number of a value lies, in units of 2^-`fraction` or as it is; None if in no register."""
        place = self.places.get(name)
        if not isinstance(place, RegisterRows | RegisterPlaces):
            return None
        place = place if fraction is None else self.brought(name, fraction)
        if isinstance(place, RegisterPlaces):
            return place
        shape = self.uses.shape(name)
        shape = shape if math.prod(shape) == place.size else (place.size,)
        return RegisterPlaces(place.beats, np.arange(place.size).reshape(shape), place.fraction)

    def view(self, n: int, arg: str | float, fraction: int | None = None) -> RegisterPlaces:
        """The same of what step n takes; refuses what is in no register."""
        found = self.spread(arg, fraction) if isinstance(arg, str) else None
        if found is None:
            self.refuse("", n, f"{arg} is in no register")
        return found

    def loaded(self, n: int, arg: str | float, fraction: int) -> RegisterPlaces:
        """A parameter or a written number in registers until step n is done, in units of 2^-`fraction`."""
        shape = self.uses.shape(arg) if isinstance(arg, str) else (1,)
        places = np.arange(math.prod(shape))
        numbers = by_beat(places, self.code.width)
        dst = self.code.registers.pool(len(numbers), self.busy())
        for register, lanes in zip(dst, numbers, strict=True):
            self.code.multiply(register, register, Operand.IMMEDIATE, first=True)
            if isinstance(arg, str):
                index = self.code.placed(arg, lanes.tolist(), fraction - FRACTION)
                self.code.emit(Op.ADD, Operand.PARAMETER, dst=register, a=register, index=index)
            else:
                number = fixed(arg, fraction) & WORD
                self.code.emit(Op.ADD, dst=register, a=register, immediate=number)
        kept = f"{arg} for step {n} from beat {dst[0].beat} on"
        self.uses.last[kept] = n
        self.places[kept] = found = RegisterPlaces(dst, places.reshape(shape), fraction)
        return found

    def settle(self, name: str, view: RegisterPlaces) -> None:
        """Note where a new value's numbers lie."""
        view, size = compact(view, self.code.width), view.places.size
        in_a_row = np.array_equal(view.places.ravel(), np.arange(size))
        self.places[name] = (
            RegisterRows(view.beats, size, view.fraction, self.fills(size)) if in_a_row else view
        )

    def _row(self, view: RegisterPlaces) -> RegisterRows:
        """A value's numbers in the first lanes of free registers, zeros behind them."""
        size, width = view.places.size, self.code.width
        flat, dst = (
            view.places.ravel(),
            self.code.registers.pool(self.code.beats(size), self.busy()),
        )
        for register, numbers in zip(dst, by_beat(np.arange(size), width), strict=True):
            lanes = np.where(numbers >= 0, flat[numbers], -1)
            gather(self.code, view, lanes, register)
        return RegisterRows(dst, size, view.fraction)

    def move(self, name: str, held: RegisterRows | RegisterPlaces) -> None:
        """A value to registers that are free."""
        self.places[name] = replace(held, beats=self.copies(held.beats))

    def copies(self, beats: Beats) -> Beats:
        """The same numbers in registers that are free."""
        dst = self.code.registers.pool(len(beats), self.busy())
        for a, to in zip(beats, dst, strict=True):
            self.code.multiply(to, a, Operand.IMMEDIATE, first=True, immediate=1)
        return dst

    def forms(self, *args: str | float) -> list[str]:
        """Names of values among `args`, and of their other forms."""
        names = [arg for arg in args if isinstance(arg, str)]
        kinds = (_named, _in_a_row)
        return names + [of(name, bits) for name in names for bits in FRACTIONS for of in kinds]

    def fills(self, size: int) -> bool:
        """Whether so many numbers fill their beats."""
        return size % self.code.width == 0

    def _remember(self, key: str, held: RegisterRows | RegisterPlaces, name: str) -> None:
        """Keep another form of a value as long as the value."""
        self.places[key] = held
        self.uses.last[key] = self.uses.last[name]

    def busy(self, but: Sequence[str] = ()) -> set[Register]:
        """Registers of values that live, those of `but` left out."""
        return {
            register
            for name, place in self.places.items()
            if name not in but
            for register in beats_of(place)
        }

    def room(self, name: str, size: int, over: Sequence[str] = ()) -> Beats:
        """Registers for a new value: its state's or its unit's, else those of a dead one, else others.

        `over` are values that are read beat by beat just before the new one is written.
        """
        dead = [other for other in over if self.dies(other)]
        count, busy = self.code.beats(size), self.busy(dead)
        taken = [held.beats for held in map(self.held, dead) if held is not None]

        def fits(beats: Beats) -> bool:
            return busy.isdisjoint(beats) and all(in_order(old, beats) for old in taken)

        meant = self._meant(name, count)
        if meant and fits(meant):
            return meant
        for beats in taken:
            outside = all(register.bank != STATE for register in beats)
            if len(beats) == count and outside and fits(beats):
                return beats
        return self.code.registers.pool(count, self.busy())

    def room_at(self, name: str, places: Places, over: Sequence[str] = ()) -> Beats:
        """Registers for a new value whose numbers lie at `places`: its state's, a dead one's, or others.

        `over` are values that are read beat by beat, each just before that beat is written.
        """
        dead = [other for other in over if self.dies(other) and other in self.places]
        count, busy = int(places.max()) // self.code.width + 1, self.busy(dead)
        old = [beats_of(self.places[other]) for other in dead]
        state = self.uses.written.get(name)
        if state in self.layouts and np.array_equal(self.layouts[state], places):
            beats = self.states[state]
            ordered = all(in_order(one, beats) for one in old)
            if self._is_read(state) and busy.isdisjoint(beats) and ordered:
                return beats
        for beats in old:
            free = self._is_free(self.uses.resides.get(name), beats)
            ordered = all(in_order(one, beats) for one in old)
            if len(beats) == count and free and busy.isdisjoint(beats) and ordered:
                return beats
        return self.code.registers.pool(count, self.busy())

    def _is_free(self, state: str | None, beats: Beats) -> bool:
        """Whether a value may overwrite registers: its own state's if they have been read, or no state's."""
        if state in self.layouts and self.states[state] == beats:
            return self._is_read(state)
        return all(register.bank != STATE for register in beats)

    def _meant(self, name: str, count: int) -> Beats:
        """Registers that a value is meant for, if any."""
        state = self.uses.written.get(name)
        if state in self.states and state not in self.layouts and self._is_read(state):
            return self.states[state]
        if name == self.result and self.rank is not None:
            return self.code.registers.bank("output", count, self.rank * count)
        bank = self.uses.banks.get(name)
        return self.code.registers.bank(bank, count) if bank else ()

    def _is_read(self, state: str) -> bool:
        """Whether all that read a state's old value have read it."""
        return all(n < self.stop for n in self.uses.reads_before(state))
