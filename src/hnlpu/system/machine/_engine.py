"""The event simulation's inner loop: tokens compete for resources, first come, first served.

A token does one thing at a time, so the next event of the machine is the smallest of one time a
slot.  A winner tree over the slots finds it: leaves are `time << bits | slot`, every inner node the
smaller of its two children, the root the next event.  Ties go to the lower slot.

Memory is that of the slots, the requests and the resources, however many tokens pass.
"""

from __future__ import annotations

import math

import numpy as np

from hnlpu._njit import njit
from hnlpu.system.machine._program import (
    ATTENTION,
    BUFFER,
    CHAINED,
    HBM,
    KIND,
    LATENCY,
    OCCUPANCY,
    PART,
    PLAIN,
    RESOURCE,
    WINDOW,
    Floats,
    Integers,
)

Int = int | np.int64
_IDLE = np.int64((1 << 62) - 1)

# counters of a run, all but the first six over the measured part
COUNTERS = (
    "end", "measured_from", "processed", "outputs", "finished", "peak_active",
    "measured_processed", "measured_outputs", "latency_sum", "latency_count", "stall", "attention",
    "peak_kv",
)  # fmt: skip
(END, FROM, PROCESSED, OUTPUTS, FINISHED, PEAK_ACTIVE, M_PROCESSED, M_OUTPUTS, LATENCY_SUM,
 LATENCY_COUNT, STALL, ATTENTION_TIME, PEAK_KV) = range(13)  # fmt: skip
HISTOGRAM = 1024  # bins of token latency, 32 to a factor of two


def slot_bits(slots: int) -> int:
    """Bits of an event that name its slot, one of `slots` or the next arrival."""
    return slots.bit_length()


def horizon(slots: int) -> int:
    """The last time (ps) that an event can have: 5 hours with 216 slots."""
    return int((1 << (62 - slot_bits(slots))) - 2)


@njit(cache=True, nogil=True)
def _set(tree: Integers, leaves: int, slot: Int, key: Int) -> None:
    """Give a slot its next event."""
    node = leaves + slot
    tree[node] = key
    while node > 1:
        key = min(key, tree[node ^ 1])
        node >>= 1
        tree[node] = key


@njit(cache=True, nogil=True)
def latency_bin(latency: int) -> int:
    """The bin of a latency in ps."""
    return min(HISTOGRAM - 1, max(0, int(32 * math.log2(max(latency, 1)))))


@njit(cache=True, nogil=True)
def _hold(
    resource: Int, ready: Int, time: Int, free: Integers, busy: Integers, waited: Integers
) -> Int:
    """Seize a resource as soon as it is free; when that was."""
    began: Int = max(ready, free[resource])
    free[resource] = began + time
    busy[resource] += time
    waited[resource] += began - ready
    return began


@njit(cache=True, nogil=True)
def _attend(
    row: Integers, positional: Floats, position: Int, rows: int, spilled: float,
    hbm_latency: int, ready: Int, free: Integers, busy: Integers, waited: Integers,
    served: Integers, counters: Integers,
) -> Int:  # fmt: skip
    """Attention over `position` cached positions: vector unit, buffer and HBM at once; its end."""
    if row[WINDOW]:
        position = min(position, row[WINDOW])
    share = (position + rows - 1) // rows
    sums = int(share * positional[1] + 0.5)
    held = row[OCCUPANCY] + int(share * positional[0] + 0.5)
    computed = _hold(row[RESOURCE], ready, held, free, busy, waited) + row[LATENCY] + sums
    read = int(share * positional[2] + 0.5)
    from_buffer = max(ready, free[BUFFER])
    free[BUFFER] = from_buffer + read
    busy[BUFFER] += read
    done: Int = max(computed, from_buffer + read)
    if spilled > 0:
        streamed = int(share * positional[3] * spilled + 0.5)
        from_hbm = max(ready, free[HBM])
        free[HBM] = from_hbm + streamed
        busy[HBM] += streamed
        done = max(done, from_hbm + streamed + hbm_latency)
    served[row[PART]] += row[LATENCY]
    counters[ATTENTION_TIME] += sums
    counters[STALL] += done - computed
    return done


@njit(cache=True, nogil=True)
def _route(began: Int, slot: Int, bank: Int, routes: int) -> Int:
    """The route that a token takes in a layer: by chance, but the same for up and for down."""
    mixed = began ^ (slot * 40503) ^ (bank // 2 * 9973)
    return ((mixed * 2654435761) >> 16) & (routes - 1)


@njit(cache=True, nogil=True)
def _pass_experts(
    row: Integers, route: Integers, ready: Int, bank_free: Integers, busy: Integers,
    waited: Integers, served: Integers,
) -> Int:  # fmt: skip
    """A pass through the experts of a route, those of one bank one after the other; its end."""
    bank, held = row[RESOURCE], row[OCCUPANCY]
    done = ready
    for pick in range(len(route) - 1):
        began = max(ready, bank_free[bank, route[pick]])
        bank_free[bank, route[pick]] = began + held
        done = max(done, began + held)
    rounds = route[-1] * held
    busy[-1] += (len(route) - 1) * held
    waited[-1] += done - ready - rounds
    served[row[PART]] += rounds
    return done


@njit(cache=True, nogil=True)
def run(
    table: Integers, positional: Floats, body: int, rows: int,
    hbm_latency: int, free: Integers, bank_free: Integers, routes: Integers,
    arrival: Integers, start: Integers, prompt: Integers, output: Integers, growth: int,
    slots: int, most_active: int, kv_limit: float, buffers: float, full_bytes: float,
    window_bytes: float, window_size: int, most_tokens: int, warm: int, last: int, bits: int,
    counters: Integers, busy: Integers, waited: Integers, served: Integers, histogram: Integers,
    first_token: Integers, finish: Integers, record: Integers,
) -> None:  # fmt: skip
    """Run until `most_tokens` have been processed, nothing is left to do, or time `last`.

    `arrival`, `start` (positions cached already), `prompt` and `output` describe the requests, by
    arrival; with `growth` 0 contexts stay as they are.  A sequence keeps `full_bytes` a position,
    and `window_bytes` a position up to `window_size`.  After `warm` tokens the counters of the
    measured part start.  A row of `routes` is the banks that a token's experts lie in and the
    rounds that they take; the last entry of `busy` is of all banks.  `record` takes (request,
    position, time) of the first tokens.
    """
    mask = (np.int64(1) << bits) - 1
    leaves = 1
    while leaves < slots + 1:
        leaves *= 2
    tree = np.full(2 * leaves, _IDLE, np.int64)
    slot_pc = np.zeros(slots, np.int64)
    slot_end = np.zeros(slots, np.int64)
    slot_request = np.zeros(slots, np.int64)
    slot_position = np.zeros(slots, np.int64)
    slot_began = np.zeros(slots, np.int64)
    idle = np.arange(slots - 1, -1, -1)
    idle_count = slots
    requests = len(arrival)
    issued = np.zeros(requests, np.int64)
    left = output.copy()
    length = len(table)
    head, filling, active = 0, -1, 0
    reserved, full_used, window_used = 0.0, 0.0, 0.0
    spilled_full, spilled_window = 0.0, 0.0
    recorded = 0
    measuring = warm == 0
    now = np.int64(0)
    again = np.int64(-1)  # a slot whose sequence goes on with its next token
    while True:
        # -- start tokens ----------------------------------------------------------------------
        while True:
            if again >= 0:
                slot = again
                again = np.int64(-1)
                request = slot_request[slot]
                slot_position[slot] += growth
                slot_end[slot] = length
            elif idle_count > 0:
                if filling < 0:
                    if head == requests or arrival[head] > now or active >= most_active:
                        break
                    positions = start[head] + prompt[head] + output[head] * growth
                    need = positions * full_bytes + min(positions, window_size) * window_bytes
                    if active > 0 and reserved + need > kv_limit:
                        break
                    reserved += need
                    cached = start[head] + 1 - growth  # constant contexts count the new one
                    full_used += cached * full_bytes
                    window_used += min(cached, window_size) * window_bytes
                    spilled_full, spilled_window = _spilled(buffers, full_used, window_used)
                    filling = head
                    head += 1
                    active += 1
                    counters[PEAK_ACTIVE] = max(counters[PEAK_ACTIVE], active)
                request = filling
                idle_count -= 1
                slot = idle[idle_count]
                slot_request[slot] = request
                slot_position[slot] = start[request] + issued[request] * growth
                issued[request] += 1
                if issued[request] >= prompt[request]:
                    slot_end[slot] = length
                    filling = -1
                else:
                    slot_end[slot] = body
            else:
                break
            began = _hold(table[0, RESOURCE], now, table[0, OCCUPANCY], free, busy, waited)
            served[table[0, PART]] += table[0, LATENCY]
            slot_began[slot] = now
            slot_pc[slot] = 1
            _set(tree, leaves, slot, ((began + table[0, LATENCY]) << bits) | slot)
        if head < requests and filling < 0 and arrival[head] > now:
            _set(tree, leaves, slots, (arrival[head] << bits) | slots)
        else:
            _set(tree, leaves, slots, _IDLE)
        # -- serve events until one ends a token -------------------------------------------------
        while True:
            key = tree[1]
            now = key >> bits
            if key == _IDLE:
                return
            if now > last:
                counters[END] = last
                return
            slot = key & mask
            if slot == slots:
                break
            pc = slot_pc[slot]
            if pc == slot_end[slot]:
                break
            ready = now
            more = True
            while more:
                what = table[pc, KIND]
                if what == PLAIN:
                    began = _hold(
                        table[pc, RESOURCE], ready, table[pc, OCCUPANCY], free, busy, waited
                    )
                    served[table[pc, PART]] += table[pc, LATENCY]
                    ready = began + table[pc, LATENCY]
                elif what == ATTENTION:
                    spilled = spilled_window if table[pc, WINDOW] else spilled_full
                    ready = _attend(
                        table[pc], positional[pc], slot_position[slot] + 1, rows, spilled,
                        hbm_latency, ready, free, busy, waited, served, counters,
                    )  # fmt: skip
                else:
                    route = _route(slot_began[slot], slot, table[pc, RESOURCE], len(routes))
                    ready = _pass_experts(
                        table[pc], routes[route], ready, bank_free, busy, waited, served
                    )
                more = table[pc, CHAINED] == 1 and pc + 1 < slot_end[slot]
                pc += 1
            slot_pc[slot] = pc
            _set(tree, leaves, slot, (ready << bits) | slot)
        if slot == slots:
            continue
        # -- a token is done ---------------------------------------------------------------------
        _set(tree, leaves, slot, _IDLE)
        request = slot_request[slot]
        counters[END] = now
        counters[PROCESSED] += 1
        if recorded < len(record):
            record[recorded, 0] = request
            record[recorded, 1] = slot_position[slot]
            record[recorded, 2] = now
            recorded += 1
        if measuring:
            counters[M_PROCESSED] += 1
        if growth:
            position = slot_position[slot]
            full_used += full_bytes
            if position < window_size:
                window_used += window_bytes
            counters[PEAK_KV] = max(counters[PEAK_KV], int(full_used + window_used))
            spilled_full, spilled_window = _spilled(buffers, full_used, window_used)
        if slot_end[slot] == length:
            counters[OUTPUTS] += 1
            if first_token[request] < 0:
                first_token[request] = now
            if measuring:
                counters[M_OUTPUTS] += 1
                counters[LATENCY_SUM] += now - slot_began[slot]
                counters[LATENCY_COUNT] += 1
                histogram[latency_bin(now - slot_began[slot])] += 1
            left[request] -= 1
            if left[request] > 0:
                again = slot
            else:
                finish[request] = now
                counters[FINISHED] += 1
                active -= 1
                positions = start[request] + prompt[request] + output[request] * growth
                reserved -= positions * full_bytes + min(positions, window_size) * window_bytes
                positions = slot_position[slot] + 1
                full_used -= positions * full_bytes
                window_used -= min(positions, window_size) * window_bytes
                spilled_full, spilled_window = _spilled(buffers, full_used, window_used)
                idle[idle_count] = slot
                idle_count += 1
        else:
            idle[idle_count] = slot
            idle_count += 1
        if counters[PROCESSED] >= most_tokens:
            return
        if not measuring and counters[PROCESSED] >= warm:
            measuring = True
            counters[FROM] = now
            busy[:] = 0
            waited[:] = 0
            served[:] = 0
            counters[STALL] = 0
            counters[ATTENTION_TIME] = 0


@njit(cache=True, nogil=True)
def _spilled(buffers: float, full: float, windowed: float) -> tuple[float, float]:
    """Shares of full and of windowed layers beyond the buffers: `_kv.spilled_shares`."""
    room = max(0.0, buffers - windowed)
    spilled_full = 1 - room / full if full > room else 0.0
    spilled_window = 1 - buffers / windowed if windowed > buffers else 0.0
    return spilled_full, spilled_window
