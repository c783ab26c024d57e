"""Cuts: every weight is on exactly one chip, the router on all; gpt-oss 120B as in the paper."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import Architecture, MatrixShape, matrix_shapes
from hnlpu.silicon.place import (
    StackSlice,
    chip_grid,
    cut,
    fewest_chips,
    head_groups,
    make_target,
    place,
    placement_facts,
)
from models import GPT_OSS_120B, architecture_of, architectures, embeddings_of, placed

G120 = architecture_of(**GPT_OSS_120B)


def times_held(shape: MatrixShape, slices: list[StackSlice]) -> np.ndarray:
    """How many slices hold each weight's block: [members, neurons, blocks]."""
    held = np.zeros((shape.count, shape.rows, shape.columns // 32), np.int64)
    for part in slices:
        held[slice(*part.members), slice(*part.neurons), slice(*part.blocks)] += 1
    return held


@settings(max_examples=150)
@given(architectures(), st.integers(1, 40))
def test_every_weight_lies_on_one_chip_and_the_router_on_all(
    architecture: Architecture, chips: int
) -> None:
    try:
        grid = chip_grid(matrix_shapes(architecture), chips)
    except DoesNotFit:
        assume(False)
    assert grid[0] * grid[1] == chips
    for shape in matrix_shapes(architecture):
        slices = list(cut(shape, head_groups(matrix_shapes(architecture)), grid))
        copies = chips if shape.role == "router" else 1
        assert (times_held(shape, slices) == copies).all(), shape.name
        assert all(0 <= part.chip < chips for part in slices)
        assert all(part.weights > 0 for part in slices)
        assert max(Counter(part.chip for part in slices).values()) == 1, "one slice a chip"
        weights = sum(part.weights for part in slices)
        assert weights == shape.weights * copies


@settings(max_examples=100)
@given(architectures(), st.integers(1, 40))
def test_attention_stays_with_its_heads(architecture: Architecture, chips: int) -> None:
    """A column of chips has the query heads of its key/value heads, and their inputs of O."""
    try:
        rows, columns = chip_grid(matrix_shapes(architecture), chips)
    except DoesNotFit:
        assume(False)
    shapes = {shape.name.rsplit(".")[-1]: shape for shape in matrix_shapes(architecture)}
    a, held = architecture, {}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        for part in cut(shapes[name], head_groups(shapes.values()), (rows, columns)):
            held[name, part.chip] = part
    width = a.num_attention_heads // a.num_key_value_heads
    for column in range(columns):
        spans = {name: {held[name, r * columns + column].neurons for r in range(rows)}
                 for name in ("q_proj", "k_proj", "v_proj")}  # fmt: skip
        ((first, behind),) = spans["k_proj"]
        assert spans["v_proj"] == {(first, behind)}
        assert spans["q_proj"] == {(first * width, behind * width)}
        assert first % a.head_dim == behind % a.head_dim == 0
        inputs = {held["o_proj", r * columns + column].blocks for r in range(rows)}
        assert inputs == {(first * width // 32, behind * width // 32)}


def test_gpt_oss_120b_lies_on_16_chips_as_in_the_paper() -> None:
    """HNLPU paper, arXiv 2508.16151: heads by columns, experts 8 a chip, all else evenly."""
    grid = chip_grid(matrix_shapes(G120), 16)
    assert grid == (4, 4)
    of = {
        shape.name: list(cut(shape, head_groups(matrix_shapes(G120)), grid))
        for shape in matrix_shapes(G120)
    }
    prefix = "model.layers.0.self_attn."

    def sizes(name: str) -> set[tuple[int, int]]:
        """Outputs and inputs of each chip."""
        return {(p.neurons[1] - p.neurons[0], 32 * (p.blocks[1] - p.blocks[0])) for p in of[name]}

    # 90 blocks of 32 inputs over 4 chips: 22 or 23, where the paper has 720 inputs
    assert sizes(prefix + "q_proj") == {(1024, 704), (1024, 736)}
    assert sizes(prefix + "k_proj") == sizes(prefix + "v_proj") == {(128, 704), (128, 736)}
    assert sizes(prefix + "o_proj") == {(720, 1024)}
    for name in ("gate_up_proj", "down_proj"):
        experts = of[f"model.layers.0.mlp.experts.{name}"]
        assert [p.members for p in experts] == [(8 * n, 8 * n + 8) for n in range(16)]
    assert sizes("model.layers.0.mlp.router") == {(128, 2880)}
    assert sizes("lm_head") == {(201088 // 16, 2880)} == {(12568, 2880)}


def test_by_the_papers_area_gpt_oss_120b_needs_16_chips_and_no_fewer() -> None:
    target = make_target(chips=16)
    embeddings = embeddings_of(G120)
    facts = placement_facts(
        matrix_shapes(G120),
        embeddings,
        place(matrix_shapes(G120), embeddings, target),
        target.technology,
    )
    assert facts.chips_by_published == 16
    # table 1 of the paper: 573.16 mm2 of arrays a chip
    assert facts.array_area_by_published_mm2 == pytest.approx(573.16, rel=0.01)
    assert facts.array_area_by_published_mm2 <= facts.array_room_mm2
    assert facts.weights == pytest.approx(117e9, rel=0.01)
    per_weight = 0.0785
    fifteen = facts.weights / 15 * per_weight * 1e-6
    assert fifteen > facts.array_room_mm2


def test_as_few_chips_as_hold_the_model() -> None:
    embeddings, target = embeddings_of(G120), make_target()
    needed = fewest_chips(matrix_shapes(G120), embeddings, target)
    placement = place(matrix_shapes(G120), embeddings, target)
    assert placement.chips == needed
    assert placement_facts(matrix_shapes(G120), embeddings, placement, target.technology).fits
    for fewer in range(max(1, needed - 6), needed):
        try:
            on_fewer = place(matrix_shapes(G120), embeddings, make_target(chips=fewer))
        except DoesNotFit:
            continue
        rows, columns = on_fewer.grid
        narrow = max(rows, columns) > 4 * min(rows, columns)
        facts = placement_facts(matrix_shapes(G120), embeddings, on_fewer, target.technology)
        assert narrow or not facts.fits


def test_chips_that_make_no_grid_are_refused_with_what_would() -> None:
    tiny = architecture_of()
    assert [chips for chips in range(1, 9) if _makes_grid(tiny, chips)] == [1, 2, 4]
    with pytest.raises(
        DoesNotFit, match=r"3 chips make no grid .* at most 2 columns .* of 2 chips"
    ):
        chip_grid(matrix_shapes(tiny), 3)


def _makes_grid(architecture: Architecture, chips: int) -> bool:
    try:
        chip_grid(matrix_shapes(architecture), chips)
    except DoesNotFit:
        return False
    return True


def test_more_chips_than_experts_share_them() -> None:
    few = architecture_of(experts=2, kv_heads=4, heads=8, hidden=128)
    placement, _ = placed(few, 8)
    for matrix in placement.matrices:
        if "experts" in matrix.name:
            members = Counter(part.members for part in matrix.slices)
            assert members == {(0, 1): 4, (1, 2): 4}
