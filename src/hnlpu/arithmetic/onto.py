"""Blocks of weights -> digits with the values of a codebook, and what they leave over.

    32 weights ─► four exponents around the one that just holds the largest ─► the least squared error
        ─► the nearest value of each ─► codes of the codebook (`unjoin` and `join`: to E2M1's and back)

A number of `digits` digits is one in base 16: each digit has the values of the codebook, 4 powers of two apart.

All is exact in float32 but the sums of squares: scaling is by powers of two, and a remainder is no larger than its
weight and a multiple of the weight's last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.codebooks import NO_CODE, Codebook
from hnlpu.arithmetic.mx import BLOCK, BYTES_PER_BLOCK, SCALE_BIAS
from hnlpu.arithmetic.nearest import LARGEST_EXPONENT

BASE_BITS = 4
"""From one digit of a number of several to the next."""
BELOW_STANDARD, ABOVE_STANDARD = 2, 1
"""Exponents that are tried beside the one at which the largest value is just held."""

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def standard_exponent(largest: float, top: int) -> int:
    """The exponent whose half units hold `largest` in the power of two of `top`, the largest value.

    For E2M1, with 12 half units, it is that of OCP Microscaling v1.0, 6.3.
    """
    return math.frexp(largest)[1] - top.bit_length() + SCALE_BIAS + 1


def numbers_of(book: Codebook, digits: int) -> Int64:
    """Every number that so many digits can be, in half units, ascending."""
    found = np.array(sorted(book.values), np.int64)
    for _ in range(digits - 1):
        found = np.unique((found[:, None] << BASE_BITS) + np.array(book.values))
    return found


@njit(**_options)
def _largest(block: Float32) -> Any:
    """The largest magnitude."""
    found = np.float32(0)
    for i in range(32):
        found = max(found, abs(block[i]))
    return found


@njit(**_options)
def _scaled(block: Float32, unit: float, out: Float32) -> None:
    for i in range(32):
        out[i] = block[i] * unit


@njit(**_options)
def _held(y: Float32, middles: Float32, gaps: Float32, positive: int, held: Float32) -> None:
    """Set `held` to the nearest value of each number, of two the one nearer to zero.

    `held` comes with the least value; value n + 1 is `gaps`[n] above n, and `middles`[n] between them.
    """
    for k in range(positive):
        middle, gap = middles[k], gaps[k]
        for i in range(32):
            held[i] += gap if y[i] >= middle else np.float32(0)
    for k in range(positive, len(gaps)):
        middle, gap = middles[k], gaps[k]
        for i in range(32):
            held[i] += gap if y[i] > middle else np.float32(0)


@njit(**_options)
def _held_whole(y: Float32, least: Any, most: Any, held: Float32) -> None:
    """The same where the values are all whole numbers from `least` to `most`; ties to even."""
    for i in range(32):
        held[i] = min(max(np.rint(y[i]), least), most)


@njit(**_options)
def _squares(y: Float32, held: Float32, sums: npt.NDArray[np.float64]) -> float:
    """Sum of the squares of what is left over, in eight parts."""
    sums[:] = 0.0
    for first in range(0, 32, 8):
        for i in range(8):
            left = np.float64(y[first + i] - held[first + i])
            sums[i] += left * left
    total = 0.0
    for i in range(8):
        total += sums[i]
    return total


@njit(**_options)
def _onto(
    rest: Float32, values: Float32, whole: bool, lowest: Int64, highest: Int64,
    numbers: npt.NDArray[np.int16], exponents: UInt8,
) -> None:  # fmt: skip
    """Set `numbers` [n, 32] to the nearest of `values`, `exponents` [n]; the errors stay in `rest`.

    `values` ascend; `whole` says that they are all whole numbers between the first and the last.
    `lowest` and `highest` [n] are the least and the largest exponents that are allowed.
    """
    middles = (values[1:] + values[:-1]) / np.float32(2)
    gaps = values[1:] - values[:-1]
    positive = 0
    while positive < len(middles) and middles[positive] < 0:
        positive += 1
    top = np.float64(max(values[-1], -values[0]))
    bias = SCALE_BIAS + 1 - math.frexp(top)[1]
    y, held, best = np.empty(32, np.float32), np.empty(32, np.float32), np.empty(32, np.float32)
    sums = np.empty(8, np.float64)
    for n in range(len(rest)):
        least, chosen = np.inf, max(lowest[n], 0)
        best[:] = np.float32(0)
        largest = np.float64(_largest(rest[n]))
        if largest == 0:
            exponents[n], numbers[n] = chosen, 0
            continue
        standard = math.frexp(largest)[1] + bias
        for step in (0, 1, -1, -2):
            exponent = min(max(standard + step, max(lowest[n], 0)), highest[n])
            cut = max(largest - top * 2.0 ** (exponent - 128), 0.0)
            if cut * cut >= least:  # what the largest weight alone loses
                continue
            _scaled(rest[n], 2.0 ** (128 - exponent), y)
            if whole:
                _held_whole(y, values[0], values[-1], held)
            else:
                held[:] = values[0]
                _held(y, middles, gaps, positive, held)
            # in units of one exponent, so that errors at several compare
            error = _squares(y, held, sums) * 2.0 ** (2 * (exponent - 128))
            if error < least:
                least, chosen = error, exponent
                best[:] = held
        exponents[n] = chosen
        unit = np.float32(2.0 ** (chosen - 128))
        for i in range(32):
            numbers[n, i] = np.int16(best[i])
            rest[n, i] -= best[i] * unit


def quantize_onto(
    weights: npt.NDArray[Any], book: Codebook, spread: int, digits: int = 1
) -> tuple[list[tuple[UInt8, UInt8]], Float32]:
    """`weights` [rows, columns] as digits of the values of `book`, all exponents within `spread`.

    Of each block the exponent with the smallest squared error among those around the one that
    just holds its largest weight is taken; elements round to nearest, ties to the one nearer to zero
    (to even where the values are all whole numbers of a range).  Blocks that would lie more than `spread`
    under their row's largest exponent are rounded at that bound.

    Returns (codes [rows, columns/32, 16], exponents [rows, columns/32]) of each digit, the highest first, and
    the error, float32 [rows, columns].  Raises ValueError for columns that are no multiple of 32.
    """
    rows, columns = weights.shape
    if columns % BLOCK:
        raise ValueError(f"{columns} columns are not divisible by {BLOCK}")
    known = numbers_of(book, digits)
    whole = len(known) == known[-1] - known[0] + 1 and len(known) > 16
    blocks = columns // BLOCK

    def take(part: npt.NDArray[Any], lowest: Int64, highest: Int64) -> tuple[Any, UInt8, Float32]:
        rest = np.array(part, np.float32, order="C").reshape(-1, BLOCK)
        numbers, exponents = np.empty(rest.shape, np.int16), np.empty(len(rest), np.uint8)
        least, most = np.repeat(lowest, blocks), np.repeat(highest, blocks)
        _onto(rest, known.astype(np.float32), whole, least, most, numbers, exponents)
        return (
            numbers.reshape(part.shape), exponents.reshape(len(part), blocks),
            rest.reshape(part.shape),
        )  # fmt: skip

    numbers, exponents, rest = take(
        weights, np.zeros(rows, np.int64), np.full(rows, LARGEST_EXPONENT)
    )
    used = numbers.reshape(rows, blocks, BLOCK).any(-1)
    highest = np.where(used, exponents, 0).max(axis=1).astype(np.int64)
    lowest = np.maximum(highest - spread + BASE_BITS * (digits - 1), 0)
    low = (exponents < lowest[:, None]).any(axis=1)
    if low.any():
        numbers[low], exponents[low], rest[low] = take(weights[low], lowest[low], highest[low])
    return _digits(numbers, exponents, book, digits), rest


def _digits(
    numbers: npt.NDArray[np.int16], exponents: UInt8, book: Codebook, digits: int
) -> list[tuple[UInt8, UInt8]]:
    """Numbers [rows, columns] as digits, the highest first."""
    least = min(book.values)
    code_of = np.zeros(max(book.values) - least + 1, np.uint8)
    for code in book.codes:
        code_of[book.table[code] - least] = code
    found: list[tuple[UInt8, UInt8]] = []
    for number in range(digits):
        packed = np.empty((*exponents.shape, BYTES_PER_BLOCK), np.uint8)
        _take(numbers.reshape(-1), code_of, least, number < digits - 1, packed.reshape(-1))
        found.insert(0, (packed, exponents + np.uint8(BASE_BITS * number)))
    return found


@njit(**_options)
def _take(
    numbers: npt.NDArray[np.int16], code_of: UInt8, least: int, more: bool, packed: UInt8
) -> None:
    """Take the lowest digit off `numbers`, or all of it where there are no more, as codes."""
    for n in range(len(packed)):
        byte = np.int64(0)
        for half in range(2):
            number = np.int64(numbers[2 * n + half])
            # 16 values from `least` on are every digit of base 16 once
            above = (number - least) & 15 if more else number - least
            numbers[2 * n + half] = (number - least - above) >> BASE_BITS
            byte |= np.int64(code_of[above]) << (4 * half)
        packed[n] = byte


def unjoin(codes: UInt8, book: Codebook) -> list[UInt8]:
    """Packed codes of `book` -> packed E2M1 codes as they are stored, one array or two."""
    found = []
    for part in range(book.stored):
        of = [book.parts[code][part] for code in range(16)]
        table = np.array([of[byte & 15] | of[byte >> 4] << 4 for byte in range(256)], np.uint8)
        found.append(table[codes])
    return found


@njit(**_options)
def _join(first: UInt8, second: UInt8, joined: UInt8, out: UInt8) -> int:
    """Returns how many bytes have a pair of codes that is none."""
    wrong = 0
    for n in range(len(first)):
        a, b = first[n], second[n]
        low, high = joined[(a & 15) | (b & 15) << 4], joined[(a >> 4) | (b & 0xF0)]
        wrong += 1 if low == NO_CODE or high == NO_CODE else 0
        out[n] = (low & 15) | (high & 15) << 4
    return wrong


def join(first: UInt8, second: UInt8, book: Codebook) -> UInt8 | None:
    """Packed codes of `book` from both E2M1 codes of each; None where a pair is no value of it."""
    out = np.empty(first.shape, np.uint8)
    a, b = (np.ascontiguousarray(x).reshape(-1) for x in (first, second))
    return None if _join(a, b, book.joined, out.reshape(-1)) else out
