"""A mixture of experts: a router chooses k of them, their outputs are added by their shares.

x ─► router ─► route ─► chosen [k] ─► experts ─► [k, n] ─► sum of share * output
"""

from __future__ import annotations

from collections.abc import Callable

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Matrix
from hnlpu.model.network.composites._dense import dense
from hnlpu.model.network.composites._softmax import softmax
from hnlpu.model.network.ops import Dot, TopK

Routing = Callable[[Value], tuple[Value, Value]]


def route(
    logits: Value, k: int, *, share_first: bool = False, normalise: bool = True
) -> tuple[Value, Value]:
    """Shares and numbers [k] of the k experts with the largest logits [experts], falling.

    Shares are the softmax of the k; with `share_first`, of all experts, then divided by the sum of
    the k if `normalise`.
    """
    b = logits.builder
    with b.span("route", k=k, share_first=share_first, normalise=normalise):
        if not share_first:
            best, chosen = b.steps(TopK(k), logits, outs=2)
            return softmax(best), chosen
        best, chosen = b.steps(TopK(k), softmax(logits), outs=2)
        return best / best.sum(keep=True, wide=True) if normalise else best, chosen


def moe(
    x: Value, router: Matrix, k: int, experts: Callable[[Value, Value], Value], *,
    share_first: bool = False, normalise: bool = True, by: Routing | None = None,
) -> Value:  # fmt: skip
    """The mixture for x [n]; `experts(x, chosen)` gives the chosen ones' outputs [k, n].

    `by` makes shares and numbers [k] of logits in place of `route`.
    """
    b = x.builder
    with b.span("moe", k=k):
        logits = dense(x, router)
        if by is None:
            shares, chosen = route(logits, k, share_first=share_first, normalise=normalise)
        else:
            shares, chosen = by(logits)
        return b.step(Dot("k,kn->n"), shares, experts(x, chosen))
