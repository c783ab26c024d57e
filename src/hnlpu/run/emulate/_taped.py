"""A network of any family as a tape in C, and the memory of one sequence that it works on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedBuild
from hnlpu.model.network import Append, Network
from hnlpu.run.emulate._cache import POSITIONS_AT_ONCE, grown
from hnlpu.run.emulate._early import EarlyValues, PositionTable, early_steps
from hnlpu.run.emulate._network_constants import HardwiredConstants
from hnlpu.run.emulate._states import States, most_kept
from hnlpu.run.kernels import NotForKernels, load
from hnlpu.run.kernels.tape import Known, NotOnTape, Tape, TapeMemory, TapeRows, TapeState, lower

Array = npt.NDArray[Any]


class TapedNetwork:
    """A network over the metal of a build, in C; holds no state of any sequence.

    Raises NotOnTape where the library is missing or lacks an instruction.
    """

    def __init__(self, network: Network, constants: HardwiredConstants):
        library, reason = load()
        if library is None:
            raise NotOnTape(reason)
        if constants.activation_bits is None:
            raise NotOnTape("activations that stay float")
        self.network = network
        self._constants = constants
        early = early_steps(network)
        values = early.constants(constants.parameter)
        self._early = EarlyValues(early, values, constants)
        positions = [x.name for x in network.inputs if x.carries == "position"]
        self._by_position = PositionTable(self._early, positions)
        known = Known(
            values, early.outside, early.made, constants.described, constants.activation_bits
        )
        self.tape: Tape = lower(library, network, known)

    def run(
        self,
        inputs: Mapping[str, Array],
        rows: TapeRows,
        memory: TapeMemory,
        *,
        instructions: int | None = None,
    ) -> tuple[Array, ...]:
        """Outputs [rows, ...] of inputs [rows, ...] by name; positions are those of the rows.

        Raises NotFinite, DamagedBuild.
        """
        outside = self._early.of(inputs, self._by_position.values(rows.positions))
        try:
            return self.tape.run(outside, rows, memory, instructions=instructions)
        except NotForKernels:
            raise DamagedBuild(
                f"{self._constants.directory}: exponents of a row spread further than a build may "
                "hold; 'hnlpu verify' names it"
            ) from None


class SequenceMemory:
    """What one sequence keeps, where a tape works on it; every growing state is one long page."""

    def __init__(self, taped: TapedNetwork):
        self._tape, states = taped.tape, taped.tape.states
        declared = taped.network.declared().states
        self._declared = [declared[held.name] for held in states]
        self._held = states
        self.length = 0
        self.arrays: dict[str, npt.NDArray[np.float32]] = {}
        for held in states:
            shape = held.memory_shape(1, 0)
            self.arrays[held.name] = np.full(shape, held.initial, np.float32)
        self._room = 0 if any(held.how != "whole" for held in states) else sys.maxsize
        self._memory = self._laid()

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all, and by a quarter at least where there is too little."""
        if positions <= self._room:
            return
        for held in self._held:
            axis = {"keys": 3, "values": 2, "whole": 0}[held.how]
            array = self.arrays[held.name]
            capacity = array.shape[axis]
            if held.how != "whole" and positions > capacity:
                larger = max(positions, capacity + capacity // 4)
                larger += -larger % POSITIONS_AT_ONCE
                self.arrays[held.name] = grown(array, axis, larger)
                self._room = larger
        self._memory = self._laid()

    def memory(self) -> TapeMemory:
        """As a tape takes it: sequence 0, with page 0 and slot 0."""
        return self._memory

    def _laid(self) -> TapeMemory:
        where = self._tape.lay(self.arrays)
        return TapeMemory(where, np.zeros((1, 1), np.int64), np.zeros(1, np.int64))

    def save(self) -> States:
        """A copy of what the next position may read."""
        entries = {}
        for held, state in zip(self._held, self._declared, strict=True):
            by_position = self._by_position(held)
            if isinstance(state.keeps, Append):
                most = most_kept(state.keeps)
                first = 0 if most is None else max(0, self.length - most)
                by_position = by_position[first : self.length]
            entries[held.name] = np.array(by_position)
        return States(self.length, MappingProxyType(entries))

    def restore(self, states: States) -> None:
        """Go on from what was saved, of this sequence or of another."""
        self.length = states.position
        self.reserve(states.position)
        for held, state in zip(self._held, self._declared, strict=True):
            saved, by_position = states.entries[held.name], self._by_position(held)
            if isinstance(state.keeps, Append):
                by_position[self.length - len(saved) : self.length] = saved
            else:
                by_position[:] = saved

    def mark(self) -> States:
        """What `rewind` goes back to: a copy of the states that do not grow."""
        entries = {held.name: np.array(self._by_position(held)) for held in self._whole()}
        return States(self.length, MappingProxyType(entries))

    def rewind(self, mark: States) -> None:
        """Go back to a mark that this sequence has passed: growing states are written over."""
        self.length = mark.position
        for held in self._whole():
            self._by_position(held)[:] = mark.entries[held.name]

    def _whole(self) -> list[TapeState]:
        """The states that do not grow."""
        return [
            held
            for held, state in zip(self._held, self._declared, strict=True)
            if not isinstance(state.keeps, Append)
        ]

    def _by_position(self, held: TapeState) -> npt.NDArray[np.float32]:
        """A view [positions or entries, *shape]."""
        array: npt.NDArray[np.float32] = self.arrays[held.name][0]
        match held.how:
            case "keys":
                return array.transpose(2, 0, 1)
            case "values":
                return array.transpose(1, 0, 2)
            case "whole":
                return array
