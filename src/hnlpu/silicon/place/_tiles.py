"""A chip's slices -> arrays -> tiles: the pieces that are drawn, written and checked on their own.

An array is silicon of its own: neurons of one matrix, over some of its inputs, for the members
of a bank.  Rows of metal belong to neuron, member and digit, in this order of significance:

    row = ((neuron - first neuron) * members + member) * digits + digit
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import ArrayKind, TileShape
from hnlpu.silicon.place._cuts import Span
from hnlpu.silicon.place._placement import Placement, banks
from hnlpu.silicon.technology import Tiling


@dataclass(frozen=True)
class Array:
    """Neurons and blocks of 32 inputs of the members of a bank, on one chip."""

    chip: int
    matrix: str
    kind: ArrayKind
    members: Span
    neurons: Span
    blocks: Span


@dataclass(frozen=True)
class Tile:
    """A part of an array; its name is that of no other tile of its chip."""

    chip: int
    matrix: str
    kind: ArrayKind
    members: Span
    neurons: Span
    blocks: Span

    @property
    def name(self) -> str:
        """Matrix, first member (of stacks that share arrays), first neuron and first block."""
        of_stack = "experts" in self.matrix or self.kind.bank > 1 or self.members[0] > 0
        bank = f".e{self.members[0]}" if of_stack else ""
        return f"{self.matrix}{bank}.n{self.neurons[0]}.b{self.blocks[0]}"

    @property
    def shape(self) -> TileShape:
        """Rows of metal and blocks of 32 ports."""
        neurons, blocks = (last - first for first, last in (self.neurons, self.blocks))
        return TileShape(neurons * self.kind.rows_per_neuron, blocks // self.kind.inputs_per_port)

    def place_of(self, row: int) -> tuple[int, int, int]:
        """Neuron, member and digit of a row of metal."""
        rest, digit = divmod(row, self.kind.digits)
        neuron, member = divmod(rest, self.kind.bank)
        return self.neurons[0] + neuron, self.members[0] + member, digit


def chip_arrays(placement: Placement, chip: int) -> Iterator[Array]:
    """The arrays of a chip, in the order in which data meets them."""
    for placed in placement.matrices:
        for part in placed.slices:
            if part.chip != chip:
                continue
            for members in banks(part, placement.bank):
                kind = placement.kind(placed, members[1] - members[0])
                yield Array(chip, placed.name, kind, members, part.neurons, part.blocks)


def array_tiles(array: Array, tiling: Tiling) -> Iterator[Tile]:
    """The tiles of an array, row by row."""
    neurons = tiling.neurons(array.kind.rows_per_neuron)
    for first in range(*array.neurons, neurons):
        blocks = tiling.blocks * array.kind.inputs_per_port
        for block in range(*array.blocks, blocks):
            yield Tile(
                array.chip, array.matrix, array.kind, array.members,
                (first, min(first + neurons, array.neurons[1])),
                (block, min(block + blocks, array.blocks[1])),
            )  # fmt: skip


def chip_tiles(placement: Placement, tiling: Tiling, chip: int) -> Iterator[Tile]:
    """All tiles of a chip."""
    for array in chip_arrays(placement, chip):
        yield from array_tiles(array, tiling)


def find_tiles(
    placement: Placement, tiling: Tiling, chips: Sequence[int] = (), patterns: Sequence[str] = ()
) -> list[Tile]:
    """Tiles of some chips (all if empty) whose names match a pattern (`*` as in a shell; any if empty).

    Raises InvalidInput for a chip that there is not and for a pattern that matches nothing.
    """
    for chip in chips:
        if not 0 <= chip < placement.chips:
            raise InvalidInput(f"chip {chip}: there are chips 0 to {placement.chips - 1}")
    found, unmatched = [], set(patterns)
    for chip in dict.fromkeys(chips) or range(placement.chips):
        for tile in chip_tiles(placement, tiling, chip):
            matching = [p for p in patterns if fnmatch.fnmatchcase(tile.name, p)]
            unmatched.difference_update(matching)
            if matching or not patterns:
                found.append(tile)
    if unmatched:
        example = next(chip_tiles(placement, tiling, (*chips, 0)[0])).name
        raise InvalidInput(
            f"no tile is named {sorted(unmatched)[0]!r}; names are such as {example!r}, "
            "and * stands for anything"
        )
    return found
