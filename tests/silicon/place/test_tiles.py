"""Tiles cover arrays, rows of metal tell what they belong to, names find tiles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import Architecture, matrix_shapes
from hnlpu.silicon.embed import array_kind
from hnlpu.silicon.place import (
    Array,
    Placement,
    array_tiles,
    chip_arrays,
    chip_tiles,
    find_tiles,
    make_target,
    place,
)
from hnlpu.silicon.technology import Tiling, load_technology
from models import architecture_of, architectures, embeddings_of, placed

N5 = load_technology("n5")


def tiling(rows: int, blocks: int) -> Tiling:
    return N5.array.model_copy(update={"rows": rows, "blocks": blocks})


@settings(max_examples=60)
@given(
    architectures(), st.integers(1, 12), st.integers(1, 5), st.integers(32, 90), st.integers(1, 5)
)
def test_tiles_hold_every_weight_of_every_chip_once(
    architecture: Architecture, chips: int, bank: int, rows: int, blocks: int
) -> None:
    try:
        placement, _ = placed(architecture, chips, bank=bank)
    except DoesNotFit:
        assume(False)
    cut = tiling(rows, blocks)
    shapes = {shape.name: shape for shape in matrix_shapes(architecture)}
    held = {name: np.zeros((s.count, s.rows, s.columns // 32), int) for name, s in shapes.items()}
    for chip in range(chips):
        tiles = list(chip_tiles(placement, cut, chip))
        names = Counter(tile.name for tile in tiles)
        assert max(names.values()) == 1
        for tile in tiles:
            held[tile.matrix][slice(*tile.members), slice(*tile.neurons), slice(*tile.blocks)] += 1
            members = tile.members[1] - tile.members[0]
            assert tile.kind.bank == members <= bank
            assert tile.shape.rows <= max(rows, tile.kind.rows_per_neuron)
            assert tile.shape.blocks <= blocks
    for name, times in held.items():
        assert (times == (chips if shapes[name].role == "router" else 1)).all(), name


@given(
    st.tuples(st.integers(0, 50), st.integers(1, 80)), st.tuples(st.integers(0, 9), st.integers(1, 9)),
    st.integers(1, 2), st.integers(1, 8), st.integers(32, 300), st.integers(1, 6),
)  # fmt: skip
def test_tiles_of_an_array_are_a_partition_of_it(
    neurons: tuple[int, int], blocks: tuple[int, int], digits: int, bank: int, rows: int, wide: int
) -> None:
    kind = array_kind("taps", digits, bank, 2)
    array = Array(3, "m", kind, (4, 4 + bank), (neurons[0], sum(neurons)), (blocks[0], sum(blocks)))
    covered = np.zeros((sum(neurons), sum(blocks)), int)
    for tile in array_tiles(array, tiling(rows, wide)):
        assert (tile.chip, tile.matrix, tile.kind, tile.members) == (3, "m", kind, array.members)
        covered[slice(*tile.neurons), slice(*tile.blocks)] += 1
    assert (covered[neurons[0] :, blocks[0] :] == 1).all()
    assert covered.sum() == neurons[1] * blocks[1]


@given(st.integers(1, 2), st.integers(1, 5), st.integers(1, 7))
def test_each_row_of_metal_belongs_to_one_digit_of_one_weight(
    digits: int, bank: int, neurons: int
) -> None:
    kind = array_kind("taps", digits, bank, 0)
    array = Array(0, "m.experts", kind, (6, 6 + bank), (10, 10 + neurons), (0, 1))
    (tile,) = array_tiles(array, tiling(4096, 1))
    places = [tile.place_of(row) for row in range(tile.shape.rows)]
    assert places == [
        (neuron, member, digit)
        for neuron in range(10, 10 + neurons)
        for member in range(6, 6 + bank)
        for digit in range(digits)
    ]


@pytest.fixture(scope="module")
def placement() -> Placement:
    return placed(architecture_of(), 4)[0]


def test_patterns_choose_tiles(placement: Placement) -> None:
    everything = find_tiles(placement, N5.array)
    assert len(everything) == sum(len(list(chip_tiles(placement, N5.array, c))) for c in range(4))
    assert {tile.chip for tile in everything} == {0, 1, 2, 3}
    one = find_tiles(placement, N5.array, [2], ["model.layers.1.mlp.router.n0.b0"])
    assert [(tile.chip, tile.name) for tile in one] == [(2, "model.layers.1.mlp.router.n0.b0")]
    router = find_tiles(placement, N5.array, (), ["*router*", "*.router.n0.b0"])
    assert len(router) == 2 * 4, "a tile that two patterns match comes once"
    layer = find_tiles(placement, N5.array, [1], ["model.layers.0.*", "lm_head.*"])
    assert {tile.matrix.split(".self")[0].split(".mlp")[0] for tile in layer} == {
        "model.layers.0", "lm_head",
    }  # fmt: skip


def test_a_chip_asked_for_twice_comes_once(placement: Placement) -> None:
    assert find_tiles(placement, N5.array, [1, 1]) == find_tiles(placement, N5.array, [1])


@pytest.mark.parametrize(
    ("chips", "patterns", "expected"),
    [
        ([4], [], "chip 4: there are chips 0 to 3"),
        ([-1], [], "chip -1: there are chips 0 to 3"),
        ([], ["nothing*"], "no tile is named 'nothing*'"),
        ([3], ["*router*", "lm_head"], "no tile is named 'lm_head'; names are such as 'model.lay"),
        ([], [""], "no tile is named ''"),
    ],
)
def test_what_there_is_not_is_refused(
    placement: Placement, chips: list[int], patterns: list[str], expected: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        find_tiles(placement, N5.array, chips, patterns)
    assert expected in str(refused.value)


def test_arrays_are_of_the_kind_that_the_weights_ask_for() -> None:
    architecture = architecture_of(experts=5)
    target = make_target(chips=1, bank=2, scheme="regions", group=4)
    embeddings = embeddings_of(architecture, digits=2, spread=3, tracks=24)
    arrays = list(chip_arrays(place(matrix_shapes(architecture), embeddings, target), 0))
    experts = [array for array in arrays if array.matrix.endswith("layers.0.mlp.experts.down_proj")]
    assert [array.members for array in experts] == [(0, 2), (2, 4), (4, 5)]
    names = {array.kind.name for array in arrays}
    assert names == {"regions-d2-b1-r4-g4-t24", "regions-d2-b2-r4-g4-t24"}
