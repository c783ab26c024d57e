"""Numbers of a transformer that its layers on a device need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Numbers:
    """What layers need to know beside their weights; `eps` is of the norms, `gain`, `limit` of SwiGLU."""

    heads: int
    kv_heads: int
    head_size: int
    active: int
    activation_bits: int
    eps: float
    gain: float
    limit: float
