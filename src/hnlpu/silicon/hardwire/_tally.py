"""Counting what a matrix's digits hold: the statistics that a manifest records.

The builder counts while it writes; `verify` counts again what was written.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.model.policy import Policy
from hnlpu.silicon.hardwire._manifest import DigitRecord, MatrixRecord
from hnlpu.silicon.hardwire._matrix import Digit, RowFacts


def sum_bits(magnitude: int, activation_bits: int) -> int:
    """Bits of a two's complement number that holds any sum of `magnitude` times an activation."""
    return (magnitude << (activation_bits - 1)).bit_length() + 1


def _nine(value: float) -> float:
    """Nine digits: processors may sum in another order, and a build's bytes must not tell."""
    return float(f"{value:.9g}")


@njit(cache=True, nogil=True)
def _count(
    codes: npt.NDArray[np.uint8],
    exponents: npt.NDArray[np.uint8],
    of_byte: npt.NDArray[np.int64],
    of_exponent: npt.NDArray[np.int64],
) -> int:
    """Add to the histograms of code bytes and of exponents of non-zero blocks; zero blocks."""
    rows, blocks = exponents.shape
    zero = 0
    for row in range(rows):
        for block in range(blocks):
            union = 0
            for j in range(16):
                byte = codes[row, block, j]
                union |= byte
                of_byte[j & 1, byte] += 1  # two tables: neighbours do not wait for each other
            if union & 0x77:
                of_exponent[exponents[row, block]] += 1
            else:
                zero += 1
    return zero


@njit(cache=True, nogil=True)
def _count_zeros(union: npt.NDArray[np.uint8]) -> int:
    """Weights that are zero in all digits, whose packed codes were joined bit by bit."""
    zeros = 0
    for i in range(len(union)):
        both = union[i]
        zeros += (both & 0x07) == 0
        zeros += (both & 0x70) == 0
    return zeros


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _squares(values: npt.NDArray[np.float32]) -> float:
    """Sum of squares in float64."""
    total = 0.0
    for i in range(len(values)):
        total += np.float64(values[i]) * np.float64(values[i])
    return total


@njit(cache=True, nogil=True)
def _largest(bits: npt.NDArray[np.int32]) -> Any:
    """Bits of the largest magnitude of float32 numbers, 0 of none: without the sign they are in order."""
    found = np.int32(0)
    for i in range(len(bits)):
        found = max(found, bits[i] & np.int32(0x7FFFFFFF))
    return found


@dataclass
class Tally:
    """Statistics of a matrix of `digits` digits, gathered a few rows at a time."""

    digits: int
    zeros: int = 0
    spread: int = 0
    magnitude: int = 0
    squares: float = 0.0
    compared: int = 0
    error_squares: float = 0.0
    largest_error: float = 0.0
    of_byte: npt.NDArray[np.int64] = field(init=False)
    of_exponent: npt.NDArray[np.int64] = field(init=False)
    zero_blocks: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.of_byte = np.zeros((self.digits, 2, 256), np.int64)
        self.of_exponent = np.zeros((self.digits, 256), np.int64)
        self.zero_blocks = [0] * self.digits

    def add(
        self,
        digits: tuple[Digit, ...],
        facts: RowFacts,
        weights: npt.NDArray[np.float32] | None,
        error: npt.NDArray[np.float32] | None,
    ) -> None:
        """Take in some rows; `weights` and their `error` where they were rounded."""
        for d, digit in enumerate(digits):
            self.zero_blocks[d] += _count(
                digit.codes, digit.exponents, self.of_byte[d], self.of_exponent[d]
            )
        if len(digits) > 1:
            union = functools.reduce(np.bitwise_or, (digit.codes for digit in digits))
            self.zeros += _count_zeros(union.reshape(-1))
        self.spread = max(self.spread, int(facts.spreads.max(initial=0)))
        self.magnitude = max(self.magnitude, int(facts.magnitudes.max(initial=0)))
        if weights is not None and error is not None:
            self.compared += weights.size
            self.squares += _squares(weights.reshape(-1))
            self.error_squares += _squares(error.reshape(-1))
            largest = np.array(_largest(error.reshape(-1).view(np.int32)), np.int32)
            self.largest_error = max(self.largest_error, float(largest.view(np.float32)))

    def record(self, shape: MatrixShape, fmt: str, file: str, policy: Policy) -> MatrixRecord:
        """The record of a matrix whose rows were all taken in."""
        records = []
        for d in range(self.digits):
            pairs = self.of_byte[d].sum(axis=0).reshape(16, 16)  # [high nibble, low nibble]
            codes = pairs.sum(axis=0) + pairs.sum(axis=1)
            used = np.flatnonzero(self.of_exponent[d])
            records.append(
                DigitRecord(
                    codes=tuple(int(n) for n in codes),
                    exponents=tuple((int(e), int(self.of_exponent[d, e])) for e in used),
                    zero_blocks=self.zero_blocks[d],
                )
            )
        zeros = self.zeros if self.digits > 1 else records[0].codes[0] + records[0].codes[8]
        relative = math.sqrt(self.error_squares / self.squares) if self.squares else 0.0
        rms = math.sqrt(self.squares / self.compared) if self.compared else None
        return MatrixRecord.model_validate(
            {
                "role": shape.role, "file": file, "format": fmt, "count": shape.count,
                "rows": shape.rows, "columns": shape.columns, "digits": records, "zeros": zeros,
                "spread": self.spread,
                "accumulator_bits": sum_bits(self.magnitude, policy.activation_bits),
                "relative_error": _nine(relative), "largest_error": self.largest_error,
                "rms": None if rms is None else _nine(rms),
            }
        )  # fmt: skip
