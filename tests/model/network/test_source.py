"""A source reads what it says, and puts it back where it came from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.model.network import (
    Either,
    Given,
    Mxfp4,
    Reshaped,
    Slice,
    Source,
    Stack,
    Tensor,
    Transpose,
    read_source,
    restore,
    source_shape,
)


@st.composite
def sources(draw: st.DrawFn, depth: int = 3, name: str = "t") -> Source:
    kind = draw(st.sampled_from(["tensor", "slice", "transpose", "reshaped", "stack", "either"]))
    if depth == 0 or kind == "tensor":
        return Tensor(name, tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))))
    inner: Source = draw(sources(depth - 1, name))
    shape = source_shape(inner)
    match kind:
        case "slice":
            axis = draw(st.integers(0, len(shape) - 1))
            start = draw(st.integers(0, shape[axis] - 1))
            stop = draw(st.integers(start + 1, shape[axis]))
            return Slice(inner, axis, start, stop, draw(st.integers(1, 3)))
        case "transpose":
            return Transpose(inner, tuple(draw(st.permutations(range(len(shape))))))
        case "reshaped":
            return Reshaped(inner, (1, math.prod(shape)))
        case "stack":
            return Stack((inner, _renamed(inner, f"s{depth}")))
        case _:
            return Either((inner, _renamed(inner, f"e{depth}")))


def _renamed(source: Source, name: str) -> Source:
    match source:
        case Tensor(old, shape):
            return Tensor(old + name, shape)
        case Slice(of, axis, start, stop, step):
            return Slice(_renamed(of, name), axis, start, stop, step)
        case Transpose(of, order):
            return Transpose(_renamed(of, name), order)
        case Reshaped(of, shape):
            return Reshaped(_renamed(of, name), shape)
        case Stack(parts):
            return Stack(tuple(_renamed(part, name) for part in parts))
        case Either(parts):
            return Either(tuple(_renamed(part, name) for part in parts))
        case _:
            return source


def tensors_of(source: Source, counter: list[int]) -> dict[str, np.ndarray]:
    """Every tensor of a source, each number another."""
    match source:
        case Tensor(name, shape):
            start = counter[0]
            counter[0] += math.prod(shape)
            return {name: np.arange(start, counter[0], dtype=np.float32).reshape(shape)}
        case Slice(of) | Transpose(of) | Reshaped(of):
            return tensors_of(of, counter)
        case Stack(parts) | Either(parts):
            return {k: v for part in parts for k, v in tensors_of(part, counter).items()}
        case _:
            return {}


def no_mxfp4(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    raise AssertionError


@settings(max_examples=200, deadline=None)
@given(sources())
def test_what_is_read_can_be_put_back(source: Source) -> None:
    tensors = tensors_of(source, [1])
    values = read_source(source, tensors, no_mxfp4)
    assert values.shape == source_shape(source)
    assert len(np.unique(values)) == values.size  # nothing is read twice
    blank = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    restore(source, values, blank)
    for name, tensor in blank.items():
        written = tensor != 0
        assert (tensor[written] == tensors[name][written]).all()
    assert sum((tensor != 0).sum() for tensor in blank.values()) == values.size


def test_numbers_that_a_family_gives() -> None:
    source = Given((0.1, 0.2), (2, 1))
    values = read_source(source, {}, no_mxfp4)
    assert values.dtype == np.float32
    assert values.tolist() == [[np.float32(0.1)], [np.float32(0.2)]]
    restore(source, values, {})


def test_mxfp4_is_dequantised_and_not_put_back() -> None:
    source = Mxfp4("w", (2, 32))
    tensors = {"w_blocks": np.zeros((2, 1, 16)), "w_scales": np.ones((2, 1))}
    assert read_source(source, tensors, lambda blocks, scales: scales * 7).tolist() == [[7], [7]]
    with pytest.raises(ValueError, match="quantised, not moved"):
        restore(source, np.zeros((2, 32)), tensors)
    with pytest.raises(KeyError):
        read_source(Tensor("v", (1,)), tensors, no_mxfp4)
