"""Digits of a codebook with codes of its own, held to the weights that they stand for.

    E2M1 codes as stored ─► the numbers that they add up to ─► is each one that the codebook has, and the nearest?

Shares no table with what made them: codes mean what the standard says, and every number is sought again.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import Codebook
from hnlpu.arithmetic.mx import BLOCK, unpack
from hnlpu.arithmetic.onto import BASE_BITS, BELOW_STANDARD
from hnlpu.insight.verify._nearest import VALUES, first_bad_exponent, lowest_exponents
from hnlpu.silicon.hardwire import Digit

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def compare_onto(
    values: Float32, digits: tuple[Digit, ...], spread: int, book: Codebook
) -> str | None:
    """Take the digits off `values` [rows, columns]; the first thing that a quantiser would not have done.

    `digits` are as stored, those of the highest digit in metal first.
    """
    rows, blocks = digits[0].exponents.shape
    of_metal = [digits[n : n + book.stored] for n in range(0, len(digits), book.stored)]
    lowest_digit = of_metal[-1][0].exponents.astype(np.int64)
    numbers = np.zeros(values.shape, np.int64)
    for number, parts in enumerate(of_metal):
        up = BASE_BITS * (len(of_metal) - 1 - number)
        found = sum((_half_units(part) for part in parts), np.zeros(values.shape, np.int64))
        bad = np.argwhere(~np.isin(found, book.values))
        if len(bad):
            return f"row {bad[0][0]} column {bad[0][1]}: digit {number} is no value of {book.name}"
        apart = [part.exponents.astype(np.int64) - lowest_digit - up for part in parts]
        bad = np.argwhere(np.any(apart, axis=0))
        if len(bad):
            return (
                f"row {bad[0][0]} block {bad[0][1]}: the exponents of a weight's digits do not fit"
            )
        numbers += found << up
    known = np.array(sorted(
        sum(v << BASE_BITS * n for n, v in enumerate(of))
        for of in itertools.product(book.values, repeat=len(of_metal))
    ))  # fmt: skip
    exponents = np.ascontiguousarray(of_metal[-1][0].exponents).reshape(-1)
    used = np.bitwise_or.reduce([digit.codes for digit in digits]).reshape(-1)
    room = spread - BASE_BITS * (len(of_metal) - 1)
    lowest = lowest_exponents(used, exponents, rows, room)
    power = int(np.abs(known).max()).bit_length() - 1
    bad_block = first_bad_exponent(
        values.reshape(-1), exponents, lowest, blocks, power, BELOW_STANDARD
    )
    if bad_block >= 0:
        row, block = divmod(bad_block, blocks)
        return f"row {row} block {block}: the exponent does not fit"
    return _first_not_nearest(values, numbers, lowest_digit, known)


def _half_units(part: Digit) -> Int64:
    return (2 * VALUES[unpack(part.codes)]).astype(np.int64)


def _first_not_nearest(
    values: Float32, numbers: Int64, exponents: Int64, known: Int64
) -> str | None:
    """Leave in `values` what the numbers do not hold."""
    unit = np.repeat(np.ldexp(1.0, exponents - 128), BLOCK, axis=1)
    exact = values.astype(np.float64)
    scaled = exact / unit
    at = np.clip(np.searchsorted(known, scaled), 1, len(known) - 1)
    least = np.minimum(np.abs(scaled - known[at - 1]), np.abs(scaled - known[at]))
    bad = np.argwhere(np.abs(scaled - numbers) > least)
    if len(bad):
        return f"row {bad[0][0]} column {bad[0][1]}: the digits are not the nearest"
    values[:] = exact - numbers * unit
    return None
