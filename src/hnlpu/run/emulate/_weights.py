"""Where a transformer gets its matrices from: metal, or the checkpoint in float32.

`Weights` is the one interface the transformer knows.  `HardwiredWeights`
multiplies integers; `FloatWeights` is the unquantised model, the baseline of
every quality figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import dequantize
from hnlpu.model.checkpoint import (
    EMBEDDING,
    Architecture,
    Model,
    StoredRows,
    matrix_shapes,
    to_float32,
)
from hnlpu.model.network import Network
from hnlpu.run.emulate._projection import (
    Float32,
    Int32,
    Projection,
    project_all,
    quantize_activations,
)
from hnlpu.run.emulate._unit import Number
from hnlpu.run.kernels import Descriptor, describe
from hnlpu.silicon.hardwire import Build, HardwiredMatrix, Stack

Pieces = Sequence[tuple[int, int]]
"""(expert, first token) of consecutive tokens; a piece ends where the next one starts."""

FLOAT_CACHE_BYTES = 4 * 2**30
"""A float baseline up to this size stays unpacked in memory; a larger one is unpacked as used."""


def slices(pieces: Pieces, tokens: int) -> Iterator[tuple[int, slice]]:
    """(expert, its tokens) of pieces that make up `tokens`."""
    ends = [start for _, start in pieces[1:]] + [tokens]
    for (expert, start), end in zip(pieces, ends, strict=True):
        yield expert, slice(start, end)


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

    def part(self, tokens: slice) -> Activations:
        """The activations of consecutive tokens, not copied."""
        if self.values is not None:
            return Activations(self.values[tokens])
        assert self.integers is not None
        assert self.scales is not None
        return Activations(None, self.integers[tokens], self.scales[tokens])

    def take(self, tokens: npt.NDArray[np.int64]) -> Activations:
        """The activations of some tokens."""
        if self.values is not None:
            return Activations(self.values[tokens])
        assert self.integers is not None
        assert self.scales is not None
        return Activations(None, self.integers[tokens], self.scales[tokens])


class Weights(Protocol[Number]):
    """What a transformer needs to know of a model's parameters."""

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        ...

    def embed(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[Number]:
        """Rows of the embedding table: [tokens, hidden]."""
        ...

    def vector(self, name: str) -> Float32:
        """A norm's weights or the sinks."""
        ...

    def prepare(self, x: npt.NDArray[Number]) -> Activations:
        """Bring x [tokens, n] to the form that `project` takes."""
        ...

    def project(self, name: str, x: Activations, index: int = 0) -> npt.NDArray[Number]:
        """Matrix `name` (expert `index`) times x, plus bias: [tokens, rows]."""
        ...

    def project_all(self, names: Sequence[str], x: Activations) -> list[npt.NDArray[Number]]:
        """`project` by each of several matrices: [tokens, rows] each."""
        ...

    def project_experts(self, name: str, x: Activations, pieces: Pieces) -> npt.NDArray[Number]:
        """`project` of x cut into pieces, each by the expert it names: [tokens, rows]."""
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
        self._embedding_rows = StoredRows(build.tensors[EMBEDDING])
        self._described: dict[tuple[str, int], tuple[HardwiredMatrix, Descriptor]] = {}

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        return self._build.architecture

    @property
    def activation_bits(self) -> int | None:
        """Width of integer activations; None where they stay float."""
        return None if self._float else self._bits

    @property
    def build(self) -> Build:
        """The build that they are the metal of."""
        return self._build

    @property
    def directory(self) -> Path:
        """The build's folder."""
        return self._build.directory

    @property
    def network(self) -> Network:
        """The build's network."""
        return self._build.network

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        return to_float32(self._embedding_rows.read(tokens))

    def vector(self, name: str) -> Float32:
        """A norm's weights or the sinks."""
        return self._build.vector(name)

    def stack(self, name: str) -> Stack:
        """The digits of matrix `name`, of all experts."""
        return self._stacks[name]

    def embedding(self) -> npt.NDArray[Any]:
        """The whole embedding table [vocabulary, hidden], mapped; bfloat16 as its bits."""
        return self._embedding

    def prepare(self, x: Float32) -> Activations:
        """Round x [tokens, n] to integers, or keep it where activations stay float."""
        if self._float:
            return Activations(x)
        return Activations(None, *quantize_activations(x, self._bits))

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (expert `index`) times x, plus bias: [tokens, rows]."""
        if x.values is None:
            return project_all([self._meet(name, x, index)])[0]
        matrix = self._stacks[name][index]
        y: Float32 = x.values @ self._unpacked.get(name, index, matrix.values).T
        return y if matrix.bias is None else y + matrix.bias

    def project_all(self, names: Sequence[str], x: Activations) -> list[Float32]:
        """`project` by each of several matrices: [tokens, rows] each."""
        if x.values is None:
            return project_all([self._meet(name, x, 0) for name in names])
        return [self.project(name, x) for name in names]

    def project_experts(self, name: str, x: Activations, pieces: Pieces) -> Float32:
        """`project` of x cut into pieces, each by the expert it names: [tokens, rows]."""
        if x.values is not None:
            return _by_piece(self, name, x, pieces)
        assert x.scales is not None
        meetings = [
            self._meet(name, x.part(tokens), expert)
            for expert, tokens in slices(pieces, len(x.scales))
        ]
        return np.concatenate(project_all(meetings))

    def described(self, name: str, index: int = 0) -> Descriptor:
        """Matrix `name` (expert `index`) as the kernels take it; it lives as long as the weights."""
        return self._known(name, index)[1]

    def _known(self, name: str, index: int) -> tuple[HardwiredMatrix, Descriptor]:
        known = self._described.get((name, index))
        if known is None:
            matrix = self._stacks[name][index]
            known = self._described[name, index] = matrix, describe(matrix)
        return known

    def _meet(self, name: str, x: Activations, index: int) -> Projection:
        assert x.integers is not None
        assert x.scales is not None
        matrix, described = self._known(name, index)
        return Projection(matrix, x.integers, x.scales, described)


class FloatWeights:
    """The checkpoint's own values in float32, nothing rounded: the baseline."""

    def __init__(self, model: Model):
        assert isinstance(model.architecture, Architecture)
        self._model, self._architecture = model, model.architecture
        self._embedding = model.vectors[EMBEDDING].map()
        self._unpacked = _Unpacked(model.architecture)
        self._biases = {name: matrix.bias() for name, matrix in model.matrices.items()}

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        return self._architecture

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        return to_float32(np.asarray(self._embedding[tokens]))

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

    def project_all(self, names: Sequence[str], x: Activations) -> list[Float32]:
        """`project` by each of several matrices: [tokens, rows] each."""
        return [self.project(name, x) for name in names]

    def project_experts(self, name: str, x: Activations, pieces: Pieces) -> Float32:
        """`project` of x cut into pieces, each by the expert it names: [tokens, rows]."""
        return _by_piece(self, name, x, pieces)


def _by_piece(weights: Weights[np.float32], name: str, x: Activations, pieces: Pieces) -> Float32:
    assert x.values is not None
    return np.concatenate(
        [
            weights.project(name, x.part(tokens), expert)
            for expert, tokens in slices(pieces, len(x.values))
        ]
    )
