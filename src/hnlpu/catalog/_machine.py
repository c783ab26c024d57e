"""The part of a system that a simulator needs: grid, links, memories, vector unit, clock.

column links   every chip to each chip of its column
row links      every chip to each chip of its row
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hnlpu.quantities import Contradiction, DataTable, Quantity, Unit

Count = Annotated[int, Field(ge=1, le=2**24)]
Fraction = Annotated[Quantity, Unit("dimensionless", least=0, most=1)]


class Link(DataTable):
    """One link between two chips: bandwidth in each direction, latency, bits of what it carries."""

    name: str
    bandwidth: Annotated[Quantity, Unit("GB/s", above=0, most=1e6)]
    latency: Annotated[Quantity, Unit("ns", least=0, most=1e6)]
    value_bits: Annotated[int, Field(ge=1, le=64)]


class VectorUnit(DataTable):
    """Cached KV heads a cycle: key or value vectors of one position (a position has both)."""

    heads_per_cycle: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)]


class Buffer(DataTable):
    """On-chip memory for keys and values; one read and one write port a bank."""

    capacity: Annotated[Quantity, Unit("MB", above=0, most=1e6)]
    banks: Count
    bank_capacity: Annotated[Quantity, Unit("kB", above=0, most=1e9)]
    port_bits: Count
    bandwidth: Annotated[Quantity, Unit("TB/s", above=0, most=1e6)]
    latency_cycles: Count


class Hbm(DataTable):
    """Memory beside a chip: stacks, and capacity and bandwidth of each."""

    stacks: Count
    capacity: Annotated[Quantity, Unit("GB", above=0, most=1e4)]
    bandwidth: Annotated[Quantity, Unit("GB/s", above=0, most=1e6)]

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

    context: Count
    communication: Fraction
    projection: Fraction
    attention: Fraction | None = None
    rest: Fraction


class Machine(DataTable):
    """A grid of chips that runs a model as a pipeline of `stages` a layer."""

    rows: Annotated[int, Field(ge=1, le=256)]
    columns: Annotated[int, Field(ge=1, le=256)]
    stages: Annotated[int, Field(ge=1, le=64)]
    clock: Annotated[Quantity, Unit("GHz", above=0, most=20)]
    activation_bits: Annotated[int, Field(ge=2, le=16)]
    kv_bits: Annotated[int, Field(ge=1, le=32)]
    link: Link
    vector_unit: VectorUnit
    buffer: Buffer
    hbm: Hbm
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
        for i, point in enumerate(self.breakdown):
            shares = (point.communication, point.projection, point.attention, point.rest)
            if sum(share.value for share in shares if share) > 1.005:
                raise Contradiction(("breakdown", i), "the shares sum to more than one")
        return self
