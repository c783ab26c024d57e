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

import functools
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from hnlpu._paths import absolute
from hnlpu.errors import InvalidInput
from hnlpu.quantities import Contradiction, DataTable, Identifier, Quantity, Title, Unit, read_data
from hnlpu.silicon.technology._lef_words import WORDS
from hnlpu.silicon.technology._lithography import Lithography

Length = Annotated[Quantity, Unit("nm", 4, 3_900)]
Enclosure = Annotated[Quantity, Unit("nm", 1, 900, zero=True)]
Grid = Annotated[Quantity, Unit("nm", 1, 50, whole=True)]
"""Layouts count in whole nm."""
GdsNumber = Annotated[int, Field(ge=1, le=32767)]
"""Two bytes with a sign in GDSII; 0 is what tools write where no layer was given."""
DrawingNumber = Annotated[int, Field(ge=0, le=32767)]
"""A datatype of a kit: 0 is one."""
Transistors = Annotated[Quantity, Unit("transistor", 1, 900)]

SchemeName = Literal["taps", "regions"]
"""Ways to embed weights; see `silicon/embed`."""
FIXED, PROGRAMMABLE, PIN = 0, 1, 10
"""Datatypes of a layer: silicon and fixed metal, metal that carries weights, pin labels."""


METALS = ("lower", "stub", "upper")
CUTS = ("port_cut", "lower_cut", "upper_cut")
STANDS_ON = {
    "port_cut": ("", "lower"),
    "lower_cut": ("lower", "stub"),
    "upper_cut": ("stub", "upper"),
}
"""The metals that a cut joins; the one below the lowest cut is not in the file."""
LARGEST_CUT = 4
"""A cut is at most so many times as wide as its wire's least width: beyond, one of them is wrong."""
TRANSISTORS_A_WEIGHT = 0.3, 290
"""What a weight of the die's arrays takes: between a bit of ROM and a multiplier."""
HALVED = {"size", "height", "track"}
"""Lengths whose half must be on grid too, so that centres are."""


class CutDrawing(DataTable):
    """Where a process design kit's layout editor has a cut: layer and datatype in its own files."""

    gds_layer: GdsNumber
    datatype: DrawingNumber
    source: Title


class MetalDrawing(CutDrawing):
    """The same of a metal; `pin` and `label` are the datatypes of its pins' shapes and names."""

    pin: DrawingNumber
    label: DrawingNumber


class Metal(DataTable):
    """One metal layer: rules of width and space, and its wire's load.

    `space` holds in all directions, `end_space` (where given) between the end of a wire and the
    metal that faces it.  Where `track` is given, wires lie only on tracks of that pitch, their
    edges at multiples of it; that of the stubs counts from the first stub.

    What routers are told beside the rules, each where the process has a figure: `sheet_resistance`
    per square, `area_capacitance` of a wire's face (a part of `capacitance`, which the edges make
    up), `thickness`, and `antenna_ratio`, the most area of a wire's sides per area of gate.
    """

    name: Identifier
    gds_layer: GdsNumber
    drawing: MetalDrawing | None = None
    width: Length
    space: Length
    end_space: Length | None = None
    length: Length
    track: Length | None = None
    capacitance: Annotated[Quantity, Unit("fF/um", 0.01, 2)]
    area_capacitance: Annotated[Quantity, Unit("fF/um^2", 0.007, 6.9)] | None = None
    sheet_resistance: Annotated[Quantity, Unit("ohm", 0.02, 19)] | None = None
    thickness: Annotated[Quantity, Unit("um", 0.02, 9)] | None = None
    antenna_ratio: Annotated[Quantity, Unit("dimensionless", 10, 9_000)] | None = None
    masks: Annotated[list[Title], Field(min_length=1, max_length=8)]

    @property
    def end_space_nm(self) -> float:
        """Space between a wire's end and what faces it."""
        return (self.end_space or self.space).value


class ViaLayer(DataTable):
    """One via layer: size, space, and how far the metals must reach beyond it.

    A cut is a square of `size`, or as high as `height` says.  `enclosure` holds on all sides,
    `end_enclosure` on two opposite ones, along the wire.  Where the process has a figure, `resistance`
    is that of one cut, and `antenna_ratio` the most area of cuts per area of gate.
    """

    name: Identifier
    gds_layer: GdsNumber
    drawing: CutDrawing | None = None
    size: Length
    height: Length | None = None
    space: Length
    enclosure_below: Enclosure
    end_enclosure_below: Enclosure
    enclosure_above: Enclosure
    end_enclosure_above: Enclosure
    resistance: Annotated[Quantity, Unit("ohm", 0.5, 490)] | None = None
    antenna_ratio: Annotated[Quantity, Unit("dimensionless", 0.5, 490)] | None = None
    masks: Annotated[list[Title], Field(min_length=1, max_length=8)]

    @property
    def size_nm(self) -> tuple[int, int]:
        """Width and height."""
        return round(self.size.value), round((self.height or self.size).value)


class Electrical(DataTable):
    """What a trunk's driver sees; and for antenna rules the gate of a port, the drain of a driver."""

    port_capacitance: Annotated[Quantity, Unit("fF", 0.02, 19)]
    largest_load: Annotated[Quantity, Unit("fF", 5, 4_900)]
    port_gate_area: Annotated[Quantity, Unit("um^2", 0.001, 0.9)] | None = None
    driver_diffusion_area: (
        Annotated[Quantity, Unit("um^2", 0.0005, 4.9, wide="fins at 5 nm, wide drains at 130 nm")]
        | None
    ) = None


class Silicon(DataTable):
    """Transistors below the metal: density, and how many the parts of a neuron have."""

    density: Annotated[Quantity, Unit("transistor/mm^2", 2e5, 9.9e8, wide="180 nm to 2 nm")]
    full_adder: Transistors
    half_adder: Transistors
    flip_flop: Transistors
    multiplexer: Transistors
    exclusive_or: Transistors
    selected_port: Transistors
    tap_generator: Annotated[Quantity, Unit("transistor", 50, 49_000)]


class DieBlock(DataTable):
    """A part of the die beside the arrays."""

    name: Title
    area: Annotated[
        Quantity, Unit("mm^2", 0.01, 1_900, wide="a controller or a memory; all on a die")
    ]


class Die(DataTable):
    """Die and reticle, and what stands on the die beside the neuron arrays."""

    area: Annotated[Quantity, Unit("mm^2", 2, 1_900)]
    reticle_width: Annotated[Quantity, Unit("mm", 0.5, 50)]
    reticle_height: Annotated[Quantity, Unit("mm", 0.5, 50)]
    array_area_per_weight: (
        Annotated[Quantity, Unit("um^2/weight", 0.005, 70, wide="2 nm to 180 nm; held to density")]
        | None
    ) = None
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
    landing: Annotated[Quantity, Unit("percent", 0.1, 50, zero=True)]

    def neurons(self, rows_per_neuron: int) -> int:
        """Neurons of a tile at most."""
        return max(1, self.rows // rows_per_neuron)


class Economy(DataTable):
    """What the process costs: a processed wafer and a full set of masks, of which `euv_masks` are EUV.

    They stand for those of the system that a design takes parts from, whose process is another.
    """

    euv_masks: Annotated[int, Field(ge=0, le=60)]
    wafer: Annotated[Quantity, Unit("USD", 300, 90_000)]
    mask_set: Annotated[
        Quantity, Unit("MUSD", 0.03, 90, wide="180 nm on small wafers to 3 nm with EUV")
    ]


class Technology(DataTable):
    """A process; lengths in nm are whole multiples of `grid`.

    `schemes` are those whose geometry the rules of the file are enough for.  Without `lithography`
    a layer is taken to have the masks that it names.  `undrawn` says why the metals are good for areas alone:
    no mask is drawn in them.  `economy` has the process's prices, where they are known apart from a system's.
    """

    name: Identifier
    title: Title
    undrawn: Title | None = None
    schemes: Annotated[list[SchemeName], Field(min_length=1)] = Field(
        default=list(get_args(SchemeName))
    )
    grid: Grid
    lower: Metal
    stub: Metal
    upper: Metal
    port_cut: ViaLayer
    lower_cut: ViaLayer
    upper_cut: ViaLayer
    electrical: Electrical
    silicon: Silicon
    array: Tiling
    die: Die
    mask_set: Annotated[Quantity, Unit("mask", 5, 300, whole=True)]
    lithography: Lithography | None = None
    economy: Economy | None = None

    def require_drawn(self) -> None:
        """Raise InvalidInput for a process in which no masks are drawn, with the reason."""
        if self.undrawn is not None:
            drawn = ", ".join(n for n in technology_names() if not load_technology(n).undrawn)
            raise InvalidInput(
                f"technology {self.name}: no masks are drawn in it ({self.undrawn}); build with `technology` "
                f"{drawn}, or a file of your own without 'undrawn'"
            )

    @property
    def layers(self) -> tuple[Metal | ViaLayer, ...]:
        """The embedding's layers from the silicon up."""
        return (
            self.port_cut, self.lower, self.lower_cut, self.stub, self.upper_cut, self.upper,
        )  # fmt: skip

    @property
    def has_drawing_layers(self) -> bool:
        """Whether the file says where the process design kit draws every layer."""
        return self.lower.drawing is not None  # of all layers or of none

    @property
    def die_outline_mm2(self) -> float:
        """The largest die that the reticle prints."""
        return self.die.reticle_width.value * self.die.reticle_height.value

    @model_validator(mode="after")
    def _consistent(self) -> Technology:
        _check_names(self)
        _check_drawing(self)
        for where, length in _lengths(self):
            _check_on_grid(where, length, self.grid.value)
        for key in METALS:
            _check_metal(key, getattr(self, key))
        for key, (below, above) in STANDS_ON.items():
            metals = [(name, getattr(self, name)) for name in (below, above) if name]
            _check_cut(key, getattr(self, key), metals)
        _check_masks(self)
        _check_density(self)
        if self.die.area.value > self.die_outline_mm2:
            raise Contradiction(
                ("die", "area"),
                f"{self.die.area.value:g} mm2 is beyond the reticle's {self.die_outline_mm2:g} mm2",
            )
        if self.economy and self.economy.euv_masks >= self.mask_set.value:
            raise Contradiction(
                ("economy", "euv_masks"),
                f"{self.economy.euv_masks} of {self.mask_set.value:g} masks leave none for DUV",
            )
        if self.die.other_area_mm2 >= self.die.area.value:
            raise Contradiction(("die", "block", 0), "the blocks leave no area for arrays")
        return self


def _check_names(technology: Technology) -> None:
    names: dict[str, str] = {}
    numbers: dict[int, str] = {}
    for key in (*METALS, *CUTS):
        layer = getattr(technology, key)
        name, number = layer.name, layer.gds_layer
        if name in WORDS:
            raise Contradiction((key, "name"), f"{name!r} is a word of LEF and DEF; give another")
        if (other := names.get(name.lower())) is not None:
            raise Contradiction((key, "name"), f"{name!r} is that of {other} too")
        if number in numbers:
            raise Contradiction((key, "gds_layer"), f"{number} is that of {numbers[number]} too")
        names[name.lower()], numbers[number] = key, key


def _check_masks(technology: Technology) -> None:
    """Every mask of the layers is another one, and there are no more than the set has."""
    masks: dict[str, str] = {}
    for key in (*METALS, *CUTS):
        for n, mask in enumerate(getattr(technology, key).masks):
            if mask in masks:
                raise Contradiction((key, "masks", n), f"{mask!r} is a mask of {masks[mask]} too")
            masks[mask] = key
    if len(masks) > technology.mask_set.value:
        raise Contradiction(
            ("mask_set",),
            f"{technology.mask_set.value:g} masks, but the six layers have {len(masks)}",
        )


def _check_density(technology: Technology) -> None:
    """Transistors a weight, by the die's own arrays, are those of some way to hold a weight."""
    per_weight = technology.die.array_area_per_weight
    if per_weight is None:
        return
    held = per_weight.value * technology.silicon.density.value / 1e6
    least, most = TRANSISTORS_A_WEIGHT
    if not least <= held <= most:
        raise Contradiction(
            ("die", "array_area_per_weight"),
            f"{per_weight.value:g} um2 at {technology.silicon.density.value:g} transistors/mm2 are "
            f"{held:.3g} transistors a weight; arrays have {least:g} to {most:g}",
        )


def _check_drawing(technology: Technology) -> None:
    """Drawing layers are given for all layers or for none, and no two are the same."""
    given = [key for key in (*METALS, *CUTS) if getattr(technology, key).drawing is not None]
    missing = [key for key in (*METALS, *CUTS) if key not in given]
    if given and missing:
        raise Contradiction(
            (missing[0],), f"lacks 'drawing', which {given[0]} has: give it for all layers or none"
        )
    seen: dict[tuple[int, int], str] = {}
    for key in given:
        drawing = getattr(technology, key).drawing
        for purpose in ("datatype", "pin", "label") if key in METALS else ("datatype",):
            number = drawing.gds_layer, getattr(drawing, purpose)
            if number in seen:
                raise Contradiction(
                    (key, "drawing", purpose), f"{number[0]}/{number[1]} is {seen[number]} too"
                )
            seen[number] = f"{key}.drawing.{purpose}"


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
    if metal.length.value < metal.width.value:
        raise Contradiction(
            (key, "length"),
            f"{metal.length.value:g} nm is less than the width of {metal.width.value:g} nm",
        )
    if metal.area_capacitance:
        face = metal.area_capacitance.value * metal.width.value * 1e-3
        if face > metal.capacitance.value:
            raise Contradiction(
                (key, "area_capacitance"),
                f"gives a wire of least width {face:g} fF/um, more than capacitance",
            )


def _check_cut(key: str, cut: ViaLayer, metals: Sequence[tuple[str, Metal]]) -> None:
    """A cut stands on wires of its metals, and its ends reach no less far than its sides."""
    for side in ("below", "above"):
        sides, ends = getattr(cut, f"enclosure_{side}"), getattr(cut, f"end_enclosure_{side}")
        if ends.value < sides.value:
            raise Contradiction(
                (key, f"end_enclosure_{side}"),
                f"{ends.value:g} nm is less than the {sides.value:g} nm of enclosure_{side}, which "
                "holds on all sides",
            )
    for name, metal in metals:
        if max(cut.size_nm) > LARGEST_CUT * metal.width.value:
            raise Contradiction(
                (key, "size" if cut.size_nm[0] >= cut.size_nm[1] else "height"),
                f"a cut of {max(cut.size_nm)} nm is more than {LARGEST_CUT} times as wide as "
                f"{name}'s {metal.width.value:g} nm",
            )


def technology_names() -> list[str]:
    """Processes that come with hnlpu."""
    files = resources.files("hnlpu.silicon.technology").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_technology(name: str) -> Technology:
    """A process by its name (ihp-sg13g2 is ihp_sg13g2 too), or from the path of a TOML file.

    Raises InvalidInput for an unknown name, InvalidData for a malformed file (with the line).
    """
    if name.lower().endswith(".toml"):
        return read_data(absolute(name), Technology)
    given, name = name, name.replace("-", "_")
    if name not in technology_names():
        raise InvalidInput(
            f"technology {given!r} is unknown; there are {', '.join(technology_names())}, "
            "or give the path of a .toml file"
        )
    return _packaged(name)


@functools.cache
def _packaged(name: str) -> Technology:
    """A process that comes with hnlpu, read once: a design asks for it hundreds of times."""
    with resources.as_file(resources.files("hnlpu.silicon.technology") / f"{name}.toml") as path:
        return read_data(Path(path), Technology)
