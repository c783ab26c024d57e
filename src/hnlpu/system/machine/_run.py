"""One event simulation: a program and requests -> `Counts`, what happened in seconds and shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.system.machine import _engine as engine
from hnlpu.system.machine import _engine_state as state
from hnlpu.system.machine._kv import held_bytes, sequence_bytes
from hnlpu.system.machine._program import (
    ARRAYS,
    BUFFER,
    COLUMN_LINKS,
    COMMUNICATION,
    ENTRY,
    HBM,
    NONLINEAR,
    PICOSECONDS,
    PROJECTION,
    ROW_LINKS,
    VECTOR_UNIT,
    Integers,
    TokenProgram,
    token_program,
)
from hnlpu.system.machine._requests import Requests
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import TokenWork, memories

ROUTES = 4096
"""Drawn choices of experts that tokens are dealt from."""

ENDLESS = 2**40
STEADY_ROUNDS = 8
"""Tokens of each slot from which a window shows a steady state."""
STEADY_TOKENS = 300_000
"""Tokens that a steady state is measured over where that is between 8 and 60 of each sequence."""


@dataclass(frozen=True)
class Counts:
    """The measured part of a run.  Seconds; rates a second; shares of a token's time."""

    processed: int
    outputs: int
    tokens: int
    finished: int
    span: float
    processed_rate: float
    output_rate: float
    latency: float
    latency_p50: float
    latency_p99: float
    ttft: float
    ttft_p99: float
    breakdown: Mapping[str, float]
    waiting: Mapping[str, float]
    utilisation: Mapping[str, float]
    in_flight: int
    idle_share: float
    peak_kv_bytes: float
    record: Integers


def run_decode(
    spec: Specification, work: TokenWork, context: int, batch: int, seed: int,
    tokens: int | None = None, record: int = 0,
) -> Counts:  # fmt: skip
    """`batch` sequences that each generate with `context` positions for ever."""
    warm = 8 * batch
    most = tokens or warm + max(4000, batch * min(60, max(8, STEADY_TOKENS // batch)))
    requests = Requests(
        np.zeros(batch), np.zeros(batch, np.int64), np.full(batch, ENDLESS, np.int64)
    )
    start = np.full(batch, context - 1, np.int64)
    return _run(
        spec, work, requests, start, 0, batch, np.inf, seed, most, min(warm, most // 4), record
    )


def run_requests(
    spec: Specification, work: TokenWork, requests: Requests, most_active: int,
    kv_capacity: float, seed: int, tokens: int | None = None, record: int = 0,
) -> Counts:  # fmt: skip
    """Requests from their arrival to their last token; all of them are measured."""
    start = np.zeros(len(requests), np.int64)
    limit = engine.horizon(spec.slots) / PICOSECONDS
    if requests.arrival[-1] > 0.9 * limit:
        raise InvalidInput(
            f"the last request arrives at {requests.arrival[-1]:g} s; at most {0.9 * limit:.0f} s "
            f"can be simulated with {spec.slots} slots"
        )
    most = min(tokens or ENDLESS, requests.tokens)
    return _run(spec, work, requests, start, 1, most_active, kv_capacity, seed, most, 0, record)


def draw_routes(program: TokenProgram, experts: int, active: int, seed: int) -> Integers:
    """[ROUTES, active + 1]: banks of the experts that a token picks, and the rounds they take."""
    if not experts:
        return np.zeros((1, 1), np.int64)
    random = np.random.default_rng(seed)
    picks = np.argsort(random.random((ROUTES, experts)), axis=1)[:, :active]
    banks = np.sort(picks // program.bank, axis=1)
    rounds = (banks[:, :, None] == banks[:, None, :]).sum(axis=2).max(axis=1)
    return np.column_stack([banks, rounds]).astype(np.int64)


def _run(
    spec: Specification, work: TokenWork, requests: Requests, start: Integers, growth: int,
    most_active: int, kv_limit: float, seed: int, most: int, warm: int, record_size: int,
) -> Counts:  # fmt: skip
    program = token_program(spec, work)
    bank = work.bank
    routes = draw_routes(program, bank.count if bank else 0, bank.active if bank else 0, seed)
    slots = min(spec.slots, most_active) if growth == 0 else spec.slots
    held, tally = state.resources(program), state.tally(len(requests), record_size)
    full, windowed = sequence_bytes(spec, work, 1)
    windows = (memory.window for kind in work.kinds for memory in memories(kind))
    window = next((window for window in windows if window is not None), 0)
    arrival = np.rint(requests.arrival * PICOSECONDS).astype(np.int64)
    engine.run(
        state.operations(program, routes),
        state.Asked(arrival, start, requests.prefill, requests.decode, growth),
        state.RunLimits(
            slots, most_active, float(kv_limit), spec.chips * spec.buffer_bytes, full, windowed,
            window, held_bytes(spec, work), most, warm, engine.horizon(slots), engine.slot_bits(slots),
        ),
        held, tally,
    )  # fmt: skip
    counters, first = tally.counters, tally.first_token
    if counters[state.END] >= engine.horizon(slots):
        raise InvalidInput(
            f"the run passes {engine.horizon(slots) / PICOSECONDS:.0f} s of machine time; "
            "simulate fewer tokens"
        )
    span = int(counters[state.END] - counters[state.FROM]) or 1
    latency = counters[state.LATENCY_SUM] / max(1, counters[state.LATENCY_COUNT])
    fastest = np.inf
    if growth == 0:
        fastest = _fastest(counters, slots, latency)
    done = first >= 0
    ttft = (first[done] - arrival[done]) / PICOSECONDS
    return Counts(
        processed=int(counters[state.M_PROCESSED]),
        outputs=int(counters[state.M_OUTPUTS]),
        tokens=int(counters[state.PROCESSED]),
        finished=int(counters[state.FINISHED]),
        span=span / PICOSECONDS,
        processed_rate=min(counters[state.M_PROCESSED] / span, fastest) * PICOSECONDS,
        output_rate=min(counters[state.M_OUTPUTS] / span, fastest) * PICOSECONDS,
        latency=latency / PICOSECONDS,
        latency_p50=_quantile(tally.histogram, 0.5),
        latency_p99=_quantile(tally.histogram, 0.99),
        ttft=float(ttft.mean()) if len(ttft) else np.inf,
        ttft_p99=float(np.quantile(ttft, 0.99)) if len(ttft) else np.inf,
        **_shares(program, counters, held, span),
        in_flight=slots,
        idle_share=1 - _own_times(counters, held).sum() / (span * slots),
        peak_kv_bytes=float(counters[state.PEAK_KV]),
        record=tally.record[: counters[state.PROCESSED]],
    )


def _fastest(counters: Integers, slots: int, latency: float) -> float:
    """Tokens per ps that a steady state cannot pass, however its window cuts bunches of tokens.

    Where all slots are always taken it is slots over the time that each token takes (Little's law).  Too few
    tokens are no steady state: those in the window may have done most of their work before it, so all of
    the run counts, its start too.
    """
    if counters[state.M_PROCESSED] < STEADY_ROUNDS * slots:
        return float(counters[state.PROCESSED] / max(1, counters[state.END]))
    return float(slots / latency)


def _shares(
    program: TokenProgram, counters: Integers, held: state.Resources, span: int
) -> dict[str, dict[str, float]]:
    """Breakdown of the tokens' time, waiting by resource, and use of each resource."""
    own, busy, waited = _own_times(counters, held), held.busy, held.waited
    serial = program.resources - 1
    total = own.sum() or 1.0
    parts = ("communication", "projection", "nonlinear", "attention", "stall", "waiting")
    names = {
        "vector unit": waited[VECTOR_UNIT], "column links": waited[COLUMN_LINKS],
        "row links": waited[ROW_LINKS], "neuron arrays": waited[ARRAYS:serial].sum(),
        "expert banks": waited[-1], "HBM": waited[HBM],
    }  # fmt: skip
    if program.serial:
        names["serial regions"] = waited[serial]
    banks = max(1, program.banked * program.banks)
    return {
        "breakdown": {part: float(x / total) for part, x in zip(parts, own, strict=True)},
        "waiting": {name: float(x / total) for name, x in names.items()},
        "utilisation": {
            "vector unit": float(busy[VECTOR_UNIT] / span),
            "column links": float(busy[COLUMN_LINKS] / span),
            "row links": float(busy[ROW_LINKS] / span),
            "HBM": float(busy[HBM] / span),
            "attention buffer": float(busy[BUFFER] / span),
            "neuron arrays": float(busy[ARRAYS:-1].max() / span),
            "expert banks": float(busy[-1] / span / banks),
        },
    }


def _own_times(counters: Integers, held: state.Resources) -> Integers:
    """The tokens' time by what it went into: the parts of a breakdown, then waiting."""
    served = held.served
    return np.array(
        [
            served[COMMUNICATION], served[PROJECTION], served[NONLINEAR] + served[ENTRY],
            counters[state.ATTENTION_TIME], counters[state.STALL], held.waited.sum(),
        ]
    )  # fmt: skip


def _quantile(histogram: npt.NDArray[np.int64], share: float) -> float:
    """Seconds below which `share` of the latencies lie, to one bin (2 %)."""
    total = histogram.sum()
    if not total:
        return np.inf
    bin_ = int(np.searchsorted(np.cumsum(histogram), share * total))
    return float(2 ** ((bin_ + 0.5) / 32) / PICOSECONDS)
