"""Every hardwired weight, decoded and held against the checkpoint's value.

Independent of what wrote and what runs the build: values come from a table of
16 reals and a power of two, not from the integers that the emulator uses; and
a weight that was rounded must be the nearest value that its digit can express.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic import golden
from hnlpu.arithmetic.codebooks import E2M1, Codebook
from hnlpu.arithmetic.mx import dequantize, unpack
from hnlpu.arithmetic.onto import BELOW_STANDARD
from hnlpu.insight.verify._nearest import (
    TRIED,
    VALUES,
    first_bad_exponent,
    first_not_nearest,
    lowest_exponents,
)
from hnlpu.insight.verify._onto import compare_onto
from hnlpu.model.checkpoint import Kept, MatrixShape, Model, StoredMatrix, StoredTensor, pieces
from hnlpu.model.policy import codebook_of, spread_of_format
from hnlpu.silicon.hardwire import (
    Build,
    Digit,
    HardwiredMatrix,
    MatrixRecord,
    Tally,
    keep_memory,
    member_word,
    row_facts,
    tiles,
)

PACKED_TILE = 2**24
DENSE_TILE = 2**18
Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

METAL: Float64 = np.array(
    [sign * odd * 2**shift for sign in (1, -1) for odd, shift in golden.ODD_AND_SHIFT], float
)
"""Integer weight of each code at its row's exponent, from odd part and shift."""
POWER: Float64 = np.ldexp(np.ones(1024), np.arange(-512, 512))
"""2^k at index k + 512."""


@njit(cache=True, nogil=True)
def _first_difference(
    codes: UInt8, exponents: UInt8, row_exponents: UInt8,
    stored: UInt8, scales: UInt8, metal: Float64, table: Float64, power: Float64,
) -> int:  # fmt: skip
    """Flat position of the first weight whose metal and checkpoint differ, or -1.

    The metal's value is integer * 2^(b - 128) with the integer built from odd
    part and shifts; the checkpoint's is table[code] * 2^(scale - 127).  Where
    all 16 codes mean the same on both sides, equal bytes are equal weights;
    any other block is decoded weight by weight.
    """
    rows, blocks = exponents.shape
    for row in range(rows):
        base = np.int64(row_exponents[row])
        for block in range(blocks):
            step = power[np.int64(exponents[row, block]) - base + 512] * power[base - 128 + 512]
            scale = power[np.int64(scales[row, block]) - 127 + 512]
            same = True
            for code in range(16):
                same &= metal[code] * step == table[code] * scale
            for j in range(16):
                same &= codes[row, block, j] == stored[row, block, j]
            if same:
                continue
            for i in range(32):
                ours = (codes[row, block, i // 2] >> (4 * (i % 2))) & 15
                theirs = (stored[row, block, i // 2] >> (4 * (i % 2))) & 15
                if metal[ours] * step != table[theirs] * scale:
                    return int((row * blocks + block) * 32 + i)
    return -1


def check_matrix(
    build: Build, matrix: StoredMatrix | None, shape: MatrixShape
) -> Iterator[tuple[int, str | None]]:
    """(weights checked, problem or None) for every piece of one matrix.

    Without `matrix`, only what follows from the build itself is checked: row
    exponents, and everything that the manifest counts.
    """
    policy, record = build.manifest.policy, build.manifest.matrices[shape.name]
    native = record.format == "native"
    tally = Tally(len(record.digits))
    keep_memory()
    sound = True
    for index, rows in tiles(shape, PACKED_TILE if native else DENSE_TILE):
        metal = build.matrix(shape, index).part(rows)
        facts = row_facts(metal.digits)
        problem, weights, error = None, None, None
        if not np.array_equal(facts.row_exponents, metal.row_exponents):
            row = int(np.argmax(facts.row_exponents != metal.row_exponents))
            problem = f"row {row}: the row exponent is not the smallest of its blocks"
        elif matrix is not None and native and matrix.is_mxfp4 and not policy.requantize:
            problem = _compare_native(metal, *matrix.packed(index, rows))
        elif matrix is not None:
            weights = (
                dequantize(*matrix.packed(index, rows))
                if matrix.is_mxfp4
                else matrix.dense(index, rows)
            )
            error = weights.copy()
            problem = _compare_rounded(
                error, metal.digits, None if native else spread_of_format(record.format, policy.max_spread),
                codebook_of(record.format),
            )  # fmt: skip
        tally.add(metal.digits, facts, weights, error)
        if problem is not None:
            sound = False
            where = shape.name + (f" {member_word(shape)} {index}" if shape.bank else "")
            problem = f"{build.directory / record.file}: {where}, rows from {rows.start}: {problem}"
        yield (rows.stop - rows.start) * shape.columns, problem
    if sound:
        counted = tally.record(shape, record.format, record.file, policy)
        for field in _miscounted(record, counted, matrix is not None):
            yield (
                0,
                f"{build.directory}: {shape.name}: the recorded {field} is not what was counted",
            )
        if counted.spread > policy.max_spread:
            yield (
                0,
                f"{build.directory}: {shape.name}: exponents spread by more than the policy says",
            )


def _miscounted(record: MatrixRecord, counted: MatrixRecord, compared: bool) -> Iterator[str]:
    """Fields of `record` that differ from what was counted; errors only if weights were compared."""
    for field in ("digits", "zeros", "spread", "accumulator_bits"):
        if getattr(record, field) != getattr(counted, field):
            yield field
    for field in ("relative_error", "largest_error", "rms") if compared else ():
        recorded, found = getattr(record, field), getattr(counted, field)
        # the builder's error passed through float32 on its way; older builds recorded no rms
        if recorded is not None and not math.isclose(recorded, found or 0.0, rel_tol=1e-6):
            yield field


def _compare_native(metal: HardwiredMatrix, codes: UInt8, scales: UInt8) -> str | None:
    (digit,) = metal.digits
    position = _first_difference(
        digit.codes, digit.exponents, metal.row_exponents, codes, scales, METAL, VALUES, POWER
    )
    return None if position < 0 else _at(position, metal) + "differs from the checkpoint"


def _compare_rounded(
    values: Float32, digits: tuple[Digit, ...], spread: int | None, book: Codebook
) -> str | None:
    """Take the digits off `values`; the first thing that a quantiser would not have done.

    With `spread` the exponents are judged too, given the range that a row may
    span; without it they are the checkpoint's own.
    """
    if not book.of_e2m1:
        return compare_onto(values, digits, spread or 0, book)
    rows, blocks = digits[0].exponents.shape
    lowest = np.zeros(rows, np.int64)
    allowed = np.array([code for code in book.codes if code < 8], np.uint8)
    tried = np.resize(np.abs(VALUES[allowed]), TRIED).astype(np.float32)
    power, below = book.magnitudes[-1].bit_length() - 1, 1 if book.name == E2M1 else BELOW_STANDARD
    weights = values.reshape(-1)
    for number, digit in enumerate(digits):
        exponents, codes = (
            np.ascontiguousarray(x).reshape(-1) for x in (digit.exponents, digit.codes)
        )
        if book.name != E2M1 and not np.isin(unpack(digit.codes) & 7, allowed).all():
            return f"digit {number} has a value that {book.name} has not"
        if spread is not None:
            if number == 0:
                lowest = lowest_exponents(codes, exponents, rows, spread)
            bad = first_bad_exponent(weights, exponents, lowest, blocks, power, below)
            if bad >= 0:
                row, block = divmod(bad, blocks)
                return f"row {row} block {block}: digit {number} has an exponent that does not fit"
        position = first_not_nearest(weights, codes, exponents, tried)
        if position >= 0:
            row, column = divmod(position, values.shape[1])
            return f"row {row} column {column}: digit {number} is not the nearest"
    return None


def _at(position: int, metal: HardwiredMatrix) -> str:
    row, column = divmod(position, metal.columns)
    return f"row {row} column {column} "


def check_kept(build: Build, model: Model) -> Iterator[tuple[str, str | None]]:
    """(name, problem or None) for every tensor that must be the checkpoint's bytes."""
    for name, tensor in model.vectors.items():
        yield name, _same(build, tensor, build.tensors[name])
    for name, matrix in model.matrices.items():
        if matrix.bias_tensor is not None:
            yield name, _same(build, matrix.bias_tensor, build.tensors[f"{name}.bias"])


def _equal_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Whether two arrays of one type hold the same bits: 0 and -0 differ."""
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _same(build: Build, stored: Kept, kept: StoredTensor) -> str | None:
    shape = stored.shape or (1,)  # a single number is a row of one
    alike = (stored.dtype, stored.shape) == (kept.dtype, kept.shape)
    if alike and all(
        _equal_bits(stored.rows(rows), kept.map().reshape(shape)[rows]) for rows in pieces(shape)
    ):
        return None
    return f"{build.directory}: {kept.name} differs from the checkpoint"
