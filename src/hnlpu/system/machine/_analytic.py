"""One token's time and its demand on every shared resource, in closed form.

Latencies add up; nothing waits.  A resource that a token holds for d seconds carries at most 1/d
tokens a second, and N tokens in flight cannot pass faster than N / latency, so

    tokens/s <= min(N / latency, 1 / largest demand)

(asymptotic bounds of closed queueing networks: Denning and Buzen, "The Operational Analysis of
Queueing Network Models", ACM Computing Surveys 10(3), 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.system.machine._exchange import Step
from hnlpu.system.machine._items import (
    Exchange,
    Item,
    Memory,
    Pass,
    Vector,
    head_items,
    layer_items,
)
from hnlpu.system.machine._kv import EMBEDDING_BYTES, KvState
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._work import LayerWork, TokenWork, bank_size, expected_rounds

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
class Attention:
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


def attention_time(spec: Specification, work: LayerWork, context: int, spilled: float) -> Attention:
    """Attention over `context` cached positions, `spilled` of them in HBM."""
    positions = -(-work.positions(context) // spec.rows)
    unit = positions * work.macs_per_position / spec.attention_macs / spec.clock
    size = positions * work.kv_values * spec.kv_bits / 8
    # a spilled byte is written to the buffer before it is read, but on ports of their own
    hbm = size * spilled / spec.hbm_bandwidth if spilled else 0.0
    return Attention(
        spec.attention_latency * unit, unit, size / spec.buffer_bandwidth, hbm, spec.hbm_latency
    )


def passes(spec: Specification, work: LayerWork) -> float:
    """Expected passes through neuron arrays in one layer, one after the other."""
    found = [item for item in layer_items(spec, work) if isinstance(item, Pass)]
    routed = sum(item.experts for item in found)
    bank = bank_size(work, spec.chips, spec.experts_per_bank)
    rounds = expected_rounds(work.experts, work.active, bank) if routed else 0.0
    return len(found) - routed + routed * rounds


def operations(spec: Specification, work: LayerWork) -> int:
    """Operations of the vector unit in one layer, one after the other."""
    return sum(isinstance(item, Vector) for item in layer_items(spec, work))


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
        totals.passes = 1.0  # the unembedding
    attention = stall = unit = buffer = hbm = arrays = 0.0
    for i, kind in enumerate(work.kinds):
        count = work.count(i)
        items = layer_items(spec, kind)
        totals.add(items, count)
        totals.passes += count * passes(spec, kind)
        for item in items:
            if isinstance(item, Memory):
                a = attention_time(spec, item.work, context, kv.spilled(item.work))
                attention += count * a.latency
                stall += count * a.stall
                unit += count * a.vector_unit
                buffer += count * a.buffer
                hbm += count * a.hbm
        arrays = max(arrays, _array_demand(spec, kind))
    taken = (min(batch, spec.slots) - 1) / max(1, spec.slots - 1)
    sharing = 1 + taken * (spec.link_sharing - 1)
    latency = Latency(
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
    return latency, demand


class _Totals:
    """Sums over the layers of a token, in seconds, cycles and elements."""

    def __init__(self, spec: Specification):
        self.spec = spec
        self.hops = self.column = self.row = 0.0
        self.cycles = self.elements = self.passes = 0.0

    def add(self, items: tuple[Item, ...], count: int) -> None:
        """Add `count` times the exchanges and operations among items."""
        for item in items:
            if isinstance(item, Exchange):
                self.exchange(item.steps, count)
        self.operations([item.elements for item in items if isinstance(item, Vector)], count)

    def exchange(self, steps: tuple[Step, ...], count: int) -> None:
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
    return EMBEDDING_BYTES * work.hidden / spec.hbm_bandwidth


def largest_demand(demand: dict[str, float]) -> tuple[str, float]:
    """The resource that a token holds longest."""
    return max(demand.items(), key=lambda item: item[1])


def _array_demand(spec: Specification, work: LayerWork) -> float:
    """Seconds for which a token holds the busiest arrays of a layer, on average."""
    busiest = 1.0
    if work.experts:
        bank = bank_size(work, spec.chips, spec.experts_per_bank)
        busiest = max(busiest, work.active * bank / work.experts)
    return busiest * spec.pass_cycles / spec.clock
