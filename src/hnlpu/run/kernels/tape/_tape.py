"""A tape and its calls with arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels._library import Library, address_of
from hnlpu.run.kernels.tape._code import BatchWord, Code
from hnlpu.run.kernels.tape._layout import TapeLayout
from hnlpu.run.kernels.tape._states import TapeState
from hnlpu.run.kernels.tape._views import NUMBERS, Number, Sizes

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TapeRows:
    """Positions of sequences to run together: row r is `positions`[r] of sequence `sequences`[r].

    Sequences are numbers into `TapeMemory`; rows of one come in the order of their positions.
    """

    sequences: Int64
    positions: Int64


@dataclass(frozen=True)
class LaidStates:
    """Arrays of a tape's states where they lie, as `Tape.lay` found them: for many calls.

    `page`: positions of a page.  What gives an array of its own up must lay them anew.
    """

    arrays: tuple[npt.NDArray[np.float32], ...]
    addresses: tuple[int, ...]
    page: int


@dataclass(frozen=True)
class TapeMemory:
    """What sequences keep, by the names of states: see `TapeState` for the shapes.

    `tables` [sequences, pages] names the pages of each sequence in order, `slots` [sequences] its
    slot in states that are kept whole.  All are changed where they lie.  Of states that are `scanned`
    (see `Tape`) each sequence's is first read from slot `sources` [sequences], where they are given,
    which stays as it is.
    """

    states: Mapping[str, npt.NDArray[np.float32]] | LaidStates
    tables: Int64
    slots: Int64
    sources: Int64 | None = None


@dataclass(frozen=True)
class Turns:
    """Rows turn by turn, and by sequence."""

    order: Int64 | None
    starts: Int64
    by_sequence: Int64
    sequence_starts: Int64


class Tape:
    """The instructions of a network; holds no state of any sequence.

    `inputs` come with a call, `outputs` (name, kind, shape of a row) are what it gives, `states`
    what it keeps; those of `scanned` are large, and read by nothing but a scan.
    """

    def __init__(
        self, library: Library, layout: TapeLayout, inputs: tuple[str, ...],
        outputs: tuple[tuple[str, Number, Sizes], ...], states: tuple[TapeState, ...],
    ):  # fmt: skip
        self._library, self._layout = library, layout
        self.inputs, self.outputs, self.states = inputs, outputs, states
        self._words, self._count = ctypes.addressof(layout.words), len(layout.kept)
        scanned = {i.n[0] for i in layout.kept if i.code == Code.SCAN}
        scanned -= {i.n[0] for i in layout.kept if i.code == Code.READ}
        self.scanned = frozenset(held.name for n, held in enumerate(states) if n in scanned)
        self._whole = any(held.how == "whole" for held in states)

    def run(
        self,
        inputs: Mapping[str, Array],
        rows: TapeRows,
        memory: TapeMemory,
        *,
        instructions: int | None = None,
    ) -> tuple[Array, ...]:
        """Outputs [rows, ...] for `inputs` [rows, ...]; `memory` takes in what is kept.

        `instructions` is the number of an instruction set, best first.  Raises NotFinite and
        NotForKernels; then what sequences keep is of no use.
        """
        count = len(rows.sequences)
        turns = _turns(rows) if self._whole else None
        order = None if turns is None else turns.order
        given = [_in_order(inputs[name], order) for name in self.inputs]
        sequences, positions = _in_order(rows.sequences, order), _in_order(rows.positions, order)
        made = [np.empty((count, *shape), NUMBERS[kind][1]) for _, kind, shape in self.outputs]
        laid = memory.states
        if not isinstance(laid, LaidStates):
            laid = self.lay(laid)
        arrays = [*given, memory.tables, memory.slots]
        assert all(a.flags.c_contiguous for a in arrays)
        assert all(len(a) == count for a in (*given, positions))
        self.call(
            _addresses([*given, *made]), laid.addresses, sequences, positions, memory.tables,
            laid.page, memory.slots, turns, memory.sources, instructions=instructions,
        )  # fmt: skip
        return tuple(made if order is None else [_back(array, order) for array in made])

    def lay(self, states: Mapping[str, npt.NDArray[np.float32]]) -> LaidStates:
        """What sequences keep, by the names of states, as calls take it."""
        arrays = tuple(states[held.name] for held in self.states)
        assert all(array.flags.c_contiguous for array in arrays)
        pages = (
            a.shape[3] for a, held in zip(arrays, self.states, strict=True) if held.how == "keys"
        )
        return LaidStates(arrays, tuple(_addresses(arrays)), next(pages, 1))

    def call(
        self, outside: Sequence[int], states: Sequence[int], sequences: Int64, positions: Int64,
        tables: Int64, page: int, slots: Int64 | None = None, turns: Turns | None = None,
        sources: Int64 | None = None, *, instructions: int | None = None,
    ) -> None:  # fmt: skip
        """`run` with the addresses of arrays: inputs, then outputs; and states."""
        batch, outside_words, state_words = BatchWord(), _words(outside), _words(states)
        batch.rows = batch.most = len(sequences)
        batch.sequences, batch.positions = address_of(sequences), address_of(positions)
        batch.tables, batch.pages, batch.page_size = address_of(tables), tables.shape[1], page
        batch.states = ctypes.addressof(state_words)
        batch.outside = ctypes.addressof(outside_words)
        if slots is not None:
            batch.slots = address_of(slots)
        if sources is not None:
            batch.sources = address_of(sources)
        if turns is not None:
            batch.turns, batch.turn_count = address_of(turns.starts), len(turns.starts) - 1
            if batch.rows > 1:
                batch.most = int(np.diff(turns.starts).max())
            batch.order, batch.chains = (
                address_of(turns.by_sequence),
                len(turns.sequence_starts) - 1,
            )
            batch.starts = address_of(turns.sequence_starts)
        self._library.run(
            "hnlpu_tape", self._words, self._count, self._layout.row_bytes,
            self._layout.turn_bytes, ctypes.addressof(batch),
            self._library.set_of(instructions),
        )  # fmt: skip


def _addresses(arrays: Sequence[Array]) -> list[int]:
    return [address_of(array) for array in arrays]


def _words(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


def _in_order(array: Array, order: Int64 | None) -> Array:
    return np.ascontiguousarray(array if order is None else array[order])


def _back(array: Array, order: Int64) -> Array:
    found = np.empty_like(array)
    found[order] = array
    return found


_ONE_ROW = Turns(None, np.array([0, 1]), np.zeros(1, np.int64), np.array([0, 1]))


def _turns(rows: TapeRows) -> Turns:
    """The n-th row of every sequence is of the n-th turn."""
    count = len(rows.sequences)
    if count == 1:
        return _ONE_ROW
    by_sequence = np.argsort(rows.sequences, kind="stable")
    changes = np.flatnonzero(np.diff(rows.sequences[by_sequence])) + 1
    starts = np.concatenate([[0], changes, [count]])
    if len(starts) == count + 1:  # one row of each
        return Turns(None, np.array([0, count]), by_sequence, starts)
    if len(starts) == 2:
        return Turns(None, np.arange(count + 1), by_sequence, starts)
    rank = np.empty(count, np.int64)
    rank[by_sequence] = np.arange(count) - np.repeat(starts[:-1], np.diff(starts))
    order = np.argsort(rank, kind="stable")
    turns = np.concatenate([[0], np.cumsum(np.bincount(rank))])
    by_sequence = np.argsort(rows.sequences[order], kind="stable")
    return Turns(order, turns, by_sequence, starts)
