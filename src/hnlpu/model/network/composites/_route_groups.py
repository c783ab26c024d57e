"""Routing by sigmoids, groups and a correction (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).

logits ─► sigmoid ─┬─► + correction ─► groups with the best two ─► k best of these ─► chosen
                   └──────────────────────────────────────► their scores, normalised ─► shares
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network.ops import Compare, Gather, TopK, Where

LOWEST = -16384.0
"""Stands for a score that is never chosen: below all others, and within chip numerics."""


def route_groups(
    logits: Value, correction: Value, k: int, *, groups: Value | None = None, kept: int = 1,
    normalise: bool = True, scale: float = 1.0,
) -> tuple[Value, Value]:  # fmt: skip
    """Shares and numbers [k] of the chosen of logits [experts], falling by corrected score.

    Only experts of the `kept` groups count whose two best corrected scores have the largest sums;
    `groups` are their numbers 0, 1, 2 ..., None where all count.  Shares are sigmoids without correction, divided by their sum if `normalise`, times `scale`.
    """
    b, (experts,) = logits.builder, logits.sizes
    count = 1 if groups is None else groups.sizes[0]
    options = {"k": k, "groups": count, "kept": kept, "normalise": normalise, "scale": scale}
    with b.span("route_groups", **options):
        scores = logits.table("sigmoid")
        corrected = scores + correction
        if groups is not None:
            grouped = corrected.reshape(count, experts // count)
            best, _ = b.steps(TopK(2), grouped, outs=2)
            _, among = b.steps(TopK(kept), best.sum(), outs=2)
            within = _one_of(among, groups).reshape(count, 1)
            corrected = b.step(Where(), within, grouped, LOWEST).reshape(experts)
        _, chosen = b.steps(TopK(k), corrected, outs=2)
        shares = b.step(Gather(), scores, chosen)
        if normalise:
            shares = shares / shares.sum(keep=True)
        return shares * scale, chosen


def _one_of(chosen: Value, numbers: Value) -> Value:
    """Truths [groups]: which of `numbers` are among the chosen."""
    b, (n,) = chosen.builder, chosen.sizes
    same = b.step(Compare("equal"), chosen.reshape(n, 1), numbers)
    return b.step(Compare("less"), 0.5, b.step(Where(), same, 1.0, 0.0).max(0))
