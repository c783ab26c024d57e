"""Where a transformer gets its matrices from: metal, or the checkpoint in float32.

`Weights` is the one interface the transformer knows.  `HardwiredWeights`
multiplies integers; `FloatWeights` is the unquantised model, the baseline of
every quality figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import (
    EMBEDDING,
    Architecture,
    Model,
    bfloat16_to_float32,
    matrix_shapes,
)
from hnlpu.emulate._projection import Float32, Int32, project, quantize_activations
from hnlpu.hardwire import Build, HardwiredMatrix
from hnlpu.quantize import dequantize

FLOAT_CACHE_BYTES = 4 * 2**30
"""A float baseline up to this size stays unpacked in memory; a larger one is unpacked as used."""


@dataclass(frozen=True)
class Activations:
    """Inputs of a matrix [tokens, n]: float32 `values`, or `integers` and `scales`."""

    values: Float32 | None
    integers: Int32 | None = None
    scales: Int32 | None = None

    def take(self, tokens: npt.NDArray[np.int64]) -> Activations:
        """The activations of some tokens."""
        parts = (self.values, self.integers, self.scales)
        values, integers, scales = (p[tokens] if p is not None else None for p in parts)
        return Activations(values, integers, scales)


class Weights(Protocol):
    """What a transformer needs to know of a model's parameters."""

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        ...

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        ...

    def vector(self, name: str) -> Float32:
        """A norm's weights or the sinks."""
        ...

    def prepare(self, x: Float32) -> Activations:
        """Bring x [tokens, n] to the form that `project` takes."""
        ...

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (expert `index`) times x, plus bias: [tokens, rows]."""
        ...


class HardwiredWeights:
    """Integer weights of a build times integer activations, exact.

    With `float_activations` the activations are not rounded and the products
    are taken in float32, to tell the two sources of error apart.
    """

    def __init__(self, build: Build, float_activations: bool = False):
        self._build = build
        self._shapes = build.shapes()
        self._float = float_activations
        self._bits = build.manifest.policy.activation_bits
        self._matrices: dict[tuple[str, int], HardwiredMatrix] = {}
        self._values: dict[tuple[str, int], Float32] = {}
        self._embedding = build.tensors[EMBEDDING].map()

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        return self._build.architecture

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        return bfloat16_to_float32(np.asarray(self._embedding[tokens]))

    def vector(self, name: str) -> Float32:
        """A norm's weights or the sinks."""
        return self._build.vector(name)

    def prepare(self, x: Float32) -> Activations:
        """Round x [tokens, n] to integers, or keep it where activations stay float."""
        if self._float:
            return Activations(x)
        return Activations(None, *quantize_activations(x, self._bits))

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (expert `index`) times x, plus bias: [tokens, rows]."""
        matrix = self._matrix(name, index)
        if x.values is None:
            assert x.integers is not None
            assert x.scales is not None
            return project(matrix, x.integers, x.scales)
        values = self._values.get((name, index))
        if values is None:
            values = self._values[name, index] = matrix.values()
        y: Float32 = x.values @ values.T
        return y if matrix.bias is None else y + matrix.bias

    def _matrix(self, name: str, index: int) -> HardwiredMatrix:
        matrix = self._matrices.get((name, index))
        if matrix is None:
            matrix = self._matrices[name, index] = self._build.matrix(self._shapes[name], index)
        return matrix


class FloatWeights:
    """The checkpoint's own values in float32, nothing rounded: the baseline."""

    def __init__(self, model: Model):
        self._model = model
        self._embedding = model.vectors[EMBEDDING].map()
        size = 4 * sum(shape.weights for shape in matrix_shapes(model.architecture))
        self._keep = size <= FLOAT_CACHE_BYTES
        self._values: dict[tuple[str, int], Float32] = {}
        self._biases = {name: matrix.bias() for name, matrix in model.matrices.items()}

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        return self._model.architecture

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        return bfloat16_to_float32(np.asarray(self._embedding[tokens]))

    def vector(self, name: str) -> Float32:
        """A norm's weights or the sinks."""
        return self._model.vector(name)

    def prepare(self, x: Float32) -> Activations:
        """Activations stay as they are."""
        return Activations(x)

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (expert `index`) times x, plus bias: [tokens, rows]."""
        assert x.values is not None
        y: Float32 = x.values @ self._matrix(name, index).T
        bias = self._biases[name]
        return y if bias is None else y + bias[index]

    def _matrix(self, name: str, index: int) -> Float32:
        values = self._values.get((name, index))
        if values is None:
            matrix = self._model.matrices[name]
            values = dequantize(*matrix.packed(index)) if matrix.is_mxfp4 else matrix.dense(index)
            if self._keep:
                self._values[name, index] = values
        return values
