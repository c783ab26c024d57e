"""Attention in parts: any cut gives the whole, to rounding in float64, to the bit in fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.sharded import attend_part, attended, merge

Array = np.ndarray[Any, Any]

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)
some = settings(max_examples=40, deadline=None)


def cuts(data: st.DataObject, n: int) -> list[slice]:
    """1 to 8 pieces of n positions, any of them empty but not all."""
    places = sorted(data.draw(st.lists(st.integers(0, n), max_size=7)))
    return [slice(a, b) for a, b in zip([0, *places], [*places, n], strict=True)]


@some
@given(
    SEEDS,
    st.integers(1, 30),
    st.integers(1, 3),
    st.integers(1, 3),
    SIZES,
    SIZES,
    st.floats(0.1, 50),
    st.data(),
)
def test_parts_make_the_whole(
    seed: int, n: int, kv: int, group: int, d: int, width: int, size: float, data: st.DataObject
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    q = size * random.normal(size=(kv * group, d))
    k, v = random.normal(size=(n, kv, d)), random.normal(size=(n, kv, width))
    pieces = cuts(data, n)
    merged = attended(merge([attend_part(q, k[piece], v[piece], 0.7) for piece in pieces]))
    wide_k, wide_v = (torch.tensor(x).repeat_interleave(group, 1).movedim(1, 0) for x in (k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(
        torch.tensor(q)[:, None], wide_k, wide_v, scale=0.7
    )
    np.testing.assert_allclose(merged, expected[:, 0], rtol=1e-11, atol=1e-12)


def test_merging_is_associative_to_rounding() -> None:
    random = np.random.default_rng(0)
    q, k, v = (
        random.normal(size=(4, 8)),
        random.normal(size=(60, 2, 8)),
        random.normal(size=(60, 2, 5)),
    )
    parts = [attend_part(q, k[n : n + 10], v[n : n + 10], 1.0) for n in range(0, 60, 10)]
    flat = merge(parts)
    tree = merge([merge(parts[:1]), merge([merge(parts[1:3]), merge(parts[3:])])])
    np.testing.assert_allclose(attended(tree), attended(flat), rtol=1e-13)
    np.testing.assert_array_equal(tree.largest, flat.largest)


def test_a_part_that_is_left_out_is_seen() -> None:
    random = np.random.default_rng(0)
    q, k, v = (
        random.normal(size=(4, 8)),
        random.normal(size=(20, 2, 8)),
        random.normal(size=(20, 2, 5)),
    )
    parts = [attend_part(q, k[n : n + 10], v[n : n + 10], 1.0) for n in (0, 10)]
    assert abs(attended(merge(parts)) - attended(merge(parts[:1]))).max() > 1e-3


@some
@given(SEEDS, st.integers(1, 30), st.integers(1, 3), st.integers(1, 3), SIZES, SIZES,
       st.sampled_from([12, 16, 22]), st.booleans(), st.sampled_from([None, 2.0, 30.0]), st.data())  # fmt: skip
def test_parts_in_fixed_point_have_the_bits_of_the_whole(
    seed: int, n: int, kv: int, group: int, d: int, width: int, bits: int, sunk: bool,
    softcap: float | None, data: st.DataObject,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return random.integers(-(2**bits), 2**bits, shape).astype(np.int32)

    q, k, v = drawn(kv * group, d), drawn(kv, n, d), drawn(kv, n, width)
    sinks = drawn(kv * group).astype(np.int64)
    if not sunk:
        sinks[:] = fixed_point.NO_SINK
    cap = fixed_point.NO_CAP if softcap is None else fixed_point.soft_cap(softcap)
    whole = fixed_point.attend(q[None], k, v, n - 1, 0, sinks, cap)[0]
    pieces = cuts(data, n)
    scores = [fixed_point.largest_scores(q, k[:, piece], cap) for piece in pieces]
    largest = np.max([sinks, *scores], axis=0)
    parts = [fixed_point.attend_part(q, k[:, piece], v[:, piece], largest, cap) for piece in pieces]
    order = data.draw(st.permutations(parts))
    assert fixed_point.merge_parts(order, largest, sinks).tobytes() == whole.tobytes()
