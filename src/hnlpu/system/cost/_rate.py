"""Tokens/s that a hardwired system could pass, where nobody has published any.

A bound in closed form from `machine`: tokens in flight over a token's latency, or one over
what a token takes of the busiest resource.  `hnlpu simulate` says what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hnlpu.system.catalog import Model, System, resized
from hnlpu.system.machine import kv_state, specification, token_demand, token_latency, token_work


@dataclass(frozen=True)
class RateBound:
    """Tokens/s that no schedule exceeds, for `users` at once, and what says so."""

    tokens_per_second: float
    users: int
    grid: tuple[int, int]
    resource: str
    context: int


def rate_bound(system: System, model: Model, chips: int, context: int) -> RateBound:
    """The bound for `model` on `chips` chips of `system` at `context` cached positions.

    A context beyond the model's longest is that one.  Sliding windows are used.  Raises InvalidInput where the chips make no grid for the model.
    """
    context = min(context, model.positions)
    known = system.machine is not None and system.model == model.name and chips == system.chips
    machine = system if known else resized(system, chips, model.most_columns)
    assert machine.machine is not None
    spec = replace(specification(machine), slots=machine.machine.slots(model.layers))
    work = token_work(model, spec.rows, spec.columns, sliding=True)
    kv = kv_state(spec, work, model.embedding_weights, spec.slots, context)
    held = token_demand(spec, work, context, kv)
    resource = max(held, key=lambda name: held[name])
    alone = token_latency(spec, work, context, kv, 1).total
    by_slots, by_resource = spec.slots / alone, 1 / held[resource]
    if by_slots < by_resource:
        resource = "tokens in flight"
    return RateBound(
        min(by_slots, by_resource), spec.slots, (spec.rows, spec.columns), resource, context
    )
