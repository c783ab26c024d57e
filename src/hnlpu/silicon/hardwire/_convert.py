"""One matrix of a checkpoint -> digits in a file, a few rows at a time, and its record.

Matrix ──tiles──► digits ──► row facts ──► file
                    └──► statistics ──► MatrixRecord
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import E2M1
from hnlpu.arithmetic.mx import BLOCK, BYTES_PER_BLOCK, dequantize, quantize_digits
from hnlpu.arithmetic.onto import quantize_onto, unjoin
from hnlpu.errors import ExponentSpread, NotFinite
from hnlpu.model.checkpoint import MatrixShape, StoredMatrix
from hnlpu.model.checkpoint._writer import SafetensorsWriter
from hnlpu.model.policy import (
    Policy,
    codebook_of,
    digits_of_format,
    spread_of_format,
    stored_digits,
)
from hnlpu.silicon.hardwire._manifest import MatrixRecord
from hnlpu.silicon.hardwire._matrix import LARGEST_SUM_BITS, Digit, RowFacts, row_facts
from hnlpu.silicon.hardwire._tally import Tally, sum_bits

DENSE_TILE = 2**18
PACKED_TILE = 2**25  # weights inspected at a time: 16 MB of codes

Layout = dict[str, tuple[str, tuple[int, ...]]]


def codes_name(matrix: str, digit: int) -> str:
    """Name of the tensor of packed codes in a build."""
    return f"{matrix}.digit{digit}.codes"


def exponents_name(matrix: str, digit: int) -> str:
    """Name of the tensor of block exponents in a build."""
    return f"{matrix}.digit{digit}.exponents"


def row_exponents_name(matrix: str) -> str:
    """Name of the tensor of row exponents in a build."""
    return f"{matrix}.row_exponents"


def bias_name(matrix: str) -> str:
    """Name of the bias tensor in a build."""
    return f"{matrix}.bias"


def stacked(shape: MatrixShape) -> tuple[int, ...]:
    """Leading dimension of a matrix's tensors: members of a bank, or nothing."""
    return (shape.count,) if shape.bank else ()


def member_word(shape: MatrixShape) -> str:
    """What one of a bank is called."""
    return "expert" if shape.role == "experts" else "member"


def matrix_layout(shape: MatrixShape, digits: int, bias: str = "BF16") -> Layout:
    """Names, dtypes and shapes of a matrix's tensors in a build; `bias` is the biases' dtype."""
    lead, rows, blocks = stacked(shape), shape.rows, shape.columns // BLOCK
    layout: Layout = {}
    for d in range(digits):
        layout[codes_name(shape.name, d)] = ("U8", (*lead, rows, blocks, BYTES_PER_BLOCK))
        layout[exponents_name(shape.name, d)] = ("U8", (*lead, rows, blocks))
    layout[row_exponents_name(shape.name)] = ("U8", (*lead, rows))
    if shape.has_bias:
        layout[bias_name(shape.name)] = (bias, (*lead, rows))
    return layout


def tiles(shape: MatrixShape, weights: int) -> Iterator[tuple[int, slice]]:
    """Every (index, rows) of a stack in pieces of at most about `weights` weights."""
    step = max(1, weights // shape.columns)
    for index in range(shape.count):
        for start in range(0, shape.rows, step):
            yield index, slice(start, min(start + step, shape.rows))


def stored_format(matrix: StoredMatrix, policy: Policy) -> str:
    """The format that `policy` gives this matrix: native, mxfp4 or mxfp4x2.

    For `auto` the matrix is read until a row is found that one digit cannot
    reproduce.
    """
    if matrix.is_mxfp4:
        return "native"
    wanted = policy.format_of(matrix.shape.role, matrix.shape.name)
    if wanted != "auto":
        return wanted
    for index, rows in tiles(matrix.shape, DENSE_TILE):
        if quantize_digits(matrix.dense(index, rows), 1, policy.max_spread)[1].any():
            return "mxfp4x2"
    return "mxfp4"


def digits_of(
    matrix: StoredMatrix, fmt: str, policy: Policy, index: int, rows: slice
) -> tuple[tuple[Digit, ...], npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
    """Digits of some rows; for quantised ones also the weights and the error (else None)."""
    if fmt == "native":
        codes, exponents = matrix.packed(index, rows)
        digit = Digit(codes, exponents)
        if not policy.requantize:
            return (digit,), None, None
        weights = dequantize(codes, exponents)
        if not np.isfinite(weights).all():
            raise NotFinite(
                f"{matrix.origin}: {matrix.shape.name} holds weights beyond float32, "
                "which cannot be rounded; build without `requantize`"
            )
        too_wide = row_facts((digit,)).spreads > policy.max_spread
        if too_wide.any():
            codes, exponents = codes.copy(), exponents.copy()
            ((codes[too_wide], exponents[too_wide]),), _ = quantize_digits(
                weights[too_wide], 1, policy.max_spread
            )
        return (Digit(codes, exponents),), weights, weights - dequantize(codes, exponents)
    weights = matrix.dense(index, rows)
    if (book := codebook_of(fmt)).name != E2M1:
        spread = spread_of_format(fmt, policy.max_spread)
        onto, rest = quantize_onto(weights, book, spread, digits_of_format(fmt))
        stored = tuple(Digit(part, e) for codes, e in onto for part in unjoin(codes, book))
        return stored, weights, rest
    found, error = quantize_digits(weights, digits_of_format(fmt), policy.max_spread)
    return tuple(Digit(c, e) for c, e in found), weights, error


def keep_memory() -> None:
    """Let the C library keep what is freed, up to 32 MB, for the next tile of rows.

    glibc takes the largest piece that it got from the system and gave back as the measure of what to
    keep (`M_MMAP_THRESHOLD` in mallopt(3)); at first that is 128 kB, and every tile's pages would be given back
    and cleared again, which takes a quarter of a conversion's time.  No page of the piece itself is touched.
    """
    np.empty(2**24, np.uint8)


def convert(
    matrix: StoredMatrix, fmt: str, policy: Policy, writer: SafetensorsWriter | None, file: str
) -> MatrixRecord:
    """Write all digits of `matrix` and return its record; without `writer`, only that.

    Raises ExponentSpread where a row needs more range than the policy allows,
    NotFinite for NaN or infinity.
    """
    keep_memory()
    shape = matrix.shape
    blocks = shape.columns // BLOCK
    tally = Tally(stored_digits(fmt))
    for index, rows in tiles(shape, PACKED_TILE if fmt == "native" else DENSE_TILE):
        digits, weights, error = digits_of(matrix, fmt, policy, index, rows)
        facts = row_facts(digits)
        _check_rows(shape, facts, policy, index, rows)
        tally.add(digits, facts, weights, error)
        if writer is None:
            continue
        first = index * shape.rows + rows.start
        for d, digit in enumerate(digits):
            at = first * blocks
            writer.put(codes_name(shape.name, d), digit.codes, at * BYTES_PER_BLOCK)
            writer.put(exponents_name(shape.name, d), digit.exponents, at)
        writer.put(row_exponents_name(shape.name), facts.row_exponents, first)
    if writer is not None and matrix.bias_tensor is not None:
        matrix.bias()  # raises NotFinite
        writer.put(bias_name(shape.name), matrix.bias_tensor.map())
    return tally.record(shape, fmt, file, policy)


def _check_rows(
    shape: MatrixShape, facts: RowFacts, policy: Policy, index: int, rows: slice
) -> None:
    def where(row: int) -> str:
        expert = f"{member_word(shape)} {index}, " if shape.bank else ""
        return f"{shape.name}: {expert}row {rows.start + row}"

    worst = int(np.argmax(facts.spreads))
    if facts.spreads[worst] > policy.max_spread:
        raise ExponentSpread(
            f"{where(worst)} has block exponents that span {facts.spreads[worst]}, more than the "
            f"{policy.max_spread} allowed; build with `requantize` to round the small blocks"
        )
    widest = int(np.argmax(facts.magnitudes))
    if sum_bits(int(facts.magnitudes[widest]), policy.activation_bits) > LARGEST_SUM_BITS:
        raise ExponentSpread(
            f"{where(widest)} needs an accumulator of more than {LARGEST_SUM_BITS} bits; "
            "use fewer activation bits or `requantize` with a smaller `max_spread`"
        )
