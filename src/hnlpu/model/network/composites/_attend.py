"""Attention over all positions so far, or the last `window` of them.

k, v ─► states          q [heads, d]
         │ keys [T, kv heads, d]
         ▼
scores = q . keys * scale ─► softcap ─► softmax with sink ─► shares . values
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Append
from hnlpu.model.network.composites._softmax import softmax
from hnlpu.model.network.ops import Dot


def attend(
    q: Value, k: Value, v: Value, *, scale: float, window: int | None = None,
    sink: Value | None = None, softcap: float | None = None,
) -> Value:  # fmt: skip
    """Mixed values [heads * width] of q [heads, d], k [kv heads, d] and v [kv heads, width].

    Query heads share key and value heads in equal runs.  A head's `sink` [heads] takes a share of
    its softmax and gives nothing; `softcap` c bounds scores to c * tanh(score / c).
    """
    b, (heads, d), (kv_heads, width) = q.builder, q.sizes, v.sizes
    options = {"window": window or 0, "softcap": softcap or 0.0}
    with b.span("attend", scale=scale, sink=sink is not None, **options):
        keys = b.keep("keys", k, Append(window))
        values = b.keep("values", v, Append(window))
        queries = q.reshape(kv_heads, heads // kv_heads, d)
        scores = b.step(Dot("grd,tgd->grt"), queries, keys) * scale
        if softcap is not None:
            scores = (scores / softcap).table("tanh") * softcap
        if sink is not None:
            sink = sink.reshape(kv_heads, heads // kv_heads, 1)
        mixed = b.step(Dot("grt,tgd->grd"), softmax(scores, sink), values)
        return mixed.reshape(heads * width)
