"""parts.toml -> `ChipParts`: pads and controller, which every chip has."""

from __future__ import annotations

import functools
import math
from importlib import resources
from pathlib import Path
from typing import Annotated

from hnlpu.quantities import DataTable, Quantity, Slug, Unit, read_data


class Pads(DataTable):
    """A ring of pads around the core of a die; `number` at least, `power` of each."""

    pitch: Annotated[Quantity, Unit("um", 10, 900)]
    depth: Annotated[Quantity, Unit("um", 10, 900)]
    number: Annotated[Quantity, Unit("dimensionless", 4, 900)]
    power: Annotated[Quantity, Unit("W", 1e-5, 9e-3)]

    def ring(self, core_mm2: float) -> tuple[float, int]:
        """Area of the ring around a square core in mm2, and its pads: as many as its four sides have room for.

        A core that is too small for the least number stands in a larger square.
        """
        depth, pitch = self.depth.value / 1e3, self.pitch.value / 1e3
        side = max(math.sqrt(core_mm2), self.number.value / 4 * pitch)
        return (side + 2 * depth) ** 2 - core_mm2, 4 * int(side / pitch + 1e-9)


class Controller(DataTable):
    """What starts tokens and steps through the program."""

    transistors: Annotated[Quantity, Unit("transistor", 1_000, 900_000)]


class ChipParts(DataTable):
    """What a chip has whatever its size."""

    name: Slug
    pads: Pads
    controller: Controller


@functools.cache
def load_parts() -> ChipParts:
    """The parts of every chip."""
    with resources.as_file(resources.files("hnlpu.system.design") / "parts.toml") as path:
        return read_data(Path(path), ChipParts)
