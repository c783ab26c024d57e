"""systems/NAME.toml -> `System`: a machine that runs a model, in silicon, watts, rates and prices.

    die, block      what a chip is            machine      grid, links, buffer, HBM, vector unit
    array           how dense weights lie     prices       wafer, assembly, masks, design
    power           chip, system              ownership    what a data centre adds over the years
    rate            published tokens/s        range        doubts beside those of the values

Every system has a die, power and rates.  Only what is built from scratch has the rest.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hnlpu.catalog._economy import Ownership, Prices, Range, Scenario
from hnlpu.catalog._machine import Machine
from hnlpu.quantities import Contradiction, DataTable, Quantity, Unit

Kind = Literal["hardwired", "gpu", "wafer", "rom", "neuromorphic"]
LARGEST_WAFER_MM2 = 70_686  # of a 300 mm wafer


class Die(DataTable):
    """A die; `reticle` is the largest field that its scanner prints (absent for a whole wafer).

    `density` is that of the process's dense logic, not of the whole die.
    """

    process: str
    area: Annotated[Quantity, Unit("mm^2", above=0, most=LARGEST_WAFER_MM2)]
    reticle: Annotated[Quantity, Unit("mm^2", above=0, most=1e6)] | None = None
    transistors: Annotated[Quantity, Unit("transistor", above=0, most=1e15)] | None = None
    density: Annotated[Quantity, Unit("transistor/mm^2", above=0, most=1e10)] | None = None


class Block(DataTable):
    """A part of the die with its power when busy; `array` marks the one that holds weights."""

    name: str
    area: Annotated[Quantity, Unit("mm^2", least=0, most=1e6)]
    power: Annotated[Quantity, Unit("W", least=0, most=1e8)]
    array: bool = False


class Array(DataTable):
    """Density of embedded weights, in stored bits."""

    area_per_bit: Annotated[Quantity, Unit("um^2/bit", above=0, most=100)]


class Power(DataTable):
    """Power of a chip and of the whole system, and what a system adds to its chips."""

    chip: Annotated[Quantity, Unit("W", above=0, most=1e8)]
    system: Annotated[Quantity, Unit("W", above=0, most=1e8)]
    overhead: Annotated[Quantity, Unit("dimensionless", least=1, most=10)] | None = None


class Rate(DataTable):
    """A published rate of the whole system.

    `counts` says whether prompt tokens are in it; `users` shared the rate (absent: not stated).
    """

    name: str
    model: str
    counts: Literal["processed", "output"]
    users: Annotated[int, Field(ge=1)] | None = None
    context: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[Quantity, Unit("token/s", above=0, most=1e12)]

    @property
    def per_user(self) -> float | None:
        """Tokens/s that one user sees, where it is known how many share the rate."""
        return self.tokens.value / self.users if self.users else None


class Energy(DataTable):
    """A published energy a token."""

    name: str
    energy: Annotated[Quantity, Unit("J/token", above=0, most=1e6)]


class Floor(DataTable):
    """Energies that a token cannot do without where weights are read: a bit, an operation."""

    read: Annotated[Quantity, Unit("pJ/bit", above=0, most=1e9)]
    operation: Annotated[Quantity, Unit("pJ/operation", above=0, most=1e9)]


class Claim(DataTable):
    """A published ratio to a GPU, as low and high."""

    name: str
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    source: Annotated[str, Field(min_length=1)]


class Published(DataTable):
    """What a publication says of its design beside tables: claims for an audit, never inputs.

    `operator_*` are areas of 1024 inputs times 128 neurons by cell and by metal embedding, over
    that of an SRAM which holds the weights.
    """

    power_density: Annotated[Quantity, Unit("W/mm^2", above=0, most=1e4)] | None = None
    routing_density: Annotated[Quantity, Unit("dimensionless", above=0, most=1)] | None = None
    wire_capacitance: Annotated[Quantity, Unit("fF", above=0, most=1e6)] | None = None
    supply: Annotated[Quantity, Unit("V", above=0, most=10)] | None = None
    cell_embedding_area: Annotated[Quantity, Unit("mm^2", above=0, most=1e6)] | None = None
    operator_cell: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)] | None = None
    operator_metal: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)] | None = None
    gross_dies: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)] | None = None
    good_dies: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)] | None = None
    yield_share: Annotated[Quantity, Unit("dimensionless", above=0, most=1)] | None = None
    wafer_a_chip: Annotated[Quantity, Unit("USD", above=0, most=1e9)] | None = None


class System(DataTable):
    """A machine; `chips` of it make one system."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    kind: Kind
    technology: str | None = None
    model: str | None = None
    chips: Annotated[int, Field(ge=1, le=65536)]
    rack_units: Annotated[Quantity, Unit("dimensionless", above=0, most=1e6)] | None = None
    die: Die
    block: list[Block] = Field(default_factory=list)
    array: Array | None = None
    machine: Machine | None = None
    power: Power
    rate: list[Rate] = Field(default_factory=list)
    energy: list[Energy] = Field(default_factory=list)
    floor: Floor | None = None
    claim: list[Claim] = Field(default_factory=list)
    weight_bits: Annotated[Quantity, Unit("bit/weight", above=0, most=64)] | None = None
    rom: Annotated[Quantity, Unit("GB", above=0, most=1e9)] | None = None
    development: Annotated[Quantity, Unit("MUSD", above=0, most=1e6)] | None = None
    price: Annotated[Quantity, Unit("USD", above=0, most=1e9)] | None = None
    rent: Annotated[Quantity, Unit("USD/hour", above=0, most=1e6)] | None = None
    prices: Prices | None = None
    ownership: Ownership | None = None
    published_claims: Published | None = None
    scenario: list[Scenario] = Field(default_factory=list)
    range: list[Range] = Field(default_factory=list)

    @property
    def silicon_mm2(self) -> float:
        """Area of all dies."""
        return self.chips * self.die.area.value

    @property
    def array_area_mm2(self) -> float:
        """Area of the blocks of one die that hold weights."""
        return sum(block.area.value for block in self.block if block.array)

    def published(self, model: str) -> Rate | None:
        """The first published rate for `model`."""
        return next((rate for rate in self.rate if rate.model == model), None)

    @model_validator(mode="after")
    def _consistent(self) -> System:
        self._check_die()
        if self.machine and self.machine.chips != self.chips:
            raise Contradiction(
                ("machine", "rows"),
                f"a grid of {self.machine.rows} x {self.machine.columns} has no place for "
                f"exactly {self.chips} chips",
            )
        if self.kind == "hardwired":
            for key in ("technology", "array", "machine", "prices", "ownership"):
                if getattr(self, key) is None:
                    raise Contradiction(("kind",), f"a hardwired system needs {key!r}")
            if not self.array_area_mm2:
                raise Contradiction(("block", 0), "no block of the die says array = true")
        if self.power.system.value < self.chips * self.power.chip.value * (1 - 1e-6):
            raise Contradiction(
                ("power", "system"),
                f"{self.power.system.value:g} W is less than {self.chips} chips of "
                f"{self.power.chip.value:g} W take",
            )
        for i, entry in enumerate(self.range):
            entry.check(self, ("range", i))
        return self

    def _check_die(self) -> None:
        area, reticle = self.die.area.value, self.die.reticle
        if reticle and area > reticle.value:
            raise Contradiction(
                ("die", "area"), f"{area:g} mm2 is beyond the reticle's {reticle.value:g} mm2"
            )
        if self.block and abs((total := self._total_block_area()) - area) > 0.001 * area:
            raise Contradiction(
                ("die", "area"), f"{area:g} mm2, but its blocks sum to {total:g} mm2"
            )

    def _total_block_area(self) -> float:
        return sum(block.area.value for block in self.block)
