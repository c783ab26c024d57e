"""What a picture is of: a die, an array, a tile of it, and one weight whose metal is shown last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import open_codebook
from hnlpu.arithmetic.mx import BLOCK, unpack
from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks.picture._metal import Box

E8M0_BIAS = 127
SLACK_UM = 1e-3  # of comparisons between places that were rounded to nm


@dataclass(frozen=True)
class DrawnBlock:
    """A rectangle of a floorplan, in um from the die's lower left.

    `role` is that of the matrix which an array holds (attention, router, experts, unembedding),
    and empty for what is no array; pieces of one array share their name.  `edges_um` are
    the x at which one tile of an array ends and the next begins.
    """

    name: str
    role: str
    x_um: float
    y_um: float
    width_um: float
    height_um: float
    edges_um: tuple[float, ...] = ()

    @property
    def corners(self) -> Box:
        """x0, y0, x1, y1 in um."""
        return self.x_um, self.y_um, self.x_um + self.width_um, self.y_um + self.height_um

    @property
    def area_mm2(self) -> float:
        """Area."""
        return self.width_um * self.height_um * 1e-6


@dataclass(frozen=True)
class DrawnDie:
    """A die in um, the blocks on it, and the field that the reticle prints, where it is known."""

    name: str
    width_um: float
    height_um: float
    blocks: Sequence[DrawnBlock]
    reticle_um: tuple[float, float] | None = None

    @property
    def area_mm2(self) -> float:
        """Area."""
        return self.width_um * self.height_um * 1e-6


@dataclass(frozen=True)
class TilePlace:
    """Where a tile stands: its die, the number of the block that holds it, its lower left in um."""

    die: DrawnDie
    block: int
    x_um: float
    y_um: float


@dataclass(frozen=True)
class PictureSubject:
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
    place: TilePlace | None = None
    row: int | None = None
    column: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where names or exponents do not fit the rows, or the tile its block."""
        if len(self.neurons) != self.digits.rows:
            raise ValueError(f"{len(self.neurons)} names for {self.digits.rows} rows of metal")
        if self.exponents is not None and self.exponents.shape != (self.digits.rows,):
            raise ValueError(
                f"{self.exponents.shape} exponents for {self.digits.rows} rows of metal"
            )
        if place := self.place:
            room = place.die.blocks[place.block].corners
            x, y, (_, _, width, height) = place.x_um, place.y_um, self.outline
            tile = x, y, x + width / 1e3, y + height / 1e3
            beyond = [
                tile[n] < room[n] - SLACK_UM or tile[n + 2] > room[n + 2] + SLACK_UM for n in (0, 1)
            ]
            if any(beyond):
                raise ValueError(f"the tile {tile} lies beyond its block {room} (um)")

    @property
    def shape(self) -> TileShape:
        """Rows and blocks of the tile."""
        return TileShape(self.digits.rows, self.digits.blocks)

    @property
    def outline(self) -> Box:
        """The tile in nm."""
        width, height = self.scheme.size_nm(self.shape)
        return 0, 0, width, height

    @property
    def pitch(self) -> float:
        """Height of a row of metal in nm."""
        return self.outline[3] / self.digits.rows


@dataclass(frozen=True)
class Weight:
    """One weight of a tile: its place, its code, and how it reads."""

    row: int
    column: int
    code: int
    digit: str
    """The E2M1 digit: +1.5."""
    scale: int
    """2^shift of its block."""
    in_row: str
    """The digit times the scale: +3."""
    meaning: str
    """Matrix, neuron, input and value in one line."""


def candidates(subject: PictureSubject, most: int = 24) -> list[Weight]:
    """Weights that may be shown last, the best first: the one chosen, or some near the middle."""
    if subject.row is not None and subject.column is not None:
        return [weight_at(subject, subject.row, subject.column)]
    codes = unpack(subject.digits.codes)
    rows, columns = codes.shape
    away = np.abs(np.arange(rows)[:, None] - rows // 2) + np.abs(np.arange(columns) - columns // 2)
    # the middle of a block shows weights only, its ends what stands between blocks
    away = away + columns * (np.abs(np.arange(columns) % BLOCK - (BLOCK - 1) / 2) > BLOCK / 4)
    units = np.array(open_codebook(subject.digits.codebook).table)[codes]
    for wanted in (units == 3, units == -3, units != 0, codes >= 0):  # +1.5, -1.5, any, zero
        places = np.flatnonzero(wanted)
        if len(places):
            nearest = places[np.argsort(away.reshape(-1)[places], kind="stable")[:most]]
            return [weight_at(subject, *divmod(int(n), columns)) for n in nearest]
    raise ValueError("a tile without weights cannot be pictured")


def weight_at(subject: PictureSubject, row: int, column: int) -> Weight:
    """The weight in a row of metal at an input of the tile; ValueError beyond the tile."""
    digits = subject.digits
    if not (0 <= row < digits.rows and 0 <= column < digits.blocks * BLOCK):
        raise ValueError(f"row {row}, input {column} lie beyond the tile's {subject.shape}")
    block = column // BLOCK
    code = int(digits.codes[row, block, column % BLOCK // 2]) >> (column % 2 * 4) & 15
    units = open_codebook(digits.codebook).table[code]
    digit = digit_text(units)
    value = digit
    if subject.exponents is not None and units:
        power = int(subject.exponents[row]) + int(digits.shifts[row, block]) - E8M0_BIAS
        value = f"{digit} × 2^{power} = {units / 2 * 2.0**power:+.4g}"
    where = f"{subject.matrix}, {subject.neurons[row]}, input {subject.first_input + column}"
    scale = 1 << int(digits.shifts[row, block])
    in_row = digit_text(units * scale)
    return Weight(row, column, code, digit, scale, in_row, f"{where}: {value.replace('-', '−')}")


def digit_text(twice: int) -> str:
    """The value whose double is given, with its sign: +1.5, −6, 0."""
    return f"{twice / 2:+g}".replace("-", "−") if twice else "0"
