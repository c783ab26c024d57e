"""The side channel's arithmetic: y += scaling * B (A x), beside exact integers.

Stated order, the same for any number of rows: everything is float32; a sum
runs over its index in order, each product and each sum rounds once; the result
is multiplied by the scaling, then added to the projection's output.  Experts
have parts of their own, each for the tokens that it meets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.run.engine._adapter import Adapter

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _add(
    y: Float32,
    x: Float32,
    rows: Int64,
    sources: Int64,
    matrices: Int64,
    down: Float32,
    up: Float32,
    scaling: np.float32,
) -> None:
    """Add to the `rows` of y [n, outputs] what rows `sources` of x [m, inputs] give.

    They go through `matrices` of down [count, inputs, rank] and up [count, rank, outputs].
    """
    _, inputs, rank = down.shape
    outputs = up.shape[2]
    inner = np.empty(rank, np.float32)
    total = np.empty(outputs, np.float32)
    for entry in range(len(rows)):
        r, source, m = rows[entry], sources[entry], matrices[entry]
        inner[:] = np.float32(0.0)
        for i in range(inputs):
            value = x[source, i]
            for k in range(rank):
                inner[k] += value * down[m, i, k]
        total[:] = np.float32(0.0)
        for k in range(rank):
            value = inner[k]
            for o in range(outputs):
                total[o] += value * up[m, k, o]
        for o in range(outputs):
            y[r, o] += scaling * total[o]


def add_low_rank(
    y: Float32, x: Float32, name: str, adapters: list[tuple[Adapter, Int64]]
) -> Float32:
    """y [n, outputs] of matrix `name` with each adapter's part added for its rows, in place.

    x [n, inputs] are the activations before they are rounded to integers.
    """
    for adapter, rows in adapters:
        part = adapter.parts.get(name)
        if part is not None:
            first = np.zeros(len(rows), np.int64)
            _add(y, x, rows, rows, first, part.down, part.up, np.float32(part.scaling))
    return y


class ExpertsBeside:
    """The adapters' parts of one block's router and experts: `Beside` for `mixture_of_experts`.

    `h` [tokens, hidden] are the block's inputs before they are rounded.
    """

    def __init__(self, prefix: str, h: Float32, adapters: list[tuple[Adapter, Int64]]):
        self._prefix, self._h, self._adapters = prefix, h, adapters

    def router(self, logits: Float32) -> None:
        """Add to the router's logits [tokens, experts]."""
        add_low_rank(logits, self._h, self._prefix + "router", self._adapters)

    def gate_up(self, y: Float32, tokens: Int64, experts: Int64) -> None:
        """Add to the experts' first outputs [entries, 2 n]."""
        self._add("gate_up_proj", y, self._h, tokens, tokens, experts)

    def down(self, y: Float32, gated: Float32, tokens: Int64, experts: Int64) -> None:
        """Add to their last outputs [entries, hidden], whose inputs are `gated` [entries, n]."""
        self._add("down_proj", y, gated, np.arange(len(y)), tokens, experts)

    def _add(
        self, name: str, y: Float32, x: Float32, sources: Int64, tokens: Int64, experts: Int64
    ) -> None:
        for adapter, rows in self._adapters:
            part = adapter.parts.get(f"{self._prefix}experts.{name}")
            if part is not None:
                mine = np.flatnonzero(np.isin(tokens, rows))
                _add(
                    y, x, mine, sources[mine], experts[mine], part.down, part.up,
                    np.float32(part.scaling),
                )  # fmt: skip
