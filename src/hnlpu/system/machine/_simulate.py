"""Specification, model and load -> `Simulation`: rates, times, use of every resource, bottleneck.

`contention="none"` adds up one token's latencies (`_analytic`): N slots pass N / latency tokens a
second, whatever they share.  `contention="full"` lets tokens compete (`_engine`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Model
from hnlpu.system.machine._analytic import (
    PARTS,
    largest_demand,
    serial_time,
    token_demand,
    token_latency,
)
from hnlpu.system.machine._closed import (
    IN_FLIGHT,
    fitting_sequences,
    nothing_fits,
    steady_bound,
)
from hnlpu.system.machine._kv import KvState, kv_state
from hnlpu.system.machine._requests import Requests
from hnlpu.system.machine._run import Counts, run_decode, run_requests
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import TokenWork
from hnlpu.system.machine._work import token_work

Contention = Literal["none", "full"]
MOST_TOKENS = 10**8  # half an hour
SATURATED = 0.9
"""Use from which a resource, not the number of tokens in flight, is called the bottleneck."""


@dataclass(frozen=True)
class Load:
    """What the machine is asked to do.

    Without `requests`: `batch` sequences that each generate at `context` for ever.  With: each
    request's prompt and answer, `batch` of them at most at once.
    """

    context: int
    batch: int
    requests: Requests | None = None


@dataclass(frozen=True)
class Simulation:
    """What came out.  Rates per second of the whole machine; seconds; fractions.

    `tokens_per_second` counts generated tokens, `processed_per_second` those of prompts too.
    `latency` is the mean time of a generated token in the machine, `interval` the time from one
    token of a user to the next.  `bound` is the rate that no schedule exceeds, for a constant
    context.  `kv` is what the whole batch needs; `admitted` of its sequences fit.  `serial` is the
    time of the longest serial region: prompts are read no faster than a token for each of it.
    """

    contention: Contention
    tokens_per_second: float
    processed_per_second: float
    tokens_per_second_per_user: float
    bound: float | None
    latency: float
    latency_p50: float
    latency_p99: float
    interval: float
    unloaded_latency: float
    ttft: float
    ttft_p99: float
    breakdown: Mapping[str, float]
    waiting: Mapping[str, float]
    utilisation: Mapping[str, float]
    bottleneck: str
    kv: KvState
    batch: int
    admitted: int
    in_flight: int
    tokens_simulated: int
    span: float
    serial: float = 0.0


def simulate(
    spec: Specification,
    model: Model,
    load: Load,
    *,
    contention: Contention = "full",
    sliding: bool = True,
    seed: int = 0,
    tokens: int | None = None,
) -> Simulation:
    """Simulate `model` on a machine.

    `tokens` bounds how many are simulated (default: enough for a steady state, or all requests).
    Raises InvalidInput for a load that makes no sense, that is longer than the model's positions, or
    that the machine cannot hold at all.
    """
    work = token_work(model, spec.rows, spec.columns, sliding)
    _check(load, tokens)
    _check_positions(load, model)
    embedding = model.embedding_weights
    context, batch = _typical(load)
    kv = kv_state(spec, work, embedding, batch, context)
    fitting = fitting_sequences(spec, work, embedding, batch, context)
    if fitting == 0:
        raise nothing_fits(kv_state(spec, work, embedding, 1, context), context)
    if contention == "none":
        if (
            not spec.hbm_bandwidth and fitting < batch
        ):  # what does not fit has nowhere to stream from
            kv, batch = kv_state(spec, work, embedding, fitting, context), fitting
        return _analytic(spec, work, load, kv, batch, context)
    held = kv if fitting == batch else kv_state(spec, work, embedding, fitting, context)
    if load.requests is None:
        counts = run_decode(spec, work, context, min(fitting, spec.slots), seed, tokens)
    else:
        counts = run_requests(
            spec, work, load.requests, min(batch, spec.slots), kv.capacity_bytes, seed, tokens
        )
    return _of_counts(spec, work, load, kv, held, context, fitting, counts)


def prefill_time(
    spec: Specification, work: TokenWork, prompt: int, *, loaded: bool = False
) -> float:
    """Seconds to the first token of a prompt on a machine that does nothing else.

    Its tokens follow each other as fast as the most used resource lets them, or, `loaded`, as
    fast as slots / latency does, and no faster than the longest serial region; then the last one
    passes.
    """
    at = np.unique(np.linspace(1, prompt, 17).astype(int))
    gaps = np.empty(len(at))
    for i, position in enumerate(at):
        kv = kv_state(spec, work, 0, 1, int(position))
        alone = token_latency(spec, work, int(position), kv, spec.slots if loaded else 1)
        pace = alone.total / spec.slots
        if not loaded:
            demand = token_demand(spec, work, int(position), kv, logits=False)
            pace = max(pace, largest_demand(demand)[1])
        gaps[i] = max(pace, serial_time(spec, work, int(position), kv))
    every = np.interp(np.arange(1, prompt + 1), at, gaps).sum() - gaps[-1]
    return float(every + alone.total)


def _check(load: Load, tokens: int | None) -> None:
    asked = tokens or (load.requests.tokens if load.requests else 0)
    if asked > MOST_TOKENS:
        raise InvalidInput(
            f"{asked:,} tokens are to be simulated, which takes hours; give `tokens` N, at most "
            f"{MOST_TOKENS:,}"
        )
    if not 1 <= load.batch <= 2**20:
        raise InvalidInput(f"`batch` {load.batch}: give 1 to {2**20} sequences")
    longest = load.context
    if load.requests is not None:
        longest = load.requests.longest
    if not 1 <= longest <= 2**24:
        raise InvalidInput(f"`context` {longest}: give 1 to {2**24} positions")


def _check_positions(load: Load, model: Model) -> None:
    """A context may be one that no model has yet, to see what it would take; a request may not."""
    if load.requests is not None and load.requests.longest > model.positions:
        raise InvalidInput(
            f"a prompt and its answer have {load.requests.longest:,} tokens, model {model.name} has "
            f"{model.positions:,} positions; use a shorter `prefill` or `decode`"
        )


def _typical(load: Load) -> tuple[int, int]:
    """The context that stands for a load, and its sequences."""
    if load.requests is None:
        return load.context, load.batch
    longest = int((load.requests.prefill + load.requests.decode - 1).max())
    return longest, min(load.batch, len(load.requests))


def _analytic(
    spec: Specification, work: TokenWork, load: Load, kv: KvState, batch: int, context: int
) -> Simulation:
    """The paper's view: a token's latencies add up, nothing is shared."""
    in_flight = min(batch, spec.slots)
    latency = token_latency(spec, work, context, kv, in_flight)
    demand = token_demand(spec, work, context, kv)
    processed = generated = in_flight / latency.total
    prompt = context
    if (asked := load.requests) is not None:
        # prompts stream through all slots, one token at a time through a serial region; answers have
        # a slot each
        prompts, serial = asked.prefill.sum(), serial_time(spec, work, context, kv)
        passed = max(prompts / spec.slots, prompts * serial / latency.total)
        passed += (asked.decode - 1).sum() / in_flight
        span = latency.total * (passed + 1)
        processed, generated = asked.tokens / span, float(asked.decode.sum() / span)
        prompt = round(float(asked.prefill.mean()))
    breakdown = {part: getattr(latency, part) / latency.total for part in PARTS}
    limit = max(1e-30, largest_demand(demand)[1])
    ttft = prefill_time(spec, work, prompt, loaded=True)
    return Simulation(
        "none", generated, processed, generated / batch,
        min(in_flight / latency.total, 1 / limit),
        latency.total, latency.total, latency.total, latency.total * batch / in_flight,
        token_latency(spec, work, context, kv, 1).total, ttft, ttft,
        breakdown | {"waiting": 0.0}, {},
        {name: processed * held for name, held in demand.items()},
        max(breakdown, key=lambda part: breakdown[part]), kv, batch, batch, in_flight, 0, 0.0,
        serial_time(spec, work, context, kv),
    )  # fmt: skip


def _of_counts(
    spec: Specification, work: TokenWork, load: Load, kv: KvState, held: KvState,
    context: int, fitting: int, counts: Counts,
) -> Simulation:  # fmt: skip
    """Rates and shares of an event simulation."""
    alone = token_latency(spec, work, context, held).total
    bound = None
    ttft, ttft_p99 = counts.ttft, counts.ttft_p99
    if load.requests is None:
        bound, _ = steady_bound(spec, work, context, held, counts.in_flight)
        ttft = ttft_p99 = prefill_time(spec, work, context)
    batch = _at_once(load)
    admitted = min(fitting, batch)
    interval = counts.latency
    if load.requests is None:  # a sequence without a slot waits for its turn
        interval = admitted / counts.output_rate if counts.output_rate else math.inf
    use = counts.utilisation
    busiest = max(use, key=lambda name: use[name])
    if use[busiest] >= SATURATED:
        bottleneck = busiest
    elif load.requests is not None and counts.idle_share > 0.5:
        bottleneck = "arrivals"
    else:
        bottleneck = IN_FLIGHT
    return Simulation(
        "full", counts.output_rate, counts.processed_rate, 1 / interval if interval else 0.0, bound,
        counts.latency, counts.latency_p50, counts.latency_p99, interval, alone,
        ttft, ttft_p99, counts.breakdown, counts.waiting, use, bottleneck, kv, batch,
        admitted, counts.in_flight, counts.tokens, counts.span,
        serial_time(spec, work, context, held),
    )  # fmt: skip


def _at_once(load: Load) -> int:
    """Sequences at once."""
    return load.batch if load.requests is None else min(load.batch, len(load.requests))
