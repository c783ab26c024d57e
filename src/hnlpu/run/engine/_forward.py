"""The transformer over rows of many sequences: the emulator's arithmetic, paged and batched.

Each row is one token at its own position of its own sequence.  Matrices give
exact integers and the vector unit works row by row, so a row's bits do not
depend on the rows beside it.  The emulator's layers in C take such rows as
they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.model.checkpoint import Architecture
from hnlpu.run.emulate import CompiledLayers, Transformer
from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Rows
from hnlpu.run.engine._memory import Memory
from hnlpu.run.kernels import Pages

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class Turns:
    """Cosines and sines of RoPE at any positions."""

    def __init__(self, architecture: Architecture):
        self._frequencies, self._factor = architecture.rope.frequencies(architecture.head_dim)

    def at(self, positions: Int64) -> tuple[Float32, Float32]:
        """Those of positions [rows]: [rows, head_dim / 2] each."""
        angles = (positions.astype(np.float32)[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._factor).astype(np.float32)
        sin = (np.sin(angles) * self._factor).astype(np.float32)
        return cos, sin


class BatchedTransformer:
    """`Transformer` with its layers in C, for rows of many sequences: a `Batched`."""

    def __init__(self, transformer: Transformer, compiled: CompiledLayers):
        self._transformer, self._compiled = transformer, compiled
        self._turns = Turns(transformer.architecture)

    def forward(self, rows: Rows, memory: Memory, wanted: Int64) -> tuple[Float32, Int64]:
        """Normalised hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes all in.

        And the experts that fired for every row: [layers, rows, active].
        Raises NotFinite.
        """
        cos, sin = self._turns.at(rows.positions)
        with np.errstate(over="ignore", invalid="ignore"):  # NotFinite tells of them
            x = self._transformer.weights.embed(rows.tokens)
            keys, values = memory.stacks
            pages = Pages(keys, values, rows.tables)
            fired = self._compiled.forward(x, cos, sin, pages, rows.sequences, rows.positions)
            hidden = self._transformer.norm(x[wanted])
        return hidden, fired

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite.

        No `adapter` changes them here: see `BatchedBeside`.
        """
        assert adapter is None
        yield from self._transformer.logits_in_pieces(hidden)
