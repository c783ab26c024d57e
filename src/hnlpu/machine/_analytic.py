"""One token's time and its demand on every shared resource, in closed form.

Latencies add up; nothing waits.  A resource that a token holds for d seconds carries at most 1/d
tokens a second, and N tokens in flight cannot pass faster than N / latency, so

    tokens/s <= min(N / latency, 1 / largest demand)

(asymptotic bounds of closed queueing networks: Denning and Buzen, "The Operational Analysis of
Queueing Network Models", ACM Computing Surveys 10(3), 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.machine._exchange import Step, layer_exchanges, logit_exchange
from hnlpu.machine._kv import EMBEDDING_BYTES, KvState
from hnlpu.machine._specification import Specification
from hnlpu.machine._vector import layer_elements, sampling_elements
from hnlpu.machine._work import LayerWork, TokenWork, bank_size, expected_rounds

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
    if not work.experts:
        return work.projections + 2.0
    bank = bank_size(work, spec.chips, spec.experts_per_bank)
    return work.projections + 1 + 2 * expected_rounds(work.experts, work.active, bank)


def communication_latency(spec: Specification, work: TokenWork) -> tuple[float, float]:
    """Seconds of all exchanges of one token alone: of hops, and of bytes on links."""
    hops, time = _steps_latency(spec, logit_exchange(spec, work.logits))
    for i, kind in enumerate(work.kinds):
        kind_hops, kind_time = _steps_latency(spec, layer_exchanges(spec, kind).all())
        hops += work.count(i) * kind_hops
        time += work.count(i) * kind_time
    return hops, time


def token_latency(
    spec: Specification, work: TokenWork, context: int, kv: KvState, batch: int = 1
) -> Latency:
    """Latency of one token with `context` positions cached.

    Where the specification has a `link_sharing`, time on links grows with the slots taken, from
    that of a token alone: on saturated links it is proportional to the tokens that share them.
    """
    hops, on_links = communication_latency(spec, work)
    taken = (min(batch, spec.slots) - 1) / max(1, spec.slots - 1)
    communication = hops + on_links * (1 + taken * (spec.link_sharing - 1))
    cycles_passes = 1.0  # the unembedding
    nonlinear = _operation_cycles(spec, [sampling_elements(spec, work)])
    attention = stall = 0.0
    for i, kind in enumerate(work.kinds):
        count = work.count(i)
        cycles_passes += count * passes(spec, kind)
        nonlinear += count * _operation_cycles(spec, layer_elements(spec, kind))
        a = attention_time(spec, kind, context, kv.spilled(kind))
        attention += count * a.latency
        stall += count * a.stall
    return Latency(
        communication,
        cycles_passes * spec.pass_cycles / spec.clock,
        nonlinear / spec.clock,
        attention,
        stall,
    )


def token_demand(
    spec: Specification, work: TokenWork, context: int, kv: KvState, *, logits: bool = True
) -> dict[str, float]:
    """Seconds for which one token holds each resource of `RESOURCES` (of a chip, or one link).

    Tokens of a prompt but its last one need no `logits`.
    """
    demand = dict.fromkeys(RESOURCES, 0.0)
    demand["HBM"] = embedding_time(spec, work)
    elements = 0.0
    if logits:
        elements = sampling_elements(spec, work)
        _add_links(spec, demand, logit_exchange(spec, work.logits), 1)
    arrays = 0.0
    for i, kind in enumerate(work.kinds):
        count = work.count(i)
        _add_links(spec, demand, layer_exchanges(spec, kind).all(), count)
        a = attention_time(spec, kind, context, kv.spilled(kind))
        elements += count * sum(layer_elements(spec, kind))
        demand["vector unit"] += count * a.vector_unit
        demand["attention buffer"] += count * a.buffer
        demand["HBM"] += count * a.hbm
        arrays = max(arrays, _array_demand(spec, kind))
    demand["vector unit"] += elements / spec.lanes / spec.clock
    demand["neuron arrays"] = arrays
    return demand


def embedding_time(spec: Specification, work: TokenWork) -> float:
    """Seconds of HBM for a token's row of the embedding table."""
    if not spec.hbm_bandwidth:
        return 0.0
    return EMBEDDING_BYTES * work.hidden / spec.hbm_bandwidth


def largest_demand(demand: dict[str, float]) -> tuple[str, float]:
    """The resource that a token holds longest."""
    return max(demand.items(), key=lambda item: item[1])


def _operation_cycles(spec: Specification, elements: list[float]) -> float:
    """Cycles of operations one after the other, each at least the vector unit's latency."""
    return sum(max(spec.vector_latency_cycles, n / spec.lanes) for n in elements)


def _array_demand(spec: Specification, work: LayerWork) -> float:
    """Seconds for which a token holds the busiest arrays of a layer, on average."""
    busiest = 1.0
    if work.experts:
        bank = bank_size(work, spec.chips, spec.experts_per_bank)
        busiest = max(busiest, work.active * bank / work.experts)
    return busiest * spec.pass_cycles / spec.clock


def _steps_latency(spec: Specification, steps: tuple[Step, ...]) -> tuple[float, float]:
    hops = on_links = 0.0
    for step in steps:
        links = spec.column_links if step.axis == "column" else spec.row_links
        hops += step.hops * links.latency
        on_links += step.bytes / links.bandwidth
    return hops, on_links


def _add_links(
    spec: Specification, demand: dict[str, float], steps: tuple[Step, ...], count: int
) -> None:
    for step in steps:
        if step.axis == "column":
            demand["column links"] += count * step.bytes / spec.column_links.bandwidth
        else:
            demand["row links"] += count * step.bytes / spec.row_links.bandwidth
