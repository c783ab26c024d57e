"""Rotary position embedding on split halves (arXiv 2104.09864).

[a b] ─► [a cos - b sin, b cos + a sin]     pair i turns by position * frequency i
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network.ops import Concat

Turns = tuple[Value, Value]


def turns(position: Value, frequencies: Value, scale: float = 1.0) -> Turns:
    """Cosines and sines [pairs], times `scale`, of a position's angles."""
    with position.builder.span("turns", scale=scale):
        angles = frequencies * position
        return angles.table("cos", scale), angles.table("sin", scale)


def rope(x: Value, by: Turns) -> Value:
    """Heads x [heads, d], the first 2 * pairs of whose numbers turn."""
    (pairs,), d = by[0].sizes, x.sizes[-1]
    with x.builder.span("rope", pairs=pairs):
        rest = (d - 2 * pairs,) if d > 2 * pairs else ()
        a, b, *others = x.split(pairs, pairs, *rest)
        cos, sin = by
        turned = (a * cos - b * sin, b * cos + a * sin)
        return x.builder.step(Concat(), *turned, *others)
