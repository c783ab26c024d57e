"""A batch: rows of many sequences, and what runs them.

Each row is one token at its own position of its own sequence.  What a row gives does not depend on
the rows of other sequences beside it, nor on how its own are divided into batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._memory import StateMemory

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Tokens to run through the layers together, each with its place.

    `tokens`, `positions` and `sequences` are [rows]; rows of a sequence stand together, in the
    order of their positions.  Of each sequence, `tables` [sequences, pages] holds the pages, enough
    for its rows; what is kept whole is read from slot `sources` [sequences] and left in slot
    `targets` [sequences] (both are empty where nothing is), and so are snapshots: those behind row r
    in slot s for (r, s) of `snapshots` [n, 2], where r is the last position of a page.  `adapter`: the one that all
    rows have; `trace`: the experts that fire are asked for.
    """

    tokens: Int64
    positions: Int64
    sequences: Int64
    tables: Int64
    sources: Int64
    targets: Int64
    snapshots: Int64
    adapter: Adapter | None = None
    trace: bool = False


class Batched(Protocol):
    """A model over rows of many sequences, whose states lie in a `StateMemory`."""

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """Hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes in all rows.

        And the experts that fired: [layers with experts, rows, active]; maybe of no layers, where
        `rows.trace` does not ask.  Raises NotFinite, and then slots that are read are as they were.
        """
        ...

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite.

        `adapter`: the one that all rows have.
        """
        ...


class MakesLogits(Protocol):
    """What makes logits of hidden states."""

    def logits_in_pieces(self, hidden: Float32) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite."""
        ...


class LogitsOfModel:
    """The half of a `Batched` that makes logits as the emulator's model does."""

    def __init__(self, model: MakesLogits):
        self._makes_logits = model

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite.

        No `adapter` changes them here: see `BatchedBeside`.
        """
        assert adapter is None
        yield from self._makes_logits.logits_in_pieces(hidden)
