"""Matrix times activations, exact to the integer.

    x float32 ──► quantize_activations ──► x_int, s ──► integer sums ──► y float32

The C kernels of `hnlpu.run.kernels` do it where they could be compiled.  Two ways
to the same integers in Numba and NumPy stand in for them elsewhere and stand
beside them in every test: `_packed_sums` reads the packed digits as they
lie in the file, for a few tokens; `_unpacked_sums` unpacks some rows and uses the
machine's matrix product, for many tokens.  Products of integers are exact in
floating point as long as every partial sum stays below 2^24 (float32) or 2^53
(float64); the bound is computed per call, so the result never depends on the
order of summation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.errors import NotFinite
from hnlpu.run.kernels import NOT_FINITE, Descriptor, NotForKernels, Product, describe, load
from hnlpu.silicon.hardwire import UNIT_BIAS, HardwiredMatrix, row_facts

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]

FEW_TOKENS = 4  # up to here reading packed digits beats unpacking them (benchmarks/kernels.py)
WEIGHTS_AT_ONCE = 2**22  # unpacked at a time: 32 MB as float64
_TWICE: Int32 = TWICE_E2M1.astype(np.int32)


@njit(cache=True, nogil=True)
def _quantize_activations(x: Float32, bits: int, integers: Int32, scales: Int32) -> bool:
    """Fill `integers` [tokens, n] and `scales` [tokens]; False if a value is not finite."""
    tokens, n = x.shape
    high = float(2 ** (bits - 1) - 1)
    low = -high - 1.0
    for t in range(tokens):
        largest, smallest = 0.0, 0.0
        for i in range(n):
            value = np.float64(x[t, i])
            if not np.isfinite(value):
                return False
            largest = max(largest, value)
            smallest = min(smallest, value)
        s = 0
        if largest > 0.0 or smallest < 0.0:
            # start where the larger side needs at most one more step, then walk up;
            # float64 holds x / 2^s exactly, and rint rounds half to even
            magnitude = max(largest, -smallest)
            s = int(np.floor(np.log2(magnitude))) - bits
            while np.rint(largest * 2.0**-s) > high or np.rint(smallest * 2.0**-s) < low:
                s += 1
        scale = 2.0**-s
        scales[t] = s
        for i in range(n):
            integers[t, i] = np.int32(np.rint(np.float64(x[t, i]) * scale))
    return True


def quantize_activations(x: Float32, bits: int) -> tuple[Int32, Int32]:
    """Integers [tokens, n] and scale exponents s [tokens] of activations x [tokens, n].

    Design: one power of two per token and vector, the smallest that does not
    clip.  Raises NotFinite.
    """
    library, _ = load()
    if library is not None and 2 <= bits <= 16:
        return library.quantize(x, bits)
    integers, scales = np.empty(x.shape, np.int32), np.empty(len(x), np.int32)
    if not _quantize_activations(x, bits, integers, scales):
        raise NotFinite(NOT_FINITE)
    return integers, scales


@njit(cache=True, nogil=True)
def _packed_sums(
    codes: UInt8,
    exponents: UInt8,
    row_exponents: UInt8,
    twice: Int32,
    even: Int32,
    odd: Int32,
    sums: Int64,
) -> None:
    """Add the digit's part of every y_int to `sums` [tokens, rows].

    `even` and `odd` [tokens, columns / 2] hold the inputs of the low and the
    high nibbles.  A block's sum fits 32 bits: 32 * 12 * 2^15 < 2^24; the casts
    keep Numba from widening every product to 64.
    """
    rows, blocks = exponents.shape
    for t in range(len(even)):
        for row in range(rows):
            total = np.int64(0)
            for block in range(blocks):
                part = np.int32(0)
                for j in range(16):
                    byte = codes[row, block, j]
                    low = np.int32(twice[byte & 15] * even[t, 16 * block + j])
                    high = np.int32(twice[byte >> 4] * odd[t, 16 * block + j])
                    part = np.int32(part + np.int32(low + high))
                if part != 0:
                    shift = np.int64(exponents[row, block]) - np.int64(row_exponents[row])
                    total += np.int64(part) << shift
            sums[t, row] += total


@njit(cache=True, nogil=True)
def _add_integers(
    codes: UInt8, exponents: UInt8, row_exponents: UInt8, twice: Int32, weights: Any
) -> None:
    """Add the digit's integer weights to `weights` [rows, columns], a float array."""
    rows, blocks = exponents.shape
    for row in range(rows):
        for block in range(blocks):
            # a block of zeros may lie anywhere: its unit is some number, its weights are 0
            unit = 2.0 ** (np.int64(exponents[row, block]) - np.int64(row_exponents[row]))
            for j in range(16):
                byte = codes[row, block, j]
                weights[row, 32 * block + 2 * j] += twice[byte & 15] * unit
                weights[row, 32 * block + 2 * j + 1] += twice[byte >> 4] * unit


def _unpacked_sums(matrix: HardwiredMatrix, x_int: Int32) -> Int64:
    """y_int [tokens, rows] by floating-point matrix products that cannot round."""
    largest_x = int(np.abs(x_int).max(initial=0))
    sums = np.empty((len(x_int), matrix.rows), np.int64)
    step = max(1, WEIGHTS_AT_ONCE // matrix.columns)
    for start in range(0, matrix.rows, step):
        rows = slice(start, min(start + step, matrix.rows))
        part = matrix.part(rows)
        bound = int(row_facts(part.digits).magnitudes.max(initial=0)) * largest_x
        kind = np.float32 if bound < 2**24 else np.float64
        weights = np.zeros((part.rows, matrix.columns), kind)
        for digit in part.digits:
            _add_integers(digit.codes, digit.exponents, part.row_exponents, _TWICE, weights)
        sums[:, rows] = x_int.astype(kind) @ weights.T
    return sums


def integer_sums(matrix: HardwiredMatrix, x_int: Int32) -> Int64:
    """y_int [tokens, rows] for x_int [tokens, columns]: exact, by the faster way."""
    library, _ = load()
    if library is not None:
        try:
            return library.sums(matrix, x_int)
        except NotForKernels:
            pass
    return _sums_without_kernels(matrix, x_int)


def _sums_without_kernels(matrix: HardwiredMatrix, x_int: Int32) -> Int64:
    way = _unpacked_sums if len(x_int) > FEW_TOKENS else _digit_sums
    return way(matrix, x_int)


def ways_to_sum() -> dict[str, Callable[[HardwiredMatrix, Int32], Int64]]:
    """Every implementation of `integer_sums` by name, for those who compare them."""
    ways: dict[str, Callable[[HardwiredMatrix, Int32], Int64]] = {
        "packed digits": _digit_sums,
        "matrix product": _unpacked_sums,
    }
    library, _ = load()
    if library is not None:
        for number, name in enumerate(library.instructions):
            for way, what in ((1, "digits"), (2, "panels")):
                ways[f"C {name} {what}"] = partial(library.sums, instructions=number, way=way)
    return ways


def _digit_sums(matrix: HardwiredMatrix, x_int: Int32) -> Int64:
    """y_int [tokens, rows], straight from the packed digits."""
    sums = np.zeros((len(x_int), matrix.rows), np.int64)
    even, odd = np.ascontiguousarray(x_int[:, 0::2]), np.ascontiguousarray(x_int[:, 1::2])
    for digit in matrix.digits:
        _packed_sums(digit.codes, digit.exponents, matrix.row_exponents, _TWICE, even, odd, sums)
    return sums


@njit(cache=True, nogil=True)
def _to_float(sums: Int64, row_exponents: UInt8, scales: Int32, unit_bias: int) -> Float32:
    tokens, rows = sums.shape
    out = np.empty((tokens, rows), np.float32)
    for t in range(tokens):
        for row in range(rows):
            # |y_int| < 2^53, so the product is exact in float64 and rounds once here
            exponent = np.int64(row_exponents[row]) - unit_bias + scales[t]
            out[t, row] = np.float32(math.ldexp(np.float64(sums[t, row]), exponent))
    return out


def project(matrix: HardwiredMatrix, x_int: Int32, scales: Int32) -> Float32:
    """y = y_int * 2^(b - 128 + s) rounded once to float32, plus bias: [tokens, rows].

    `scales` [tokens] are the exponents s of the activations' scales.
    """
    return project_all([Projection(matrix, x_int, scales)])[0]


class Projection:
    """One matrix with the activations that meet it; `matrix` may be described ahead of time."""

    def __init__(
        self,
        matrix: HardwiredMatrix,
        integers: Int32,
        scales: Int32,
        described: Descriptor | None = None,
    ):
        self.matrix = matrix
        self.integers = integers
        self.scales = scales
        self.described = described


def project_all(projections: Sequence[Projection]) -> list[Float32]:
    """`project` of each: one piece of work for all cores, as none needs another's result."""
    library, _ = load()
    if library is not None:
        try:
            return library.project(_products(projections))
        except NotForKernels:
            pass
    return [_project_without_kernels(p.matrix, p.integers, p.scales) for p in projections]


def all_integer_sums(projections: Sequence[Projection]) -> list[Int64]:
    """`integer_sums` of each: one piece of work for all cores."""
    library, _ = load()
    if library is not None:
        try:
            return library.all_sums(_products(projections))
        except NotForKernels:
            pass
    return [_sums_without_kernels(p.matrix, p.integers) for p in projections]


def _products(projections: Sequence[Projection]) -> list[Product]:
    return [
        Product(
            p.described or describe(p.matrix),
            np.ascontiguousarray(p.integers, np.int32),
            np.ascontiguousarray(p.scales, np.int32),
        )
        for p in projections
    ]


def _project_without_kernels(matrix: HardwiredMatrix, x_int: Int32, scales: Int32) -> Float32:
    sums = _sums_without_kernels(matrix, x_int)
    y = _to_float(sums, matrix.row_exponents, scales, UNIT_BIAS)
    return y if matrix.bias is None else y + matrix.bias
