"""Single operations in float numerics against torch, and the order that they promise."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hnlpu.model.network import Cut, Matrix, Network, Positions, Tensor, ops
from hnlpu.model.network.ops import Function
from hnlpu.run.emulate import FloatConstants
from hnlpu.run.emulate._float_steps import run_step

few = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
NOTHING = Network("none", (), (), (), (), (), ())


def step(op: ops.Op, *args: Any) -> Any:
    (result,) = run_step(op, list(args), FloatConstants(NOTHING, {}))
    return result


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


TORCH = {
    "exp": torch.exp, "log": torch.log, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "softplus": torch.nn.functional.softplus, "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "round": torch.round, "sin": torch.sin, "cos": torch.cos, "polynomial": lambda x: 1 - 2 * x + 0.5 * x**2,
}  # fmt: skip


@pytest.mark.parametrize("function", get_args(Function))
def test_functions(function: Function) -> None:
    x = np.linspace(-9, 9, 101, dtype=np.float32)
    x = np.abs(x) + np.float32(1e-3) if function == "log" else x
    coefficients = (1.0, -2.0, 0.5) if function == "polynomial" else ()
    y = step(ops.Table(function, 3.0, coefficients), x)
    expected = 3.0 * TORCH[function](torch.tensor(x, dtype=torch.float64))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


def test_functions_do_not_overflow() -> None:
    x = np.array([-1e4, 1e4], np.float32)
    with np.errstate(over="ignore"):
        assert step(ops.Table("sigmoid"), x).tolist() == [0.0, 1.0]
    assert step(ops.Table("softplus"), x).tolist() == [0.0, 1e4]


@few
@given(
    SEEDS, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.data(),
)  # fmt: skip
def test_windows_are_those_of_a_convolution(
    seed: int, height: int, width: int, channels: int, data: st.DataObject
) -> None:
    def two(least: int, most: int) -> tuple[int, int]:
        return data.draw(st.integers(least, most)), data.draw(st.integers(least, most))

    sizes, strides, dilations, pads = two(1, 3), two(1, 3), two(1, 2), two(0, 2)
    x = normal(seed, height, width, channels)
    kernel = normal(seed + 1, 4, channels, *sizes)
    room = [
        length + 2 * pad - dilation * (size - 1) - 1
        for length, pad, dilation, size in zip((height, width), pads, dilations, sizes, strict=True)
    ]
    assume(min(room) >= 0)
    seen = step(ops.Window(sizes, strides, dilations, tuple((p, p) for p in pads)), x)
    y = np.einsum("hwn,on->ohw", seen, kernel.transpose(0, 2, 3, 1).reshape(4, -1))
    expected = torch.nn.functional.conv2d(
        torch.tensor(x).permute(2, 0, 1)[None], torch.tensor(kernel), None, strides, pads, dilations
    )
    np.testing.assert_allclose(y, expected[0], rtol=1e-4, atol=1e-5)


@few
@given(
    SEEDS, st.sampled_from(["ab,b->a", "ab,cb->ac", "abc,ac->ab", "ba,ab->b", "a,a->", "ab,ab->"])
)
def test_products_are_those_of_einsum(seed: int, axes: str) -> None:
    lengths = {"a": 3, "b": 4, "c": 2}
    sides = axes.partition("->")[0].split(",")
    a, b = (normal(seed + n, *(lengths[x] for x in side)) for n, side in enumerate(sides))
    expected = np.einsum(axes, a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(step(ops.Dot(axes), a, b), expected, rtol=1e-5, atol=1e-5)
    wide = step(ops.Dot(axes, wide=True), a, b)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, expected, rtol=1e-12)


def test_outer_products() -> None:
    a, b = normal(0, 2, 3), normal(1, 2, 4)
    expected = np.einsum("hk,hv->hkv", a, b)
    assert (step(ops.Outer("hk,hv->hkv"), a, b) == expected).all()


def test_sums_run_in_order() -> None:
    # 1 is lost beside 2^24 when it comes after it, and counts when it comes with its like before
    big, ones = np.float32(2**24), np.ones(8, np.float32)
    rising, falling = np.append(ones, big), np.insert(ones, 0, big)
    assert step(ops.Sum(), rising) == 2**24 + 8
    assert step(ops.Sum(), falling) == 2**24
    assert step(ops.Dot("a,a->"), falling, np.ones(9, np.float32)) == 2**24
    assert step(ops.Sum(wide=True), falling) == 2**24 + 8


def test_a_wide_is_rounded_where_it_meets_a_real() -> None:
    wide, real = np.float64(1) / 3, np.float32(3)
    assert step(ops.Mul(), wide, 3.0).dtype == np.float64
    assert step(ops.Mul(), wide, real) == np.float32(np.float32(wide) * real)
    assert step(ops.Mul(), np.int64(5), real).dtype == np.float32


def test_the_largest_and_of_equals_the_first() -> None:
    x = np.array([[1, 3, 3, 2], [0, 0, 0, 0]], np.float32)
    values, numbers = run_step(ops.TopK(3), [x], FloatConstants(NOTHING, {}))
    assert numbers.tolist() == [[1, 2, 3], [0, 1, 2]]
    assert values.tolist() == [[3, 3, 2], [0, 0, 0]]
    assert step(ops.ArgMax(), x).tolist() == [1, 0]


def test_moving() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert step(ops.Permute((2, 0, 1)), x).shape == (4, 2, 3)
    assert (step(ops.Gather(1), x, np.array([[2, 0]])) == x[:, [[2, 0]]]).all()
    assert (step(ops.Concat(1), x, x) == np.concatenate([x, x], 1)).all()
    first, rest = run_step(ops.Split((1, Positions()), 1), [x], FloatConstants(NOTHING, {}))
    assert (first == x[:, :1]).all()
    assert (rest == x[:, 1:]).all()
    assert step(ops.Reshape((Positions(), 6)), x).shape == (4, 6)
    assert (step(ops.Shift(-3), x) == x / 8).all()
    assert step(ops.Max(0, keep=True), x).tolist() == x[1:].tolist()


def test_choosing() -> None:
    x = np.array([-1.0, 0.0, 2.0], np.float32)
    below = step(ops.Compare("less"), x, 0.0)
    assert below.tolist() == [True, False, False]
    assert step(ops.Compare("less_equal"), x, 0.0).tolist() == [True, True, False]
    assert step(ops.Compare("equal"), x, 0.0).tolist() == [False, True, False]
    assert step(ops.Where(), below, 1.0, x).tolist() == [1.0, 0.0, 2.0]
    assert step(ops.Where(), below, 1.0, 0.0).dtype == np.float32
    assert step(ops.Minimum(), x, 0.5).tolist() == [-1.0, 0.0, 0.5]
    assert math.isclose(float(step(ops.InverseRoot(), np.float64(4))), 0.5)


def test_members() -> None:
    random = np.random.default_rng(0)
    weights, biases = (random.normal(size=s).astype(np.float32) for s in ((3, 5, 32), (3, 5)))
    bank = Matrix("bank", 5, 32, "experts", Cut("members"), Tensor("w", (3, 5, 32)),
                  Tensor("b", (3, 5)), members=3)  # fmt: skip
    network = Network("none", (), (), (bank,), (), (), ())
    constants = FloatConstants(network, {"w": weights, "b": biases})

    def project(x: np.ndarray, *numbers: np.ndarray) -> np.ndarray:
        digits = run_step(ops.Quantize(), [x], constants)
        how = "chosen" if numbers else "each"
        sums = run_step(ops.Project("bank", how), [*digits, *numbers], constants)  # type: ignore[arg-type]
        (y,) = run_step(ops.FromSums("bank"), [*sums, *numbers], constants)
        return np.asarray(y)

    x = random.normal(size=(3, 32)).astype(np.float32)
    each = np.einsum("moc,mc->mo", weights, x) + biases
    np.testing.assert_allclose(project(x), each, rtol=1e-4, atol=1e-5)
    chosen = np.array([2, 0, 2])
    expected = np.einsum("moc,mc->mo", weights[chosen], x) + biases[chosen]
    np.testing.assert_allclose(project(x, chosen), expected, rtol=1e-4, atol=1e-5)
    shared = weights[chosen] @ x[0] + biases[chosen]
    np.testing.assert_allclose(project(x[0], chosen), shared, rtol=1e-4, atol=1e-5)
