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
from typing import Annotated

from pydantic import Field, model_validator

from hnlpu._paths import absolute
from hnlpu.errors import InvalidInput
from hnlpu.quantities import DataTable, Quantity, Unit, read_data

Length = Annotated[Quantity, Unit("nm", above=0, most=1e5)]
Distance = Annotated[Quantity, Unit("nm", least=0, most=1e5)]
GdsNumber = Annotated[int, Field(ge=0, le=65535)]

FIXED, PROGRAMMABLE, PIN = 0, 1, 10
"""Datatypes of a layer: silicon and fixed metal, metal that carries weights, pin labels."""


class Metal(DataTable):
    """One metal layer: rules of width and space, and its wire's load."""

    name: str
    gds_layer: GdsNumber
    width: Length
    space: Length
    length: Length
    capacitance: Annotated[Quantity, Unit("fF/um", above=0, most=10)]
    masks: Annotated[list[str], Field(min_length=1)]


class Cut(DataTable):
    """One via layer: square size, space, and how far the metals must reach beyond it.

    `enclosure` holds on all sides, `end_enclosure` on two opposite ones, along the wire.
    """

    name: str
    gds_layer: GdsNumber
    size: Length
    space: Length
    enclosure_below: Distance
    end_enclosure_below: Distance
    enclosure_above: Distance
    end_enclosure_above: Distance
    masks: Annotated[list[str], Field(min_length=1)]


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
    block: list[DieBlock] = []

    @property
    def other_area_mm2(self) -> float:
        """Area of everything but the arrays."""
        return sum(block.area.value for block in self.block)


class Technology(DataTable):
    """A process; lengths in nm are whole multiples of `grid`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    grid: Length
    lower: Metal
    stub: Metal
    upper: Metal
    port_cut: Cut
    lower_cut: Cut
    upper_cut: Cut
    electrical: Electrical
    silicon: Silicon
    die: Die
    mask_set: Annotated[Quantity, Unit("mask", above=0)]

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
        numbers = [layer.gds_layer for layer in self.layers]
        names = [layer.name for layer in self.layers]
        if len(set(numbers)) < len(numbers) or len(set(names)) < len(names):
            raise ValueError("two layers share a name or a gds_layer")
        for layer, key, length in self._lengths():
            if abs(length / self.grid.value - round(length / self.grid.value)) > 1e-9:
                raise ValueError(
                    f"{layer}.{key} {length:g} nm is off the {self.grid.value:g} nm grid"
                )
        if self.die.area.value > self.die_outline_mm2:
            raise ValueError(
                f"die.area {self.die.area.value:g} mm2 is beyond the reticle's "
                f"{self.die_outline_mm2:g} mm2"
            )
        if self.die.other_area_mm2 >= self.die.area.value:
            raise ValueError("die.block: the blocks leave no area for arrays")
        return self

    def _lengths(self) -> Iterator[tuple[str, str, float]]:
        for layer in self.layers:
            for key, value in layer:
                if isinstance(value, Quantity) and value.unit == "nm":
                    yield layer.name, key, value.value


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
