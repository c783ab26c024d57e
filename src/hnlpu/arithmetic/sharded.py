"""Attention over some of the positions, and the whole from such parts.

keys 0..n ─► part ─┐
keys n..N ─► part ─┴─► merge, in the order of places ─► attended

A part has, per head, the largest score m, the sum of e^(score - m), and the sum of values times it.
One round of messages is enough (the online softmax of arXiv 1805.02867): parts are scaled to the
largest score of all as they are merged.  The result depends on where the cuts are by rounding alone,
and not on which part is ready first.  `hnlpu.arithmetic.fixed_point` has attention in parts whose
bits do not depend on the cuts at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PartialAttention:
    """What some positions say to a query: `largest` [heads], `total` [heads], `mixed` [heads, d].

    Without any positions the largest score is -inf and the sums are zero.
    """

    largest: Float64
    total: Float64
    mixed: Float64


def attend_part(q: Float64, keys: Float64, values: Float64, scale: float) -> PartialAttention:
    """The part of positions with keys [n, kv heads, d] and values [n, kv heads, width], n >= 0.

    q [heads, d]; query heads share key and value heads in equal runs.  All in float64.
    """
    n, kv_heads, d = keys.shape
    heads = len(q)
    if not n:
        none = np.full(heads, -np.inf)
        return PartialAttention(none, np.zeros(heads), np.zeros((heads, values.shape[2])))
    grouped = q.reshape(kv_heads, heads // kv_heads, d)
    scores = scale * np.einsum("grd,ngd->grn", grouped, keys)
    largest = scores.max(-1)
    powers = np.exp(scores - largest[..., None])
    mixed = np.einsum("grn,ngw->grw", powers, values)
    return PartialAttention(
        largest.reshape(heads), powers.sum(-1).reshape(heads), mixed.reshape(heads, -1)
    )


def merge(parts: Sequence[PartialAttention]) -> PartialAttention:
    """The part of all positions of `parts`, which stand in the order of their places."""
    largest = np.max([part.largest for part in parts], axis=0)
    total, mixed = np.zeros_like(parts[0].total), np.zeros_like(parts[0].mixed)
    for part in parts:
        # parts without positions have -inf, and all of them may: 0 times whatever they hold
        with np.errstate(invalid="ignore"):
            factor = np.where(part.total > 0, np.exp(part.largest - largest), 0.0)
        total += factor * part.total
        mixed += factor[:, None] * part.mixed
    return PartialAttention(largest, total, mixed)


def attended(part: PartialAttention) -> Float64:
    """Attention's output [heads, width]: the mix of values by their shares."""
    return part.mixed / part.total[:, None]
