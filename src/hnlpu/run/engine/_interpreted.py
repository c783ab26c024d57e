"""A network of any family over rows of many sequences: the interpreter, one sequence after the other.

pages, slot of a sequence ─► states ─► interpreter, page by page ─► states ─► pages, slots
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Network, Step
from hnlpu.run.emulate import States, Watch
from hnlpu.run.engine._batch import LogitsOfModel, MakesLogits, Rows
from hnlpu.run.engine._experts import Experts, experts_of
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.engine._slots import INITIAL

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class Interpretable(MakesLogits, Protocol):
    """A model that is run piece by piece, each from states to states."""

    @property
    def body(self) -> Network:
        """The network of which states and hidden states are."""
        ...

    def interpret(
        self, tokens: Int64, states: States, watch: Watch | None = None
    ) -> tuple[Float32, States]:
        """Hidden states [n, hidden] after n more tokens, and the states behind them."""
        ...


class BatchedInterpreter(LogitsOfModel):
    """An `Interpretable` for rows of many sequences: a `Batched`."""

    def __init__(self, model: Interpretable):
        super().__init__(model)
        self._model = model
        self._experts = experts_of(model.body)

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """Hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes in all rows.

        And the experts that fired, [layers with experts, rows, active], where `rows.trace` asks.
        Raises NotFinite.
        """
        snapshots = dict(rows.snapshots.tolist())
        ends = np.flatnonzero(np.diff(rows.sequences, append=-1)) + 1
        hidden: list[Float32] = []
        fired: list[Int64] = []
        start = 0
        for end in ends.tolist():
            made, chosen = self._sequence(rows, start, end, memory, snapshots)
            hidden.append(made)
            fired.append(chosen)
            start = end
        return np.concatenate(hidden)[wanted], np.concatenate(fired, axis=1)

    def _sequence(
        self, rows: Rows, start: int, end: int, memory: StateMemory, snapshots: dict[int, int]
    ) -> tuple[Float32, Int64]:
        """Rows `start` to `end`, which are of one sequence."""
        number = rows.sequences[start]
        table, position = rows.tables[number], int(rows.positions[start])
        source, target = (
            (int(rows.sources[number]), int(rows.targets[number]))
            if memory.has_slots
            else (INITIAL, INITIAL)
        )
        entries = memory.gather(table, source, position)
        states = States(position, MappingProxyType(entries))
        trace = _Trace(self._experts, end - start)
        hidden = []
        for first, last in _pieces(position, end - start, memory):
            tokens = rows.tokens[start + first : start + last]
            trace.first = first
            made, states = self._model.interpret(tokens, states, trace if rows.trace else None)
            hidden.append(made)
            slot = target
            if last < end - start:
                slot = snapshots.get(start + last - 1, target)
            memory.scatter(table, slot, position + first, position + last, states.entries)
        return np.concatenate(hidden), trace.fired if rows.trace else trace.fired[:0]


def _pieces(position: int, count: int, memory: StateMemory) -> Iterator[tuple[int, int]]:
    """Runs of rows that keep all that anybody may go on from, as (first, the one behind the last).

    They end with pages where a snapshot may lie, and are no longer than the narrowest window: a longer
    one would drop entries that a page must hold, or that the next step reads where the last rows were
    only tried.
    """
    narrowest = memory.layout.narrowest
    first = 0
    while first < count:
        last = count if narrowest is None else min(count, first + narrowest)
        if memory.layout.whole:
            last = min(last, first + PAGE - (position + first) % PAGE)
        yield first, last
        first = last


class _Trace:
    """Watches the steps of one sequence for the members that they choose."""

    def __init__(self, experts: Experts, rows: int):
        self.fired = np.empty((len(experts.choices), rows, experts.active), np.int64)
        self.first = 0
        """Row that the run's first position is."""
        self._layer_of = {name: layer for layer, name in enumerate(experts.choices)}

    def __call__(self, step: Step, position: int, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.outs, results, strict=False):
            layer = self._layer_of.get(name)
            if layer is not None:
                self.fired[layer, self.first + position] = value
