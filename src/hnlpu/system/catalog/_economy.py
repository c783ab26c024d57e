"""The part of a system that costs: wafer, assembly, masks, design, and owning it for years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, model_validator

from hnlpu._units import factor
from hnlpu.quantities import Contradiction, DataTable, Quantity, SourceText, Title, Unit

if TYPE_CHECKING:
    from hnlpu.system.catalog._system import System

YieldModel = Literal["murphy", "poisson", "negative_binomial"]
MillionDollars = Annotated[
    Quantity, Unit("MUSD", 0.02, 900, zero=True, wide="a small team with open tools, or 2 nm")
]
Share = Annotated[Quantity, Unit("dimensionless", 0.002, 1, zero=True)]


class Wafer(DataTable):
    """A processed wafer; `clustering` is the alpha of the negative binomial yield.

    `whole_dies` rounds the good dies of a wafer to a whole number, as some sources do.
    """

    diameter: Annotated[Quantity, Unit("mm", 25, 450)]
    edge_exclusion: Annotated[Quantity, Unit("mm", 0.1, 20, zero=True)]
    price: Annotated[Quantity, Unit("USD", 100, 99_000)]
    defect_density: Annotated[Quantity, Unit("1/cm^2", 0.005, 4.9, zero=True)]
    yield_model: YieldModel
    clustering: Annotated[Quantity, Unit("dimensionless", 0.2, 100)]
    whole_dies: bool = False


class Assembly(DataTable):
    """From a good die to a module in a system."""

    package_and_test: Annotated[Quantity, Unit("USD", 50, 49_000)]
    hbm: Annotated[Quantity, Unit("USD/GB", 0.5, 490)]
    integration: Annotated[Quantity, Unit("USD/chip", 10, 9_900)]


class MaskLayer(DataTable):
    """Masks of one layer or group of layers; programmable ones differ between chips.

    `masks` are those that the source counts.  `feature` and `half_pitches` say what they print, so that
    exposures can be counted beside: cuts on a grid (across, along), or lines of one half pitch.
    """

    name: Title
    exposure: Literal["EUV", "DUV"]
    masks: Annotated[int, Field(ge=1, le=200)]
    programmable: bool = False
    feature: Literal["cuts", "lines"] | None = None
    half_pitches: list[Annotated[Quantity, Unit("nm", 5, 2_000)]] = Field(default_factory=list)
    source: SourceText

    @model_validator(mode="after")
    def _consistent(self) -> MaskLayer:
        wanted, words = {
            "cuts": (2, "cuts have two, across and along"),
            "lines": (1, "lines have one"),
            None: (0, "only a layer with a feature has any"),
        }[self.feature]
        if len(self.half_pitches) != wanted:
            raise Contradiction(("half_pitches",), f"{len(self.half_pitches)} given; {words}")
        return self


class Masks(DataTable):
    """A mask set: price of all of it, and what an EUV mask costs in DUV masks."""

    set_price: Annotated[Quantity, Unit("MUSD", 0.06, 59)]
    euv_weight: Annotated[Quantity, Unit("dimensionless", 1, 50)]
    layer: Annotated[list[MaskLayer], Field(min_length=1)]

    def units(self, programmable: bool | None = None) -> float:
        """Masks in units of one DUV mask: all, programmable or shared ones."""
        return sum(
            layer.masks * (self.euv_weight.value if layer.exposure == "EUV" else 1.0)
            for layer in self.layer
            if programmable is None or layer.programmable == programmable
        )

    @model_validator(mode="after")
    def _consistent(self) -> Masks:
        if not any(layer.programmable for layer in self.layer):
            raise Contradiction(("layer", 0), "no mask of the set is programmable")
        return self


class DesignPrices(DataTable):
    """What a design costs once."""

    architecture: MillionDollars
    verification: MillionDollars
    physical: MillionDollars
    ip: MillionDollars


class Prices(DataTable):
    """What it costs to make a system."""

    wafer: Wafer
    assembly: Assembly
    masks: Masks
    design: DesignPrices


class Ownership(DataTable):
    """What a data centre adds: power, cooling, network, support, carbon.

    `support` is a share of CapEx a year, `licence` an amount a chip and year; neither is charged
    where absent.  `spares` is the share of whole systems kept in reserve, at least one where given.
    `respin_time` passes from a model's release to its chips in the rack.
    """

    years: Annotated[Quantity, Unit("year", 0.1, 50)]
    pue: Annotated[Quantity, Unit("dimensionless", 1, 5)]
    electricity: Annotated[Quantity, Unit("USD/kWh", 0.005, 4.9, zero=True)]
    facility: Annotated[Quantity, Unit("MUSD/MW", 0.5, 490, zero=True)]
    network: Annotated[Quantity, Unit("USD", 1_000, 990_000, zero=True)]
    chips_per_network: Annotated[int, Field(ge=1, le=999)]
    grid_carbon: Annotated[Quantity, Unit("kg*CO2e/kWh", 0.002, 1.9, zero=True)]
    module_carbon: Annotated[Quantity, Unit("kg*CO2e", 0.5, 490)]
    mask_carbon: Annotated[Quantity, Unit("kg*CO2e/mask", 2, 1_900)] | None = None
    support: Share | None = None
    licence: Annotated[Quantity, Unit("USD/year", 50, 49_000)] | None = None
    spares: Share | None = None
    updates: Annotated[int, Field(ge=0, le=100)] = 0
    respin_time: Annotated[Quantity, Unit("month", 0.2, 120)] | None = None


class Scenario(DataTable):
    """A volume that the source compares: systems, chips of the baseline, spares, rounding."""

    name: Title
    systems: Annotated[int, Field(ge=1, le=10**6)]
    against: Title
    against_chips: Annotated[int, Field(ge=1, le=10**7)]
    spares: Annotated[int, Field(ge=0, le=10**6)]
    power_decimals: Annotated[int, Field(ge=0, le=9)] | None = None
    source: SourceText


class Range(DataTable):
    """Bounds of a value that its source gives without any: doubts of ours, kept apart.

    `key` leads to a quantity of the same file; the bounds enter Monte Carlo bands and tornado
    charts, not the low and high of the source's own tables.
    """

    key: Title
    low: Annotated[float, Field(ge=0, le=1e308)]  # the field of `key` has the bounds
    high: Annotated[float, Field(ge=0, le=1e308)]
    unit: Title
    source: SourceText

    def check(self, system: System, path: tuple[int | str, ...]) -> None:
        """Raise Contradiction where `key` leads nowhere or the bounds do not hold its value."""
        found = find_quantity(system, self.key)
        if found is None:
            raise Contradiction((*path, "key"), f"{self.key!r} is no quantity of this file")
        unit, ends = _unit_of(system, self.key), []
        for key in ("low", "high"):
            try:
                ends.append(self._read(unit, getattr(self, key)))
            except ValueError as error:
                raise Contradiction((*path, key), str(error)) from None
        low, high = ends
        if not low <= found.value <= high or low == high:
            raise Contradiction(
                (*path, "low"),
                f"{low:g} to {high:g} {found.unit} does not hold the value {found.value:g}",
            )
        if found.value > 100 * low or high > 100 * found.value:
            raise Contradiction(
                (*path, "low"),
                f"{low:g} to {high:g} {found.unit} is more than a hundred times from the value "
                f"{found.value:g}",
            )

    def bounds(self, quantity: Quantity) -> tuple[float, float]:
        """Low and high in the unit of `quantity`."""
        scale = factor(self.unit, quantity.unit)
        return self.low * scale, self.high * scale

    def _read(self, unit: Unit, number: float) -> float:
        """`number` in `unit`; raises ValueError where it is of another kind or out of range."""
        return unit.read({"value": number, "unit": self.unit, "source": self.source}).value


def _unit_of(table: DataTable, key: str) -> Unit:
    """The unit, with what values it may take, of the field that a dotted key leads to."""
    *parts, last = key.split(".")
    for part in parts:
        table = getattr(table, part)
    field = type(table).model_fields[last]
    inner = [m for part in get_args(field.annotation) for m in get_args(part)]
    return next(m for m in (*field.metadata, *inner) if isinstance(m, Unit))


def find_quantity(table: DataTable, key: str) -> Quantity | None:
    """The quantity of `table` that a dotted key leads to, or None."""
    found: object = table
    for part in key.split("."):
        if not isinstance(found, DataTable) or part not in type(found).model_fields:
            return None
        found = getattr(found, part)
    return found if isinstance(found, Quantity) else None
