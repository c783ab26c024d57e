"""Attention over some positions each, in the formats that lose something: one round.

positions of a chip ─► largest m, total T, output o ─► o in the format ─┐
                                                        another chip's ─┴► merged ─► output

`exact` takes two rounds, `hnlpu.arithmetic.fixed_point.largest_scores` and `attend_part`, and has
the bits of attention over all positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.exchange._formats import Format, sent
from hnlpu.arithmetic.exchange._sums import Way, owned
from hnlpu.arithmetic.fixed_point import NO_SINK, AttendedPart, divided, exponential
from hnlpu.arithmetic.fixed_point._attention import QUOTIENT_FRACTION
from hnlpu.arithmetic.fixed_point._fixed import SMALLEST, rounded, saturated
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]

TOTAL_FRACTION = 14
"""A total counts 2^-14 in 32 bits without a sign: 1 to 2^18 positions."""
_LARGEST_TOTAL = 2**32 - 1
_LOWEST: int = SMALLEST


@dataclass(frozen=True)
class Attended:
    """What some positions say: `largest` score and `total` [..., heads], `output` [..., heads, width].

    The largest is a value, the total counts 2^-14, outputs are values.  Without positions the
    largest is -2^31, the rest 0.
    """

    largest: Int64
    total: Int64
    output: Int64


def attended_part(part: AttendedPart, largest: Int64) -> Attended:
    """Sums of some positions under their own `largest` score [heads] as they are sent."""
    total = np.minimum((part.total + (1 << 9)) >> (UNIT_FRACTION - TOTAL_FRACTION), _LARGEST_TOTAL)
    return Attended(largest, total, _quotients(part.sums, part.total))


def merged(parts: Sequence[Attended], sinks: Int64) -> Int64:
    """Attention's output [heads, width], values, of parts in the order of places; `sinks` [heads]."""
    return _joined(parts, sinks).output


def merged_over(parts: Sequence[Attended], sinks: Int64, form: Format, way: Way) -> Int64:
    """`merged` of parts as the chips of a column send them, in a format that loses something.

    `ring` and `line` join part to part at each hop; the sinks [heads] come last.
    """
    heads, chips = len(sinks), len(parts)
    if chips == 1:
        return merged(parts, sinks)
    match way:
        case "direct":
            return merged([_sent(part, form) for part in parts], sinks)
        case "scatter":
            out = np.empty_like(parts[0].output)
            for first, behind in owned(heads, chips):
                some = [_sent(_of_heads(part, first, behind), form) for part in parts]
                out[first:behind] = _rows_sent(merged(some, sinks[first:behind]), form)
            return out
        case "ring":
            out = np.empty_like(parts[0].output)
            for owner, (first, behind) in enumerate(owned(heads, chips)):
                some = [_of_heads(part, first, behind) for part in parts]
                order = [some[(owner + step) % chips] for step in range(1, chips + 1)]
                out[first:behind] = merged([_along(order, form)], sinks[first:behind])
            return _rows_sent(out, form)
        case "line":
            middle = chips // 2
            sides = [list(parts[:middle]), list(parts[:middle:-1])]
            flown = [_along(side, form) for side in sides if side]
            return _rows_sent(merged([*flown, parts[middle]], sinks), form)
        case _:
            assert_never(way)


def _along(parts: Sequence[Attended], form: Format) -> Attended:
    none = np.full(len(parts[0].total), NO_SINK)
    total = _sent(parts[0], form)
    for part in parts[1:]:
        total = _sent(_joined([total, part], none), form)
    return total


def _of_heads(part: Attended, first: int, behind: int) -> Attended:
    some = slice(first, behind)
    return Attended(part.largest[some], part.total[some], part.output[some])


def _sent(part: Attended, form: Format) -> Attended:
    return replace(part, output=_rows_sent(part.output, form))


def _rows_sent(output: Int64, form: Format) -> Int64:
    """Outputs [heads, width] as one message."""
    return sent(output.reshape(-1), form).reshape(output.shape)


def _joined(parts: Sequence[Attended], sinks: Int64) -> Attended:
    """Parts as one, with the sinks' shares in its total."""
    return Attended(
        *_merged(
            np.stack([part.largest for part in parts]),
            np.stack([part.total for part in parts]),
            np.stack([part.output for part in parts]),
            sinks,
        )
    )


@njit(cache=True, nogil=True)
def _quotients(sums: Int64, total: Int64) -> Int64:
    heads, width = sums.shape
    out = np.zeros((heads, width), np.int64)
    for head in range(heads):
        if total[head]:
            for i in range(width):
                out[head, i] = saturated(divided(sums[head, i], total[head], QUOTIENT_FRACTION))
    return out


@njit(cache=True, nogil=True)
def _merged(
    largest: Int64, total: Int64, output: Int64, sinks: Int64
) -> tuple[Int64, Int64, Int64]:
    chips, heads, width = output.shape
    top, wholes = np.empty(heads, np.int64), np.empty(heads, np.int64)
    out = np.zeros((heads, width), np.int64)
    shares = np.empty(chips, np.int64)
    for head in range(heads):
        most = max(sinks[head], _LOWEST)
        for chip in range(chips):
            if total[chip, head]:
                most = max(most, largest[chip, head])
        whole: Any = rounded(exponential(most - sinks[head]), UNIT_FRACTION - TOTAL_FRACTION)
        for chip in range(chips):
            shares[chip] = 0
            if total[chip, head]:
                factor = exponential(most - largest[chip, head])
                shares[chip] = rounded(total[chip, head] * factor, UNIT_FRACTION)
            whole += shares[chip]
        top[head], wholes[head] = most, min(whole, _LARGEST_TOTAL)
        for i in range(width if whole else 0):
            mixed: Any = 0
            for chip in range(chips):
                mixed += shares[chip] * output[chip, head, i]
            out[head, i] = saturated(divided(mixed, whole, 0))
    return top, wholes, out
