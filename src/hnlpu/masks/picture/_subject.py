"""What a picture is of: a die, an array, a tile of it, and one weight whose metal is shown last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.embed import BLOCK, Grid, LayerKey, Layout, Rectangles, Scheme, TileDigits, TileShape
from hnlpu.quantize import TWICE_E2M1, unpack
from hnlpu.technology import FIXED, PIN, PROGRAMMABLE

E8M0_BIAS = 127
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in nm."""


@dataclass(frozen=True)
class Block:
    """A rectangle of a floorplan, in um from the die's lower left; `kind` is "array" or another."""

    name: str
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Floorplan:
    """A die in um, its blocks, the one that holds the tile, and where on the die the tile begins."""

    chip: str
    width: float
    height: float
    blocks: Sequence[Block]
    array: int
    tile_x: float
    tile_y: float


@dataclass(frozen=True)
class Subject:
    """A tile with its weights, and what they belong to.

    `neurons` names every row of metal ("neuron 7", "neuron 7 of expert 3"), `first_input` is the
    matrix's column at the tile's left.  `exponents` uint8 [rows] are the rows' bases (E8M0), to tell
    what a weight is worth.  `row` and `column` choose the weight shown last; without them it is one
    near the middle whose value is not a whole number.
    """

    model: str
    matrix: str
    scheme: Scheme
    digits: TileDigits
    neurons: Sequence[str]
    first_input: int = 0
    exponents: npt.NDArray[np.uint8] | None = None
    floorplan: Floorplan | None = None
    row: int | None = None
    column: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where names or exponents do not fit the rows, or the tile its array."""
        if len(self.neurons) != self.digits.rows:
            raise ValueError(f"{len(self.neurons)} names for {self.digits.rows} rows of metal")
        if self.exponents is not None and self.exponents.shape != (self.digits.rows,):
            raise ValueError(
                f"{self.exponents.shape} exponents for {self.digits.rows} rows of metal"
            )
        if plan := self.floorplan:
            block, (_, _, width, height) = plan.blocks[plan.array], self.outline
            room = block.x, block.y, block.x + block.width, block.y + block.height
            tile = plan.tile_x, plan.tile_y, plan.tile_x + width / 1e3, plan.tile_y + height / 1e3
            slack = 1e-3
            if any(tile[n] < room[n] - slack or tile[n + 2] > room[n + 2] + slack for n in (0, 1)):
                raise ValueError(f"the tile {tile} lies beyond its array {room} (um)")

    @property
    def shape(self) -> TileShape:
        """Rows and blocks of the tile."""
        return TileShape(self.digits.rows, self.digits.blocks)

    @property
    def outline(self) -> Box:
        """The tile in nm."""
        width, height = self.scheme.size_nm(self.shape)
        return 0, 0, width, height


@dataclass(frozen=True)
class Weight:
    """One weight of a tile: its place, its code, and how it reads."""

    row: int
    column: int
    code: int
    digit: str
    """The E2M1 digit: +1.5."""
    meaning: str
    """Matrix, neuron, input and value in one line."""


def choose_weight(subject: Subject) -> Weight:
    """The weight shown last."""
    codes = unpack(subject.digits.codes)
    row, column = subject.row, subject.column
    if row is None or column is None:
        row, column = _near_the_middle(codes)
    return weight_at(subject, row, column)


def _near_the_middle(codes: npt.NDArray[np.uint8]) -> tuple[int, int]:
    rows, columns = codes.shape
    away = np.abs(np.arange(rows)[:, None] - rows // 2) + np.abs(np.arange(columns) - columns // 2)
    # the middle of a block shows weights only, its ends what stands between blocks
    away = away + columns * (np.abs(np.arange(columns) % BLOCK - (BLOCK - 1) / 2) > BLOCK / 4)
    for wanted in (codes == 3, codes == 11, codes % 8 > 0, codes >= 0):  # +1.5, -1.5, any, zero
        if wanted.any():
            row, column = np.unravel_index(int(np.where(wanted, away, np.inf).argmin()), away.shape)
            return int(row), int(column)
    raise ValueError("a tile without weights cannot be pictured")


def weight_at(subject: Subject, row: int, column: int) -> Weight:
    """The weight in a row of metal at an input of the tile; ValueError beyond the tile."""
    digits = subject.digits
    if not (0 <= row < digits.rows and 0 <= column < digits.blocks * BLOCK):
        raise ValueError(f"row {row}, input {column} lie beyond the tile's {subject.shape}")
    block = column // BLOCK
    code = int(digits.codes[row, block, column % BLOCK // 2]) >> (column % 2 * 4) & 15
    digit = digit_text(int(TWICE_E2M1[code]))
    value = digit
    if subject.exponents is not None and code & 7:
        power = int(subject.exponents[row]) + int(digits.shifts[row, block]) - E8M0_BIAS
        value = f"{digit} × 2^{power} = {TWICE_E2M1[code] / 2 * 2.0**power:+.4g}"
    where = f"{subject.matrix}, {subject.neurons[row]}, input {subject.first_input + column}"
    return Weight(row, column, code, digit, f"{where}: {value.replace('-', '−')}")


def digit_text(twice: int) -> str:
    """The value whose double is given, with its sign: +1.5, −6, 0."""
    return f"{twice / 2:+g}".replace("-", "−") if twice else "0"


# -- metal in a window ---------------------------------------------------------------------------


def roles_of(scheme: Scheme) -> dict[LayerKey, str]:
    """The role of every layer that is drawn, from the silicon up; names of colours."""
    t = scheme.technology
    return {
        (t.port_cut.gds_layer, FIXED): "fixed",
        (t.lower.gds_layer, FIXED): "lower",
        (t.lower.gds_layer, PROGRAMMABLE): "lower",
        (t.lower_cut.gds_layer, FIXED): "fixed",
        (t.lower_cut.gds_layer, PROGRAMMABLE): "weight",
        (t.stub.gds_layer, FIXED): "stub",
        (t.stub.gds_layer, PROGRAMMABLE): "stub",
        (t.upper_cut.gds_layer, FIXED): "fixed",
        (t.upper_cut.gds_layer, PROGRAMMABLE): "weight",
        (t.upper.gds_layer, FIXED): "upper",
        (t.upper.gds_layer, PROGRAMMABLE): "upper",
    }


def within(layouts: Sequence[Layout], window: Box) -> dict[LayerKey, Rectangles]:
    """Rectangles of the layouts that a window shows, cut to it; pin labels are left out."""
    x0, y0, x1, y1 = window
    parts: dict[LayerKey, list[Rectangles]] = {}
    for layout in layouts:
        for grid in layout.grids:
            if grid.layer[1] != PIN and (seen := _visible(grid, window)):
                parts.setdefault(grid.layer, []).append(seen.rectangles())
        for layer, found in layout.rectangles.items():
            here = (found[:, 2] > x0) & (found[:, 0] < x1) & (found[:, 3] > y0) & (found[:, 1] < y1)
            if here.any():
                parts.setdefault(layer, []).append(found[here])
    low, high = np.array([x0, y0, x0, y0]), np.array([x1, y1, x1, y1])
    return {
        layer: np.clip(np.concatenate(found), low, high).astype(np.int32)
        for layer, found in parts.items()
    }


def _visible(grid: Grid, window: Box) -> Grid | None:
    """The part of a grid that a window shows."""

    def span(
        low: int, high: int, step: int, count: int, start: float, end: float
    ) -> tuple[int, int]:
        if step == 0 or count == 1:
            return (0, 1) if high > start and low < end else (0, 0)
        first = max(0, int((start - high) // step) + 1)
        last = min(count, int(-((low - end) // step)))
        return first, last

    left, right = span(grid.x0, grid.x1, grid.dx, grid.columns, window[0], window[2])
    bottom, top = span(grid.y0, grid.y1, grid.dy, grid.rows, window[1], window[3])
    if left >= right or bottom >= top:
        return None
    x, y = left * grid.dx, bottom * grid.dy
    return Grid(
        grid.layer, grid.x0 + x, grid.y0 + y, grid.x1 + x, grid.y1 + y,
        right - left, grid.dx, top - bottom, grid.dy,
    )  # fmt: skip


def ordered(
    shapes: Mapping[LayerKey, Rectangles], scheme: Scheme
) -> list[tuple[LayerKey, str, Rectangles]]:
    """Layers with their role, from the silicon up."""
    roles = roles_of(scheme)
    return [(layer, role, shapes[layer]) for layer, role in roles.items() if layer in shapes]
