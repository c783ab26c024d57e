"""Mamba's selective scan (arXiv 2312.00752): every channel has a memory, whose numbers fade apart.

S = e^(dt a) * S + (dt x) B^T        y = S C + D x           S [channels, N]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Outer


def selective_scan(x: Value, dt: Value, a: Value, b_in: Value, c_out: Value, skip: Value) -> Value:
    """y [channels] of x, dt and skip [channels], a [channels, N], B and C [N]."""
    b, (channels, n) = x.builder, a.sizes
    with b.span("selective_scan"):
        state = b.state("memory", (channels, n), Replace())
        decay = (dt.reshape(channels, 1) * a).table("exp")
        new = b.step(Outer("p,n->pn"), x * dt, b_in)
        memory = b.read(state, "before") * decay + new
        b.write(state, memory)
        return b.step(Dot("pn,n->p"), memory, c_out) + x * skip
