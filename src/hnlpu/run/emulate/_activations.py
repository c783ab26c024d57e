"""What a matrix is multiplied with: numbers as they are, or integers and the scales of their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate._projection import Float32, Int32


@dataclass(frozen=True)
class Activations:
    """Inputs of a matrix [rows, n]: float32 `values`, or `integers` and `scales`."""

    values: Float32 | None
    integers: Int32 | None = None
    scales: Int32 | None = None

    def part(self, rows: slice) -> Activations:
        """The activations of consecutive rows, not copied."""
        if self.values is not None:
            return Activations(self.values[rows])
        assert self.integers is not None
        assert self.scales is not None
        return Activations(None, self.integers[rows], self.scales[rows])

    def take(self, rows: npt.NDArray[np.int64]) -> Activations:
        """The activations of some rows."""
        if self.values is not None:
            return Activations(self.values[rows])
        assert self.integers is not None
        assert self.scales is not None
        return Activations(None, self.integers[rows], self.scales[rows])


Meeting = tuple[str, Activations, int]
"""A matrix by its name, what it is multiplied with, and the number of its member."""
