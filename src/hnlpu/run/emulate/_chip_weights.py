"""A build's parameters in `chip` numerics: exact sums of the arrays as values, the rest in fixed point.

values ──► x_int, s ──► integer sums ──► values            matrices, with their biases
bfloat16 in memory ──► values                              embedding, norms, sinks, biases
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import from_sums, quantize_values, row_shifts, to_fixed
from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint import EMBEDDING, Architecture, to_float32
from hnlpu.run.emulate._projection import Projection, all_integer_sums
from hnlpu.run.emulate._weights import Activations, Pieces, slices
from hnlpu.run.kernels import Descriptor, describe
from hnlpu.silicon.hardwire import Build, HardwiredMatrix, Stack

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Array:
    """A matrix with what turns its sums into values: shifts and bias [rows]."""

    matrix: HardwiredMatrix
    described: Descriptor
    shifts: Int64
    bias: Int64


class ChipWeights:
    """Integer weights of a build between values; everything is exact or rounded as specified.

    Raises NotFinite, naming the tensor, for a bias that is NaN or infinite.
    """

    def __init__(self, build: Build):
        self._build = build
        self._bits = build.manifest.policy.activation_bits
        self._embedding = build.tensors[EMBEDDING].map()
        # mapped now, not when first used: the folder may be replaced by another build meanwhile
        self._stacks = {
            name: self._read(name, build.stack(shape)) for name, shape in build.shapes().items()
        }
        self._known: dict[tuple[str, int], _Array] = {}

    def _read(self, name: str, stack: Stack) -> tuple[Stack, Int64, Int64]:
        """A stack of matrices with its shifts and biases, [stack, rows] each."""
        shifts = row_shifts(stack.row_exponents)
        if stack.biases is None:
            return stack, shifts, np.zeros_like(shifts)
        return stack, shifts, to_fixed(self._finite(stack.biases, f"the bias of {name}"))

    def _finite(self, x: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        if not np.isfinite(x).all():
            raise NotFinite(
                f"{self._build.directory}: {name} holds NaN or infinity, which chip numerics "
                "cannot express; build it again"
            )
        return x

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters."""
        return self._build.architecture

    def embed(self, tokens: Int64) -> Int64:
        """Rows of the embedding table as values: [tokens, hidden].  Raises NotFinite."""
        rows = to_float32(np.asarray(self._embedding[tokens]))
        return to_fixed(self._finite(rows, EMBEDDING))

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """A norm's weights or the sinks.  Raises NotFinite."""
        return self._finite(self._build.vector(name), name)

    def prepare(self, x: Int64) -> Activations:
        """Values x [tokens, n] as activations of the build's width."""
        return Activations(None, *quantize_values(x, self._bits))

    def project(self, name: str, x: Activations, index: int = 0) -> Int64:
        """Matrix `name` (expert `index`) times x, plus bias: values [tokens, rows]."""
        return self._project([(name, index, x)])[0]

    def project_all(self, names: Sequence[str], x: Activations) -> list[Int64]:
        """`project` by each of several matrices: values [tokens, rows] each."""
        return self._project([(name, 0, x) for name in names])

    def project_experts(self, name: str, x: Activations, pieces: Pieces) -> Int64:
        """`project` of x cut into pieces, each by the expert it names: values [tokens, rows]."""
        assert x.scales is not None
        parts = slices(pieces, len(x.scales))
        return np.concatenate(
            self._project([(name, expert, x.part(tokens)) for expert, tokens in parts])
        )

    def _project(self, meetings: list[tuple[str, int, Activations]]) -> list[Int64]:
        """Values of matrices (name, index), each times its activations."""
        found = [self._meet(*meeting) for meeting in meetings]
        return [
            from_sums(sums, projection.scales, array.shifts, array.bias)
            for sums, (projection, array) in zip(
                all_integer_sums([projection for projection, _ in found]), found, strict=True
            )
        ]

    def _meet(self, name: str, index: int, x: Activations) -> tuple[Projection, _Array]:
        assert x.integers is not None
        assert x.scales is not None
        array = self._known.get((name, index))
        if array is None:
            stack, shifts, biases = self._stacks[name]
            matrix = stack[index]
            array = _Array(matrix, describe(matrix), shifts[index], biases[index])
            self._known[name, index] = array
        return Projection(array.matrix, x.integers, x.scales, array.described), array
