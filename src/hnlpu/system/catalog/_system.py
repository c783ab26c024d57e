"""systems/NAME.toml -> `System`: a machine that runs a model, in silicon, watts, rates and prices.

    die, block      what a chip is            machine      grid, links, buffer, HBM, vector unit
    array           how dense weights lie     prices       wafer, assembly, masks, design
    power           chip, system              ownership    what a data centre adds over the years
    rate            published tokens/s        range        doubts beside those of the values

Every system has a die, power and rates.  Only what is built from scratch has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hnlpu.quantities import (
    Contradiction,
    DataTable,
    Quantity,
    Slug,
    SourceText,
    Title,
    Unit,
)
from hnlpu.system.catalog._capacity import chips_needed
from hnlpu.system.catalog._economy import Ownership, Prices, Range, Scenario
from hnlpu.system.catalog._machine import Machine

Kind = Literal["hardwired", "gpu", "wafer", "rom", "neuromorphic"]
Purpose = Literal[
    "neuron arrays", "vector unit", "attention buffer", "links", "HBM PHY", "memory interface",
    "control unit", "tables", "pads",
]  # fmt: skip
"""What a block of a die is for; its name is the publication's and means nothing to the code.

A memory interface is one to memory beside the chip that is no HBM; tables are memory of what never changes,
as embeddings.
"""
LARGEST_WAFER_MM2 = 70_686  # of a 300 mm wafer
Density = Unit("transistor/mm^2", 2e5, 9.9e8, wide="180 nm to 2 nm and beyond; held to bits")
ORDERS: dict[str, tuple[float, float, str]] = {
    "W/mm2": (0.002, 1.9, "chips take"),
    "W/mm2 of a block": (0.002, 9, "blocks take"),
    "times its chips' power": (0.99, 100, "systems take"),
    "transistors/mm2": (1e5, 9.9e8, "dies have"),
    "transistors a stored bit": (0.1, 99, "arrays take"),
    "USD/mm2 of silicon": (0.1, 90, "systems cost"),
    "tokens/s a user": (0.1, 1e6, "users see"),
    "times its power over its rate": (0.03, 30, "a published energy is"),
    "of its price a year": (0.02, 19, "rent is"),
}
"""What two numbers of a file say together, from and to, per kind: a slip of 1,000 leaves it."""


class StatedDie(DataTable):
    """A die; `reticle` is the largest field that its scanner prints (absent for a whole wafer),
    `slot` the largest core where the pads are there already, as on a shuttle.

    `density` is that of the process's dense logic, not of the whole die.
    """

    process: Title
    area: Annotated[
        Quantity, Unit("mm^2", 1, LARGEST_WAFER_MM2, wide="dies and wafers; held to the power")
    ]
    reticle: Annotated[Quantity, Unit("mm^2", 3, 2_900)] | None = None
    slot: Annotated[Quantity, Unit("mm^2", 1, 990)] | None = None
    transistors: (
        Annotated[Quantity, Unit("transistor", 1e5, 1e14, wide="held to the die's area")] | None
    ) = None
    density: Annotated[Quantity, Density] | None = None


class Block(DataTable):
    """A part of the die with its power when busy; blocks for neuron arrays hold the weights."""

    name: Title
    purpose: Purpose
    area: Annotated[
        Quantity, Unit("mm^2", 1e-8, LARGEST_WAFER_MM2, zero=True, wide="blocks sum to the die")
    ]
    power: Annotated[Quantity, Unit("W", 1e-6, 1e5, zero=True, wide="held to the block's area")]


class StatedArray(DataTable):
    """Density of embedded weights, in stored bits.

    `scheme` is ours, where it is one of ours; up to `bank` experts of a chip share their arrays (0: all).
    """

    area_per_bit: Annotated[Quantity, Unit("um^2/bit", 0.003, 30, wide="held to the density")]
    scheme: Literal["taps", "regions"] | None = None
    bank: Annotated[int, Field(ge=0, le=64)] = 0


class StatedTarget(DataTable):
    """What a machine is designed for: sequences at once, with so many positions cached each."""

    users: Annotated[int, Field(ge=1, le=2**20)]
    context: Annotated[int, Field(ge=1, le=2**24)]


class Power(DataTable):
    """Power of a chip and of the whole system, and what a system adds to its chips."""

    chip: Annotated[Quantity, Unit("W", 1e-3, 1e6, wide="held to the die's area")]
    system: Annotated[Quantity, Unit("W", 1e-3, 1e8, wide="held to the chips' power")]
    overhead: Annotated[Quantity, Unit("dimensionless", 1, 10)] | None = None


class Rate(DataTable):
    """A published rate of the whole system.

    `counts` says whether prompt tokens are in it; `users` shared the rate (absent: not stated).
    """

    name: Title
    model: Title
    counts: Literal["processed", "output"]
    users: Annotated[int, Field(ge=1, le=100_000)] | None = None
    context: Annotated[int, Field(ge=1, le=2_000_000)] | None = None
    tokens: Annotated[Quantity, Unit("token/s", 0.1, 1e8, wide="one user or a full machine")]

    @property
    def per_user(self) -> float | None:
        """Tokens/s that one user sees, where it is known how many share the rate."""
        return self.tokens.value / self.users if self.users else None


class Energy(DataTable):
    """A published energy a token."""

    name: Title
    energy: Annotated[Quantity, Unit("J/token", 1e-5, 1e4, wide="ROM or a GPU of one user")]


class Floor(DataTable):
    """Energies that a token cannot do without where weights are read: a bit, an operation."""

    read: Annotated[Quantity, Unit("pJ/bit", 0.1, 99)]
    operation: Annotated[Quantity, Unit("pJ/operation", 0.01, 9)]


class ClaimedRatio(DataTable):
    """A published ratio to a GPU, as low and high."""

    name: Title
    low: Annotated[float, Field(gt=0, le=1e6)]
    high: Annotated[float, Field(gt=0, le=1e6)]
    source: SourceText

    @model_validator(mode="after")
    def _ordered(self) -> ClaimedRatio:
        if not self.low <= self.high <= 100 * self.low:
            raise Contradiction(
                ("low",),
                f"{self.low:g} to {self.high:g}; give low, and high at most 100 times that",
            )
        return self


class Published(DataTable):
    """What a publication says of its design beside tables: claims for an audit, never inputs.

    `operator_*` are areas of 1024 inputs times 128 neurons by cell and by metal embedding, over
    that of an SRAM which holds the weights.
    """

    power_density: Annotated[Quantity, Unit("W/mm^2", 0.005, 4.9)] | None = None
    routing_density: Annotated[Quantity, Unit("dimensionless", 0.01, 1)] | None = None
    wire_capacitance: Annotated[Quantity, Unit("fF", 0.5, 490)] | None = None
    supply: Annotated[Quantity, Unit("V", 0.1, 10)] | None = None
    cell_embedding_area: Annotated[Quantity, Unit("mm^2", 1_000, 990_000)] | None = None
    operator_cell: Annotated[Quantity, Unit("dimensionless", 0.2, 190)] | None = None
    operator_metal: Annotated[Quantity, Unit("dimensionless", 0.02, 19)] | None = None
    gross_dies: (
        Annotated[Quantity, Unit("dimensionless", 1, 20_000, whole=True, wide="dies")] | None
    ) = None
    good_dies: (
        Annotated[Quantity, Unit("dimensionless", 1, 20_000, whole=True, wide="dies")] | None
    ) = None
    yield_share: Annotated[Quantity, Unit("dimensionless", 0.002, 1)] | None = None
    wafer_a_chip: Annotated[Quantity, Unit("USD", 50, 49_000)] | None = None


class System(DataTable):
    """A machine; `chips` of it make one system.

    `model` is the name of its own model, `checkpoint` where that lies (a folder, a build, a Hub id) if the
    catalog has it not; `weights` is the way in which its bits are counted.
    """

    name: Slug
    title: Title
    kind: Kind
    technology: Title | None = None
    model: Title | None = None
    checkpoint: SourceText | None = None
    weights: Literal["stored", "two-digits", "one-digit"] | None = None
    target: StatedTarget | None = None
    chips: Annotated[int, Field(ge=1, le=65536)]
    rack_units: Annotated[Quantity, Unit("dimensionless", 0.1, 99)] | None = None
    die: StatedDie
    block: list[Block] = Field(default_factory=list)
    array: StatedArray | None = None
    machine: Machine | None = None
    power: Power
    rate: list[Rate] = Field(default_factory=list)
    energy: list[Energy] = Field(default_factory=list)
    floor: Floor | None = None
    claim: list[ClaimedRatio] = Field(default_factory=list)
    weight_bits: Annotated[Quantity, Unit("bit/weight", 0.5, 64)] | None = None
    rom: Annotated[Quantity, Unit("GB", 0.1, 99)] | None = None
    development: Annotated[Quantity, Unit("MUSD", 1, 990)] | None = None
    price: Annotated[Quantity, Unit("USD", 10, 1e9, wide="held to the silicon")] | None = None
    rent: Annotated[Quantity, Unit("USD/hour", 0.01, 1e5, wide="held to the price")] | None = None
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
        return self.area_for("neuron arrays")

    def chips_for(self, bits: float) -> int:
        """The fewest of these chips whose arrays hold `bits` of stored weights."""
        assert self.array
        return int(chips_needed(bits, self.array.area_per_bit.value, self.array_area_mm2))

    def blocks_for(self, *purposes: Purpose) -> list[Block]:
        """The blocks of a die with one of these purposes, in the order of the file."""
        return [block for block in self.block if block.purpose in purposes]

    def area_for(self, *purposes: Purpose) -> float:
        """Area of the blocks of one die with one of these purposes, in mm2."""
        return sum(block.area.value for block in self.blocks_for(*purposes))

    def power_for(self, *purposes: Purpose) -> float:
        """Power of the blocks of one die with one of these purposes, in W."""
        return sum(block.power.value for block in self.blocks_for(*purposes))

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
                raise Contradiction(
                    ("block", 0), "no block of the die has purpose = 'neuron arrays'"
                )
        if self.power.system.value < self.chips * self.power.chip.value * (1 - 1e-6):
            raise Contradiction(
                ("power", "system"),
                f"{self.power.system.value:g} W is less than {self.chips} chips of "
                f"{self.power.chip.value:g} W take",
            )
        for path, ratio, kind in self._ratios():
            least, most, who = ORDERS[kind]
            if not least <= ratio <= most:
                found = _value_at(self, path)
                raise Contradiction(
                    path, f"{found} makes {ratio:.3g} {kind}; {who} {least:g} to {most:g}"
                )
        for i, entry in enumerate(self.range):
            entry.check(self, ("range", i))
        self._check_counts()
        return self

    def _ratios(self) -> Iterator[tuple[tuple[int | str, ...], float, str]]:
        """What numbers of the file say together: key, ratio, and which of `ORDERS` holds."""
        die, power = self.die, self.power
        yield ("power", "chip"), power.chip.value / die.area.value, "W/mm2"
        yield (
            ("power", "system"),
            power.system.value / self.chips / power.chip.value,
            "times its chips' power",
        )
        if die.transistors:
            yield ("die", "transistors"), die.transistors.value / die.area.value, "transistors/mm2"
        for i, rate in enumerate(self.rate):
            if rate.per_user:
                yield ("rate", i, "users"), rate.per_user, "tokens/s a user"
        for i, entry in enumerate(self.energy if self.rate else ()):
            spent = [power.system.value / rate.tokens.value for rate in self.rate]
            near = min((entry.energy.value / joules for joules in spent), key=_distance)
            yield ("energy", i, "energy"), near, "times its power over its rate"
        for i, block in enumerate(self.block):
            if block.area.value and block.power.value:
                density = block.power.value / block.area.value
                yield ("block", i, "power"), density, "W/mm2 of a block"
        if self.array and die.density:
            held = self.array.area_per_bit.value * die.density.value / 1e6
            yield ("array", "area_per_bit"), held, "transistors a stored bit"
        if self.price:
            paid = self.price.value / self.silicon_mm2
            yield ("price",), paid, "USD/mm2 of silicon"
            if self.rent:
                yield ("rent",), self.rent.value * 8766 / self.price.value, "of its price a year"

    def _check_counts(self) -> None:
        """Spares are at most the systems; good dies at most the dies of a wafer."""
        for i, scenario in enumerate(self.scenario):
            if scenario.spares > scenario.systems:
                raise Contradiction(
                    ("scenario", i, "spares"),
                    f"{scenario.spares} are more than the {scenario.systems} systems",
                )
        claims = self.published_claims
        if claims and claims.gross_dies and claims.good_dies:
            gross, good = claims.gross_dies.value, claims.good_dies.value
            if not good <= gross <= 500 * good:
                raise Contradiction(
                    ("published_claims", "good_dies"), f"{good:g} of {gross:g} dies makes no sense"
                )

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


def _value_at(table: DataTable, path: tuple[int | str, ...]) -> str:
    """The number that a path leads to, with its unit, as an error names it."""
    found: Any = table
    for part in path:
        found = found[part] if isinstance(part, int) else getattr(found, part)
    return f"{found.value:g} {found.unit}" if isinstance(found, Quantity) else str(found)


def _distance(ratio: float) -> float:
    """How many times a ratio is from one."""
    return max(ratio, 1 / ratio)
