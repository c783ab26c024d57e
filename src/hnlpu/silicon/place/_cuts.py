"""A matrix -> the part of it that each chip of a grid holds.

    heads_out     a column of chips holds some heads, and each of its chips some of the inputs
    heads_in      a column's heads are its inputs, and each of its chips makes some of the outputs
    copy          every chip holds a copy
    members       spread over the chips, whole; where there are more chips than members, chips
                  share one and each makes some of its outputs
    rows          every chip makes some of the outputs

(HNLPU paper, arXiv 2508.16151: its mapping of gpt-oss 120B on 4 x 4 chips.)  Chips are numbered
row by row.  Inputs are cut between blocks of 32, which share a scale.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from pydantic import BaseModel, ConfigDict

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import MatrixShape

Span = tuple[int, int]
"""First, and the one behind the last."""


class StackSlice(BaseModel):
    """What one chip holds of a stack of matrices: members, neurons and blocks of 32 inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chip: int
    members: Span
    neurons: Span
    blocks: Span

    @property
    def weights(self) -> int:
        """Weights in the slice."""
        return _length(self.members) * _length(self.neurons) * _length(self.blocks) * BLOCK


def _length(span: Span) -> int:
    return span[1] - span[0]


def even(total: int, parts: int) -> list[Span]:
    """`total` things in `parts` runs whose lengths differ by one at most."""
    edges = [total * n // parts for n in range(parts + 1)]
    return list(itertools.pairwise(edges))


def head_groups(shapes: Iterable[MatrixShape]) -> dict[str | None, int]:
    """Runs of heads that may go to different columns of chips, by what is cut together.

    A key/value head stays with its query heads, and a run's outputs are whole blocks of inputs of
    the matrix that takes them.
    """
    runs: dict[str | None, int] = {}
    joined: dict[str | None, int] = {}
    for shape in shapes:
        how, group, together = shape.cut.how, shape.cut.group, shape.cut.together
        if how == "heads_in":
            runs[together] = (shape.columns - shape.padding) // group
            joined[together] = BLOCK // math.gcd(group, BLOCK)
        elif how == "heads_out":
            runs.setdefault(together, shape.rows // group)
    return {
        name: count // joined.get(name, 1) if count % joined.get(name, 1) == 0 else 1
        for name, count in runs.items()
    }


@dataclass(frozen=True)
class GridLimits:
    """Chips of a row and of a column at most, and of a grid; `groups` are those of `head_groups`."""

    columns: int
    rows: int
    groups: tuple[int, ...]

    @property
    def chips(self) -> int:
        """Chips of a grid at most."""
        return self.columns * self.rows


def grid_limits(shapes: Sequence[MatrixShape]) -> GridLimits:
    """How many chips have a part of every matrix that is cut by heads.

    A column takes a run of heads, and each of its chips a block of the inputs.  Where nothing is
    cut by heads, chips stand in one row or several, one neuron of the largest matrix each at least.
    """
    groups = tuple(sorted(set(head_groups(shapes).values())))
    if groups:
        rows = min(
            s.columns // BLOCK if s.cut.how == "heads_out" else s.rows
            for s in shapes
            if s.cut.how in ("heads_out", "heads_in")
        )
        return GridLimits(groups[0], rows, groups)
    most = max(1, math.isqrt(max(shape.rows * shape.count for shape in shapes)))
    return GridLimits(most, most, ())


def chip_grid(shapes: Sequence[MatrixShape], chips: int) -> tuple[int, int]:
    """Rows and columns of `chips` chips: columns share the heads evenly if they can, near a square.

    Raises DoesNotFit where no grid of that many chips leaves every chip a part of what is cut by heads.
    """
    limits = grid_limits(shapes)
    fitting = [
        (rows, chips // rows)
        for rows in range(1, min(chips, limits.rows) + 1)
        if chips % rows == 0 and chips // rows <= limits.columns
    ]
    if not fitting:
        what = " (runs of heads)" if limits.groups else ""
        raise DoesNotFit(
            f"{chips} chips make no grid for this model: at most {limits.columns} columns{what} "
            f"of {limits.rows} chips; choose another number with `chips`"
        )
    return min(
        fitting,
        key=lambda grid: (any(n % grid[1] for n in limits.groups), abs(grid[0] - grid[1])),
    )


def cut(
    shape: MatrixShape, groups: Mapping[str | None, int], grid: tuple[int, int]
) -> Iterator[StackSlice]:
    """The slices of a stack of matrices, by chip; `groups` are those of `head_groups`."""
    rows, columns = grid
    chips = rows * columns
    blocks, everything = (0, shape.columns // BLOCK), (0, shape.rows)
    members = (0, shape.count)
    match shape.cut.how:
        case "heads_out" | "heads_in":
            yield from _by_heads(shape, groups[shape.cut.together], rows, columns)
        case "copy":
            for chip in range(chips):
                yield StackSlice(chip=chip, members=members, neurons=everything, blocks=blocks)
        case "members" if chips <= shape.count:
            for chip, some in enumerate(even(shape.count, chips)):
                yield StackSlice(chip=chip, members=some, neurons=everything, blocks=blocks)
        case "members":
            for member, (first, behind) in enumerate(even(chips, shape.count)):
                for chip, neurons in zip(
                    range(first, behind), even(shape.rows, behind - first), strict=True
                ):
                    if _length(neurons):
                        yield StackSlice(
                            chip=chip, members=(member, member + 1), neurons=neurons, blocks=blocks
                        )
        case "rows":
            for chip, neurons in enumerate(even(shape.rows, chips)):
                if _length(neurons):
                    yield StackSlice(chip=chip, members=members, neurons=neurons, blocks=blocks)
        case _:
            assert_never(shape.cut.how)


def _by_heads(shape: MatrixShape, groups: int, rows: int, columns: int) -> Iterator[StackSlice]:
    output = shape.cut.how == "heads_in"
    along = shape.columns // BLOCK if output else shape.rows
    of_column = [(a * along // groups, b * along // groups) for a, b in even(groups, columns)]
    of_row = even(shape.rows, rows) if output else even(shape.columns // BLOCK, rows)
    for row in range(rows):
        for column in range(columns):
            heads, rest = of_column[column], of_row[row]
            neurons, blocks = (rest, heads) if output else (heads, rest)
            if _length(neurons) and _length(blocks):
                chip = row * columns + column
                yield StackSlice(chip=chip, members=(0, 1), neurons=neurons, blocks=blocks)
