"""Gates of feed-forward blocks (arXiv 2002.05202).

glu              down(f(gate(x)) * up(x))            f: silu, gelu, gelu_tanh
clamped_swiglu   (up + 1) * gate * sigmoid(alpha * gate), gate and up clamped     gpt-oss
"""

from __future__ import annotations

from typing import Literal

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Matrix
from hnlpu.model.network.composites._dense import dense, dense_all
from hnlpu.model.network.ops import Maximum, Minimum

Gate = Literal["silu", "gelu", "gelu_tanh"]


def silu(x: Value) -> Value:
    """x * sigmoid(x)."""
    with x.builder.span("silu"):
        return x * x.table("sigmoid")


def glu(
    x: Value, gate: Matrix, up: Matrix, down: Matrix, *, by: Gate = "silu",
    chosen: Value | None = None,
) -> Value:  # fmt: skip
    """Gated block of x [n]; of each `chosen` expert where there are members."""
    with x.builder.span("glu", by=by):
        opened, raised = dense_all(x, gate, up, chosen=chosen)
        opened = silu(opened) if by == "silu" else opened.table(by)
        return dense(opened * raised, down, chosen=chosen)


def clamped_swiglu(gate_up: Value, alpha: float, limit: float) -> Value:
    """[..., n] of [..., 2 n]: even columns are the gate (at most `limit`), odd ones up (+-limit)."""
    b, (*rows, twice) = gate_up.builder, gate_up.sizes
    with b.span("clamped_swiglu", alpha=alpha, limit=limit):
        pairs = gate_up.reshape(*rows, twice // 2, 2).split(1, 1)
        gate, up = (half.reshape(*rows, twice // 2) for half in pairs)
        gate = b.step(Minimum(), gate, limit)
        up = b.step(Minimum(), b.step(Maximum(), up, -limit), limit)
        return (up + 1.0) * (gate * (gate * alpha).table("sigmoid"))
