"""A low-rank part beside a matrix, as LoRA (arXiv 2106.09685) has it: y + scaling * B (A x).

x ─► A ─► [rank] ─► B ─► * scaling ─► + y

A and B are parameters, so they can be exchanged while the matrix is metal.
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network.ops import Dot, Gather

_LEAD = "abcdefgh"


def low_rank(
    x: Value, y: Value, down: Value, up: Value, scaling: float, *, chosen: Value | None = None
) -> Value:
    """y [..., rows] + scaling * B (A x) for x [..., columns].

    `down` [columns, rank] is A transposed, `up` [rank, rows] is B transposed.  Of a matrix with
    members they have an axis for those in front: with `chosen` [...] vector by vector the chosen
    one's, of x [columns] or [..., columns]; without it, vector m meets member m.
    """
    b = x.builder
    lead = _LEAD[: len(x.shape) - 1]
    with b.span("low_rank", chosen=chosen is not None, scaling=scaling):
        if len(down.shape) == 2:
            inner = b.step(Dot(f"{lead}i,ir->{lead}r"), x, down)
            total = b.step(Dot(f"{lead}r,ro->{lead}o"), inner, up)
        else:
            of = lead
            if chosen is not None:
                of = _LEAD[: len(chosen.shape)]
                down, up = b.step(Gather(), down, chosen), b.step(Gather(), up, chosen)
            inner = b.step(Dot(f"{lead}i,{of}ir->{of}r"), x, down)
            total = b.step(Dot(f"{of}r,{of}ro->{of}o"), inner, up)
        return y + total * scaling
