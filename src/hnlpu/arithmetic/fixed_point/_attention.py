"""Grouped-query attention with sinks over keys and values of 24 bits.

q ─► times 1 / sqrt(d) ─► 24 bits ─┐
memory of keys ────────────────────┴► scores ─► exp(score - largest) ─┬► total ───┐
memory of values ─────────────────────────────────────────────────────┴► sums ─► divide ─► out
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._curves import tanh
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, rounded, saturated
from hnlpu.arithmetic.fixed_point._functions import divided, exponential
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

KEY_BITS = 24
KEY_FRACTION = 12
"""Keys, values and scaled queries count 2^-12 in 24 bits."""

_LARGEST_KEY: int = 2 ** (KEY_BITS - 1) - 1
_SMALLEST_KEY: int = -(2 ** (KEY_BITS - 1))
MIXED_SHIFT = 8
"""A product of an exponential and a value is rounded to units of 2^-28."""
QUOTIENT_FRACTION = 12
NO_SINK: int = -(2**40)
"""Instead of a sink where there is none: below every score, so that nothing is left of it."""
NO_CAP = (0, 0)


def score_factor(scale: float) -> int:
    """A scale of scores in units of 2^-16."""
    return math.floor(scale * (1 << FRACTION) + 0.5)


def soft_cap(cap: float) -> tuple[int, int]:
    """1 / cap in units of 2^-24 and cap in units of 2^-16, as `attend` takes them."""
    return math.floor((1 << UNIT_FRACTION) / cap + 0.5), math.floor(cap * (1 << FRACTION) + 0.5)


@njit(cache=True, nogil=True)
def to_keys(x: Int64, factor: int) -> Int32:
    """Values x [tokens, heads, d] times `factor` (2^-16) as 24 bits in units of 2^-12."""
    out = np.empty(x.shape, np.int32)
    tokens, heads, size = x.shape
    for token in range(tokens):
        for head in range(heads):
            for i in range(size):
                scaled = rounded(x[token, head, i] * factor, 2 * FRACTION - KEY_FRACTION)
                out[token, head, i] = min(max(scaled, _SMALLEST_KEY), _LARGEST_KEY)
    return out


@njit(cache=True, nogil=True)
def attend(
    queries: Int32, keys: Int32, values: Int32, start: int, window: int, sinks: Int64,
    cap: tuple[int, int] = NO_CAP,
) -> Int64:  # fmt: skip
    """Values [tokens, heads * width] of scaled queries [tokens, heads, d] at start, start + 1, ...

    `keys` [kv heads, capacity, d] and `values` [kv heads, capacity, width] hold all positions up to
    the last query's.  Each query sees the last `window` positions (0: all).  A head's sink (a value)
    joins its softmax and contributes nothing; it may be NO_SINK.  `cap` is `soft_cap`'s, or NO_CAP.
    """
    tokens, heads, size = queries.shape
    group, width = heads // keys.shape[0], values.shape[2]
    out = np.empty((tokens, heads * width), np.int64)
    scores = np.empty(start + tokens, np.int64)
    sums = np.empty(width, np.int64)
    for token in range(tokens):
        position = start + token
        first = max(0, position - window + 1) if window > 0 else 0
        for head in range(heads):
            g = head // group
            largest = sinks[head]
            for j in range(first, position + 1):
                score: Any = 0
                for i in range(size):
                    score += np.int64(queries[token, head, i]) * np.int64(keys[g, j, i])
                scores[j] = saturated(rounded(score, 2 * KEY_FRACTION - FRACTION))
                if cap[1]:
                    bent = tanh(saturated(rounded(scores[j] * cap[0], UNIT_FRACTION)))
                    scores[j] = saturated(rounded(bent * cap[1], UNIT_FRACTION))
                largest = max(largest, scores[j])
            total: Any = exponential(largest - sinks[head])
            sums[:] = 0
            for j in range(first, position + 1):
                share: Any = exponential(largest - scores[j])
                total += share
                for i in range(width):
                    sums[i] += rounded(share * np.int64(values[g, j, i]), MIXED_SHIFT)
            for i in range(width):
                quotient = divided(sums[i], total, QUOTIENT_FRACTION)
                out[token, head * width + i] = saturated(quotient)
    return out
