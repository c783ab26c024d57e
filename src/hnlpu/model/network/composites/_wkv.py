"""RWKV's memory (arXiv 2404.05892): every key fades at a rate of its own, the newest has a bonus.

y = (S + bonus k v^T)^T r        S = decay S + k v^T        S [heads, K, V]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Outer


def wkv(r: Value, k: Value, v: Value, decay: Value, bonus: Value) -> Value:
    """y [heads, V] of r, k, decay and bonus [heads, K] and v [heads, V]."""
    b, (heads, key), (_, width) = r.builder, k.sizes, v.sizes
    with b.span("wkv"):
        state = b.state("memory", (heads, key, width), Replace())
        memory = b.read(state, "before")
        new = b.step(Outer("hk,hv->hkv"), k, v)
        y = b.step(Dot("hkv,hk->hv"), memory + new * bonus.reshape(heads, key, 1), r)
        b.write(state, memory * decay.reshape(heads, key, 1) + new)
        return y
