"""technology/NAME.toml -> `Technology`: what a layout may look like and what it costs in silicon.

The embedding uses four neighbouring metals and the cuts between them:

    upper   vertical     M10    trunks
      cut upper          VIA9
    stub    horizontal   M9     one stub a neuron and input, or routed wires
      cut lower          VIA8
    lower   vertical     M8     trunks and pads
      cut port           VIA7   fixed: pads down to the silicon
    base    horizontal   M7     not drawn: it belongs to the array's own routing
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hnlpu._paths import absolute
from hnlpu.errors import InvalidInput
from hnlpu.quantities import Contradiction, DataTable, Quantity, Unit, read_data
from hnlpu.technology._lithography import Lithography

Length = Annotated[Quantity, Unit("nm", above=0, most=1e5)]
Distance = Annotated[Quantity, Unit("nm", least=0, most=1e5)]
GdsNumber = Annotated[int, Field(ge=0, le=65535)]

FIXED, PROGRAMMABLE, PIN = 0, 1, 10
"""Datatypes of a layer: silicon and fixed metal, metal that carries weights, pin labels."""


METALS = ("lower", "stub", "upper")
CUTS = ("port_cut", "lower_cut", "upper_cut")
HALVED = {"size", "height", "track"}
"""Lengths whose half must be on grid too, so that centres are."""


class Metal(DataTable):
    """One metal layer: rules of width and space, and its wire's load.

    `space` holds in all directions, `end_space` (where given) between the end of a wire and the
    metal that faces it.  Where `track` is given, wires lie only on tracks of that pitch, their
    edges at multiples of it; that of the stubs counts from the first stub.
    """

    name: str
    gds_layer: GdsNumber
    width: Length
    space: Length
    end_space: Length | None = None
    length: Length
    track: Length | None = None
    capacitance: Annotated[Quantity, Unit("fF/um", above=0, most=10)]
    masks: Annotated[list[str], Field(min_length=1)]

    @property
    def end_space_nm(self) -> float:
        """Space between a wire's end and what faces it."""
        return (self.end_space or self.space).value


class Cut(DataTable):
    """One via layer: size, space, and how far the metals must reach beyond it.

    A cut is a square of `size`, or as high as `height` says.  `enclosure` holds on all sides,
    `end_enclosure` on two opposite ones, along the wire.
    """

    name: str
    gds_layer: GdsNumber
    size: Length
    height: Length | None = None
    space: Length
    enclosure_below: Distance
    end_enclosure_below: Distance
    enclosure_above: Distance
    end_enclosure_above: Distance
    masks: Annotated[list[str], Field(min_length=1)]

    @property
    def size_nm(self) -> tuple[int, int]:
        """Width and height."""
        return round(self.size.value), round((self.height or self.size).value)


class Electrical(DataTable):
    """What a trunk's driver sees."""

    port_capacitance: Annotated[Quantity, Unit("fF", above=0, most=100)]
    largest_load: Annotated[Quantity, Unit("fF", above=0, most=1e5)]


class Silicon(DataTable):
    """Transistors below the metal: density, and how many the parts of a neuron have."""

    density: Annotated[Quantity, Unit("transistor/mm^2", above=0)]
    full_adder: Annotated[Quantity, Unit("transistor", above=0)]
    half_adder: Annotated[Quantity, Unit("transistor", above=0)]
    flip_flop: Annotated[Quantity, Unit("transistor", above=0)]
    multiplexer: Annotated[Quantity, Unit("transistor", above=0)]
    exclusive_or: Annotated[Quantity, Unit("transistor", above=0)]
    selected_port: Annotated[Quantity, Unit("transistor", above=0)]
    tap_generator: Annotated[Quantity, Unit("transistor", above=0)]


class DieBlock(DataTable):
    """A part of the die beside the arrays."""

    name: str
    area: Annotated[Quantity, Unit("mm^2", least=0)]


class Die(DataTable):
    """Die and reticle, and what stands on the die beside the neuron arrays."""

    area: Annotated[Quantity, Unit("mm^2", above=0)]
    reticle_width: Annotated[Quantity, Unit("mm", above=0)]
    reticle_height: Annotated[Quantity, Unit("mm", above=0)]
    array_area_per_weight: Annotated[Quantity, Unit("um^2/weight", above=0)] | None = None
    block: list[DieBlock] = Field(default_factory=list)

    @property
    def other_area_mm2(self) -> float:
        """Area of everything but the arrays."""
        return sum(block.area.value for block in self.block)


class Tiling(DataTable):
    """How an array is cut into tiles, each drawn, written and checked on its own.

    `rows` of metal and `blocks` of 32 inputs at most.  `landing` is the area that repeaters of long
    trunks and the landing of inputs add to that of the tiles, as a share of it.
    """

    rows: Annotated[int, Field(ge=32, le=4096)]
    blocks: Annotated[int, Field(ge=1, le=1024)]
    landing: Annotated[Quantity, Unit("percent", least=0, most=100)]

    def neurons(self, rows_per_neuron: int) -> int:
        """Neurons of a tile at most."""
        return max(1, self.rows // rows_per_neuron)


class Technology(DataTable):
    """A process; lengths in nm are whole multiples of `grid`.

    `schemes` are those whose geometry the rules of the file are enough for.  Without `lithography`
    a layer is taken to have the masks that it names.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    schemes: Annotated[list[Literal["taps", "regions"]], Field(min_length=1)] = Field(
        default=["taps", "regions"]
    )
    grid: Length
    lower: Metal
    stub: Metal
    upper: Metal
    port_cut: Cut
    lower_cut: Cut
    upper_cut: Cut
    electrical: Electrical
    silicon: Silicon
    array: Tiling
    die: Die
    mask_set: Annotated[Quantity, Unit("mask", above=0)]
    lithography: Lithography | None = None

    @property
    def layers(self) -> tuple[Metal | Cut, ...]:
        """The embedding's layers from the silicon up."""
        return (
            self.port_cut, self.lower, self.lower_cut, self.stub, self.upper_cut, self.upper,
        )  # fmt: skip

    @property
    def die_outline_mm2(self) -> float:
        """The largest die that the reticle prints."""
        return self.die.reticle_width.value * self.die.reticle_height.value

    @model_validator(mode="after")
    def _consistent(self) -> Technology:
        _check_names(self)
        for where, length in _lengths(self):
            _check_on_grid(where, length, self.grid.value)
        for key in METALS:
            _check_metal(key, getattr(self, key))
        if self.die.area.value > self.die_outline_mm2:
            raise Contradiction(
                ("die", "area"),
                f"{self.die.area.value:g} mm2 is beyond the reticle's {self.die_outline_mm2:g} mm2",
            )
        if self.die.other_area_mm2 >= self.die.area.value:
            raise Contradiction(("die", "block", 0), "the blocks leave no area for arrays")
        return self


def _check_names(technology: Technology) -> None:
    for key in ("name", "gds_layer"):
        seen: dict[str | int, str] = {}
        for layer in (*METALS, *CUTS):
            value = getattr(getattr(technology, layer), key)
            if value in seen:
                raise Contradiction((layer, key), f"{value!r} is that of {seen[value]} too")
            seen[value] = layer


def _lengths(technology: Technology) -> Iterator[tuple[tuple[str, str], float]]:
    for layer in (*METALS, *CUTS):
        for key, value in getattr(technology, layer):
            if isinstance(value, Quantity) and value.unit == "nm":
                yield (layer, key), value.value


def _check_on_grid(where: tuple[str, str], length: float, grid: float) -> None:
    steps = round(length / grid)
    if abs(length / grid - steps) > 1e-9:
        raise Contradiction(where, f"{length:g} nm is off the {grid:g} nm grid")
    if where[1] in HALVED and steps % 2:
        raise Contradiction(
            where, f"{length:g} nm is an odd number of {grid:g} nm steps: its centre is off grid"
        )


def _check_metal(key: str, metal: Metal) -> None:
    if metal.track and metal.track.value < metal.width.value + metal.space.value:
        raise Contradiction((key, "track"), "is less than width and space together")
    if metal.end_space and metal.end_space.value < metal.space.value:
        raise Contradiction((key, "end_space"), "is less than space")


def technology_names() -> list[str]:
    """Processes that come with hnlpu."""
    files = resources.files("hnlpu.technology").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_technology(name: str) -> Technology:
    """A process by its name, or from the path of a TOML file.

    Raises InvalidInput for an unknown name, InvalidData for a malformed file (with the line).
    """
    if name.endswith(".toml"):
        return read_data(absolute(name), Technology)
    if name not in technology_names():
        raise InvalidInput(
            f"technology {name!r} is unknown; there are {', '.join(technology_names())}, "
            "or give the path of a .toml file"
        )
    with resources.as_file(resources.files("hnlpu.technology") / f"{name}.toml") as path:
        return read_data(Path(path), Technology)
