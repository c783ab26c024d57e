"""A network's constants from the tensors of a checkpoint, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import dequantize
from hnlpu.model.network import Network, Source, read_source
from hnlpu.run.emulate._activations import Activations, Meeting

Float32 = npt.NDArray[np.float32]


FEW_ROWS = 10
"""Rows of activations up to which a row of weights meets one after the other."""


def project_in_order(weights: Float32, x: Float32) -> Float32:
    """Sums [rows of x, rows] in float64, in the order of the columns, rounded once.

    A product of two float32 is exact in float64, so that each sum has the same bits however many
    are taken side by side.
    """
    return (_few if len(x) <= FEW_ROWS else _many)(weights, x)


@njit(cache=True, nogil=True)
def _few(weights: Float32, x: Float32) -> Float32:
    """Four rows of weights at a time: their sums do not wait for each other."""
    tokens, n = x.shape
    rows = len(weights)
    out = np.empty((tokens, rows), np.float32)
    fours = rows - rows % 4
    wide = x.astype(np.float64)
    for t in range(tokens):
        for row in range(0, fours, 4):
            a = b = c = d = 0.0
            for i in range(n):
                value = wide[t, i]
                a += np.float64(weights[row, i]) * value
                b += np.float64(weights[row + 1, i]) * value
                c += np.float64(weights[row + 2, i]) * value
                d += np.float64(weights[row + 3, i]) * value
            out[t, row], out[t, row + 1], out[t, row + 2], out[t, row + 3] = a, b, c, d
        for row in range(fours, rows):
            total = 0.0
            for i in range(n):
                total += np.float64(weights[row, i]) * wide[t, i]
            out[t, row] = total
    return out


_SIDE_BY_SIDE = 64


@njit(cache=True, nogil=True)
def _many(weights: Float32, x: Float32) -> Float32:
    """Rows of activations side by side, a block of them at a time."""
    tokens, n = x.shape
    rows = len(weights)
    out = np.empty((tokens, rows), np.float32)
    sums = np.empty((2, _SIDE_BY_SIDE))
    first, second = sums[0], sums[1]
    for start in range(0, tokens, _SIDE_BY_SIDE):
        block = np.zeros((n, _SIDE_BY_SIDE))
        count = min(_SIDE_BY_SIDE, tokens - start)
        for t in range(count):
            for i in range(n):
                block[i, t] = x[start + t, i]
        for row in range(0, rows, 2):
            other = min(row + 1, rows - 1)
            sums[:] = 0.0
            for i in range(n):
                a, b = np.float64(weights[row, i]), np.float64(weights[other, i])
                values = block[i]
                for t in range(_SIDE_BY_SIDE):
                    first[t] += a * values[t]
                    second[t] += b * values[t]
            for t in range(count):
                out[start + t, row], out[start + t, other] = first[t], second[t]
    return out


class FloatConstants:
    """The checkpoint's own values; activations stay as they are.

    `tensors` by name: float32, or uint8 for the blocks and scales of MXFP4.  Raises KeyError for
    one that is missing.
    """

    def __init__(self, network: Network, tensors: Mapping[str, npt.NDArray[Any]]):
        def read(source: Source) -> Float32:
            return np.ascontiguousarray(read_source(source, tensors, dequantize), np.float32)

        self._parameters = {p.name: read(p.source) for p in network.parameters}
        self._matrices = {
            m.name: read(m.source).reshape(m.count, m.rows, m.columns) for m in network.matrices
        }
        self._biases = {
            m.name: read(m.bias).reshape(m.count, m.rows)
            for m in network.matrices
            if m.bias is not None
        }

    def prepare(self, x: Float32) -> Activations:
        """Activations stay as they are."""
        return Activations(x)

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        assert x.values is not None
        y = project_in_order(self._matrices[name][index], x.values)
        return y + self._biases[name][index] if name in self._biases else y

    def project_all(self, meetings: Sequence[Meeting]) -> list[Float32]:
        """`project` of each."""
        return [self.project(*meeting) for meeting in meetings]

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._parameters[name]

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        return np.asarray(self._parameters[name][numbers])
