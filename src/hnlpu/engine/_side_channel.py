"""The side channel's arithmetic: y += scaling * B (A x), beside exact integers.

Stated order, the same for any number of rows: everything is float32; a sum
runs over its index in order, each product and each sum rounds once; the result
is multiplied by the scaling, then added to the projection's output.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from hnlpu.engine._adapter import Adapter

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _add(
    y: Float32, x: Float32, rows: Int64, down: Float32, up: Float32, scaling: np.float32
) -> None:
    """Add to the `rows` of y [n, outputs] what x [n, inputs] gives through down and up."""
    inputs, rank = down.shape
    outputs = up.shape[1]
    inner = np.empty(rank, np.float32)
    total = np.empty(outputs, np.float32)
    for r in rows:
        inner[:] = np.float32(0.0)
        for i in range(inputs):
            value = x[r, i]
            for k in range(rank):
                inner[k] += value * down[i, k]
        total[:] = np.float32(0.0)
        for k in range(rank):
            value = inner[k]
            for o in range(outputs):
                total[o] += value * up[k, o]
        for o in range(outputs):
            y[r, o] += scaling * total[o]


def add_low_rank(
    y: Float32, x: Float32, name: str, adapters: list[tuple[Adapter, Int64]]
) -> Float32:
    """Y [n, outputs] of matrix `name` with each adapter's part added for its rows, in place.

    x [n, inputs] are the activations before they are rounded to integers.
    """
    for adapter, rows in adapters:
        part = adapter.parts.get(name)
        if part is not None:
            _add(y, x, rows, part.down, part.up, np.float32(adapter.scaling))
    return y
