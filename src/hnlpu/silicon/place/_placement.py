"""Shapes and a target -> `Placement`: which slice of which matrix lies on which chip.

It depends on shapes, digits and spreads, which the manifest has, never on weights; except that
the regions scheme needs as many wiring tracks as its busiest row of a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hnlpu.arithmetic.codebooks import E2M1
from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.silicon.embed import ArrayKind, TileShape, array_kind, open_scheme
from hnlpu.silicon.place._cuts import StackSlice, chip_grid, cut, grid_limits, head_groups
from hnlpu.silicon.place._footprint import footprint_nm
from hnlpu.silicon.place._target import Target
from hnlpu.silicon.technology import SchemeName, Technology

MOST_OBLONG = 4
"""Longer side of a grid over its shorter, at most, where we choose: collectives run along both."""
_frozen = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Embedding:
    """What arrays of a matrix must take: digits a weight, spread of exponents, tracks, values."""

    digits: int
    spread: int
    tracks: int = 0
    codebook: str = E2M1


class MatrixPlacement(BaseModel):
    """The slices of one stack of matrices, and what its arrays have in common."""

    model_config = _frozen

    name: str
    digits: int
    scale_range: int
    tracks: int
    slices: tuple[StackSlice, ...]
    codebook: str = E2M1

    @model_serializer(mode="wrap")
    def _as_placed(self, encode: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Builds of E2M1 alone have the bytes that they had before there were other codebooks."""
        values: dict[str, Any] = encode(self)
        return {k: v for k, v in values.items() if k != "codebook" or v != E2M1}


class Placement(BaseModel):
    """All matrices, in the order in which data meets them, on a grid of chips numbered row by row."""

    model_config = _frozen

    scheme: SchemeName
    grid: tuple[int, int]
    bank: int
    group: int
    matrices: tuple[MatrixPlacement, ...]

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.grid[0] * self.grid[1]

    def kind(self, placed: MatrixPlacement, members: int) -> ArrayKind:
        """The kind of an array of a matrix that `members` of its stack share."""
        return ArrayKind(
            self.scheme, placed.digits, members, placed.scale_range, self.group, placed.tracks,
            placed.codebook,
        )  # fmt: skip

    def kinds(self) -> set[ArrayKind]:
        """Every kind of array there is."""
        return {
            self.kind(placed, members)
            for placed in self.matrices
            for part in placed.slices
            for members in {b - a for a, b in banks(part, self.bank)}
        }


def banks(part: StackSlice, bank: int) -> Iterator[tuple[int, int]]:
    """Members of a slice that share arrays, `bank` at a time."""
    first, behind = part.members
    for member in range(first, behind, bank):
        yield member, min(member + bank, behind)


def place(
    shapes: Sequence[MatrixShape], embeddings: Mapping[str, Embedding], target: Target
) -> Placement:
    """Place the matrices of a model; with `target.chips` None on as few chips as hold it.

    Raises DoesNotFit where the chips make no grid, or no number of them is enough.
    """
    chips = target.chips or fewest_chips(shapes, embeddings, target)
    return _place(shapes, embeddings, target, chips)


def _place(
    shapes: Sequence[MatrixShape], embeddings: Mapping[str, Embedding], target: Target, chips: int
) -> Placement:
    grid, groups = chip_grid(shapes, chips), head_groups(shapes)
    matrices = []
    for shape in shapes:
        of = embeddings[shape.name]
        kind = array_kind(target.scheme, of.digits, 1, of.spread, target.group, of.codebook)
        slices = tuple(cut(shape, groups, grid))
        _check_ports(shape, kind, slices)
        matrices.append(
            MatrixPlacement(
                name=shape.name,
                digits=kind.digits,
                scale_range=kind.scale_range,
                tracks=of.tracks,
                codebook=kind.codebook,
                slices=slices,
            )
        )
    return Placement.model_validate(
        {"scheme": target.scheme, "grid": grid, "bank": target.bank, "group": target.group,
         "matrices": matrices}
    )  # fmt: skip


def _check_ports(shape: MatrixShape, kind: ArrayKind, slices: Sequence[StackSlice]) -> None:
    """Raise DoesNotFit for inputs on a chip that do not fill blocks of ports."""
    for part in slices:
        if (part.blocks[1] - part.blocks[0]) % kind.inputs_per_port:
            raise DoesNotFit(
                f"{shape.name}: {32 * (part.blocks[1] - part.blocks[0])} inputs on a chip are no multiple "
                f"of {32 * kind.inputs_per_port}, which the format {kind.codebook} takes; give it the "
                f"format {kind.values.of}"
            )


ArraySize = tuple[ArrayKind, int, int]
"""Kind, neurons and blocks of an array."""


def array_area_mm2(
    placement: Placement, technology: Technology, known: dict[ArraySize, float] | None = None
) -> list[float]:
    """Area of the arrays on each chip: what their tiles take, clearance and landings with them.

    `known` areas of arrays in mm2 need not be found again, and grow.
    """
    areas = {} if known is None else known
    total = [0.0] * placement.chips
    for placed in placement.matrices:
        for part in placed.slices:
            neurons, blocks = (b - a for a, b in (part.neurons, part.blocks))
            for first, behind in banks(part, placement.bank):
                size = placement.kind(placed, behind - first), neurons, blocks
                if size not in areas:
                    areas[size] = _tiles_mm2(technology, *size)
                total[part.chip] += areas[size]
    return total


def _tiles_mm2(technology: Technology, kind: ArrayKind, neurons: int, blocks: int) -> float:
    scheme, tiling = open_scheme(technology, kind), technology.array
    area = 0
    for high, count in _runs(neurons, tiling.neurons(kind.rows_per_neuron)):
        for wide, times in _runs(blocks // kind.inputs_per_port, tiling.blocks):
            width, height = footprint_nm(scheme, TileShape(high * kind.rows_per_neuron, wide))
            area += width * height * count * times
    return area * 1e-12


def _runs(total: int, most: int) -> Iterator[tuple[int, int]]:
    """Lengths of the runs of at most `most` that make up `total`, and how many there are of each."""
    whole, rest = divmod(total, most)
    yield from ((length, count) for length, count in ((most, whole), (rest, 1)) if length and count)


def fewest_chips(
    shapes: Sequence[MatrixShape], embeddings: Mapping[str, Embedding], target: Target,
    area_per_weight_um2: float | None = None,
) -> int:  # fmt: skip
    """The fewest chips whose arrays fit beside the other blocks of a die.

    By the scheme's own area, or by `area_per_weight_um2` for every weight.  Raises DoesNotFit
    where the model cannot be cut into as many parts as it needs.
    """
    t = target.technology
    room = t.die.area.value - t.die.other_area_mm2
    known: dict[ArraySize, float] = {}

    def fullest(chips: int) -> float:
        placement = _place(shapes, embeddings, target, chips)
        if area_per_weight_um2 is None:
            return max(array_area_mm2(placement, t, known))
        return max(weights_by_chip(placement)) * area_per_weight_um2 * 1e-6

    area = fullest(1)
    # in parts it takes no less than all on one chip
    for chips in range(max(1, math.ceil(area / room)), grid_limits(shapes).chips + 1):
        if _is_compact(shapes, chips):
            area = fullest(chips)
            if area <= room:
                return chips
    raise DoesNotFit(
        f"technology {t.name}: arrays of {area:.4g} mm2 do not fit the {room:.4g} mm2 that a die "
        "has for them, however many chips; choose another technology, or build for a number of "
        "dies all the same with `chips`"
    )


def _is_compact(shapes: Sequence[MatrixShape], chips: int) -> bool:
    try:
        rows, columns = chip_grid(shapes, chips)
    except DoesNotFit:
        return False
    return max(rows, columns) <= MOST_OBLONG * min(rows, columns)


def weights_by_chip(placement: Placement) -> list[int]:
    """Weights on each chip; copies count."""
    total = [0] * placement.chips
    for placed in placement.matrices:
        for part in placed.slices:
            total[part.chip] += part.weights
    return total
