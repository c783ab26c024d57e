"""The interface that both schemes share: what an array is made of, drawn, read and counted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed._digits import TileDigits
from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._layout import Layout, RowsByLayer, Shapes
from hnlpu.silicon.technology import Technology


@dataclass(frozen=True)
class TileShape:
    """Rows of metal and blocks of 32 inputs of a tile."""

    rows: int
    blocks: int

    @property
    def weights(self) -> int:
        """Digits that the tile holds."""
        return self.rows * self.blocks * 32


@dataclass(frozen=True)
class Fault:
    """Something wrong in a tile: row of metal and input where known, and what it is."""

    row: int | None
    column: int | None
    what: str


class Scheme(ABC):
    """One way to embed weights, for one process and one kind of array.

    `base` is the fixed metal with its pin labels: it depends on `shape` alone.  `draw` is what
    weights decide.  `read` is the inverse of `draw`, from shapes as a file gives them.
    """

    name: str
    programmable: tuple[str, ...]
    """Names of the layers that differ between models."""

    def __init__(self, technology: Technology, kind: ArrayKind):
        """Raises InvalidInput where the technology's rules are not enough for the scheme."""
        if self.name not in technology.schemes:
            raise InvalidInput(
                f"the rules of technology {technology.name} are not enough for scheme {self.name} "
                f"(its file says why); choose from {', '.join(technology.schemes)}"
            )
        self.technology = technology
        self.kind = kind

    @abstractmethod
    def size_nm(self, shape: TileShape) -> tuple[int, int]:
        """Width and height of a tile."""

    def origin_y_nm(self, y: float) -> int:
        """The first height at or above `y` at which a tile may begin: its stubs lie on tracks."""
        grid = round(self.technology.grid.value)
        return math.ceil(y / grid - 1e-9) * grid

    @abstractmethod
    def base(self, shape: TileShape) -> Layout:
        """Fixed metal and pin labels of a tile; the same for any weights."""

    @abstractmethod
    def metal(self, shape: TileShape) -> Layout:
        """The fixed metal alone."""

    @abstractmethod
    def draw(self, digits: TileDigits) -> Layout:
        """The metal that carries `digits`, as explicit rectangles."""

    @abstractmethod
    def read(self, shape: TileShape, shapes: Shapes) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """Integer digits [rows, inputs] that programmable shapes spell, and what is wrong."""

    def read_rows(
        self, shape: TileShape, shapes: Shapes, rows: RowsByLayer
    ) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """`read` of shapes and of others that stand in rows."""
        whole = {layer: list(found) for layer, found in shapes.items()}
        for layer, tables in rows.items():
            whole.setdefault(layer, []).extend(table.rectangles() for table in tables)
        return self.read(shape, whole)

    @abstractmethod
    def transistors(self, columns: int, neurons: int, activation_bits: int = 8) -> float:
        """Transistors a digit of a neuron with `columns` inputs in an array of `neurons`."""

    @abstractmethod
    def needs(self, digits: TileDigits) -> dict[str, Any]:
        """What one tile's weights use: tracks, wire, fan-out, load, ports."""

    def area_um2(self) -> float:
        """Area of one digit."""
        shape = TileShape(self.kind.rows_per_neuron, 32)
        width, height = self.size_nm(shape)
        return width * height * 1e-6 / (shape.weights * self.kind.inputs_per_port)


def open_scheme(technology: Technology, kind: ArrayKind) -> Scheme:
    """The scheme of an array kind."""
    from hnlpu.silicon.embed._regions import Regions
    from hnlpu.silicon.embed._taps import Taps

    schemes: dict[str, type[Scheme]] = {each.name: each for each in (Taps, Regions)}
    return schemes[kind.scheme](technology, kind)
