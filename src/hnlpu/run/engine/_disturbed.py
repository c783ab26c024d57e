"""A control: a model whose numbers depend on its batch, as those of floating-point servers do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Batched, Float32, Int64, Rows
from hnlpu.run.engine._memory import StateMemory

STEP = np.float32(2.0**-20)
"""Of a hidden state: a few last bits, as much as another order of summation changes in float32."""


class Disturbed:
    """`batched`, whose hidden states grow by a few last bits with the number of rows in the batch."""

    def __init__(self, batched: Batched):
        self._batched = batched

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """As `Batched.forward`, but for those bits."""
        hidden, fired = self._batched.forward(rows, memory, wanted)
        return hidden * (1 + STEP * np.float32(len(rows.tokens) % 8)), fired

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """As `Batched.logits_in_pieces`."""
        return self._batched.logits_in_pieces(hidden, adapter)
