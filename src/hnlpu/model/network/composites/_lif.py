"""Leaky integrate-and-fire neurons in discrete time, as snntorch's `Leaky` counts it.

    fired = u' > threshold                           u': the membrane that the position before left
    u     = decay * u' + current - threshold * fired     reset by subtraction
    u     = (decay * u' + current) where not fired       reset to zero
    spike = u > threshold

The reset acts one position behind the spike.
"""

from __future__ import annotations

from typing import Literal

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Replace
from hnlpu.model.network.ops import Compare, Where

Reset = Literal["subtract", "zero"]


def lif(current: Value, decay: Value, threshold: float, reset: Reset) -> Value:
    """Spikes [n], 0 or 1, of currents [n]; `decay` [n] is the share of a membrane that stays."""
    b = current.builder
    with b.span("lif", threshold=threshold, reset=reset):
        state = b.state("membrane", current.sizes, Replace())
        before = b.read(state, "before")
        fired = b.step(Compare("less"), threshold, before)
        kept = before * decay + current
        if reset == "subtract":
            after = b.step(Where(), fired, kept - threshold, kept)
        else:
            after = b.step(Where(), fired, 0.0, kept)
        b.write(state, after)
        return b.step(Where(), b.step(Compare("less"), threshold, after), 1.0, 0.0)


def leaky(current: Value, decay: Value) -> Value:
    """Leaky integrators [n] of currents [n]: u = decay * u' + current, which never fire."""
    b = current.builder
    with b.span("leaky"):
        state = b.state("membrane", current.sizes, Replace())
        after = b.read(state, "before") * decay + current
        b.write(state, after)
        return after
