"""A token's work items -> arrays of operations, one a row, for the event simulation.

An entry (the row of the embedding table) comes first; what follows, `_items` says.

All chips do the same for a token, so one chip, one column link and one row link stand for all;
only the experts of a token differ by chip, and every bank of every chip is kept.  Times are whole
picoseconds: sums are exact, and an order of events is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.system.machine._analytic import embedding_time
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
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._work import LayerWork, TokenWork, bank_size

PICOSECONDS = 1e12
PLAIN: Final = 0
ATTENTION: Final = 1
EXPERTS: Final = 2
KIND, RESOURCE, PART, OCCUPANCY, LATENCY, WINDOW, CHAINED = range(7)
COMMUNICATION: Final = 0
PROJECTION: Final = 1
NONLINEAR: Final = 2
ENTRY: Final = 3
VECTOR_UNIT: Final = 0
COLUMN_LINKS: Final = 1
ROW_LINKS: Final = 2
HBM: Final = 3
BUFFER: Final = 4
ARRAYS: Final = 5  # and all above: one array each
LONGEST_OPERATION_S = 1.0

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Program:
    """Operations in a token's order; `body` of them belong to every token, the rest to logits.

    A row of `table` is KIND, RESOURCE (of `EXPERTS`, the index of its banks), PART of the
    breakdown, OCCUPANCY and LATENCY in ps, WINDOW (0 is none), and CHAINED where the next operation
    may follow at once because only this one leads to its resource and keeps its order.  For
    attention, a row of `positional` holds ps for each position on a chip: vector unit, its latency,
    buffer, HBM.
    """

    table: Integers
    positional: Floats
    body: int
    resources: int
    banked: int
    banks: int
    bank: int
    rows: int
    hbm_latency: int

    def __len__(self) -> int:
        """Operations of a token with logits."""
        return len(self.table)


@dataclass
class _Writer:
    """Rows of a program in the making."""

    spec: Specification
    rows: list[tuple[int, int, int, int, int, int]]
    positional: list[tuple[float, float, float, float]]
    arrays: int = 0
    banked: int = 0

    def add(
        self, kind: int, resource: int, part: int, occupancy: float, latency: float, window: int = 0
    ) -> None:
        """Add a row; times in seconds."""
        ps = [max(1, round(time * PICOSECONDS)) for time in (occupancy, latency)]
        self.rows.append((kind, resource, part, ps[0], max(ps), window))
        self.positional.append((0.0, 0.0, 0.0, 0.0))

    def items(self, items: tuple[Item, ...]) -> None:
        """Rows of work items."""
        for item in items:
            match item:
                case Pass(experts):
                    self.array(experts)
                case Exchange(steps):
                    self.links(steps)
                case Vector(elements):
                    self.vector(elements)
                case Memory(work):
                    self.attention(work)
                case _:
                    assert_never(item)

    def array(self, experts: bool) -> None:
        """A pass through an array of its own, or through the experts that the token picked."""
        time = self.spec.pass_cycles / self.spec.clock
        if experts:
            self.add(EXPERTS, self.banked, PROJECTION, time, time)
            self.banked += 1
        else:
            self.add(PLAIN, ARRAYS + self.arrays, PROJECTION, time, time)
            self.arrays += 1

    def links(self, steps: tuple[Step, ...]) -> None:
        """Steps of an exchange."""
        for step in steps:
            column = step.axis == "column"
            links = self.spec.column_links if column else self.spec.row_links
            resource = COLUMN_LINKS if column else ROW_LINKS
            time = step.bytes / links.bandwidth
            self.add(PLAIN, resource, COMMUNICATION, time, time + step.hops * links.latency)

    def vector(self, elements: float) -> None:
        """An operation of the vector unit."""
        cycles = elements / self.spec.lanes
        latency = self.spec.vector_latency_cycles
        clock = self.spec.clock
        self.add(PLAIN, VECTOR_UNIT, NONLINEAR, cycles / clock, latency / clock)

    def attention(self, work: LayerWork) -> None:
        """The sum over positions, in the row of the vector operation that opens it."""
        spec = self.spec
        _, resource, part, occupancy, latency, _ = self.rows[-1]
        self.rows[-1] = (ATTENTION, resource, part, occupancy, latency, work.window or 0)
        unit = work.macs_per_position / spec.attention_macs / spec.clock
        size = work.kv_values * spec.kv_bits / 8
        hbm = size / spec.hbm_bandwidth if spec.hbm_bandwidth else 0.0
        times = (unit, unit * spec.attention_latency, size / spec.buffer_bandwidth, hbm)
        self.positional[-1] = (
            times[0] * PICOSECONDS, times[1] * PICOSECONDS,
            times[2] * PICOSECONDS, times[3] * PICOSECONDS,
        )  # fmt: skip


def token_program(spec: Specification, work: TokenWork) -> Program:
    """The operations of one token."""
    writer = _Writer(spec, [], [])
    entry = embedding_time(spec, work)
    writer.add(PLAIN, HBM, ENTRY, entry, entry)
    for kind in work.layers:
        writer.items(layer_items(spec, work.kinds[kind]))
    body = len(writer.rows)
    writer.items(head_items(spec, work))
    table = np.array(writer.rows, np.int64)
    routed = next((k for k in work.kinds if k.experts), None)
    bank = bank_size(routed, spec.chips, spec.experts_per_bank) if routed else 1
    return Program(
        _with_chains(table), np.array(writer.positional), body, ARRAYS + writer.arrays,
        writer.banked, -(-routed.experts // bank) if routed else 1, bank, spec.rows,
        round(spec.hbm_latency * PICOSECONDS),
    )  # fmt: skip


def _with_chains(rows: Integers) -> Integers:
    """Rows with a last column: whether the next may follow without asking for the order of others.

    True where the next one's resource serves nothing else, so that whoever is served first here
    arrives first there: after an operation of one latency, not after attention or experts.
    """
    kind, resource = rows[:, KIND], rows[:, RESOURCE]
    private = (resource >= ARRAYS) | (kind == EXPERTS)
    table = np.zeros((len(rows), CHAINED + 2), np.int64)  # a row fills a cache line
    table[:, :CHAINED] = rows
    table[:-1, CHAINED] = private[1:] & (kind[:-1] == PLAIN)
    return table
