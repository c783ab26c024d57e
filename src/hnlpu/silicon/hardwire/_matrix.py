"""`HardwiredMatrix`: what the metal of one matrix says.

    w[r, c] = sum over digits of  sign * twice(code[r, c]) * 2^(e[r, c // 32] - b[r])

The integer weight `w` counts units of 2^(b - 128), where `b`, the row
exponent, is the smallest exponent of the row's non-zero blocks in any digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import TWICE_E2M1, unpack

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

UNIT_BIAS = 128  # an integer weight counts units of 2^(row exponent - 128)
EMPTY_ROW_EXPONENT = 127  # of a row without any non-zero block: no integer depends on it
LARGEST_SUM_BITS = 53  # sums up to 2^53 are exact in float64, which kernels may use


@dataclass(frozen=True)
class Digit:
    """Codes [rows, columns/32, 16] (two a byte, even input low) and exponents [rows, columns/32]."""

    codes: UInt8
    exponents: UInt8


@dataclass(frozen=True)
class HardwiredMatrix:
    """One matrix of `rows` neurons and `columns` inputs as digits, with its row exponents and bias.

    `digits` has one to four entries, as they are stored, `row_exponents` is uint8 [rows], `bias`
    float32 [rows] or None.
    """

    digits: tuple[Digit, ...]
    row_exponents: UInt8
    bias: Float32 | None

    @property
    def rows(self) -> int:
        """Number of neurons."""
        return len(self.row_exponents)

    @property
    def columns(self) -> int:
        """Number of inputs."""
        return int(self.digits[0].exponents.shape[1]) * 32

    def part(self, rows: slice) -> HardwiredMatrix:
        """Some rows as a matrix of their own."""
        digits = tuple(Digit(d.codes[rows], d.exponents[rows]) for d in self.digits)
        bias = None if self.bias is None else self.bias[rows]
        return HardwiredMatrix(digits, self.row_exponents[rows], bias)

    def integers(self) -> Int64:
        """Integer weights [rows, columns]: the definition, written with arrays."""
        base = self.row_exponents.astype(np.int64)[:, None, None]
        total = np.zeros((len(base), self.columns), np.int64)
        for digit in self.digits:
            exponents = digit.exponents.astype(np.int64)[..., None]
            twice = TWICE_E2M1[unpack(digit.codes)].astype(np.int64)
            twice = twice.reshape(*exponents.shape[:2], 32)
            # a zero block may lie below the row exponent: it stays zero at any shift
            shifts = np.where(twice == 0, 0, exponents - base)
            total += (twice << shifts).reshape(total.shape)
        return total

    def values(self) -> Float32:
        """Weights as float32 [rows, columns]: integers times 2^(b - 128), rounded once."""
        exponents = self.row_exponents.astype(np.int32)[:, None] - UNIT_BIAS
        with np.errstate(over="ignore"):  # infinity says it: the weight is beyond float32
            return np.ldexp(self.integers().astype(np.float64), exponents).astype(np.float32)


@dataclass(frozen=True)
class RowFacts:
    """What one pass over the digits of some rows tells.

    `row_exponents` uint8 [rows]; `spreads` int64 [rows], largest minus
    smallest exponent of the non-zero blocks; `magnitudes` int64 [rows], the
    sum of |digit| over a row in integer units, hence a bound on |y| / |x|.
    """

    row_exponents: UInt8
    spreads: Int64
    magnitudes: Int64


@njit(cache=True, nogil=True)
def _span(codes: UInt8, exponents: UInt8, low: Int64, high: Int64) -> None:
    """Lower `low` and raise `high` [rows] to the exponents of non-zero blocks."""
    rows, blocks = exponents.shape
    for row in range(rows):
        for block in range(blocks):
            union = 0
            for j in range(16):
                union |= codes[row, block, j]
            if union & 0x77:
                exponent = np.int64(exponents[row, block])
                low[row] = min(low[row], exponent)
                high[row] = max(high[row], exponent)


@njit(cache=True, nogil=True)
def _magnitudes(
    codes: UInt8, exponents: UInt8, low: Int64, of_byte: Int64, largest_shift: int, sums: Int64
) -> None:
    """Add the sum of |digit| of every row, in units of its row exponent, to `sums` [rows]."""
    rows, blocks = exponents.shape
    for row in range(rows):
        for block in range(blocks):
            total = 0
            for j in range(16):
                total += of_byte[codes[row, block, j]]
            if total:
                shift = min(np.int64(exponents[row, block]) - low[row], largest_shift)
                sums[row] += total << shift


_MAGNITUDE_OF_BYTE: Int64 = np.array(
    [abs(int(TWICE_E2M1[b & 15])) + abs(int(TWICE_E2M1[b >> 4])) for b in range(256)], np.int64
)


def row_facts(digits: tuple[Digit, ...]) -> RowFacts:
    """Row exponents, spreads and magnitudes of a matrix given as digits."""
    rows = len(digits[0].exponents)
    low, high = np.full(rows, 256, np.int64), np.full(rows, -1, np.int64)
    for digit in digits:
        _span(digit.codes, digit.exponents, low, high)
    empty = high < 0
    low[empty] = high[empty] = EMPTY_ROW_EXPONENT
    sums = np.zeros(rows, np.int64)
    for digit in digits:
        # 2^24 is far above any spread that is accepted and keeps refused rows from overflowing
        _magnitudes(digit.codes, digit.exponents, low, _MAGNITUDE_OF_BYTE, 24, sums)
    return RowFacts(low.astype(np.uint8), high - low, sums)
