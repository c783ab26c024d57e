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
from hnlpu.system.machine._exchange import ExchangeStep
from hnlpu.system.machine._items import ExchangeItem, Item, head_items, layer_items
from hnlpu.system.machine._kv import HELD_BYTES
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import (
    ArrayPass,
    CacheTraffic,
    Enter,
    Leave,
    StateTraffic,
    TokenWork,
    Vector,
)
from hnlpu.system.machine._work import bank_size

PICOSECONDS = 1e12
PLAIN: Final = 0
ATTENTION: Final = 1
EXPERTS: Final = 2
HELD: Final = 3
ENTER: Final = 4
LEAVE: Final = 5
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
class TokenProgram:
    """Operations in a token's order; `body` of them belong to every token, the rest to logits.

    A row of `table` is KIND, RESOURCE (of `EXPERTS`, the index of its banks), PART of the
    breakdown, OCCUPANCY and LATENCY in ps, WINDOW (0 is none; of `ENTER`, the row of its `LEAVE`), and
    CHAINED where the next operation may follow at once because only this one leads to its resource
    and keeps its order.  For attention, a row of `positional` holds ps for each position on a chip:
    vector unit, its latency, buffer, HBM; for `HELD`, the buffer's ps in the buffer's place.
    Waits for serial regions are counted at the last resource, which nothing holds.
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

    @property
    def serial(self) -> bool:
        """Whether there are serial regions."""
        return bool((self.table[:, KIND] == ENTER).any())


@dataclass
class _Writer:
    """Rows of a program in the making."""

    spec: Specification
    rows: list[tuple[int, int, int, int, int, int]]
    positional: list[tuple[float, float, float, float]]
    arrays: int = 0
    banked: int = 0
    entered: int = 0

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
                case ArrayPass(bank, rows):
                    self.array(bank is not None, rows)
                case ExchangeItem(steps):
                    self.links(steps)
                case Vector(elements):
                    self.vector(elements)
                case CacheTraffic():
                    self.attention(item)
                case StateTraffic(values):
                    self.held(values)
                case Enter():
                    self.entered = len(self.rows)
                    self.mark(ENTER)
                case Leave():
                    self.rows[self.entered] = (*self.rows[self.entered][:-1], len(self.rows))
                    self.mark(LEAVE)
                case _:
                    assert_never(item)

    def array(self, experts: bool, rows: int) -> None:
        """A pass through an array of its own, or through the experts that the token picked."""
        time = rows * self.spec.pass_cycles / self.spec.clock
        if experts:
            self.add(EXPERTS, self.banked, PROJECTION, time, time)
            self.banked += 1
        else:
            self.add(PLAIN, ARRAYS + self.arrays, PROJECTION, time, time)
            self.arrays += 1

    def links(self, steps: tuple[ExchangeStep, ...]) -> None:
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

    def attention(self, memory: CacheTraffic) -> None:
        """The sum over positions, in the row of the vector operation that opens it."""
        spec = self.spec
        self._opened(ATTENTION, memory.window or 0)
        unit = memory.macs_per_position / spec.attention_macs / spec.clock
        size = memory.kv_values * spec.kv_bits / 8
        hbm = size / spec.hbm_bandwidth if spec.hbm_bandwidth else 0.0
        times = (unit, unit * spec.attention_latency, size / spec.buffer_bandwidth, hbm)
        self.positional[-1] = (
            times[0] * PICOSECONDS, times[1] * PICOSECONDS,
            times[2] * PICOSECONDS, times[3] * PICOSECONDS,
        )  # fmt: skip

    def held(self, values: float) -> None:
        """States of fixed size, in the row of the vector operation that reads and writes them."""
        self._opened(HELD, 0)
        time = values * HELD_BYTES / self.spec.buffer_bandwidth
        self.positional[-1] = (0.0, 0.0, time * PICOSECONDS, 0.0)

    def mark(self, kind: int) -> None:
        """An end of a serial region."""
        self.rows.append((kind, 0, NONLINEAR, 0, 0, 0))
        self.positional.append((0.0, 0.0, 0.0, 0.0))

    def _opened(self, kind: int, window: int) -> None:
        """Make the last row, a vector operation, one that reads memory."""
        plain, resource, part, occupancy, latency, _ = self.rows[-1]
        assert (plain, resource) == (PLAIN, VECTOR_UNIT)
        self.rows[-1] = (kind, resource, part, occupancy, latency, window)


def token_program(spec: Specification, work: TokenWork) -> TokenProgram:
    """The operations of one token."""
    writer = _Writer(spec, [], [])
    entry = embedding_time(spec, work)
    writer.add(PLAIN, HBM, ENTRY, entry, entry)
    for kind in work.layers:
        writer.items(layer_items(spec, work.kinds[kind]))
    body = len(writer.rows)
    writer.items(head_items(spec, work))
    table = np.array(writer.rows, np.int64)
    bank, size = work.bank, 1
    if bank is not None:
        size = bank_size(bank, spec.chips, spec.experts_per_bank)
    return TokenProgram(
        _with_chains(table), np.array(writer.positional), body, ARRAYS + writer.arrays + 1,
        writer.banked, -(-bank.count // size) if bank else 1, size, spec.rows,
        round(spec.hbm_latency * PICOSECONDS),
    )  # fmt: skip


def _with_chains(rows: Integers) -> Integers:
    """Rows with a last column: whether the next may follow without asking for the order of others.

    True where the next one's resource serves nothing else, so that whoever is served first here
    arrives first there: after an operation of one latency, not after attention or experts.  Ends of
    serial regions are events of their own, whose times others wait for.
    """
    kind, resource = rows[:, KIND], rows[:, RESOURCE]
    private = (resource >= ARRAYS) | (kind == EXPERTS)
    table = np.zeros((len(rows), CHAINED + 2), np.int64)  # a row fills a cache line
    table[:, :CHAINED] = rows
    table[:-1, CHAINED] = private[1:] & (kind[:-1] == PLAIN)
    return table
