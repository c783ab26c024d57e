"""Rates: links, vector unit and neuron arrays against the claimed tokens/s; latency against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hnlpu.arithmetic.exchange import ExchangeFormats
from hnlpu.system.audit._case import Case, ends
from hnlpu.system.audit._claim import Claim, equal, need, reach
from hnlpu.system.audit._memory import longest_context
from hnlpu.system.machine import (
    bank_of,
    bank_size,
    bit_serial_cycles,
    expected_rounds,
    kv_state,
    largest_demand,
    token_demand,
    token_latency,
    token_link_bytes,
    token_steps,
)

QUARTER_MILLION = 2**18


def throughput_claims(case: Case) -> Iterator[Claim]:
    """Claims about what the machine does in a second and how long a token takes."""
    if case.rate is None:
        return
    yield from _links(case, case.rate)
    yield from _vector_unit(case, case.rate)
    yield from _arrays(case)
    yield from _rates(case, case.rate)
    yield from _latency(case, case.rate)


def _links(case: Case, rate: float) -> Iterator[Claim]:
    link = case.machine.link
    if case.chips == 1 or link is None:
        return
    there = link.bandwidth.value
    payload = case.limits.link.payload
    for axis in ("column", "row"):
        layers = sum(
            case.work.count(i) * sum(s.bytes for s in token_steps(case.spec, kind) if s.axis == axis)
            for i, kind in enumerate(case.work.kinds)
        )  # fmt: skip
        logits = sum(s.bytes for s in token_steps(case.spec, case.work.head) if s.axis == axis)
        taken = rate * (layers + logits) / 1e9
        yield need(
            "links", f"bandwidth of a {axis} link",
            (taken / payload.high, taken / payload.value, taken / payload.low), there, "GB/s",
            f"{layers / case.model.layers:,.0f} bytes a layer and {logits:,.0f} of logits a token, "
            f"{case.spec.collective} exchange in {_in_words(case.spec.formats)}, flits of "
            f"{payload.value:.0%} payload",
        )  # fmt: skip
    yield from _exact_links(case, rate)
    yield need(
        "links", "latency of a hop", ends(case.limits.link.latency), link.latency.value,
        "ns", "one way between two chips, through both ports",
        f"{steps(case)} hops one after the other in each layer",
    )  # fmt: skip


def _exact_links(case: Case, rate: float) -> Iterator[Claim]:
    """What links would carry if all that crosses them were exact, as it is exchanged and scattered."""
    link, payload = case.machine.link, case.limits.link.payload
    assert link is not None
    for way in dict.fromkeys((case.spec.collective, "scatter")):
        logits = case.spec.sampling if way == case.spec.collective else "candidates"
        spec = replace(case.spec, formats=ExchangeFormats(), collective=way, sampling=logits)
        each = max(token_link_bytes(spec, case.work))
        taken = rate * each / 1e9
        yield need(
            "links", f"bandwidth of the busiest link, exact sums, {way} exchange",
            (taken / payload.high, taken / payload.value, taken / payload.low),
            link.bandwidth.value, "GB/s",
            f"{each:,.0f} bytes a token: whole numbers at their proven width, so that the tokens are those of "
            f"one chip (docs/exchange.md); {'candidates' if logits == 'candidates' else 'all logits'}",
        )  # fmt: skip


def _in_words(formats: ExchangeFormats) -> str:
    """Formats of an exchange, as bits where all are alike."""
    bits = {"fp16": "16 bits", "int8": "8 bits", "vector": "32 bits"}
    return bits.get(str(formats), str(formats))


def steps(case: Case) -> int:
    """Hops one after the other in a layer."""
    return len(token_steps(case.spec, case.work.kinds[0]))


def _vector_unit(case: Case, rate: float) -> Iterator[Claim]:
    unit = case.machine.vector_unit.heads_per_cycle
    for context in sorted({case.context, 8 * case.context, QUARTER_MILLION}):
        busy = case.demand(context)["vector unit"]
        taken = rate * busy * unit.value
        longest = longest_context(case, rate, "vector unit")
        yield need(
            "vector unit", f"cached heads a cycle at {context:,} positions", taken, unit.value,
            "heads a cycle", f"keys and values of {rate:,.0f} tokens/s through one unit a chip, the "
            "other vector operations as well",
            f"at {unit.value:g} a cycle it lasts up to {longest:,} positions",
        )  # fmt: skip
    if unit.uncertain:
        spec = replace(case.spec, heads_per_cycle=unit.low)
        kv = kv_state(spec, case.work, case.model.embedding_weights, case.sequences, case.context)
        busy = token_demand(spec, case.work, case.context, kv)["vector unit"]
        yield reach(
            "vector unit", "rate at the heads a cycle that figure 14 implies", 1 / busy, rate,
            "tokens/s", f"{unit.low:g} heads a cycle, {case.context:,} positions",
            "if this were the unit's rate and not its latency",
        )  # fmt: skip


def _arrays(case: Case) -> Iterator[Claim]:
    machine = case.machine
    stated = case.spec.pass_cycles
    serial = bit_serial_cycles(machine.activation_bits, case.model.hidden)
    if case.machine.breakdown and case.model.name == case.system.model:
        yield equal(
            "neuron arrays", "cycles of a pass", serial, stated, "cycles",
            f"bits of a product and one level of adders a cycle; figure 14's share of projection gives "
            f"{stated:.0f} for each pass",
            f"a pass takes {stated / serial:.0f} times what bit-serial products explain: ports shared in "
            "time would explain both this and the area",
        )  # fmt: skip
    assert case.rate
    busy = case.demand(case.context)["neuron arrays"]
    yield need(
        "neuron arrays", "use of the busiest array", case.rate * busy, 1.0, "of the time",
        f"{stated:.0f} cycles a pass; experts that share popcounts run one after the other",
    )  # fmt: skip


def bound(case: Case, context: int) -> tuple[str, float]:
    """The resource that limits the rate at `context`, and the rate that it allows."""
    name, held = largest_demand(case.demand(context))
    return name, 1 / held


def _rates(case: Case, rate: float) -> Iterator[Claim]:
    for context in sorted({case.context, 8 * case.context, 65_536, QUARTER_MILLION}):
        name, most = bound(case, context)
        yield reach(
            "throughput", f"rate at {context:,} positions", most, rate, "tokens/s",
            f"the most that the {name} can carry, shared by all tokens in flight",
        )  # fmt: skip
    if not case.sliding and case.model.has_windows:
        name, held = largest_demand(case.demand(65_536, case.windowed()))
        yield reach(
            "throughput", "rate at 65,536 positions with sliding windows", 1 / held, rate, "tokens/s",
            f"every window used; the most that the {name} can carry",
        )  # fmt: skip
    others = [r for r in case.system.rate if r.model == case.model.name][1:]
    for other in others:
        name, most = bound(case, case.context)
        yield reach(
            "throughput", f"rate of {other.name}", most, other.tokens.value, "tokens/s",
            f"the most that the {name} can carry", "the comparison of costs rests on this rate",
        )  # fmt: skip


def _latency(case: Case, rate: float) -> Iterator[Claim]:
    spec, model = case.spec, case.model
    kv = kv_state(spec, case.work, model.embedding_weights, case.sequences, case.context)
    alone = token_latency(spec, case.work, case.context, kv, 1)
    loaded = spec.slots / rate
    yield need(
        "latency", "a token alone within its share of the pipeline", alone.total * 1e6, loaded * 1e6,
        "us", f"latencies of one token with nothing shared; {spec.slots} slots at {rate:,.0f} tokens/s",
        f"{alone.total * rate:.0f} tokens in flight would hide all latency",
    )  # fmt: skip
    if len(case.machine.breakdown) and model.name == case.system.model:
        point = case.machine.breakdown[0]
        stated = point.communication.value * loaded / model.layers
        yield equal(
            "latency", "communication of a layer", alone.communication / model.layers * 1e6,
            stated * 1e6, "us", "hops and bytes of one token alone; figure 14's share of the time",
            f"{stated * model.layers / alone.communication:.0f} times as long; it comes out if all tokens "
            "in flight share the links (a hypothesis), and then time grows with the load",
        )  # fmt: skip
    stage = loaded / model.layers / case.machine.stages
    rounds, experts = 1.0, bank_of(case.work.kinds[-1])
    if experts is not None:
        bank = bank_size(experts, case.chips, spec.experts_per_bank)
        rounds = expected_rounds(experts.count, experts.active, bank)
    taken = 2 * rounds * spec.pass_cycles / spec.clock
    yield need(
        "latency", "projections of the experts' stage", taken * 1e6, stage * 1e6, "us",
        f"two passes, each {rounds:.2f} times as experts meet in a bank; a stage has one in "
        f"{case.machine.stages} of a layer's time",
        "stages of equal length are an assumption: this one computes longest",
    )  # fmt: skip
