"""Digits of MXFP4 by their definition, in float64 and one weight after the other.

What `hnlpu.arithmetic.mx` is held to, bit for bit: it does the same in float32, block by block.
"""

from __future__ import annotations

import math

import numpy as np

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import zero_blocks

LARGEST_EXPONENT = 252


@njit(cache=True, error_model="numpy")
def _nearest(magnitude):
    """The E2M1 magnitude nearest to `magnitude`, ties to even, saturating at 6."""
    unit = 0.5 if magnitude < 2.0 else (1.0 if magnitude < 4.0 else 2.0)
    per_unit = 2.0 if magnitude < 2.0 else (1.0 if magnitude < 4.0 else 0.5)
    return float(min(np.rint(magnitude * per_unit) * unit, 6.0))


@njit(cache=True, error_model="numpy")
def _error(block, exponent):
    """Squared error of a block at an exponent, summed in order."""
    per_scale, error = 2.0 ** (127 - exponent), 0.0
    for value in block:
        magnitude = abs(value) * per_scale
        difference = magnitude - _nearest(magnitude)
        error += difference * difference
    return error / (per_scale * per_scale)


@njit(cache=True, error_model="numpy")
def _choose(block, lowest):
    """The exponent of least squared error among the standard's, the one above and the one below."""
    largest = np.max(np.abs(block))
    standard = math.frexp(largest)[1] - 3 + 127 if largest > 0.0 else lowest
    least, chosen = np.inf, lowest
    for step in (0, 1, -1):
        exponent = min(max(standard + step, lowest), LARGEST_EXPONENT)
        error = _error(block, exponent)
        if error < least:
            least, chosen = error, exponent
    return chosen


@njit(cache=True, error_model="numpy")
def _take(rest, lowest, codes, exponents):
    for row in range(len(rest)):
        for b in range(exponents.shape[1]):
            block = rest[row, 32 * b : 32 * b + 32]
            exponent = _choose(block, max(lowest[row], 0))
            exponents[row, b] = exponent
            scale, per_scale = 2.0 ** (exponent - 127), 2.0 ** (127 - exponent)
            for i in range(32):
                nearest = _nearest(abs(block[i]) * per_scale)
                code = int(min(2 * nearest, nearest + 2, 0.5 * nearest + 4))
                minus = block[i] < 0 and code > 0
                codes[row, b, i // 2] |= (code + 8 if minus else code) << (4 * (i % 2))
                block[i] += nearest * scale if minus else -nearest * scale


def take_digit(rest, lowest):
    """One digit of `rest` [rows, columns] (float64); what it leaves over stays in `rest`."""
    rows, columns = rest.shape
    codes = np.zeros((rows, columns // 32, 16), np.uint8)
    exponents = np.zeros((rows, columns // 32), np.uint8)
    _take(rest, lowest, codes, exponents)
    return codes, exponents


def digits_by_definition(weights, digits, spread):
    """What `hnlpu.arithmetic.mx.quantize_digits` gives."""
    rest = np.array(weights, np.float64)
    lowest = np.zeros(len(weights), np.int64)
    found = []
    for _ in range(digits):
        codes, exponents = take_digit(rest, lowest)
        if not found:
            used = np.where(zero_blocks(codes), 0, exponents).max(axis=1).astype(np.int64)
            lowest = np.maximum(used - spread, 0)
            low = (exponents < lowest[:, None]).any(axis=1)
            if low.any():
                again = weights[low].astype(np.float64)
                codes[low], exponents[low] = take_digit(again, lowest[low])
                rest[low] = again
        found.append((codes, exponents))
    return found, rest.astype(np.float32)
