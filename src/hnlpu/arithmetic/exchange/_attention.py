"""Attention over some positions each, in the formats that lose something: one round.

positions of a chip ─► largest m, total T, output o ─► o in the format ─┐
                                                        another chip's ─┴► merged ─► output

`exact` takes two rounds, `hnlpu.arithmetic.fixed_point.largest_scores` and `attend_part`, and has
the bits of attention over all positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point import AttendedPart, divided, exponential
from hnlpu.arithmetic.fixed_point._attention import QUOTIENT_FRACTION
from hnlpu.arithmetic.fixed_point._fixed import rounded, saturated
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]

TOTAL_FRACTION = 14
"""A total counts 2^-14 in 32 bits without a sign: 1 to 2^18 positions."""
_LARGEST_TOTAL = 2**32 - 1


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
    return np.asarray(
        _merged(
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
def _merged(largest: Int64, total: Int64, output: Int64, sinks: Int64) -> Int64:
    chips, heads, width = output.shape
    out = np.empty((heads, width), np.int64)
    shares = np.empty(chips, np.int64)
    for head in range(heads):
        most = sinks[head]
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
        for i in range(width):
            mixed: Any = 0
            for chip in range(chips):
                mixed += shares[chip] * output[chip, head, i]
            out[head, i] = saturated(divided(mixed, whole, 0))
    return out
