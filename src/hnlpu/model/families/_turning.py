"""Angles of heads of which only some numbers turn, and where configs write down how many."""

from __future__ import annotations

from typing import Any

from hnlpu.model.families._rope import AnyRope
from hnlpu.model.network import Builder, Given, Value
from hnlpu.model.network.composites import turns


def turns_of(b: Builder, rope: AnyRope, size: int, name: str = "rope") -> tuple[Value, Value]:
    """Cosines and sines [size / 2] of the position, for the first `size` numbers of a head.

    The frequencies are a parameter under `name`.
    """
    frequencies, factor = rope.frequencies(size)
    values = tuple(float(value) for value in frequencies)
    table = b.parameter(f"{name}.frequencies", (len(values),), Given(values, (len(values),)))
    return turns(b.position(), table, factor)


def take_partial(values: dict[str, Any], default: float) -> Any:
    """`partial_rotary_factor` out of a config: that of the rope parameters, or the one beside them."""
    found = values.pop("partial_rotary_factor", default)
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(values.get(key), dict):
            inner = dict(values[key])
            found = inner.pop("partial_rotary_factor", found)
            values[key] = inner
    return found
