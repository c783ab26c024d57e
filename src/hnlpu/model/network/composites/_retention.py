"""Attention as a memory of fixed size.

retention          S = decay S + k v^T      y = S^T q                      arXiv 2307.08621
linear_attention   S = S + f(k) v^T, z = z + f(k)     y = S^T f(q) / (z . f(q))
                   f(x) = elu(x) + 1                                       arXiv 2006.16236
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Maximum, Minimum, Outer


def retention(q: Value, k: Value, v: Value, decay: Value) -> Value:
    """y [heads, V] of q and k [heads, K], v [heads, V] and decay [heads]."""
    b, (heads, key), (_, width) = q.builder, k.sizes, v.sizes
    with b.span("retention"):
        state = b.state("memory", (heads, key, width), Replace())
        faded = b.read(state, "before") * decay.reshape(heads, 1, 1)
        memory = faded + b.step(Outer("hk,hv->hkv"), k, v)
        b.write(state, memory)
        return b.step(Dot("hkv,hk->hv"), memory, q)


def linear_attention(q: Value, k: Value, v: Value) -> Value:
    """y [heads, V] of q and k [heads, K] and v [heads, V]."""
    b, (heads, key), (_, width) = q.builder, k.sizes, v.sizes
    with b.span("linear_attention"):
        memory_state = b.state("memory", (heads, key, width), Replace())
        total_state = b.state("total", (heads, key), Replace())
        q, k = _positive(q), _positive(k)
        memory = b.read(memory_state, "before") + b.step(Outer("hk,hv->hkv"), k, v)
        total = b.read(total_state, "before") + k
        b.write(memory_state, memory)
        b.write(total_state, total)
        norm = b.step(Dot("hk,hk->h", wide=False), total, q).reshape(heads, 1)
        return b.step(Dot("hkv,hk->hv"), memory, q) / norm


def _positive(x: Value) -> Value:
    """elu(x) + 1: e^x below zero, x + 1 above."""
    b = x.builder
    return b.step(Minimum(), x, 0.0).table("exp") + b.step(Maximum(), x, 0.0)
