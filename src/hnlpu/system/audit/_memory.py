"""Memories: keys and values against buffer and HBM, in bytes and in bytes a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hnlpu.model.checkpoint import NO_LIMIT
from hnlpu.system.audit._case import Case
from hnlpu.system.audit._claim import Claim, equal, need
from hnlpu.system.machine import HELD_BYTES, TokenWork, held_bytes, kv_state, token_demand


def memory_claims(case: Case) -> Iterator[Claim]:
    """Claims about the attention buffer and HBM."""
    yield from _buffer(case)
    yield from _capacity(case)
    if case.rate is not None:
        yield from _bandwidth(case, case.rate)


def _buffer(case: Case) -> Iterator[Claim]:
    buffer, sram = case.machine.buffer, case.limits.sram
    yield equal(
        "memory", "banks make up the buffer", buffer.banks * buffer.bank_capacity.value / 1e3,
        buffer.capacity.value, "MB", f"{buffer.banks:,} banks of {buffer.bank_capacity.value:g} kB",
    )  # fmt: skip
    ports = buffer.banks * buffer.port_bits / 8 * case.machine.clock.value / 1e3
    yield equal(
        "memory", "ports make up the bandwidth", ports, buffer.bandwidth.value, "TB/s",
        f"{buffer.banks:,} ports of {buffer.port_bits} bits at {case.machine.clock.value:g} GHz",
    )  # fmt: skip
    if case.system.blocks_for("attention buffer") and case.modern:
        bits = buffer.capacity.value * 8e6
        low = bits * sram.cell.value * sram.port_factor.low / sram.efficiency.high / 1e6
        value = bits * sram.cell.value * sram.port_factor.value / sram.efficiency.value / 1e6
        high = bits * sram.cell.value * sram.port_factor.high / sram.efficiency.low / 1e6
        yield need(
            "memory", "area of the buffer", (low, value, high),
            case.system.area_for("attention buffer"), "mm2",
            f"{buffer.capacity.value:g} MB of {sram.cell.value:g} um2 cells x "
            f"{sram.port_factor.value:g} for two ports / {sram.efficiency.value:.0%} array share",
        )  # fmt: skip


def _state(
    case: Case, context: int, kv_bits: int | None = None, work: TokenWork | None = None
) -> tuple[float, float]:
    """Bytes of all sequences at `context`, and bytes there are."""
    spec = replace(case.spec, kv_bits=kv_bits) if kv_bits else case.spec
    kv = kv_state(spec, work or case.work, case.model.embedding_weights, case.sequences, context)
    return kv.bytes, kv.capacity_bytes


def _capacity(case: Case) -> Iterator[Claim]:
    buffers = case.chips * case.spec.buffer_bytes / 1e9
    if held := case.sequences * held_bytes(case.spec, case.work):
        yield need(
            "memory", "states of fixed size in the buffers", held / 1e9, buffers, "GB",
            f"{case.sequences} sequences of any length, {HELD_BYTES} bytes a number, copies on other "
            "chips too",
        )  # fmt: skip
    if not case.has_keys:
        return
    for bits in sorted({case.spec.kv_bits, 8, 4}, reverse=True):
        taken, _ = _state(case, case.context, bits)
        yield need(
            "memory", f"{bits}-bit keys and values in the buffers", taken / 1e9, buffers, "GB",
            f"{case.sequences} sequences of {case.context:,} positions; {case.chips} buffers",
            "" if taken / 1e9 <= buffers else
            f"{buffers / taken * 1e9:.0%} of them stay on the chips, the rest streams from HBM",
        )  # fmt: skip
    if not case.sliding and case.model.has_windows:
        taken, _ = _state(case, case.context, work=case.windowed())
        yield need(
            "memory", f"{case.spec.kv_bits}-bit keys and values in the buffers, windows used",
            taken / 1e9, buffers, "GB", f"{case.sequences} sequences of {case.context:,} positions",
        )  # fmt: skip
    for name, context in (
        ("keys and values in buffers and HBM", case.context),
        ("keys and values at the model's longest context", case.model.positions),
        ("keys and values at 512K positions", 2**19),
    ):
        if context > 4 * case.model.positions or context >= NO_LIMIT:
            continue
        taken, there = _state(case, context)
        yield need(
            "memory", name, taken / 1e9, there / 1e9, "GB",
            f"{case.sequences} sequences of {context:,} positions, {case.spec.kv_bits} bits",
        )  # fmt: skip


def _bandwidth(case: Case, rate: float) -> Iterator[Claim]:
    demand = case.demand(case.context)
    buffer = case.machine.buffer.bandwidth.value
    yield need(
        "memory", "reads of the buffer", rate * demand["attention buffer"] * buffer, buffer, "TB/s",
        f"keys and values of {case.context:,} positions for each of {rate:,.0f} tokens/s, a chip",
    )  # fmt: skip
    if case.machine.hbm is None:
        return
    hbm = case.machine.hbm.bandwidth_gb_s / 1e3
    yield need(
        "memory", "reads of HBM", rate * demand["HBM"] * hbm, hbm, "TB/s",
        f"what the buffers cannot hold, at {case.context:,} positions and {rate:,.0f} tokens/s, a chip",
        f"HBM alone allows {rate:,.0f} tokens/s up to {longest_context(case, rate, 'HBM'):,} positions",
    )  # fmt: skip


def longest_context(case: Case, rate: float, resource: str) -> int:
    """The longest context at which `resource` carries `rate` tokens/s; 0 for none."""

    def carries(context: int) -> bool:
        spec, work = case.spec, case.work
        kv = kv_state(spec, work, case.model.embedding_weights, case.sequences, context)
        return rate * token_demand(spec, work, context, kv)[resource] <= 1

    if not carries(1):
        return 0
    low, high = 1, 2**24
    if carries(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if carries(middle) else (low, middle)
    return low
