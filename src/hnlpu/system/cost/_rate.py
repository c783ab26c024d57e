"""Tokens/s that a hardwired system could pass, where nobody has published any.

A bound in closed form from `machine`: tokens in flight over a token's latency, or one over
what a token takes of the busiest resource.  `hnlpu simulate` says what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Model, System, resized
from hnlpu.system.machine import (
    held_sequences,
    kv_state,
    specification,
    token_demand,
    token_latency,
    token_work,
)


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

    A context beyond the model's longest is that one.  Sliding windows are used.  Users are at most
    those whose states of fixed size the buffers hold.  Raises InvalidInput where the chips make no
    grid for the model, or hold no sequence of it.
    """
    context = min(context, model.positions)
    known = system.machine is not None and system.model == model.name and chips == system.chips
    machine = system if known else resized(system, chips, model.most_columns)
    assert machine.machine is not None
    spec = replace(specification(machine), slots=machine.machine.slots(model.layers))
    work = token_work(model, spec.rows, spec.columns, sliding=True)
    held_at_once = held_sequences(spec, work)
    users = spec.slots if held_at_once is None else min(spec.slots, held_at_once)
    if users == 0:
        raise InvalidInput(
            f"{chips} chips of {system.name} cannot keep the states of fixed size of one sequence of "
            f"{model.name}, so that no rate is known; use more chips, or say the rate"
        )
    kv = kv_state(spec, work, model.embedding_weights, users, context)
    held = token_demand(spec, work, context, kv)
    resource = max(held, key=lambda name: held[name])
    alone = token_latency(spec, work, context, kv, 1).total
    by_slots, by_resource = users / alone, 1 / held[resource]
    if by_slots < by_resource:
        resource = "tokens in flight"
    return RateBound(
        min(by_slots, by_resource), users, (spec.rows, spec.columns), resource, context
    )
