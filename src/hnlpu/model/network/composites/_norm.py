"""Norms over the last axis.

norm         x / sqrt(mean(x^2) + eps) * weight              RMSNorm, arXiv 1910.07467
layer_norm   (x - mean) / sqrt(variance + eps) * weight + bias         arXiv 1607.06450
unit_norm    x / sqrt(sum(x^2) + eps)                        keys of the delta rule
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network.ops import Dot


def norm(x: Value, weight: Value, eps: float) -> Value:
    """RMSNorm of x [..., n] with weights [n] or [..., n]."""
    with x.builder.span("norm", eps=eps):
        return x * _kept((_squares(x) / x.sizes[-1] + eps).inverse_root()) * weight


def layer_norm(x: Value, weight: Value, bias: Value, eps: float) -> Value:
    """Layer norm of x [..., n] with weights and biases [n]."""
    with x.builder.span("layer_norm", eps=eps):
        centred = x - x.sum(keep=True, wide=True) / x.sizes[-1]
        factor = (_squares(centred) / x.sizes[-1] + eps).inverse_root()
        return centred * _kept(factor) * weight + bias


def unit_norm(x: Value, eps: float) -> Value:
    """x [..., n] at length 1."""
    with x.builder.span("unit_norm", eps=eps):
        return x * _kept((_squares(x) + eps).inverse_root())


def _squares(x: Value) -> Value:
    """Sums of squares [...] over the last axis, not rounded."""
    rows = "abcdefgh"[: len(x.shape) - 1]
    return x.builder.step(Dot(f"{rows}n,{rows}n->{rows}", wide=True), x, x)


def _kept(factor: Value) -> Value:
    """A factor for each row, as one that fits the last axis."""
    return factor.reshape(*factor.shape, 1) if factor.shape else factor
