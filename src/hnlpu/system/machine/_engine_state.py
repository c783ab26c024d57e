"""What the event simulation works on: tuples of arrays that Numba takes, and names of their columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hnlpu.system.machine._program import Floats, Integers, TokenProgram

Int = int | np.int64
NEVER = np.int64((1 << 62) - 1)

# counters of a run, all but the first six over the measured part
COUNTERS = (
    "end", "measured_from", "processed", "outputs", "finished", "peak_active",
    "measured_processed", "measured_outputs", "latency_sum", "latency_count", "stall", "attention",
    "peak_kv",
)  # fmt: skip
(END, FROM, PROCESSED, OUTPUTS, FINISHED, PEAK_ACTIVE, M_PROCESSED, M_OUTPUTS, LATENCY_SUM,
 LATENCY_COUNT, STALL, ATTENTION_TIME, PEAK_KV) = range(13)  # fmt: skip
HISTOGRAM = 1024  # bins of token latency, 32 to a factor of two


class Operations(NamedTuple):
    """What every token does (`TokenProgram`), and the routes that its experts lie on.

    A row of `routes` is the banks that a token's experts lie in and the rounds that they take.
    """

    table: Integers
    positional: Floats
    body: int
    rows: int
    hbm_latency: int
    routes: Integers


class Asked(NamedTuple):
    """Requests by arrival (ps): positions cached already, tokens of the prompt, tokens to make.

    With `growth` 0 contexts stay as they are.
    """

    arrival: Integers
    start: Integers
    prompt: Integers
    output: Integers
    growth: int


class RunLimits(NamedTuple):
    """What a run may hold, and when it ends: after `most_tokens`, or at time `last`.

    A sequence keeps `full_bytes` a position, `window_bytes` a position up to `window_size`, and
    `held_bytes` however long it is, in the buffers.  After `warm` tokens the counters of the measured part start.
    """

    slots: int
    most_active: int
    kv_limit: float
    buffers: float
    full_bytes: float
    window_bytes: float
    window_size: int
    held_bytes: float
    most_tokens: int
    warm: int
    last: int
    bits: int


class Resources(NamedTuple):
    """When each resource and bank is free, and for how long it was held and waited for.

    The last entry of `busy` and `waited` is of all banks; `served` is time by part of the breakdown.
    """

    free: Integers
    bank_free: Integers
    busy: Integers
    waited: Integers
    served: Integers


class RunTally(NamedTuple):
    """What a run counts.  `record` takes (request, position, time) of the first tokens."""

    counters: Integers
    histogram: Integers
    first_token: Integers
    finish: Integers
    record: Integers


class Slots(NamedTuple):
    """The winner tree, each slot's token (PC, STOP, ...), and the stack of idle slots."""

    tree: Integers
    token: Integers
    idle: Integers


class RunState(NamedTuple):
    """What changes from token to token; places of `whole` and `real` are named below."""

    whole: Integers
    real: Floats
    issued: Integers
    left: Integers


PC, STOP, REQUEST, POSITION, BEGAN, AHEAD, BEHIND, PARKED = range(8)
"""A token's next operation, the one that it ends before, its request, position, and start; the slots
of the tokens ahead of it and behind it in a prompt while they are in flight (-1: none); since when it
waits for the one ahead to leave a serial region (-1: it does not)."""
TOKEN = 8  # columns of a token: it fills a cache line
HEAD, FILLING, ACTIVE, IDLE, AGAIN, RECORDED, MEASURING, LAST = range(8)
"""The next request, the one whose prompt goes in (-1: none), sequences, idle slots, the slot whose
sequence goes on (-1: none), rows of the record, whether the measured part has begun, the slot of the
last token of that prompt if it is in flight (-1: it is not)."""
RESERVED, FULL, WINDOWED, SPILLED_FULL, SPILLED_WINDOW = range(5)
"""Bytes promised to sequences, bytes in full and in windowed layers, shares of them in HBM."""


def operations(program: TokenProgram, routes: Integers) -> Operations:
    """A program and its routes as the engine takes them."""
    return Operations(
        program.table, program.positional, program.body, program.rows, program.hbm_latency, routes
    )


def resources(program: TokenProgram) -> Resources:
    """All resources of a program, free."""
    busy = np.zeros(program.resources + 1, np.int64)
    banks = np.zeros((max(1, program.banked), program.banks), np.int64)
    return Resources(
        np.zeros(program.resources, np.int64), banks, busy, busy.copy(), np.zeros(4, np.int64)
    )


def tally(requests: int, record: int) -> RunTally:
    """Nothing counted yet."""
    return RunTally(
        np.zeros(len(COUNTERS), np.int64), np.zeros(HISTOGRAM, np.int64),
        np.full(requests, -1, np.int64), np.full(requests, -1, np.int64),
        np.zeros((record, 3), np.int64),
    )  # fmt: skip


def nothing_yet(asked: Asked, limits: RunLimits) -> tuple[Slots, RunState]:
    """Idle slots, and the state before the first token."""
    leaves = 1 << limits.slots.bit_length()  # of the slots and the next arrival
    token = np.zeros((limits.slots, TOKEN), np.int64)
    token[:, [AHEAD, BEHIND, PARKED]] = -1
    slots = Slots(
        np.full(2 * leaves, NEVER, np.int64), token,
        np.arange(limits.slots - 1, -1, -1),
    )  # fmt: skip
    whole = np.array([0, -1, 0, limits.slots, -1, 0, limits.warm == 0, -1], np.int64)
    return slots, RunState(whole, np.zeros(5), np.zeros_like(asked.arrival), asked.output.copy())
