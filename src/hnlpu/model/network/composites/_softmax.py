"""softmax(x) = e^(x - max) / sum of e^(x - max), over the last axis."""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network.ops import Concat


def softmax(x: Value, sink: Value | None = None) -> Value:
    """Shares of x [..., n]; a sink [..., 1] takes a share too, which falls away."""
    b = x.builder
    with b.span("softmax", sink=sink is not None):
        if sink is None:
            return _shares(x)
        _, shares = _shares(b.step(Concat(), sink, x)).split(1, x.shape[-1])
        return shares


def _shares(x: Value) -> Value:
    powers = (x - x.max(keep=True)).table("exp")
    return powers / powers.sum(keep=True, wide=True)
