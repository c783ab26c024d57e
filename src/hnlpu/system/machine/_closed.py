"""A machine, a model and a workload -> `ClosedForm`: the rate that no schedule exceeds, and what says so.

    users in flight / a token's latency alone   or   1 / what a token takes of the busiest resource

This is the one rate that every command computes: `hnlpu simulate` prints it as the bound of a steady state,
`hnlpu cost` prices it, `hnlpu audit` holds claims to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Model
from hnlpu.system.machine._analytic import (
    largest_demand,
    token_costs,
    token_latency,
)
from hnlpu.system.machine._kv import KvState, held_sequences, kv_state
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import TokenWork
from hnlpu.system.machine._work import token_work

DEFAULT_CONTEXT = 2048
"""Positions cached where nobody says: those of the first point that the HNLPU paper publishes."""
IN_FLIGHT = "tokens in flight"


@dataclass(frozen=True)
class ClosedForm:
    """Tokens/s of a machine with `users` sequences at `context` cached positions each, and its limit.

    `tokens_per_second` counts all tokens that pass, of which `output_share` are generated; tokens of prompts
    need no logits.  `generated_per_second` is the rate where all of them are generated.  `latency` is that
    of a generated token alone, in seconds.
    """

    tokens_per_second: float
    generated_per_second: float
    resource: str
    users: int
    context: int
    output_share: float
    latency: float
    grid: tuple[int, int]


def default_context(model: Model) -> int:
    """Positions that commands take where nobody says: `DEFAULT_CONTEXT`, or all that the model has."""
    return min(DEFAULT_CONTEXT, model.positions)


def fitting_sequences(
    spec: Specification, work: TokenWork, embedding: int, batch: int, context: int
) -> int:
    """Sequences, at most `batch`, whose keys and values and states of fixed size fit."""
    one = kv_state(spec, work, embedding, 1, context)
    if one.bytes == 0:
        return batch
    fitting = math.floor(one.capacity_bytes / one.bytes)
    held = held_sequences(spec, work)
    return min(batch, fitting if held is None else min(fitting, held))


def nothing_fits(one: KvState, context: int) -> InvalidInput:
    """The error of a machine that cannot hold a single sequence."""
    if one.held_bytes > one.buffer_bytes:
        return InvalidInput(
            f"one sequence needs {one.held_bytes / 1e6:.3g} MB for states of fixed size, copies on "
            f"other chips too, the buffers have {one.buffer_bytes / 1e6:.3g} MB; use more chips"
        )
    return InvalidInput(
        f"one sequence of {context} positions needs {one.bytes / 1e9:.3g} GB for keys and "
        f"values, the machine has {one.capacity_bytes / 1e9:.3g} GB; use a shorter `context` "
        "or fewer `kv_bits`"
    )


def steady_bound(
    spec: Specification, work: TokenWork, context: int, kv: KvState, in_flight: int,
    output_share: float = 1.0,
) -> tuple[float, str]:  # fmt: skip
    """The rate that no schedule of `in_flight` tokens exceeds, and the resource that says so.

    `output_share` of the tokens need logits.  Where experts are drawn at random it is a bound of the mean.
    """
    latency, held = token_costs(spec, work, context, kv)
    alone = latency.total
    if output_share < 1:  # a token of a prompt leaves before the unembedding
        shorter, less = token_costs(spec, work, context, kv, logits=False)
        alone = output_share * alone + (1 - output_share) * shorter.total
        held = {name: output_share * held[name] + (1 - output_share) * less[name] for name in held}
    resource, longest = largest_demand(held)
    by_slots = in_flight / alone
    if longest <= 0 or by_slots < 1 / longest:
        return by_slots, IN_FLIGHT
    return 1 / longest, resource


def closed_form(
    spec: Specification, model: Model, context: int | None = None, users: int | None = None, *,
    sliding: bool = True, output_share: float = 1.0, work: TokenWork | None = None,
) -> ClosedForm:  # fmt: skip
    """The rate of `model` on a machine; by default with a user in every slot, at `default_context`.

    `work` is what `token_work` makes of the model, where it is at hand.  Users are at most those whose keys and values and states fit.  Raises InvalidInput for numbers that make
    no sense and where not even one sequence fits.
    """
    context = default_context(model) if context is None else context
    users = spec.slots if users is None else users
    if not 1 <= context <= 2**24:
        raise InvalidInput(f"`context` {context}: give 1 to {2**24} positions")
    if not 1 <= users <= 2**20:
        raise InvalidInput(f"`users` {users}: give 1 to {2**20} sequences")
    if work is None:
        work = token_work(model, spec.rows, spec.columns, sliding)
    embedding = model.embedding_weights
    admitted = fitting_sequences(spec, work, embedding, users, context)
    if admitted == 0:
        raise nothing_fits(kv_state(spec, work, embedding, 1, context), context)
    kv, in_flight = kv_state(spec, work, embedding, admitted, context), min(admitted, spec.slots)
    generated, resource = steady_bound(spec, work, context, kv, in_flight)
    passed = generated
    if output_share < 1:
        passed, resource = steady_bound(spec, work, context, kv, in_flight, output_share)
    alone = token_latency(spec, work, context, kv, 1).total
    return ClosedForm(
        passed,
        generated,
        resource,
        admitted,
        context,
        output_share,
        alone,
        (spec.rows, spec.columns),
    )
