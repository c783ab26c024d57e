"""The gated delta rule (arXiv 2412.06464): forget, then correct what a key recalls.

S = decay S        S = S + k (beta (v - k^T S))^T        y = S^T q        S [heads, K, V]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Outer


def delta_rule(q: Value, k: Value, v: Value, beta: Value, decay: Value) -> Value:
    """y [heads, V] of q and k [heads, K], v [heads, V], beta and decay [heads]."""
    b, (heads, key), (_, width) = q.builder, k.sizes, v.sizes
    with b.span("delta_rule"):
        state = b.state("memory", (heads, key, width), Replace())
        faded = b.read(state, "before") * decay.reshape(heads, 1, 1)
        wrong = (v - b.step(Dot("hkv,hk->hv"), faded, k)) * beta.reshape(heads, 1)
        memory = faded + b.step(Outer("hk,hv->hkv"), k, wrong)
        b.write(state, memory)
        return b.step(Dot("hkv,hk->hv"), memory, q)
