"""Weights in blocks of 32 -> the nearest MXFP4 digit of each, and what it leaves over.

    magnitudes of blocks ─► the standard's exponents ─► squared errors there ─┬► codes and remainder
                                another exponent, where it can be better ─────┘

All is exact in float32.  Scaling is by powers of two; and a remainder is no larger than the weight and
a multiple of the weight's last place, so it has no more bits.  Sums of squared errors are not exact: they decide
where they differ by more than their rounding, and elsewhere `_exact_error` does, in float64 and in order.

The loops stand in functions of their own, with a block's first weight counted from 0, because then
a compiler sees that no index is negative and does 16 weights at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

LARGEST_EXPONENT = 252  # that quantising gives: 6 * 2^(253 - 127) is beyond float32
CHUNK = 512  # blocks in work at a time: 64 kB of weights stay near the processor

UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ZERO, _HALF, _ONE, _TWO, _FOUR, _SIX = (np.float32(x) for x in (0, 0.5, 1, 2, 4, 6))
_QUARTER, _SEVEN = np.float32(0.25), np.float32(7)
_NO_CODE, _MINUS = np.int32(0), np.int32(8)
_MAGNITUDE, _FRACTION, _FRACTION_BITS = np.uint32(0x7FFFFFFF), np.uint32(0x7FFFFF), np.uint32(23)
_STEP_FROM_4 = np.float32(2.0**-21)  # of a fraction's last place in [4, 8)
_ROUNDING = np.float32(1e-5)  # of a sum of 32 squares in float32, relative, with room
_LEAST_POWER = -130
_POWER: Float32 = np.ldexp(1.0, np.arange(_LEAST_POWER, 128)).astype(np.float32)


@njit(**_options)
def _power(exponent: int) -> np.float32:
    return _POWER[exponent - _LEAST_POWER]  # type: ignore[no-any-return]  # a number of that array


@njit(**_options, inline="always")
def _nearest(magnitude: Any) -> Any:
    """The E2M1 magnitude nearest to `magnitude`, ties to even, saturating at 6."""
    unit = _HALF if magnitude < _TWO else (_ONE if magnitude < _FOUR else _TWO)
    per_unit = _TWO if magnitude < _TWO else (_ONE if magnitude < _FOUR else _HALF)
    return min(np.rint(magnitude * per_unit) * unit, _SIX)


@njit(**_options)
def _largest(bits: UInt32, largest: UInt32) -> None:
    """Set `largest` [n] to the bits of each block's largest magnitude."""
    for b in range(len(largest)):
        found = np.uint32(0)
        for i in range(32):
            found = max(found, bits[32 * b + i] & _MAGNITUDE)
        largest[b] = found


@njit(**_options, fastmath={"reassoc"})
def _errors(weights: Float32, per_scale: Float32, errors: Float32) -> None:
    """Set `errors` [n] to the squared error of each block, in units of its squared scale."""
    for b in range(len(per_scale)):
        per, total = per_scale[b], _ZERO
        for i in range(32):
            magnitude = abs(weights[32 * b + i]) * per
            error = magnitude - _nearest(magnitude)
            total += error * error
        errors[b] = total


@njit(**_options)
def _gather(weights: Float32, which: UInt32, found: Float32) -> None:
    """Copy the blocks `which` [n] to `found` [32 n]."""
    for k in range(len(which)):
        b = np.int64(which[k])
        for i in range(32):
            found[32 * k + i] = weights[32 * b + i]


@njit(**_options)
def _encode(weights: Float32, per_scale: Float32, scales: Float32, codes: Int32) -> None:
    """Set `codes` [32 n], and leave in `weights` what they leave over."""
    for b in range(len(scales)):
        per, scale = per_scale[b], scales[b]
        for i in range(32):
            weight = weights[32 * b + i]
            nearest = _nearest(abs(weight) * per)
            held = nearest * scale
            # the concave inverse of 0, .5, 1, 1.5, 2, 3, 4, 6 for codes 0 to 7
            code = np.int32(min(_TWO * nearest, min(nearest + _TWO, _HALF * nearest + _FOUR)))
            minus = (weight < _ZERO) & (code > _NO_CODE)
            weights[32 * b + i] = weight + held if minus else weight - held
            codes[32 * b + i] = (code | _MINUS) if minus else code


@njit(**_options)
def _pack(pairs: npt.NDArray[np.uint64], packed: UInt8) -> None:
    """Two codes of 32 bits each, the even input's low, into a byte."""
    for j in range(len(packed)):
        pair = pairs[j]
        packed[j] = np.uint8((pair | (pair >> np.uint64(28))) & np.uint64(255))


@njit(**_options)
def _exact_error(weights: Float32, block: Any, exponent: Any) -> Any:
    """Squared error of a block at an exponent, in float64 and in order."""
    per_scale, total = 2.0 ** (127 - exponent), 0.0
    for i in range(32):
        magnitude = abs(np.float64(weights[32 * block + i])) * per_scale
        unit = 0.5 if magnitude < 2.0 else (1.0 if magnitude < 4.0 else 2.0)
        error = magnitude - min(np.rint(magnitude / unit) * unit, 6.0)
        total += error * error
    return total / (per_scale * per_scale)


@njit(**_options)
def _standard_exponents(
    largest: UInt32, lowest: Int64, first: int, per_row: int, least: Int64, standard: Int64
) -> None:
    """Set `standard` [n] (OCP Microscaling v1.0, 6.3) and `least`, which a block may not go below.

    `first` is the number of the first block, of which a row has `per_row`.
    """
    row = first // per_row
    end = (row + 1) * per_row - first
    for b in range(len(largest)):
        if b == end:
            row, end = row + 1, end + per_row
        least[b] = min(max(lowest[row], 0), LARGEST_EXPONENT)
        # floor(log2(largest)) - 2 + 127; below float32's normal numbers -2, which is never allowed
        exponent = np.int64(largest[b] >> _FRACTION_BITS) - 2
        standard[b] = least[b] if largest[b] == 0 else exponent


@njit(**_options)
def _prefer(
    weights: Float32, which: UInt32, step: int, relative: Any, standard: Int64, chosen: Int64, errors: Float32,
    scratch: Float32,
) -> None:  # fmt: skip
    """Choose the exponent `step` above the standard's for those of `which` where the error is smaller.

    `errors` [n] are those of `chosen` in units of the standard's squared scale, of which the squared scale at the
    other exponent is `relative`.
    """
    if len(which) == 0:
        return
    gathered = scratch[: 32 * len(which)]
    _gather(weights, which, gathered)
    per_scale, found = np.empty(len(which), np.float32), np.empty(len(which), np.float32)
    for k in range(len(which)):
        per_scale[k] = _power(127 - step - standard[which[k]])
    _errors(gathered, per_scale, found)
    for k in range(len(which)):
        b = np.int64(which[k])
        other, error = standard[b] + step, found[k] * relative
        better = error < errors[b]
        if abs(error - errors[b]) <= _ROUNDING * (error + errors[b]):
            better = _exact_error(weights, b, other) < _exact_error(weights, b, chosen[b])
        if better:
            chosen[b], errors[b] = other, error


@njit(**_options)
def _reconsider(
    weights: Float32, largest: UInt32, least: Int64, standard: Int64, chosen: Int64, errors: Float32, scratch: Float32
) -> None:  # fmt: skip
    """Take the exponent above or below the standard's where its error is smaller.

    In units of the standard's scale the values of the exponent above are 0, 1, 2, 3, 4, 6, 8 and 12: only what
    lies beyond 7 comes nearer to one of them.  The exponent below saturates at 3, so that its error is no less
    than that of the largest magnitude.
    """
    which = np.empty(len(chosen), np.uint32)
    count = 0
    for b in range(len(chosen)):
        size = _FOUR + np.float32(largest[b] & _FRACTION) * _STEP_FROM_4
        if size > _SEVEN and least[b] <= standard[b] < LARGEST_EXPONENT:
            which[count] = b
            count += 1
    _prefer(weights, which[:count], 1, _FOUR, standard, chosen, errors, scratch)
    count = 0
    for b in range(len(chosen)):
        beyond = _ONE + np.float32(largest[b] & _FRACTION) * _STEP_FROM_4
        if standard[b] > least[b] and beyond * beyond * (_ONE - _ROUNDING) < errors[b]:
            which[count] = b
            count += 1
    _prefer(weights, which[:count], -1, _QUARTER, standard, chosen, errors, scratch)


@njit(**_options)
def take_digit(rest: Float32, lowest: Int64, codes: UInt8, exponents: UInt8) -> None:
    """Quantise the rows of a matrix, and leave in `rest` what the digit leaves over.

    `rest` [weights] are its rows one after the other, `lowest` [rows] bounds their exponents from
    below; `codes` [weights / 2] and `exponents` [weights / 32] are set.
    """
    if len(exponents) == 0:
        return
    per_row = len(exponents) // len(lowest)
    bits = rest.view(np.uint32)
    largest = np.empty(CHUNK, np.uint32)
    least, standard, chosen = (
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
    )
    per_scale, scales, errors = (
        np.empty(CHUNK, np.float32),
        np.empty(CHUNK, np.float32),
        np.empty(CHUNK, np.float32),
    )
    wide, scratch = np.empty(32 * CHUNK, np.int32), np.empty(32 * CHUNK, np.float32)
    pairs = wide.view(np.uint64)
    for first in range(0, len(exponents), CHUNK):
        n = min(CHUNK, len(exponents) - first)
        part = rest[32 * first : 32 * (first + n)]
        _largest(bits[32 * first : 32 * (first + n)], largest[:n])
        _standard_exponents(largest[:n], lowest, first, per_row, least, standard)
        for b in range(n):
            chosen[b] = max(standard[b], least[b])
            per_scale[b] = _power(127 - chosen[b])
        _errors(part, per_scale[:n], errors[:n])
        _reconsider(part, largest[:n], least, standard, chosen[:n], errors, scratch)
        for b in range(n):
            exponents[first + b] = chosen[b]
            per_scale[b], scales[b] = _power(127 - chosen[b]), _power(chosen[b] - 127)
        _encode(part, per_scale, scales[:n], wide)
        _pack(pairs, codes[16 * first : 16 * (first + n)])


@njit(**_options)
def largest_used(codes: UInt8, exponents: UInt8, largest: Int64) -> None:
    """Set `largest` [rows] to the largest exponent of each row's blocks that are not zero, or 0.

    `codes` [weights / 2] and `exponents` [weights / 32] are those of the rows one after the other.
    """
    per_row = len(exponents) // max(len(largest), 1)
    for row in range(len(largest)):
        found = np.int64(0)
        for b in range(row * per_row, (row + 1) * per_row):
            union = np.uint8(0)
            for j in range(16):
                union |= codes[16 * b + j]
            if union & np.uint8(0x77):
                found = max(found, np.int64(exponents[b]))
        largest[row] = found
