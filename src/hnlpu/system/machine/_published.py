"""A catalog's `System` -> `Specification`, calibrated where its publication gives time shares.

Two published breakdowns (of figure 14) and one rate (of table 2) fix four numbers of the paper's
machine, with N slots, L layers and the shares c, p, a, r of a token's time T = N / rate:

    communication   c T                    over bytes on links: how much a link is shared
    projection      p T                    over passes: cycles of a pass
    attention       a' T' / context'       seconds a position, T' = (c + p) T / (c' + p')
    nonlinear       r T - attention        over operations: cycles of one

Systems without published shares or without a rate, and systems with another model than their own, take
what their numbers say: bit-serial passes, links that one token has for itself, vector units at their
stated rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hnlpu.arithmetic.exchange import (
    ExchangeFormats,
    Widths,
    any_part_bits,
    attention_bits,
    expert_bits,
)
from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.system.catalog import (
    ROW_RANGE,
    Breakdown,
    Machine,
    Model,
    ModelShape,
    System,
    load_model,
)
from hnlpu.system.machine._analytic import communication_latency, operations, passes
from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._tasks import TokenWork
from hnlpu.system.machine._work import catalog_work

DIGIT_CYCLES = 4
"""Cycles that a bit-serial pass adds to those of the activation's bits: a product of an E2M1
digit (twice its value, up to 12) and a sign is four bits wider than the activation."""

VECTOR_LATENCY_CYCLES = 94
"""Cycles of a dependent operation of the vector unit where nothing is published: what figure 14
leaves for each of the seven of a layer of gpt-oss 120B on the paper's machine."""

UNKNOWN_INPUTS = 4096
"""Inputs of a matrix where there is no model."""

MOST_POSITIONS = 131072
"""Positions that exact sums of a softmax have room for where there is no model: those of gpt-oss."""

HBM_LATENCY_S = 120e-9
"""Row miss and controller: measured on HBM2 at 106 to 122 ns (Wang et al., "Shuhai", FCCM 2020)."""


@dataclass(frozen=True)
class Calibration:
    """What a publication's shares imply; seconds of one token, and cycles."""

    token: float
    communication: float
    pass_cycles: float
    vector_latency_cycles: float
    attention_per_position: float
    link_sharing: float


def specification(
    system: System, model: Model | None = None, *, kv_bits: int | None = None
) -> Specification:
    """The specification of a system with `model` on it (default: its own).

    Raises InvalidInput where it describes no grid of chips.
    """
    machine = system.machine
    if machine is None:
        raise InvalidInput(
            f"system {system.name} has no [machine] to simulate (only published rates); "
            "choose hnlpu-asplos26 or give a .toml file with one"
        )
    if model is None and system.model:
        model = load_model(system.model)
    plain = _plain(
        machine, model, kv_bits or machine.kv_bits, system.array.bank if system.array else 0
    )
    if not isinstance(model, ModelShape) or not _calibrates(system, model):
        return plain
    fit = calibrate(system, machine, model)
    position = 2 * model.attention.heads * model.attention.head_dim / machine.chips
    stated = position / plain.attention_macs / plain.clock
    return replace(
        plain,
        link_sharing=max(1.0, fit.link_sharing),
        pass_cycles=fit.pass_cycles,
        vector_latency_cycles=fit.vector_latency_cycles,
        attention_latency=max(1.0, fit.attention_per_position / model.layers / stated),
    )


def _calibrates(system: System, model: ModelShape) -> bool:
    """Whether the system publishes shares of time and a rate, and of this model."""
    return (
        system.model == model.name
        and system.machine is not None
        and len(system.machine.breakdown) >= 2
        and system.published(model.name) is not None
    )


def calibrate(system: System, machine: Machine, model: ModelShape) -> Calibration:
    """Solve the four equations above; raises InvalidData where the shares contradict each other."""
    rate = system.published(model.name)
    if rate is None:
        raise InvalidData(f"system {system.name}: has shares of time but no rate for {model.name}")
    near, far = _two_points(system, machine)
    spec = _plain(machine, model, machine.kv_bits)
    work = catalog_work(model, machine.rows, machine.columns, sliding=False)
    token = spec.slots / rate.tokens.value
    constant = near.communication.value + near.projection.value
    far_token = token * constant / (far.communication.value + far.projection.value)
    assert far.attention
    per_position = far.attention.value * far_token / far.context
    nonlinear = near.rest.value * token - per_position * near.context
    hops, on_links = communication_latency(spec, work)
    communication = near.communication.value * token
    if nonlinear <= 0 or communication <= hops:
        raise InvalidData(
            f"system {system.name}: machine.breakdown: the shares leave no time for "
            f"{'vector operations' if nonlinear <= 0 else 'bytes on links'}"
        )
    return Calibration(
        token=token,
        communication=communication,
        pass_cycles=near.projection.value * token * spec.clock / _passes(spec, work),
        vector_latency_cycles=nonlinear * spec.clock / _operations(work),
        attention_per_position=per_position,
        link_sharing=(communication - hops) / on_links if on_links else 1.0,
    )


def bit_serial_cycles(activation_bits: int, inputs: int) -> float:
    """Cycles of a pass: the bits of a product, then a tree of carry-save adders, one level each."""
    return activation_bits + DIGIT_CYCLES + math.ceil(math.log2(max(2, inputs)))


def _two_points(system: System, machine: Machine) -> tuple[Breakdown, Breakdown]:
    points = sorted(machine.breakdown, key=lambda point: point.context)
    if points[-1].attention is None:
        raise InvalidData(
            f"system {system.name}: machine.breakdown at {points[-1].context} lacks attention"
        )
    return points[0], points[-1]


def _plain(machine: Machine, model: Model | None, kv_bits: int, bank: int = 0) -> Specification:
    """What the numbers of a machine say by themselves."""
    layers = model.layers if model else 1
    inputs = model.hidden if model else UNKNOWN_INPUTS
    links, formats, sum_bits = Links(1.0, 0.0), ExchangeFormats(), None  # of one chip none is used
    if link := machine.link:
        links = Links(link.bandwidth.value * 1e9, link.latency.value * 1e-9)
        formats, sum_bits = link.formats, link.sum_bits
    hbm = machine.hbm
    return Specification(
        rows=machine.rows,
        columns=machine.columns,
        slots=machine.slots(layers),
        clock=machine.clock.value * 1e9,
        column_links=links,
        row_links=links,
        collective="direct",
        sampling="gather",
        heads_per_cycle=machine.vector_unit.heads_per_cycle.value,
        attention_latency=1.0,
        vector_latency_cycles=VECTOR_LATENCY_CYCLES,
        pass_cycles=bit_serial_cycles(machine.activation_bits, inputs),
        experts_per_bank=bank,
        buffer_bytes=machine.buffer.capacity.value * 1e6,
        buffer_bandwidth=machine.buffer.bandwidth.value * 1e12,
        hbm_bytes=hbm.capacity_gb * 1e9 if hbm else 0.0,
        hbm_bandwidth=hbm.bandwidth_gb_s * 1e9 if hbm else 0.0,
        hbm_latency=HBM_LATENCY_S,
        kv_bits=kv_bits,
        formats=formats,
        widths=exact_widths(
            model, machine.rows, machine.columns, machine.activation_bits, sum_bits
        ),
    )


def exact_widths(
    model: Model | None, rows: int, columns: int, activation_bits: int, sum_bits: int | None = None
) -> Widths:
    """Bits of exact numbers between the chips of a grid.

    Where weights are unknown (`sum_bits` None) sums are those of rows whose exponents span `ROW_RANGE`.
    """
    inputs = model.hidden if model else UNKNOWN_INPUTS
    positions = model.positions if model else MOST_POSITIONS
    totals, mixed = attention_bits(-(-positions // rows))
    shared = -(-inputs // min(rows, columns))
    sums = sum_bits or any_part_bits(shared, activation_bits, ROW_RANGE)
    return Widths(activation_bits, sums, expert_bits(1), totals, mixed)


def _passes(spec: Specification, work: TokenWork) -> float:
    return 1 + sum(work.count(i) * passes(spec, kind) for i, kind in enumerate(work.kinds))


def _operations(work: TokenWork) -> float:
    return 1 + sum(work.count(i) * operations(kind) for i, kind in enumerate(work.kinds))
