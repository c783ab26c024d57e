"""Cuts by the fields of a matrix are those of gpt-oss by the roles and names of its matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import Architecture, MatrixShape, matrix_shapes
from hnlpu.silicon.place import StackSlice, chip_grid, cut, head_groups
from models import architectures

Span = tuple[int, int]


def even(total: int, parts: int) -> list[Span]:
    return [(total * n // parts, total * (n + 1) // parts) for n in range(parts)]


def groups_of(a: Architecture) -> int:
    """Runs of heads that give whole blocks of inputs to O."""
    width = a.num_attention_heads // a.num_key_value_heads * a.head_dim
    heads = BLOCK // math.gcd(width, BLOCK)
    return a.num_key_value_heads // heads if a.num_key_value_heads % heads == 0 else 1


def slices(m: MatrixShape, a: Architecture, grid: tuple[int, int]) -> Iterator[StackSlice]:
    """Slices by role and name, as the HNLPU paper (arXiv 2508.16151) maps gpt-oss."""
    chips, blocks = grid[0] * grid[1], m.columns // BLOCK
    whole: list[Span] = [(0, m.count), (0, m.rows), (0, blocks)]

    def part(chip: int, members: Span, neurons: Span, of: Span) -> StackSlice:
        return StackSlice(chip=chip, members=members, neurons=neurons, blocks=of)

    if m.role == "attention":
        groups, inward = groups_of(a), m.name.endswith("o_proj")
        along, across = (blocks, m.rows) if inward else (m.rows, blocks)
        for row, rest in enumerate(even(across, grid[0])):
            for column, (first, behind) in enumerate(even(groups, grid[1])):
                heads = (first * along // groups, behind * along // groups)
                chip = row * grid[1] + column
                yield part(chip, whole[0], *((rest, heads) if inward else (heads, rest)))
    elif m.role == "router":
        yield from (part(chip, *whole) for chip in range(chips))
    elif m.role == "experts" and chips <= m.count:
        for chip, members in enumerate(even(m.count, chips)):
            yield part(chip, members, *whole[1:])
    elif m.role == "experts":
        for member, (first, behind) in enumerate(even(chips, m.count)):
            for n, neurons in enumerate(even(m.rows, behind - first)):
                yield part(first + n, (member, member + 1), neurons, whole[2])
    else:
        for chip, neurons in enumerate(even(m.rows, chips)):
            yield part(chip, whole[0], neurons, whole[2])


@settings(max_examples=60, deadline=None)
@given(architectures(), st.integers(1, 16))
def test_fields_cut_as_roles_and_names_do(a: Architecture, chips: int) -> None:
    shapes = matrix_shapes(a)
    try:
        grid = chip_grid(shapes, chips)
    except DoesNotFit:
        return
    for shape in shapes:
        expected = [s for s in slices(shape, a, grid) if s.weights]
        assert list(cut(shape, head_groups(shapes), grid)) == expected, shape.name
