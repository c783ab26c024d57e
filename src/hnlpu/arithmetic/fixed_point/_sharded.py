"""Attention in parts, some of the positions each, with the bits of `attend` over all of them.

keys 0..n ─► largest_scores ─┐        ┌─► attend_part ─┐
keys n..N ─► largest_scores ─┴► max ──┴─► attend_part ─┴─► merge_parts ─► out

Two rounds: the largest score of all is exact, and with it known, sums are sums of integers, which
depend neither on where the cuts are nor on the order of the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._attention import (
    KEY_FRACTION,
    MIXED_SHIFT,
    NO_CAP,
    QUOTIENT_FRACTION,
)
from hnlpu.arithmetic.fixed_point._curves import tanh
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, SMALLEST, VALUE_BITS, rounded, saturated
from hnlpu.arithmetic.fixed_point._functions import divided, exponential
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Cap = tuple[int, int]
"""Of scores, as `soft_cap` makes it, or NO_CAP."""


@dataclass(frozen=True)
class AttendedPart:
    """What some positions add: `total` [heads] in units of 2^-24, `sums` [heads, width] of 2^-28."""

    total: Int64
    sums: Int64


def largest_scores(queries: Int32, keys: Int32, cap: Cap = NO_CAP) -> Int64:
    """First round: per head the largest score (a value) over keys [kv heads, n, d].

    Queries [heads, d] are scaled, both in units of 2^-12 as `to_keys` makes them.
    Without positions it is the smallest value, -2^31.
    """
    heads, (kv_heads, n, _) = len(queries), keys.shape
    if not n:
        return np.full(heads, -(2 ** (VALUE_BITS - 1)), np.int64)
    grouped = np.repeat(keys, heads // kv_heads, axis=0)
    return np.asarray(_scores(queries, grouped, cap).max(1))


def attend_part(
    queries: Int32, keys: Int32, values: Int32, largest: Int64, cap: Cap = NO_CAP
) -> AttendedPart:
    """Second round: sums of some positions' exponentials, given the largest score of all [heads].

    Keys [kv heads, n, d] and values [kv heads, n, width]; `largest` includes the sinks.
    """
    group = len(queries) // len(keys)
    scores = _scores(queries, np.repeat(keys, group, axis=0), cap)
    return AttendedPart(*_sums(scores, np.repeat(values, group, axis=0), largest))


def merge_parts(parts: Sequence[AttendedPart], largest: Int64, sinks: Int64) -> Int64:
    """Attention's output [heads * width], bit for bit that of `attend` over all positions.

    Parts may stand in any order: sums of integers do not depend on it.
    """
    total = np.sum([part.total for part in parts], axis=0)
    sums = np.sum([part.sums for part in parts], axis=0)
    return _quotients(sums, total, largest, sinks)


@njit(cache=True, nogil=True)
def largest_by_row(
    queries: Int32, keys: Int32, start: int, window: int, rows: int, first: int, cap: Cap = NO_CAP
) -> Int64:
    """`largest_scores` [rows, tokens, heads] where position p lies on row p mod rows.

    As `attend` takes them; entry 0 of the keys is position `first`.
    """
    tokens, heads, _ = queries.shape
    group = heads // keys.shape[0]
    out = np.full((rows, tokens, heads), SMALLEST, np.int64)
    for token in range(tokens):
        end = start + token
        low = max(0, end - window + 1) if window > 0 else 0
        for head in range(heads):
            for j in range(low, end + 1):
                row = (j + first) % rows
                score = _score(queries[token, head], keys[head // group, j], cap)
                out[row, token, head] = max(out[row, token, head], score)
    return out


@njit(cache=True, nogil=True)
def sums_by_row(
    queries: Int32, keys: Int32, values: Int32, start: int, window: int, rows: int, first: int,
    largest: Int64, cap: Cap = NO_CAP,
) -> tuple[Int64, Int64]:  # fmt: skip
    """`attend_part`'s total [rows, tokens, heads] and sums [rows, tokens, heads, width].

    `largest` [rows, tokens, heads] are the scores that each row's exponentials start from.
    """
    tokens, heads, _ = queries.shape
    group, width = heads // keys.shape[0], values.shape[2]
    total = np.zeros((rows, tokens, heads), np.int64)
    sums = np.zeros((rows, tokens, heads, width), np.int64)
    for token in range(tokens):
        end = start + token
        low = max(0, end - window + 1) if window > 0 else 0
        for head in range(heads):
            g = head // group
            for j in range(low, end + 1):
                row = (j + first) % rows
                score = _score(queries[token, head], keys[g, j], cap)
                share: Any = exponential(largest[row, token, head] - score)
                total[row, token, head] += share
                for i in range(width):
                    mixed = rounded(share * np.int64(values[g, j, i]), MIXED_SHIFT)
                    sums[row, token, head, i] += mixed
    return total, sums


@njit(cache=True, nogil=True)
def _score(query: Int32, key: Int32, cap: Cap) -> int:
    """The score (a value) of a query [d] and a key [d]."""
    score: Any = 0
    for i in range(len(query)):
        score += np.int64(query[i]) * np.int64(key[i])
    value: int = saturated(rounded(score, 2 * KEY_FRACTION - FRACTION))
    if cap[1]:
        bent = tanh(saturated(rounded(value * cap[0], UNIT_FRACTION)))
        value = saturated(rounded(bent * cap[1], UNIT_FRACTION))
    return value


@njit(cache=True, nogil=True)
def _scores(queries: Int32, keys: Int32, cap: Cap) -> Int64:
    """Scores [heads, n] (values) of queries [heads, d] and keys [heads, n, d]."""
    heads, n, _ = keys.shape
    out = np.empty((heads, n), np.int64)
    for head in range(heads):
        for j in range(n):
            out[head, j] = _score(queries[head], keys[head, j], cap)
    return out


@njit(cache=True, nogil=True)
def _sums(scores: Int64, values: Int32, largest: Int64) -> tuple[Int64, Int64]:
    """Sums of exponentials [heads] and of exponentials times values [heads, width]."""
    heads, n, size = values.shape
    total = np.zeros(heads, np.int64)
    sums = np.zeros((heads, size), np.int64)
    for head in range(heads):
        for j in range(n):
            share: Any = exponential(largest[head] - scores[head, j])
            total[head] += share
            for i in range(size):
                sums[head, i] += rounded(share * np.int64(values[head, j, i]), MIXED_SHIFT)
    return total, sums


@njit(cache=True, nogil=True)
def _quotients(sums: Int64, total: Int64, largest: Int64, sinks: Int64) -> Int64:
    heads, size = sums.shape
    out = np.empty(heads * size, np.int64)
    for head in range(heads):
        whole: Any = total[head] + exponential(largest[head] - sinks[head])
        for i in range(size):
            out[head * size + i] = saturated(divided(sums[head, i], whole, QUOTIENT_FRACTION))
    return out
