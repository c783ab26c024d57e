"""A convolution of each channel over the last positions, this one last.

x ─► ring of K ─► y[c] = sum over k of window[k, c] * weight[c, k] + bias[c]
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Ring
from hnlpu.model.network.ops import Dot


def causal_conv(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """y [channels] of x [channels] with weights [channels, K]; zeros stand before the first."""
    b, (_, length) = x.builder, weight.sizes
    with b.span("causal_conv", length=length):
        y = b.step(Dot("kc,ck->c"), b.keep("window", x, Ring(length)), weight)
        return y if bias is None else y + bias
