"""Rows of a program in the event simulation: what each kind holds, for how long, and when it ends."""

from __future__ import annotations

from hnlpu._njit import njit
from hnlpu.system.machine._engine_state import ATTENTION_TIME, PARKED, PC, STALL, Int
from hnlpu.system.machine._program import (
    BUFFER,
    HBM,
    LATENCY,
    OCCUPANCY,
    PART,
    RESOURCE,
    WINDOW,
    Floats,
    Integers,
)

compiled = njit(cache=True, nogil=True, _nrt=False)
# without Numba's counting of references, which takes longer than a token's own work: nothing here
# makes an array, and the caller keeps those that it hands in


@compiled
def set_event(tree: Integers, slot: Int, key: Int) -> None:
    """Give a slot its next event."""
    node = (len(tree) >> 1) + slot
    tree[node] = key
    while node > 1:
        key = min(key, tree[node ^ 1])
        node >>= 1
        tree[node] = key


@compiled
def hold(
    resource: Int, ready: Int, time: Int, free: Integers, busy: Integers, waited: Integers
) -> Int:
    """Seize a resource as soon as it is free; when that was."""
    began: Int = max(ready, free[resource])
    free[resource] = began + time
    busy[resource] += time
    waited[resource] += began - ready
    return began


@compiled
def attend(
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
    computed = hold(row[RESOURCE], ready, held, free, busy, waited) + row[LATENCY] + sums
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


@compiled
def use_held(
    row: Integers, positional: Floats, ready: Int, free: Integers, busy: Integers,
    waited: Integers, served: Integers, counters: Integers,
) -> Int:  # fmt: skip
    """An operation of the vector unit and the states that it reads and writes, at once; its end."""
    computed = hold(row[RESOURCE], ready, row[OCCUPANCY], free, busy, waited) + row[LATENCY]
    used = int(positional[2] + 0.5)
    from_buffer = max(ready, free[BUFFER])
    free[BUFFER] = from_buffer + used
    busy[BUFFER] += used
    done: Int = max(computed, from_buffer + used)
    served[row[PART]] += row[LATENCY]
    counters[STALL] += done - computed
    return done


@compiled
def wake(
    now: Int, leave: Int, behind: Int, bits: int, table: Integers, token: Integers, tree: Integers,
    waited: Integers, serial: int,
) -> None:  # fmt: skip
    """Let the token behind into the region that ends with the row `leave`, if it waits for that."""
    if behind < 0 or token[behind, PARKED] < 0 or table[token[behind, PC], WINDOW] != leave:
        return
    waited[serial] += now - token[behind, PARKED]
    token[behind, PARKED] = -1
    token[behind, PC] += 1
    set_event(tree, behind, (now << bits) | behind)


@compiled
def route_of(began: Int, slot: Int, bank: Int, routes: int) -> Int:
    """The route that a token takes in a layer: by chance, but the same for up and for down."""
    mixed = began ^ (slot * 40503) ^ (bank // 2 * 9973)
    return ((mixed * 2654435761) >> 16) & (routes - 1)


@compiled
def pass_experts(
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
