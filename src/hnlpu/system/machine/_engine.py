"""The event simulation's inner loop: tokens compete for resources, first come, first served.

    start    slots take the next token of their sequence, or of a request that is let in
    serve    events in the order of their times, until one ends a token or a request arrives
    end      what the token leaves behind: counters, keys and values, a free slot

A token does one thing at a time, so the next event of the machine is the smallest of one time a
slot.  A winner tree over the slots finds it: leaves are `time << bits | slot`, every inner node the
smaller of its two children, the root the next event.  Ties go to the lower slot.

A serial region holds one token of a sequence.  The tokens of a prompt are linked, each to the one
ahead: a token waits before a region until the one ahead has left it, which then wakes it.

Memory is that of the slots, the requests and the resources, however many tokens pass.
"""

from __future__ import annotations

import math

import numpy as np

from hnlpu.system.machine._engine_rows import (
    attend,
    compiled,
    hold,
    pass_experts,
    route_of,
    set_event,
    use_held,
    wake,
)
from hnlpu.system.machine._engine_state import (
    ACTIVE,
    AGAIN,
    AHEAD,
    ATTENTION_TIME,
    BEGAN,
    BEHIND,
    END,
    FILLING,
    FINISHED,
    FROM,
    FULL,
    HEAD,
    HISTOGRAM,
    IDLE,
    LAST,
    LATENCY_COUNT,
    LATENCY_SUM,
    M_OUTPUTS,
    M_PROCESSED,
    MEASURING,
    NEVER,
    OUTPUTS,
    PARKED,
    PC,
    PEAK_ACTIVE,
    PEAK_KV,
    POSITION,
    PROCESSED,
    RECORDED,
    REQUEST,
    RESERVED,
    SPILLED_FULL,
    SPILLED_WINDOW,
    STALL,
    STOP,
    WINDOWED,
    Asked,
    Int,
    Operations,
    Resources,
    RunLimits,
    RunState,
    RunTally,
    Slots,
    nothing_yet,
)
from hnlpu.system.machine._program import (
    ATTENTION,
    CHAINED,
    ENTER,
    EXPERTS,
    HELD,
    KIND,
    LATENCY,
    OCCUPANCY,
    PART,
    PLAIN,
    RESOURCE,
    WINDOW,
)


def slot_bits(slots: int) -> int:
    """Bits of an event that name its slot, one of `slots` or the next arrival."""
    return slots.bit_length()


def horizon(slots: int) -> int:
    """The last time (ps) that an event can have: 5 hours with 216 slots."""
    return int((1 << (62 - slot_bits(slots))) - 2)


def run(
    does: Operations, asked: Asked, limits: RunLimits, held: Resources, counted: RunTally
) -> None:
    """Run until `most_tokens` have been processed, nothing is left to do, or time `last`.

    Fills `held` and `counted`.
    """
    _run(does, asked, limits, held, counted, *nothing_yet(asked, limits))


@compiled
def _run(
    does: Operations, asked: Asked, limits: RunLimits, held: Resources, counted: RunTally,
    slots: Slots, state: RunState,
) -> None:  # fmt: skip
    now: Int = np.int64(0)
    while True:
        _start_tokens(now, does, asked, limits, held, counted, slots, state)
        now, slot = _serve(does, limits, held, counted, slots, state)
        if slot < 0:
            return
        if slot < limits.slots:
            _end_token(now, slot, does, asked, limits, counted, slots, state)
            if counted.counters[PROCESSED] >= limits.most_tokens:
                return
            _begin_measuring(now, limits, held, counted, state)


@compiled
def _start_tokens(
    now: Int, does: Operations, asked: Asked, limits: RunLimits, held: Resources, counted: RunTally,
    slots: Slots, state: RunState,
) -> None:  # fmt: skip
    """Start a token on every slot that has one, and set the next arrival."""
    whole, first = state.whole, does.table[0]
    while True:
        if whole[AGAIN] >= 0:
            slot = whole[AGAIN]
            whole[AGAIN] = -1
            slots.token[slot, POSITION] += asked.growth
            slots.token[slot, STOP] = len(does.table)
        elif whole[IDLE] > 0:
            if whole[FILLING] < 0 and not _let_in(now, asked, limits, counted, state):
                break
            slot = _fill(does, asked, slots, state)
        else:
            break
        began = hold(first[RESOURCE], now, first[OCCUPANCY], held.free, held.busy, held.waited)
        held.served[first[PART]] += first[LATENCY]
        slots.token[slot, BEGAN] = now
        slots.token[slot, PC] = 1
        set_event(slots.tree, slot, ((began + first[LATENCY]) << limits.bits) | slot)
    head, arrival = whole[HEAD], NEVER
    if head < len(asked.arrival) and whole[FILLING] < 0 and asked.arrival[head] > now:
        arrival = (asked.arrival[head] << limits.bits) | limits.slots
    set_event(slots.tree, limits.slots, arrival)


@compiled
def _let_in(now: Int, asked: Asked, limits: RunLimits, counted: RunTally, state: RunState) -> bool:
    """Whether the next request has arrived and has room; then its prompt goes in."""
    whole, real, head = state.whole, state.real, state.whole[HEAD]
    if head == len(asked.arrival) or asked.arrival[head] > now:
        return False
    if whole[ACTIVE] >= limits.most_active:
        return False
    need = _bytes(_positions(asked, head), limits)
    if whole[ACTIVE] > 0 and real[RESERVED] + need > limits.kv_limit:
        return False
    if whole[ACTIVE] > 0 and (whole[ACTIVE] + 1) * limits.held_bytes > limits.buffers:
        return False
    whole[ACTIVE] += 1
    real[RESERVED] += need
    cached = asked.start[head] + 1 - asked.growth  # constant contexts count the new one
    real[FULL] += cached * limits.full_bytes
    real[WINDOWED] += min(cached, limits.window_size) * limits.window_bytes
    _spill(limits, state)
    whole[FILLING] = head
    whole[HEAD] += 1
    whole[LAST] = -1
    counted.counters[PEAK_ACTIVE] = max(counted.counters[PEAK_ACTIVE], whole[ACTIVE])
    return True


@compiled
def _fill(does: Operations, asked: Asked, slots: Slots, state: RunState) -> Int:
    """Give an idle slot the next token of the prompt that goes in; the slot."""
    whole, request = state.whole, state.whole[FILLING]
    whole[IDLE] -= 1
    slot: Int = slots.idle[whole[IDLE]]
    ahead = whole[LAST]
    if ahead >= 0:
        slots.token[ahead, BEHIND] = slot
    slots.token[slot, AHEAD] = ahead
    whole[LAST] = slot
    slots.token[slot, REQUEST] = request
    slots.token[slot, POSITION] = asked.start[request] + state.issued[request] * asked.growth
    state.issued[request] += 1
    if state.issued[request] >= asked.prompt[request]:
        slots.token[slot, STOP] = len(does.table)
        whole[FILLING] = -1
    else:
        slots.token[slot, STOP] = does.body
    return slot


@compiled
def _serve(
    does: Operations,
    limits: RunLimits,
    held: Resources,
    counted: RunTally,
    slots: Slots,
    state: RunState,
) -> tuple[Int, Int]:
    """Serve events until one ends a token or is an arrival; its time and slot, -1 at the end."""
    # fields of tuples are read once: each reading counts references
    table, positional, tree, bits = does.table, does.positional, slots.tree, limits.bits
    routes, rows, hbm_latency = does.routes, does.rows, does.hbm_latency
    free, bank_free, busy = held.free, held.bank_free, held.busy
    waited, served, counters = held.waited, held.served, counted.counters
    token, last, arrivals = slots.token, limits.last, limits.slots
    mask = (np.int64(1) << bits) - 1
    spilled_full, spilled_window = state.real[SPILLED_FULL], state.real[SPILLED_WINDOW]
    while True:
        key = tree[1]
        now = key >> bits
        if key == NEVER:
            return now, np.int64(-1)
        if now > last:
            counters[END] = last
            return now, np.int64(-1)
        slot = key & mask
        if slot == arrivals:
            return now, slot
        pc, end = token[slot, PC], token[slot, STOP]
        if pc == end:
            return now, slot
        ready = now
        more = True
        while more:
            what = table[pc, KIND]
            if what == PLAIN:
                began = hold(table[pc, RESOURCE], ready, table[pc, OCCUPANCY], free, busy, waited)
                served[table[pc, PART]] += table[pc, LATENCY]
                ready = began + table[pc, LATENCY]
            elif what == ATTENTION:
                spilled = spilled_window if table[pc, WINDOW] else spilled_full
                ready = attend(
                    table[pc], positional[pc], token[slot, POSITION] + 1, rows, spilled, hbm_latency,
                    ready, free, busy, waited, served, counters,
                )  # fmt: skip
            elif what == EXPERTS:
                route = route_of(token[slot, BEGAN], slot, table[pc, RESOURCE], len(routes))
                ready = pass_experts(
                    table[pc], routes[route], ready, bank_free, busy, waited, served
                )
            elif what == HELD:
                ready = use_held(
                    table[pc], positional[pc], ready, free, busy, waited, served, counters
                )
            elif what == ENTER:
                ahead = token[slot, AHEAD]
                if ahead >= 0 and token[ahead, PC] <= table[pc, WINDOW]:
                    token[slot, PARKED] = now
                    break
            else:
                wake(now, pc, token[slot, BEHIND], bits, table, token, tree, waited, len(free) - 1)
            more = table[pc, CHAINED] == 1 and pc + 1 < end
            pc += 1
        token[slot, PC] = pc
        parked = token[slot, PARKED] >= 0
        set_event(tree, slot, NEVER if parked else (ready << bits) | slot)


@compiled
def _end_token(
    now: Int, slot: Int, does: Operations, asked: Asked, limits: RunLimits, counted: RunTally,
    slots: Slots, state: RunState,
) -> None:  # fmt: skip
    """Count a token, keep its keys and values, and go on with its sequence or free its slot."""
    counters, record, whole = counted.counters, counted.record, state.whole
    request, position = slots.token[slot, REQUEST], slots.token[slot, POSITION]
    set_event(slots.tree, slot, NEVER)
    _unlink(slot, slots, state)
    counters[END] = now
    counters[PROCESSED] += 1
    if whole[RECORDED] < len(record):
        row = record[whole[RECORDED]]
        row[0], row[1], row[2] = request, position, now
        whole[RECORDED] += 1
    if whole[MEASURING]:
        counters[M_PROCESSED] += 1
    if asked.growth:
        _grow(position, limits, counted, state)
    goes_on = False
    if slots.token[slot, STOP] == len(does.table):
        _count_output(now, slot, counted, slots, state)
        state.left[request] -= 1
        goes_on = state.left[request] > 0
        if not goes_on:
            counted.finish[request] = now
            counters[FINISHED] += 1
            _let_out(request, position, asked, limits, state)
    if goes_on:
        whole[AGAIN] = slot
    else:
        slots.idle[whole[IDLE]] = slot
        whole[IDLE] += 1


@compiled
def _unlink(slot: Int, slots: Slots, state: RunState) -> None:
    """Take a token that has ended out of its prompt's order."""
    token = slots.token
    ahead, behind = token[slot, AHEAD], token[slot, BEHIND]
    if ahead >= 0:
        token[ahead, BEHIND] = -1
    if behind >= 0:
        token[behind, AHEAD] = -1
    token[slot, AHEAD] = token[slot, BEHIND] = -1
    if state.whole[LAST] == slot:
        state.whole[LAST] = -1


@compiled
def _grow(position: Int, limits: RunLimits, counted: RunTally, state: RunState) -> None:
    """Keep the keys and values of one more position."""
    real = state.real
    real[FULL] += limits.full_bytes
    if position < limits.window_size:
        real[WINDOWED] += limits.window_bytes
    held = state.whole[ACTIVE] * limits.held_bytes
    kept = int(real[FULL] + real[WINDOWED] + held)
    counted.counters[PEAK_KV] = max(counted.counters[PEAK_KV], kept)
    _spill(limits, state)


@compiled
def _count_output(now: Int, slot: Int, counted: RunTally, slots: Slots, state: RunState) -> None:
    """Count a token that has logits."""
    counters, request = counted.counters, slots.token[slot, REQUEST]
    counters[OUTPUTS] += 1
    if counted.first_token[request] < 0:
        counted.first_token[request] = now
    if state.whole[MEASURING]:
        latency = now - slots.token[slot, BEGAN]
        counters[M_OUTPUTS] += 1
        counters[LATENCY_SUM] += latency
        counters[LATENCY_COUNT] += 1
        counted.histogram[latency_bin(latency)] += 1


@compiled
def _let_out(request: Int, position: Int, asked: Asked, limits: RunLimits, state: RunState) -> None:
    """Free what a finished sequence held."""
    real, kept = state.real, position + 1
    state.whole[ACTIVE] -= 1
    real[RESERVED] -= _bytes(_positions(asked, request), limits)
    real[FULL] -= kept * limits.full_bytes
    real[WINDOWED] -= min(kept, limits.window_size) * limits.window_bytes
    _spill(limits, state)


@compiled
def _begin_measuring(
    now: Int, limits: RunLimits, held: Resources, counted: RunTally, state: RunState
) -> None:
    """Start the counters of the measured part once, after the warm tokens."""
    counters = counted.counters
    if state.whole[MEASURING] or counters[PROCESSED] < limits.warm:
        return
    state.whole[MEASURING] = 1
    counters[FROM] = now
    held.busy[:] = 0
    held.waited[:] = 0
    held.served[:] = 0
    counters[STALL] = 0
    counters[ATTENTION_TIME] = 0


@compiled
def _positions(asked: Asked, request: Int) -> Int:
    """Positions that a request has at its end."""
    made: Int = asked.output[request] * asked.growth
    positions: Int = asked.start[request] + asked.prompt[request] + made
    return positions


@compiled
def _bytes(positions: Int, limits: RunLimits) -> float:
    """Bytes of a sequence of `positions`."""
    windowed = min(positions, limits.window_size)
    return positions * limits.full_bytes + windowed * limits.window_bytes + limits.held_bytes


@compiled
def _spill(limits: RunLimits, state: RunState) -> None:
    """Set the shares of full and of windowed layers beyond the buffers: `_kv.spilled_shares`."""
    real = state.real
    buffers = max(0.0, limits.buffers - state.whole[ACTIVE] * limits.held_bytes)
    full, windowed = real[FULL], real[WINDOWED]
    room = max(0.0, buffers - windowed)
    real[SPILLED_FULL] = 1 - room / full if full > room else 0.0
    real[SPILLED_WINDOW] = 1 - buffers / windowed if windowed > buffers else 0.0


@compiled
def latency_bin(latency: int) -> int:
    """The bin of a latency in ps."""
    return min(HISTOGRAM - 1, max(0, int(32 * math.log2(max(latency, 1)))))
