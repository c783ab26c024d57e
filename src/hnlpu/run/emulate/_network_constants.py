"""A network's constants for the interpreter: from the metal of a build, or as a checkpoint has them.

Both give every row the bits that it has alone: sums are exact integers, or taken in float64 in the
order of the columns and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, dequantize
from hnlpu.model.checkpoint import Model, StoredRows, to_float32
from hnlpu.model.network import Given, Network, all_steps, ops, read_source
from hnlpu.run.emulate._activations import Activations, Meeting
from hnlpu.run.emulate._constants import project_in_order
from hnlpu.run.emulate._projection import Float32, Projection, project_all, quantize_activations
from hnlpu.run.kernels import Descriptor, describe
from hnlpu.silicon.hardwire import Build, HardwiredMatrix, HardwiredStack

Read = Callable[[], Float32]

FLOAT_CACHE_BYTES = 4 * 2**30
"""Float matrices up to this size in all stay unpacked in memory; larger ones are unpacked as used."""


class KeptParameters:
    """Parameters: those of the checkpoint as they lie, those that a family computes."""

    def __init__(self, network: Network, stored: Mapping[str, Callable[[], npt.NDArray[Any]]]):
        self._given = {
            p.name: read_source(p.source, {}, dequantize)
            for p in network.parameters
            if isinstance(p.source, Given)
        }
        self._stored = stored
        self._rows: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {}

    @classmethod
    def of_build(cls, build: Build) -> KeptParameters:
        """Those of a build; tables that are looked up row by row are opened now."""
        tensors = build.tensors
        kept = cls(build.network, {name: tensor.map for name, tensor in tensors.items()})
        for step in all_steps(build.network.steps):
            if isinstance(step.op, ops.Lookup):
                table = tensors.get(step.op.table)
                if table is not None and len(table.shape) == 2:
                    kept._rows[table.name] = StoredRows(table).read
        return kept

    def table(self, name: str) -> npt.NDArray[Any]:
        """A parameter as it is stored, bfloat16 as its bits; one that a family computes in float32."""
        return self.parameter(name) if name in self._given else self._stored[name]()

    def beside(self, more: Mapping[str, Float32]) -> KeptParameters:
        """These and `more`, by name."""
        both = copy(self)
        both._given = {**self._given, **more}
        return both

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        found = self._given.get(name)
        if found is not None:
            return np.asarray(found, np.float32)
        return np.ascontiguousarray(to_float32(self._stored[name]()))

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries by their numbers [...]; the others are not met."""
        read = self._rows.get(name)
        if read is None:
            if name in self._given:
                return np.asarray(self.parameter(name)[numbers])
            table = self._stored[name]()
            read = self._rows[name] = lambda chosen: table[chosen]
        flat = np.asarray(numbers, np.int64)
        if flat.ndim == 1:
            return to_float32(read(flat))
        entries = to_float32(read(flat.ravel()))
        return np.asarray(entries.reshape(*flat.shape, *entries.shape[1:]))


class _Unpacked:
    """Matrices as float32, kept in memory where all of a network's would fit."""

    def __init__(self, network: Network):
        size = 4 * sum(m.count * m.rows * (m.columns + m.padding) for m in network.matrices)
        self._keep = size <= FLOAT_CACHE_BYTES
        self._values: dict[tuple[str, int], Float32] = {}

    def get(self, name: str, index: int, make: Read) -> Float32:
        """Matrix `name`, `index`, made now or kept from before."""
        values = self._values.get((name, index))
        if values is None:
            values = make()
            if self._keep:
                self._values[name, index] = values
        return values


def _padded(x: Float32) -> Float32:
    """x [rows, n] with zero inputs up to a whole block."""
    missing = -x.shape[1] % BLOCK
    return np.pad(x, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(x)


class HardwiredConstants:
    """The metal of a build: exact integer sums, or float products with `float_activations`."""

    def __init__(self, build: Build, float_activations: bool = False):
        self._float = float_activations
        self._bits = build.manifest.policy.activation_bits
        # mapped now, not when first used: the folder may be replaced by another build meanwhile
        self._stacks = {shape.name: build.stack(shape) for shape in build.matrices()}
        self._kept = KeptParameters.of_build(build)
        self._unpacked = _Unpacked(build.network)
        self._described: dict[tuple[str, int], tuple[HardwiredMatrix, Descriptor]] = {}
        self.directory = build.directory

    def stack(self, name: str) -> HardwiredStack:
        """The digits of matrix `name`, of all members."""
        return self._stacks[name]

    def table(self, name: str) -> npt.NDArray[Any]:
        """A parameter as it is stored, bfloat16 as its bits; one that a family computes in float32."""
        return self._kept.table(name)

    def beside(self, parameters: Mapping[str, Float32]) -> HardwiredConstants:
        """The same metal, and more parameters by name."""
        both = copy(self)
        both._kept = self._kept.beside(parameters)
        return both

    @property
    def activation_bits(self) -> int | None:
        """Width of integer activations; None where they stay float."""
        return None if self._float else self._bits

    def described(self, name: str, index: int = 0) -> Descriptor:
        """Matrix `name` (member `index`) as the kernels take it; it lives as long as this."""
        return self._meets(name, index)[1]

    def _meets(self, name: str, index: int) -> tuple[HardwiredMatrix, Descriptor]:
        known = self._described.get((name, index))
        if known is None:
            matrix = self._stacks[name][index]
            known = self._described[name, index] = matrix, describe(matrix)
        return known

    def prepare(self, x: Float32) -> Activations:
        """x [rows, n], in whole blocks, as integers of the build's width."""
        x = _padded(x)
        if self._float:
            return Activations(x)
        return Activations(None, *quantize_activations(x, self._bits))

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        if x.values is not None:
            stack = self._stacks[name]
            values = self._unpacked.get(name, index, lambda: stack[index].values())
            y = project_in_order(values, x.values)
            return y if stack.biases is None else y + stack.biases[index]
        return project_all([self._projection(name, x, index)])[0]

    def project_all(self, meetings: Sequence[Meeting]) -> list[Float32]:
        """`project` of each: one piece of work for all cores."""
        if self._float:
            return [self.project(*meeting) for meeting in meetings]
        return project_all([self._projection(*meeting) for meeting in meetings])

    def _projection(self, name: str, x: Activations, index: int) -> Projection:
        assert x.integers is not None
        assert x.scales is not None
        matrix, described = self._meets(name, index)
        return Projection(matrix, x.integers, x.scales, described)

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._kept.parameter(name)

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        return self._kept.rows(name, numbers)


class ModelConstants:
    """A checkpoint's own values in float32, nothing rounded; read when they are first met."""

    def __init__(self, model: Model):
        self._model = model
        self._kept = KeptParameters(
            model.network, {name: t.map for name, t in model.vectors.items()}
        )
        self._unpacked = _Unpacked(model.network)
        self._biases = {name: matrix.bias() for name, matrix in model.matrices.items()}

    def beside(self, parameters: Mapping[str, Float32]) -> ModelConstants:
        """The same checkpoint, and more parameters by name."""
        both = copy(self)
        both._kept = self._kept.beside(parameters)
        return both

    def prepare(self, x: Float32) -> Activations:
        """Activations stay as they are, in whole blocks."""
        return Activations(_padded(x))

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        assert x.values is not None
        matrix = self._model.matrices[name]

        def read() -> Float32:
            if matrix.is_mxfp4:
                return dequantize(*matrix.packed(index))
            return matrix.dense(index)

        y = project_in_order(self._unpacked.get(name, index, read), x.values)
        bias = self._biases[name]
        return y if bias is None else y + bias[index]

    def project_all(self, meetings: Sequence[Meeting]) -> list[Float32]:
        """`project` of each."""
        return [self.project(*meeting) for meeting in meetings]

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._kept.parameter(name)

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        return self._kept.rows(name, numbers)
