"""Bits of weights -> chips whose arrays hold them: what simulation, cost and search all ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

DIGIT_BITS = 4.25
"""An E2M1 element of four bits and its share of the scale of 32 (OCP Microscaling v1.0)."""

ROW_RANGE = 2
"""Block exponents of a row that arrays are made for where no weights are known (docs/arithmetic.md)."""

ROUNDING = 1e-9
"""What a quotient of whole chips may be off by in floating point."""

Number = float | npt.NDArray[np.float64]


def chips_needed(bits: Number, um2_per_bit: Number, array_mm2: Number) -> Any:
    """The fewest chips, at least one, of `array_mm2` of arrays that hold `bits` of stored weights.

    Numbers or arrays alike.
    """
    area_mm2 = np.asarray(bits) * um2_per_bit / 1e6
    return np.maximum(1, np.ceil(area_mm2 / array_mm2 - ROUNDING))
