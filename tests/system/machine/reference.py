"""A slow simulator that is easy to believe: Python objects, a heap of events, one queue a resource.

It shares the list of a token's operations with the fast one, and nothing of how it runs them:
every operation is an event of its own, experts are looked up one by one, times are Python integers.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

from hnlpu.system.machine._program import (
    ATTENTION,
    BUFFER,
    ENTER,
    EXPERTS,
    HBM,
    HELD,
    KIND,
    LATENCY,
    LEAVE,
    OCCUPANCY,
    RESOURCE,
    WINDOW,
    TokenProgram,
)


@dataclass
class Sequence:
    request: int
    position: int
    prompt_left: int
    outputs_left: int
    begun: int = 0


@dataclass
class Token:
    slot: int
    request: int
    position: int
    last: int
    began: int
    step: int = 0
    number: int = 0
    """Which of its sequence's tokens it is."""


class Reference:
    """The machine with one queue a resource, first come first served, ties to the lower slot."""

    def __init__(self, program: TokenProgram, routes, slots: int):
        self.program, self.routes = program, routes
        self.rows = [[int(x) for x in row] for row in program.table]
        self.free = defaultdict(int)
        self.slots = list(range(slots))[::-1]
        self.events: list[tuple[int, int]] = []
        self.tokens: dict[int, Token] = {}
        self.record: list[tuple[int, int, int]] = []
        self.busy = defaultdict(int)
        self.left: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.parked: dict[tuple[int, int, int], int] = {}

    def run(self, arrivals, starts, prompts, outputs, growth, most_active, most):
        queue = [
            (int(a), Sequence(i, int(s), int(p), int(o)))
            for i, (a, s, p, o) in enumerate(zip(arrivals, starts, prompts, outputs, strict=True))
        ]
        filling = None
        active = {}
        now = 0
        while len(self.record) < most:
            while self.slots:
                if filling is None:
                    if not queue or queue[0][0] > now or len(active) >= most_active:
                        break
                    filling = queue.pop(0)[1]
                    active[filling.request] = filling
                last = filling.prompt_left <= 1
                self.begin(self.slots.pop(), filling, last, now)
                filling.position += growth
                filling.prompt_left -= 1
                if last:
                    filling.position -= growth
                    filling = None
            waits = filling is None and queue and queue[0][0] > now
            if not self.events:
                if not waits:
                    return
                now = queue[0][0]
                continue
            if waits and queue[0][0] < self.events[0][0]:
                now = queue[0][0]
                continue
            now, slot = heapq.heappop(self.events)
            token = self.tokens[slot]
            if token.step < token.last:
                if self.waits(token, slot):
                    continue
                heapq.heappush(self.events, (self.serve(token, now), slot))
                self.leaves(token, now)
                token.step += 1
                continue
            self.record.append((token.request, token.position, now))
            if token.last < len(self.rows):
                self.slots.append(slot)
                continue
            sequence = active[token.request]
            sequence.outputs_left -= 1
            if sequence.outputs_left:
                sequence.position += growth
                self.begin(slot, sequence, True, now)
            else:
                del active[token.request]
                self.slots.append(slot)

    def begin(self, slot, sequence, last, now):
        end = len(self.rows) if last else self.program.body
        token = Token(slot, sequence.request, sequence.position, end, now, number=sequence.begun)
        sequence.begun += 1
        self.tokens[slot] = token
        done = self.serve(token, now)
        token.step = 1
        heapq.heappush(self.events, (done, slot))

    def waits(self, token, slot):
        """Whether a token may not enter a serial region yet: the one before it is not out of it."""
        row = self.rows[token.step]
        if row[KIND] != ENTER or token.number == 0:
            return False
        if token.number - 1 in self.left[token.request, row[WINDOW]]:
            return False
        self.parked[token.request, row[WINDOW], token.number] = slot
        return True

    def leaves(self, token, now):
        """Let the next token of the sequence in."""
        if self.rows[token.step][KIND] != LEAVE:
            return
        self.left[token.request, token.step].add(token.number)
        slot = self.parked.pop((token.request, token.step, token.number + 1), None)
        if slot is not None:
            self.tokens[slot].step += 1
            heapq.heappush(self.events, (now, slot))

    def hold(self, resource, ready, time):
        """Seize a resource as soon as it is free; when it began."""
        began = max(ready, self.free[resource])
        self.free[resource] = began + time
        self.busy[resource] += time
        return began

    def serve(self, token, ready):
        row = self.rows[token.step]
        if row[KIND] in (ENTER, LEAVE):
            return ready
        if row[KIND] == HELD:
            used = int(self.program.positional[token.step][2] + 0.5)
            began = self.hold(row[RESOURCE], ready, row[OCCUPANCY])
            return max(began + row[LATENCY], self.hold(BUFFER, ready, used) + used)
        if row[KIND] == EXPERTS:
            mixed = token.began ^ (token.slot * 40503) ^ (row[RESOURCE] // 2 * 9973)
            mixed = (mixed * 2654435761) & (2**64 - 1)
            picked = self.routes[(mixed >> 16) % len(self.routes)][:-1]
            ends = [
                self.hold(("bank", row[RESOURCE], int(b)), ready, row[OCCUPANCY]) + row[OCCUPANCY]
                for b in picked
            ]
            return max(ends)
        if row[KIND] == ATTENTION:
            positions = token.position + 1
            if row[WINDOW]:
                positions = min(positions, row[WINDOW])
            share = -(-positions // self.program.rows)
            unit, sums, read, stream = (
                int(share * x + 0.5) for x in self.program.positional[token.step]
            )
            began = self.hold(row[RESOURCE], ready, row[OCCUPANCY] + unit)
            done = began + row[LATENCY] + sums
            done = max(done, self.hold(BUFFER, ready, read) + read)
            if self.spilled(row):
                begin = self.hold(HBM, ready, stream)
                done = max(done, begin + stream + self.program.hbm_latency)
            return done
        return self.hold(row[RESOURCE], ready, row[OCCUPANCY]) + row[LATENCY]

    def spilled(self, row):
        """All of a layer is in HBM, or nothing is: `everything_in_hbm` says which."""
        return self.everything_in_hbm

    everything_in_hbm = False


class EveryChip(Reference):
    """The same with resources of every chip apart, and positions where they really lie.

    A step of an exchange ends on all chips when it has ended on the last.  Positions are dealt to
    the rows one by one, so that chips differ by one position at most.
    """

    columns = 1

    def serve(self, token, ready):
        row = self.rows[token.step]
        if row[KIND] == EXPERTS:
            return super().serve(token, ready)
        ends = []
        for chip in range(self.program.rows * self.columns):
            if row[KIND] != ATTENTION:
                began = self.hold((chip, row[RESOURCE]), ready, row[OCCUPANCY])
                ends.append(began + row[LATENCY])
                continue
            positions = token.position + 1
            first = max(0, positions - row[WINDOW]) if row[WINDOW] else 0
            place = chip // self.columns
            share = sum(1 for p in range(first, positions) if p % self.program.rows == place)
            unit, sums, read, _ = (
                int(share * x + 0.5) for x in self.program.positional[token.step]
            )
            began = self.hold((chip, row[RESOURCE]), ready, row[OCCUPANCY] + unit)
            done = began + row[LATENCY] + sums
            ends.append(max(done, self.hold((chip, BUFFER), ready, read) + read))
        return max(ends)
