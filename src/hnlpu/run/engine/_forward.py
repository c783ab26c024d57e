"""The transformer over rows of many sequences: the emulator's arithmetic, paged and batched.

Each row is one token at its own position of its own sequence.  Matrices give
exact integers and the vector unit works row by row, so a row's bits do not
depend on the rows beside it.  The emulator's layers in C take such rows as
they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate import Transformer
from hnlpu.run.engine._batch import LogitsOfModel, Rows
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.kernels import Pages

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class BatchedTransformer(LogitsOfModel):
    """`Transformer` with its layers in C, for rows of many sequences: a `Batched`."""

    def __init__(self, transformer: Transformer):
        super().__init__(transformer)
        self._transformer = transformer

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """Normalised hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes all in.

        And the experts that fired for every row: [layers, rows, active].
        Raises NotFinite.
        """
        run = self._transformer
        cos, sin = run.turns(rows.positions)
        with np.errstate(over="ignore", invalid="ignore"):  # NotFinite tells of them
            x = run.embed(rows.tokens)
            keys, values = memory.stacks
            pages = Pages(keys, values, rows.tables)
            fired = run.compiled.forward(x, cos, sin, pages, rows.sequences, rows.positions)
            hidden = run.norm(x[wanted])
        return hidden, fired
