"""A build's constants in chip numerics: exact sums of the arrays as values, the rest in fixed point.

values ──► x_int, s ──► integer sums ──► values            matrices, with their biases
floats in memory ──► values                                embedding, norms, decays, sinks
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import from_sums, quantize_values, row_shifts, to_fixed
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import NotFinite
from hnlpu.model.network import all_steps
from hnlpu.run.emulate._activations import Activations, Meeting
from hnlpu.run.emulate._network_constants import KeptParameters
from hnlpu.run.emulate._projection import Projection, all_integer_sums
from hnlpu.run.kernels import Descriptor, describe
from hnlpu.silicon.hardwire import Build, HardwiredMatrix, HardwiredStack

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Hardwired:
    """A matrix with what turns its sums into values: shifts and bias [rows]."""

    matrix: HardwiredMatrix
    described: Descriptor
    shifts: Int64
    bias: Int64


class ChipConstants:
    """Integer weights of a build between values; everything is exact or rounded as specified.

    Raises NotFinite, naming it, for a bias or a parameter that is NaN or infinite.
    """

    def __init__(self, build: Build):
        self._where = build.directory
        self.bits = build.manifest.policy.activation_bits
        # mapped now, not when first used: the folder may be replaced by another build meanwhile
        self._stacks = {
            shape.name: self._read(shape.name, build.stack(shape)) for shape in build.matrices()
        }
        self._kept = KeptParameters.of_build(build)
        self._known: dict[tuple[str, int], _Hardwired] = {}
        used = {arg for step in all_steps(build.network.steps) for arg in step.args}
        self._parameters = {
            p.name: self._finite(self._kept.parameter(p.name), p.name)
            for p in build.network.parameters
            if p.name in used
        }

    def _read(self, name: str, stack: HardwiredStack) -> tuple[HardwiredStack, Int64, Int64]:
        """A stack of matrices with its shifts and biases, [stack, rows] each."""
        shifts = row_shifts(stack.row_exponents)
        if stack.biases is None:
            return stack, shifts, np.zeros_like(shifts)
        return stack, shifts, to_fixed(self._finite(stack.biases, f"the bias of {name}"))

    def _finite(self, x: Array, name: str) -> Array:
        if not np.isfinite(x).all():
            raise NotFinite(
                f"{self._where}: {name} holds NaN or infinity, which chip numerics "
                "cannot express; build it again"
            )
        return x

    def prepare(self, x: Int64, together: int = 1) -> Activations:
        """Values x [rows, n], in whole blocks, as activations of the build's width.

        Each `together` rows share a scale.
        """
        missing = -x.shape[1] % BLOCK
        x = np.pad(x, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(x)
        integers, scales = quantize_values(x.reshape(-1, together * x.shape[1]), self.bits)
        return Activations(None, integers.reshape(x.shape), np.repeat(scales, together))

    def project(self, name: str, x: Activations, index: int = 0) -> Int64:
        """Matrix `name` (member `index`) times x, plus bias: values [rows of x, rows]."""
        return self.project_all([(name, x, index)])[0]

    def project_all(self, meetings: Sequence[Meeting]) -> list[Int64]:
        """`project` of each: one piece of work for all cores."""
        found = [self._meet(*meeting) for meeting in meetings]
        return [
            from_sums(sums, projection.scales, known.shifts, known.bias)
            for sums, (projection, known) in zip(
                all_integer_sums([projection for projection, _ in found]), found, strict=True
            )
        ]

    def _meet(self, name: str, x: Activations, index: int) -> tuple[Projection, _Hardwired]:
        assert x.integers is not None
        assert x.scales is not None
        known = self._known.get((name, index))
        if known is None:
            stack, shifts, biases = self._stacks[name]
            matrix = stack[index]
            known = _Hardwired(matrix, describe(matrix), shifts[index], biases[index])
            self._known[name, index] = known
        return Projection(known.matrix, x.integers, x.scales, known.described), known

    def parameter(self, name: str) -> Array:
        """A parameter in its shape, in float32."""
        return self._parameters[name]

    def rows(self, name: str, numbers: Array) -> Int64:
        """Entries of a parameter by their numbers [...]: values [..., rest of its shape]."""
        return to_fixed(self._finite(self._kept.rows(name, numbers), name))
