"""The part of a system that a simulator needs: grid, links, memories, vector unit, clock.

column links   every chip to each chip of its column
row links      every chip to each chip of its row
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hnlpu.arithmetic.exchange import KINDS, ExchangeFormats, Format
from hnlpu.quantities import Contradiction, DataTable, Quantity, Title, Unit

Count = Annotated[int, Field(ge=1, le=2**24)]
Fraction = Annotated[Quantity, Unit("dimensionless", 0.002, 1, zero=True)]
_HELD = "from a chip with 2 kB macros to a wafer; held to the rest of the machine"

LINK_BITS = 2, 100_000
"""Bits that a link carries in a cycle: a serial pin at twice the clock to a wafer's edge."""
MEMORY_READS = 0.1, 990
"""Times a second that a memory can be read whole: HBM3 34, HyperRAM 6, DDR5 about 1."""


class ExchangeTable(DataTable):
    """A format for each kind of exchange; `sum_bits` of an exact partial sum, where weights are known."""

    sums: Format
    experts: Format
    attention: Format
    activations: Format
    values: Format
    logits: Format
    sum_bits: Annotated[int, Field(ge=2, le=64)] | None = None


class Link(DataTable):
    """One link between two chips: bandwidth in each direction, latency, formats of what it carries.

    `exchange` is one format for all kinds of exchange, or a table of one for each (docs/exchange.md).
    """

    name: Title
    bandwidth: Annotated[Quantity, Unit("GB/s", 0.005, 50_000, wide=_HELD)]
    latency: Annotated[Quantity, Unit("ns", 0.5, 50_000, wide="wires of a wafer, or a network")]
    exchange: Format | ExchangeTable

    @property
    def formats(self) -> ExchangeFormats:
        """The format of each kind."""
        if isinstance(self.exchange, str):
            return ExchangeFormats.all_of(self.exchange)
        return ExchangeFormats(**{kind: getattr(self.exchange, kind) for kind in KINDS})

    @property
    def sum_bits(self) -> int | None:
        """Bits of an exact partial sum, where weights are known."""
        return None if isinstance(self.exchange, str) else self.exchange.sum_bits


class VectorUnit(DataTable):
    """Cached KV heads a cycle: key or value vectors of one position (a position has both)."""

    heads_per_cycle: Annotated[
        Quantity, Unit("dimensionless", 0.04, 9_900, wide="a multiplier or thousands of heads")
    ]


class Buffer(DataTable):
    """On-chip memory for keys and values; one read and one write port a bank."""

    capacity: Annotated[Quantity, Unit("MB", 0.001, 1e5, wide=_HELD)]
    banks: Count
    bank_capacity: Annotated[Quantity, Unit("kB", 0.05, 9_000, wide=_HELD)]
    port_bits: Annotated[int, Field(ge=1, le=8192)]
    bandwidth: Annotated[Quantity, Unit("TB/s", 1e-4, 1e5, wide=_HELD)]
    latency_cycles: Annotated[int, Field(ge=1, le=999)]


class Hbm(DataTable):
    """Memory beside a chip: stacks, and capacity and bandwidth of each."""

    stacks: Annotated[int, Field(ge=1, le=512)]
    capacity: Annotated[Quantity, Unit("GB", 0.001, 9_900, wide=_HELD)]
    bandwidth: Annotated[Quantity, Unit("GB/s", 0.01, 1e5, wide=_HELD)]

    @property
    def capacity_gb(self) -> float:
        """Of all stacks of a chip."""
        return self.stacks * self.capacity.value

    @property
    def bandwidth_gb_s(self) -> float:
        """Of all stacks of a chip."""
        return self.stacks * self.bandwidth.value


class Breakdown(DataTable):
    """Published shares of the time of one token at one context length; `None` is not published."""

    context: Annotated[int, Field(ge=1, le=2_000_000)]
    communication: Fraction
    projection: Fraction
    attention: Fraction | None = None
    rest: Fraction


class Machine(DataTable):
    """A grid of chips that runs a model as a pipeline of `stages` a layer.

    One chip may have no `link`; a machine whose buffers hold everything has no `hbm`.
    """

    rows: Annotated[int, Field(ge=1, le=256)]
    columns: Annotated[int, Field(ge=1, le=256)]
    stages: Annotated[int, Field(ge=1, le=64)]
    clock: Annotated[Quantity, Unit("GHz", 0.005, 4.9)]
    activation_bits: Annotated[int, Field(ge=2, le=16)]
    kv_bits: Annotated[int, Field(ge=1, le=32)]
    link: Link | None = None
    vector_unit: VectorUnit
    buffer: Buffer
    hbm: Hbm | None = None
    breakdown: list[Breakdown] = Field(default_factory=list)

    @property
    def chips(self) -> int:
        """Chips of the grid."""
        return self.rows * self.columns

    def slots(self, layers: int) -> int:
        """Tokens in flight: one in each stage of each layer."""
        return self.stages * layers

    @model_validator(mode="after")
    def _consistent(self) -> Machine:
        self._check_link_and_memory()
        b = self.buffer
        banks = b.banks * b.bank_capacity.value / 1e3
        if not 0.9 < banks / b.capacity.value < 1.1:
            raise Contradiction(
                ("buffer", "capacity"),
                f"{b.capacity.value:g} MB, but {b.banks} banks of {b.bank_capacity.value:g} kB "
                f"make {banks:g} MB",
            )
        ports = b.banks * b.port_bits / 8 * self.clock.value / 1e3
        if b.bandwidth.value > 1.1 * ports:
            raise Contradiction(
                ("buffer", "bandwidth"),
                f"{b.bandwidth.value:g} TB/s is more than the {ports:g} TB/s of {b.banks} ports "
                f"of {b.port_bits} bits",
            )
        if b.bandwidth.value < ports / 100:
            raise Contradiction(
                ("buffer", "bandwidth"),
                f"{b.bandwidth.value:g} TB/s is less than a hundredth of the {ports:g} TB/s of "
                f"{b.banks} ports of {b.port_bits} bits",
            )
        for i, point in enumerate(self.breakdown):
            shares = (point.communication, point.projection, point.attention, point.rest)
            if sum(share.value for share in shares if share) > 1.005:
                raise Contradiction(("breakdown", i), "the shares sum to more than one")
        return self

    def _check_link_and_memory(self) -> None:
        """What a link carries in a cycle, and how soon a memory is read, lie within orders."""
        if self.link is None:
            if self.chips > 1:
                raise Contradiction(("rows",), f"{self.chips} chips need a [machine.link]")
        else:
            self._check_link(self.link)
        if self.hbm is not None:
            self._check_memory(self.hbm)

    def _check_link(self, link: Link) -> None:
        bits = 8 * link.bandwidth.value / self.clock.value
        if not LINK_BITS[0] <= bits <= LINK_BITS[1]:
            raise Contradiction(
                ("link", "bandwidth"),
                f"{link.bandwidth.value:g} GB/s is {bits:.3g} bits a cycle of "
                f"{self.clock.value:g} GHz; links carry {LINK_BITS[0]:,} to {LINK_BITS[1]:,}",
            )

    def _check_memory(self, hbm: Hbm) -> None:
        often = hbm.bandwidth.value / hbm.capacity.value
        if not MEMORY_READS[0] <= often <= MEMORY_READS[1]:
            raise Contradiction(
                ("hbm", "capacity"),
                f"{hbm.capacity.value:g} GB at {hbm.bandwidth.value:g} GB/s is read "
                f"{often:.3g} times a second; memories are {MEMORY_READS[0]:g} to "
                f"{MEMORY_READS[1]:g} times",
            )
