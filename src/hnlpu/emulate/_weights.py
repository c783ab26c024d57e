"""Where a transformer gets its matrices from: metal, or the checkpoint in float32.

`Weights` is the one interface the transformer knows.  `HardwiredWeights`
multiplies integers; `FloatWeights` is the unquantised model, the baseline of
every quality figure.
"""

from __future__ import annotations

from collections.abc import Callable
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
from hnlpu.hardwire import Build
from hnlpu.quantize import dequantize

FLOAT_CACHE_BYTES = 4 * 2**30
"""A float baseline up to this size stays unpacked in memory; a larger one is unpacked as used."""


class _Unpacked:
    """Matrices as float32, kept in memory where all of a model's would fit."""

    def __init__(self, architecture: Architecture):
        size = 4 * sum(shape.weights for shape in matrix_shapes(architecture))
        self._keep = size <= FLOAT_CACHE_BYTES
        self._values: dict[tuple[str, int], Float32] = {}

    def get(self, name: str, index: int, make: Callable[[], Float32]) -> Float32:
        """Matrix `name`, `index`, made now or kept from before."""
        values = self._values.get((name, index))
        if values is None:
            values = make()
            if self._keep:
                self._values[name, index] = values
        return values


@dataclass(frozen=True)
class Activations:
    """Inputs of a matrix [tokens, n]: float32 `values`, or `integers` and `scales`."""

    values: Float32 | None
    integers: Int32 | None = None
    scales: Int32 | None = None

    def take(self, tokens: npt.NDArray[np.int64]) -> Activations:
        """The activations of some tokens."""
        if self.values is not None:
            return Activations(self.values[tokens])
        assert self.integers is not None
        assert self.scales is not None
        return Activations(None, self.integers[tokens], self.scales[tokens])


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
        self._float = float_activations
        self._bits = build.manifest.policy.activation_bits
        # mapped now, not when first used: the folder may be replaced by another build meanwhile
        self._stacks = {name: build.stack(shape) for name, shape in build.shapes().items()}
        self._unpacked = _Unpacked(build.architecture)
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
        matrix = self._stacks[name][index]
        if x.values is None:
            assert x.integers is not None
            assert x.scales is not None
            return project(matrix, x.integers, x.scales)
        y: Float32 = x.values @ self._unpacked.get(name, index, matrix.values).T
        return y if matrix.bias is None else y + matrix.bias


class FloatWeights:
    """The checkpoint's own values in float32, nothing rounded: the baseline."""

    def __init__(self, model: Model):
        self._model = model
        self._embedding = model.vectors[EMBEDDING].map()
        self._unpacked = _Unpacked(model.architecture)
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
        matrix = self._model.matrices[name]

        def read() -> Float32:
            if matrix.is_mxfp4:
                return dequantize(*matrix.packed(index))
            return matrix.dense(index)

        y: Float32 = x.values @ self._unpacked.get(name, index, read).T
        bias = self._biases[name]
        return y if bias is None else y + bias[index]
