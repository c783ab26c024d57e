"""Mamba-2's state space (arXiv 2405.21060), heads in groups that share B and C.

S = e^(dt a) S + (dt x) B^T        y = S C + D x           S [groups, heads, P, N]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Dot, Outer


def ssm_scan(x: Value, dt: Value, a: Value, b_in: Value, c_out: Value, skip: Value) -> Value:
    """y [heads, P] of x [heads, P], dt and a and skip [heads], B and C [groups, N]."""
    b, (heads, p), (groups, n) = x.builder, x.sizes, b_in.sizes
    r = heads // groups
    with b.span("ssm_scan", groups=groups):
        state = b.state("memory", (groups, r, p, n), Replace())
        decay = (dt * a).table("exp").reshape(groups, r, 1, 1)
        moved = (x * dt.reshape(heads, 1)).reshape(groups, r, p)
        memory = b.read(state, "before") * decay + b.step(Outer("grp,gn->grpn"), moved, b_in)
        b.write(state, memory)
        y = b.step(Dot("grpn,gn->grp"), memory, c_out).reshape(heads, p)
        return y + x * skip.reshape(heads, 1)
