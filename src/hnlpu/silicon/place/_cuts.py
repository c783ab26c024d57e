"""A matrix -> the part of it that each chip of a grid holds.

    Q K V         a column of chips holds some heads, and each of its chips some of the inputs
    O             a column's heads are its inputs, and each of its chips makes some of the outputs
    router        every chip holds a copy
    experts       spread over the chips, whole; where there are more chips than experts, chips
                  share one and each makes some of its outputs
    unembedding   every chip makes some of the logits

(HNLPU paper, arXiv 2508.16151: its mapping of gpt-oss 120B on 4 x 4 chips.)  Chips are numbered
row by row.  Inputs are cut between blocks of 32, which share a scale.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import Architecture, MatrixShape

Span = tuple[int, int]
"""First, and the one behind the last."""


class Slice(BaseModel):
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


def head_groups(architecture: Architecture) -> int:
    """Runs of heads that may go to different columns of chips.

    A key/value head stays with its query heads, and a run's outputs are whole blocks of inputs of O.
    """
    a = architecture
    width = a.num_attention_heads // a.num_key_value_heads * a.head_dim
    heads = BLOCK // math.gcd(width, BLOCK)
    return a.num_key_value_heads // heads if a.num_key_value_heads % heads == 0 else 1


def chip_grid(architecture: Architecture, chips: int) -> tuple[int, int]:
    """Rows and columns of `chips` chips: columns share the heads evenly if they can, near a square.

    Raises DoesNotFit where no grid of that many chips leaves every chip a part of attention.
    """
    groups = head_groups(architecture)
    most = most_rows(architecture)
    fitting = [
        (rows, chips // rows)
        for rows in range(1, min(chips, most) + 1)
        if chips % rows == 0 and chips // rows <= groups
    ]
    if not fitting:
        raise DoesNotFit(
            f"{chips} chips make no grid for this model: at most {groups} columns (runs of heads) "
            f"of {most} chips; choose another number with --chips"
        )
    return min(fitting, key=lambda grid: (groups % grid[1] != 0, abs(grid[0] - grid[1])))


def most_rows(architecture: Architecture) -> int:
    """Chips of a column at most: each takes a block of the inputs."""
    return architecture.hidden_size // BLOCK


def cut(shape: MatrixShape, architecture: Architecture, grid: tuple[int, int]) -> Iterator[Slice]:
    """The slices of a stack of matrices, by chip."""
    rows, columns = grid
    chips = rows * columns
    blocks, everything = (0, shape.columns // BLOCK), (0, shape.rows)
    if shape.role == "attention":
        yield from _attention(shape, architecture, rows, columns)
    elif shape.role == "router":
        for chip in range(chips):
            yield Slice(chip=chip, members=(0, 1), neurons=everything, blocks=blocks)
    elif shape.role == "experts" and chips <= shape.count:
        for chip, members in enumerate(even(shape.count, chips)):
            yield Slice(chip=chip, members=members, neurons=everything, blocks=blocks)
    elif shape.role == "experts":
        for member, (first, behind) in enumerate(even(chips, shape.count)):
            for chip, neurons in zip(
                range(first, behind), even(shape.rows, behind - first), strict=True
            ):
                if _length(neurons):
                    yield Slice(
                        chip=chip, members=(member, member + 1), neurons=neurons, blocks=blocks
                    )
    else:
        for chip, neurons in enumerate(even(shape.rows, chips)):
            if _length(neurons):
                yield Slice(chip=chip, members=(0, 1), neurons=neurons, blocks=blocks)


def _attention(
    shape: MatrixShape, architecture: Architecture, rows: int, columns: int
) -> Iterator[Slice]:
    groups = head_groups(architecture)
    output = shape.name.endswith("o_proj")
    along = shape.columns // BLOCK if output else shape.rows
    of_column = [(a * along // groups, b * along // groups) for a, b in even(groups, columns)]
    of_row = even(shape.rows, rows) if output else even(shape.columns // BLOCK, rows)
    for row in range(rows):
        for column in range(columns):
            heads, rest = of_column[column], of_row[row]
            neurons, blocks = (rest, heads) if output else (heads, rest)
            if _length(neurons) and _length(blocks):
                chip = row * columns + column
                yield Slice(chip=chip, members=(0, 1), neurons=neurons, blocks=blocks)
