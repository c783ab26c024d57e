"""A build's placement, or any grid -> the slices of each matrix, by chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.silicon.place import Placement, StackSlice, cut, grid_limits, head_groups


@dataclass(frozen=True)
class ChipGrid:
    """Chips in `rows` and `columns`, and the slices of every matrix by its name, in their order."""

    rows: int
    columns: int
    slices: Mapping[str, tuple[StackSlice, ...]]

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.rows * self.columns


def grid_of(placement: Placement) -> ChipGrid:
    """The grid that a build was placed on."""
    return ChipGrid(*placement.grid, {placed.name: placed.slices for placed in placement.matrices})


def slices_on(shapes: Sequence[MatrixShape], rows: int, columns: int) -> ChipGrid:
    """A grid of any size; raises DoesNotFit where chips would have no part of what is cut by heads."""
    groups, limits = head_groups(shapes), grid_limits(shapes)
    if groups and (rows > limits.rows or columns > limits.columns):
        raise DoesNotFit(
            f"{rows} x {columns} chips leave some of them without a part: at most "
            f"{limits.columns} columns (runs of heads) of {limits.rows} chips; use a smaller grid"
        )
    return ChipGrid(rows, columns, {s.name: tuple(cut(s, groups, (rows, columns))) for s in shapes})
