"""A network's constants from the tensors of a checkpoint, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import dequantize
from hnlpu.model.network import Network, Source, read_source
from hnlpu.run.emulate._weights import Activations

Float32 = npt.NDArray[np.float32]


@njit(cache=True, nogil=True)
def project_in_order(weights: Float32, x: Float32) -> Float32:
    """Sums [rows of x, rows] in float64, in the order of the columns, rounded once."""
    tokens, n = x.shape
    out = np.empty((tokens, len(weights)), np.float32)
    for t in range(tokens):
        for row in range(len(weights)):
            total = 0.0
            for i in range(n):
                total += np.float64(weights[row, i]) * np.float64(x[t, i])
            out[t, row] = total
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

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._parameters[name]

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        return np.asarray(self._parameters[name][numbers])
