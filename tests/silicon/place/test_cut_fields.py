"""What a matrix says of its cut is enough to cut it: the slices are those of the placement."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import Architecture, matrix_shapes
from hnlpu.model.families import gpt_oss
from hnlpu.model.network import Matrix
from hnlpu.silicon.place import Slice, chip_grid, cut
from models import architectures

Span = tuple[int, int]


def even(total: int, parts: int) -> list[Span]:
    return [(total * n // parts, total * (n + 1) // parts) for n in range(parts)]


def groups_of(matrices: list[Matrix], together: str | None) -> int:
    """Runs that may go to different columns of chips: as many as give whole blocks of inputs."""
    inward = next(m for m in matrices if m.cut.together == together and m.cut.how == "heads_in")
    runs = inward.columns // inward.cut.group
    joined = BLOCK // math.gcd(inward.cut.group, BLOCK)
    return runs // joined if runs % joined == 0 else 1


def slices(m: Matrix, matrices: list[Matrix], grid: tuple[int, int]) -> Iterator[Slice]:
    """Slices by the fields of a matrix alone."""
    chips, blocks = grid[0] * grid[1], m.columns // BLOCK
    whole: list[Span] = [(0, m.count), (0, m.rows), (0, blocks)]

    def part(chip: int, members: Span, neurons: Span, of: Span) -> Slice:
        return Slice(chip=chip, members=members, neurons=neurons, blocks=of)

    match m.cut.how:
        case "copy":
            yield from (part(chip, *whole) for chip in range(chips))
        case "rows":
            for chip, neurons in enumerate(even(m.rows, chips)):
                yield part(chip, whole[0], neurons, whole[2])
        case "members" if chips <= m.count:
            for chip, members in enumerate(even(m.count, chips)):
                yield part(chip, members, *whole[1:])
        case "members":
            for member, (first, behind) in enumerate(even(chips, m.count)):
                for n, neurons in enumerate(even(m.rows, behind - first)):
                    yield part(first + n, (member, member + 1), neurons, whole[2])
        case "heads_out" | "heads_in":
            groups, inward = groups_of(matrices, m.cut.together), m.cut.how == "heads_in"
            along, across = (blocks, m.rows) if inward else (m.rows, blocks)
            for row, rest in enumerate(even(across, grid[0])):
                for column, (a, b) in enumerate(even(groups, grid[1])):
                    heads = (a * along // groups, b * along // groups)
                    chip = row * grid[1] + column
                    yield part(chip, whole[0], *((rest, heads) if inward else (heads, rest)))


@settings(max_examples=60, deadline=None)
@given(architectures(), st.integers(1, 16))
def test_fields_are_enough_to_cut(a: Architecture, chips: int) -> None:
    try:
        grid = chip_grid(a, chips)
    except DoesNotFit:
        return
    names = gpt_oss.GptOss.model_fields
    config = gpt_oss.GptOss.model_validate(
        {name: getattr(a, name) for name in names if hasattr(a, name)}
    )
    matrices = list(gpt_oss.network(config).matrices)
    for shape, matrix in zip(matrix_shapes(a), matrices, strict=True):
        expected = list(cut(shape, a, grid))
        found = [s for s in slices(matrix, matrices, grid) if s.weights]
        assert found == expected, matrix.name
