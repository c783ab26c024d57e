"""The width of partial sums holds whatever comes, and inputs with the weights' signs fill it."""

from __future__ import annotations

import numpy as np
import pytest

from grids import wide
from hnlpu.arithmetic.exchange import packed
from hnlpu.silicon.exchange import part_bits, part_magnitude, slices_on

BITS = 8


@pytest.mark.parametrize("name", ["q_proj", "o_proj"])
def test_partial_sums_fill_their_width(name: str) -> None:
    build = wide("gpt_oss")
    name = f"model.layers.0.self_attn.{name}"
    shapes = build.shapes()
    matrix = build.matrix(shapes[name])
    weights = matrix.integers()
    for part in slices_on(build.matrices(), 3, 2).slices[name]:
        rows = slice(*part.neurons)
        columns = slice(32 * part.blocks[0], 32 * part.blocks[1])
        mine = weights[rows, columns]
        worst = np.where(mine > 0, -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1)
        sums = (mine * worst).sum(1)
        packed(sums.tolist(), part_bits(matrix, part, BITS))
        most = part_magnitude(matrix, part) << (BITS - 1)
        # two digits of a weight may have opposite signs, which the bound does not count on
        assert most * 0.75 <= np.abs(sums).max() <= most


def test_the_parts_of_a_row_are_its_whole() -> None:
    """Units of the whole row's exponent: parts add up to what one chip adds up."""
    build = wide("gpt_oss")
    name = "model.layers.1.self_attn.q_proj"
    matrix = build.matrix(build.shapes()[name])
    whole = build.manifest.matrices[name].accumulator_bits
    for part in slices_on(build.matrices(), 4, 1).slices[name]:
        assert 1 < part_bits(matrix, part, BITS) <= whole
    (one,) = slices_on(build.matrices(), 1, 1).slices[name]
    bits = build.manifest.policy.activation_bits
    assert part_bits(matrix, one, bits) == whole
