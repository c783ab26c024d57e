"""One token's time and its demand on every shared resource, in closed form.

Latencies add up; nothing waits.  A resource that a token holds for d seconds carries at most 1/d
tokens a second, and N tokens in flight cannot pass faster than N / latency, so

    tokens/s <= min(N / latency, 1 / largest demand)

(asymptotic bounds of closed queueing networks: Denning and Buzen, "The Operational Analysis of
Queueing Network Models", ACM Computing Surveys 10(3), 1978).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import assert_never

from hnlpu.system.machine._exchange import ExchangeStep
from hnlpu.system.machine._items import ExchangeItem, Item, head_items, layer_items
from hnlpu.system.machine._kv import EMBEDDING_BYTES, HELD_BYTES, KvState
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import (
    ArrayPass,
    CacheTraffic,
    Enter,
    Leave,
    StateTraffic,
    Task,
    TokenWork,
    Vector,
    bank_of,
)
from hnlpu.system.machine._work import bank_size, expected_rounds

RESOURCES = (
    "vector unit", "column links", "row links", "HBM", "attention buffer", "neuron arrays",
)  # fmt: skip
PARTS = ("communication", "projection", "nonlinear", "attention", "stall")


@dataclass(frozen=True)
class Latency:
    """Seconds that one token alone spends, by what it spends them on."""

    communication: float
    projection: float
    nonlinear: float
    attention: float
    stall: float

    @property
    def total(self) -> float:
        """From one token to the next of its sequence."""
        return self.communication + self.projection + self.nonlinear + self.attention + self.stall


@dataclass(frozen=True)
class AttentionTime:
    """Attention of one layer for one token, in seconds: its latency, how long it holds what."""

    latency: float
    vector_unit: float
    buffer: float
    hbm: float
    hbm_latency: float

    @property
    def stall(self) -> float:
        """What memory adds to the sum's own latency."""
        hbm = self.hbm_latency + self.hbm if self.hbm else 0.0
        return max(0.0, self.buffer - self.latency, hbm - self.latency)


def attention_time(
    spec: Specification, memory: CacheTraffic, context: int, spilled: float
) -> AttentionTime:
    """Attention over `context` cached positions, `spilled` of them in HBM."""
    positions = -(-memory.positions(context) // spec.rows)
    unit = positions * memory.macs_per_position / spec.attention_macs / spec.clock
    size = positions * memory.kv_values * spec.kv_bits / 8
    # a spilled byte is written to the buffer before it is read, but on ports of their own
    hbm = size * spilled / spec.hbm_bandwidth if spilled else 0.0
    return AttentionTime(
        spec.attention_latency * unit, unit, size / spec.buffer_bandwidth, hbm, spec.hbm_latency
    )


def held_time(spec: Specification, held: StateTraffic) -> float:
    """Seconds of the buffer for states of fixed size."""
    return held.values * HELD_BYTES / spec.buffer_bandwidth


def passes(spec: Specification, tasks: tuple[Task, ...]) -> float:
    """Expected passes through neuron arrays in one layer, one after the other."""
    plain = sum(task.rows for task in tasks if isinstance(task, ArrayPass) and not task.bank)
    banked = sum(task.rows for task in tasks if isinstance(task, ArrayPass) and task.bank)
    return plain + banked * (rounds(spec, tasks) if banked else 0.0)


def rounds(spec: Specification, tasks: tuple[Task, ...]) -> float:
    """Expected rounds of a pass through the experts that a token picks."""
    bank = bank_of(tasks)
    if bank is None:
        return 1.0
    size = bank_size(bank, spec.chips, spec.experts_per_bank)
    return expected_rounds(bank.count, bank.active, size)


def operations(tasks: tuple[Task, ...]) -> int:
    """Operations of the vector unit in one layer, one after the other."""
    return sum(isinstance(task, Vector) for task in tasks)


def communication_latency(spec: Specification, work: TokenWork) -> tuple[float, float]:
    """Seconds of all exchanges of one token alone: of hops, and of bytes on links."""
    totals = _Totals(spec)
    totals.add(head_items(spec, work), 1)
    for i, kind in enumerate(work.kinds):
        totals.add(layer_items(spec, kind), work.count(i))
    return totals.hops, totals.column + totals.row


def token_latency(
    spec: Specification, work: TokenWork, context: int, kv: KvState, batch: int = 1
) -> Latency:
    """Latency of one token with `context` positions cached.

    Where the specification has a `link_sharing`, time on links grows with the slots taken, from
    that of a token alone: on saturated links it is proportional to the tokens that share them.
    """
    return token_costs(spec, work, context, kv, batch)[0]


def token_demand(
    spec: Specification, work: TokenWork, context: int, kv: KvState, *, logits: bool = True
) -> dict[str, float]:
    """Seconds for which one token holds each resource of `RESOURCES` (of a chip, or one link).

    Tokens of a prompt but its last one need no `logits`.
    """
    return token_costs(spec, work, context, kv, logits=logits)[1]


def token_costs(
    spec: Specification, work: TokenWork, context: int, kv: KvState, batch: int = 1,
    *, logits: bool = True,
) -> tuple[Latency, dict[str, float]]:  # fmt: skip
    """`token_latency` and `token_demand` at once."""
    totals = _Totals(spec)
    if logits:
        totals.add(head_items(spec, work), 1)
        totals.passes = passes(spec, work.head)  # the unembedding
    attention = stall = unit = buffer = hbm = 0.0
    for i, kind in enumerate(work.kinds):
        count = work.count(i)
        items = layer_items(spec, kind)
        totals.add(items, count)
        totals.passes += count * passes(spec, kind)
        for memory in (item for item in items if isinstance(item, CacheTraffic)):
            a = attention_time(spec, memory, context, kv.spilled(memory))
            attention += count * a.latency
            stall += count * a.stall
            unit += count * a.vector_unit
            buffer += count * a.buffer
            hbm += count * a.hbm
        for held, latency in _held(spec, items):
            buffer += count * held
            stall += count * max(0.0, held - latency)
    arrays = max(_array_demand(spec, tasks) for tasks in (*work.kinds, work.head))
    taken = (min(batch, spec.slots) - 1) / max(1, spec.slots - 1)
    sharing = 1 + taken * (spec.link_sharing - 1)
    of_token = Latency(
        totals.hops + (totals.column + totals.row) * sharing,
        totals.passes * spec.pass_cycles / spec.clock,
        totals.cycles / spec.clock,
        attention,
        stall,
    )
    demand = {
        "vector unit": unit + totals.elements / spec.lanes / spec.clock,
        "column links": totals.column,
        "row links": totals.row,
        "HBM": hbm + embedding_time(spec, work),
        "attention buffer": buffer,
        "neuron arrays": arrays,
    }
    return of_token, demand


def _held(spec: Specification, items: tuple[Item, ...]) -> Iterator[tuple[float, float]]:
    """For states of fixed size: seconds of the buffer, and of the operation beside them."""
    for before, item in pairwise(items):
        if isinstance(item, StateTraffic):
            assert isinstance(before, Vector)
            yield held_time(spec, item), _vector_time(spec, before)


def _vector_time(spec: Specification, item: Vector) -> float:
    return max(spec.vector_latency_cycles, item.elements / spec.lanes) / spec.clock


def serial_time(spec: Specification, work: TokenWork, context: int, kv: KvState) -> float:
    """Seconds of the longest serial region: positions of a sequence follow each other no faster.

    What a token alone takes from the region's first work item to its last; 0 where there is none.
    """
    longest = 0.0
    for tasks in work.kinds:
        of_pass, began, now = rounds(spec, tasks) * spec.pass_cycles / spec.clock, 0.0, 0.0
        operation = 0.0
        for item in layer_items(spec, tasks):
            match item:
                case Enter():
                    began = now
                case Leave():
                    longest = max(longest, now - began)
                case ArrayPass(bank, rows):
                    now += rows * (of_pass if bank else spec.pass_cycles / spec.clock)
                case ExchangeItem(steps):
                    now += sum(map(partial(_step_time, spec), steps))
                case Vector():
                    operation = _vector_time(spec, item)
                    now += operation
                case StateTraffic():
                    now += max(0.0, held_time(spec, item) - operation)
                case CacheTraffic():
                    a = attention_time(spec, item, context, kv.spilled(item))
                    now += a.latency + a.stall
                case _:
                    assert_never(item)
    return longest


def _step_time(spec: Specification, step: ExchangeStep) -> float:
    links = spec.column_links if step.axis == "column" else spec.row_links
    return step.hops * links.latency + step.bytes / links.bandwidth


class _Totals:
    """Sums over the layers of a token, in seconds, cycles and elements."""

    def __init__(self, spec: Specification):
        self.spec = spec
        self.hops = self.column = self.row = 0.0
        self.cycles = self.elements = self.passes = 0.0

    def add(self, items: tuple[Item, ...], count: int) -> None:
        """Add `count` times the exchanges and operations among items."""
        for item in items:
            if isinstance(item, ExchangeItem):
                self.exchange(item.steps, count)
        self.operations([item.elements for item in items if isinstance(item, Vector)], count)

    def exchange(self, steps: tuple[ExchangeStep, ...], count: int) -> None:
        """Add `count` times the steps of an exchange."""
        column, row = self.spec.column_links, self.spec.row_links
        for axis, size, hops in steps:
            if axis == "column":
                self.hops += count * hops * column.latency
                self.column += count * size / column.bandwidth
            else:
                self.hops += count * hops * row.latency
                self.row += count * size / row.bandwidth

    def operations(self, elements: list[float], count: int) -> None:
        """Add `count` times operations one after the other, each at least the unit's latency."""
        least, lanes = self.spec.vector_latency_cycles, self.spec.lanes
        self.cycles += count * sum(max(least, n / lanes) for n in elements)
        self.elements += count * sum(elements)


def embedding_time(spec: Specification, work: TokenWork) -> float:
    """Seconds of HBM for a token's row of the embedding table."""
    if not spec.hbm_bandwidth:
        return 0.0
    return EMBEDDING_BYTES * work.entry_values / spec.hbm_bandwidth


def largest_demand(demand: dict[str, float]) -> tuple[str, float]:
    """The resource that a token holds longest."""
    return max(demand.items(), key=lambda item: item[1])


def _array_demand(spec: Specification, tasks: tuple[Task, ...]) -> float:
    """Seconds for which a token holds the busiest arrays of a layer, on average."""
    busiest = 1.0
    for task in tasks:
        if isinstance(task, ArrayPass):
            share = 1.0
            if task.bank:
                size = bank_size(task.bank, spec.chips, spec.experts_per_bank)
                share = task.bank.active * size / task.bank.count
            busiest = max(busiest, task.rows * share)
    return busiest * spec.pass_cycles / spec.clock
