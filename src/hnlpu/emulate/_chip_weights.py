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

from hnlpu.checkpoint import EMBEDDING, Architecture, bfloat16_to_float32
from hnlpu.emulate._projection import integer_sums
from hnlpu.emulate._weights import Activations, Pieces, slices
from hnlpu.errors import NotFinite
from hnlpu.hardwire import Build, Stack
from hnlpu.numerics import from_sums, quantize_values, row_shifts, to_fixed

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Arrays:
    """A stack of matrices with what turns their sums into values: shifts, biases [stack, rows]."""

    stack: Stack
    shifts: Int64
    biases: Int64


class ChipWeights:
    """Integer weights of a build between values; everything is exact or rounded as specified.

    Raises NotFinite, naming the tensor, for a bias that is NaN or infinite.
    """

    def __init__(self, build: Build):
        self._build = build
        self._bits = build.manifest.policy.activation_bits
        self._embedding = build.tensors[EMBEDDING].map()
        # mapped now, not when first used: the folder may be replaced by another build meanwhile
        self._arrays = {
            name: self._read(name, build.stack(shape)) for name, shape in build.shapes().items()
        }

    def _read(self, name: str, stack: Stack) -> _Arrays:
        shifts = row_shifts(stack.row_exponents)
        if stack.biases is None:
            return _Arrays(stack, shifts, np.zeros_like(shifts))
        return _Arrays(stack, shifts, to_fixed(self._finite(stack.biases, f"the bias of {name}")))

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
        rows = bfloat16_to_float32(np.asarray(self._embedding[tokens]))
        return to_fixed(self._finite(rows, EMBEDDING))

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """A norm's weights or the sinks.  Raises NotFinite."""
        return self._finite(self._build.vector(name), name)

    def prepare(self, x: Int64) -> Activations:
        """Values x [tokens, n] as activations of the build's width."""
        return Activations(None, *quantize_values(x, self._bits))

    def project(self, name: str, x: Activations, index: int = 0) -> Int64:
        """Matrix `name` (expert `index`) times x, plus bias: values [tokens, rows]."""
        assert x.integers is not None
        assert x.scales is not None
        arrays = self._arrays[name]
        sums = integer_sums(arrays.stack[index], x.integers)
        return from_sums(sums, x.scales, arrays.shifts[index], arrays.biases[index])

    def project_all(self, names: Sequence[str], x: Activations) -> list[Int64]:
        """`project` by each of several matrices: values [tokens, rows] each."""
        return [self.project(name, x) for name in names]

    def project_experts(self, name: str, x: Activations, pieces: Pieces) -> Int64:
        """`project` of x cut into pieces, each by the expert it names: values [tokens, rows]."""
        assert x.scales is not None
        return np.concatenate(
            [
                self.project(name, x.part(tokens), expert)
                for expert, tokens in slices(pieces, len(x.scales))
            ]
        )
