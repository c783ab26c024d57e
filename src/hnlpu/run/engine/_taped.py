"""A network of any family over rows of many sequences: a tape in C, all rows in one call.

    rows ─► [ rows up to the next snapshot ─► tape ─► copy of the slots ] ... ─► hidden states

A tape works on pages and slots where they lie.  Slots that are read must stay as they are, so it
starts from copies of them in the slots that are to be filled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate import HardwiredConstants, InterpretedModel, TapedNetwork
from hnlpu.run.engine._batch import LogitsOfModel, Rows
from hnlpu.run.engine._experts import experts_of
from hnlpu.run.engine._layout import PAGE, StateLayout
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.kernels import tape

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class BatchedTape(LogitsOfModel):
    """An `InterpretedModel` that has a tape, for rows of many sequences: a `Batched`."""

    def __init__(self, model: InterpretedModel, taped: TapedNetwork):
        super().__init__(model)
        self._model, self._taped = model, taped
        self._experts = experts_of(model.body)
        self._traced: TapedNetwork | None = None
        self._tokens = [x.name for x in taped.network.inputs if x.carries == "token"]
        self._memory: StateMemory | None = None
        self._laid: dict[TapedNetwork, tape.LaidStates] = {}

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """Hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes in all rows.

        And the experts that fired, [layers with experts, rows, active], where `rows.trace` asks.
        Raises NotFinite.
        """
        trace = rows.trace and bool(self._experts.choices)
        taped = self._with_choices() if trace else self._taped
        memory.copy(rows.sources, rows.targets, taped.tape.scanned)
        slots, sources = rows.targets, rows.sources
        if not memory.has_slots:
            slots = sources = np.zeros(len(rows.tables), np.int64)
        states = self._states(taped, memory)
        hidden: Float32 | None = None
        fired = np.empty(
            (len(self._experts.choices) if trace else 0, len(rows.tokens), self._experts.active),
            np.int64,
        )
        for part in _parts(rows) if len(rows.snapshots) else (slice(None),):
            made, *chosen = taped.run(
                dict.fromkeys(self._tokens, rows.tokens[part]),
                tape.TapeRows(rows.sequences[part], rows.positions[part]),
                tape.TapeMemory(states, rows.tables, slots, sources),
            )
            sources = slots  # from now on they are there
            if hidden is None:
                hidden = np.empty((len(rows.tokens), made.shape[1]), np.float32)
            hidden[part] = made
            for layer, found in enumerate(chosen):
                fired[layer, part] = found
            if not isinstance(part, slice):
                _copy(rows, part, memory)
        assert hidden is not None
        return hidden[wanted], fired

    def _states(self, taped: TapedNetwork, memory: StateMemory) -> tape.LaidStates:
        """The arrays of a memory, which are the same in every call."""
        if self._memory is not memory:
            self._memory = memory
            self._laid.clear()
        if taped not in self._laid:
            self._laid[taped] = taped.tape.lay({**memory.pages, **memory.whole})
        return self._laid[taped]

    def _with_choices(self) -> TapedNetwork:
        """A tape that also gives the experts; made when somebody first asks for them."""
        if self._traced is None:
            constants = self._model.constants
            assert isinstance(constants, HardwiredConstants)
            body = self._model.body
            outputs = (*body.outputs, *self._experts.choices)
            self._traced = TapedNetwork(replace(body, outputs=outputs), constants)
        return self._traced


def lies_alike(taped: TapedNetwork, layout: StateLayout) -> bool:
    """Whether a tape works on states as an engine's memory has them."""
    shapes = {state.name: state.shape for state in layout.paged}
    shapes |= {state.name: state.shape for state in layout.whole}
    return all(held.memory_shape(1, PAGE)[1:] == shapes[held.name] for held in taped.tape.states)


def _parts(rows: Rows) -> Iterator[Int64]:
    """The rows in as many calls as the sequence with the most snapshots needs.

    After a call, the states behind each sequence's last row of it are where a snapshot is wanted.
    """
    ends = np.zeros(len(rows.tokens), np.int64)
    ends[rows.snapshots[:, 0]] = 1
    before = np.cumsum(ends) - ends  # snapshots taken before a row, of all sequences
    first = np.searchsorted(rows.sequences, rows.sequences)
    call = before - before[first]
    for number in range(int(call.max()) + 1):
        yield np.flatnonzero(call == number)


def _copy(rows: Rows, part: Int64, memory: StateMemory) -> None:
    """Take the snapshots that are due after the rows `part`."""
    due = rows.snapshots[np.isin(rows.snapshots[:, 0], part)]
    if len(due):
        memory.copy(rows.targets[rows.sequences[due[:, 0]]], due[:, 1])
