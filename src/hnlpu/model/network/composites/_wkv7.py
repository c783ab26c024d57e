"""RWKV-7's memory (arXiv 2503.14456): keys fade at rates of their own, and one is written over.

S = diag(decay) S - (rate * key) (S^T key)^T + k v^T        y = S^T r        S [heads, K, V]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Outer


def wkv7(r: Value, k: Value, v: Value, decay: Value, key: Value, rate: Value) -> Value:
    """y [heads, V] of r, k, decay, key and rate [heads, K] and v [heads, V].

    `key` has length 1; what the memory recalls for it is taken back by `rate`, from 0 to 1.
    """
    b, (heads, size), (_, width) = r.builder, k.sizes, v.sizes
    with b.span("wkv7"):
        state = b.state("memory", (heads, size, width), Replace())
        before = b.read(state, "before")
        recalled = b.step(Dot("hkv,hk->hv"), before, key)
        faded = before * decay.reshape(heads, size, 1)
        taken = b.step(Outer("hk,hv->hkv"), key * rate, recalled)
        memory = faded - taken + b.step(Outer("hk,hv->hkv"), k, v)
        b.write(state, memory)
        return b.step(Dot("hkv,hk->hv"), memory, r)
