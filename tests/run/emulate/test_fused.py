"""Kernels that do a composite at once give the bits of its steps, in float."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.model.network import Builder, Cut, Given, Input, Matrix, Tensor, Value
from hnlpu.model.network.composites import (
    attend,
    clamped_swiglu,
    dense_all,
    norm,
    rope,
    route,
)
from hnlpu.run.emulate import FUSED, FloatConstants, Interpreter, vector_unit

Array = np.ndarray
SEEDS = st.integers(0, 2**32 - 1)
TOKENS, SIZES = st.integers(1, 9), st.integers(1, 6)
few = settings(max_examples=40, deadline=None)


def steps_of(
    write: Callable[..., tuple[Value, ...]], data: Mapping[str, Array],
    constants: Mapping[str, Array],
) -> list[Array]:  # fmt: skip
    """Outputs [n, ...] of a composite's steps."""
    b = Builder("composite")
    values = {
        name: b.input(Input(name, "data", array.shape[1:], "real")) for name, array in data.items()
    }
    for name, array in constants.items():
        numbers = Given(tuple(map(float, array.ravel())), array.shape)
        values[name] = b.parameter(name, array.shape, numbers)
    network = b.finish(*write(**values))
    runs = Interpreter(network, FloatConstants(network, {}))
    outputs, _ = runs.run(dict(data), runs.start())
    return list(outputs)


def normal(random: np.random.Generator, *shape: int) -> Array:
    return (3 * random.normal(size=shape)).astype(np.float32)


@few
@given(SEEDS, TOKENS, st.integers(1, 80), st.sampled_from([1e-5, 1e-6, 0.1]))
def test_norm(seed: int, tokens: int, n: int, eps: float) -> None:
    random = np.random.default_rng(seed)
    x, weight = normal(random, tokens, n), normal(random, n)
    (y,) = steps_of(lambda x, weight: (norm(x, weight, eps),), {"x": x}, {"weight": weight})
    assert y.tobytes() == vector_unit.rms_norm(x, weight, eps).tobytes()


@few
@given(SEEDS, TOKENS, SIZES, SIZES)
def test_rope(seed: int, tokens: int, heads: int, pairs: int) -> None:
    random = np.random.default_rng(seed)
    x = normal(random, tokens, heads, 2 * pairs)
    cos, sin = normal(random, tokens, pairs), normal(random, tokens, pairs)
    data = {"x": x, "cos": cos, "sin": sin}
    (y,) = steps_of(lambda x, cos, sin: (rope(x, (cos, sin)),), data, {})
    vector_unit.rotate(x, cos, sin)
    assert y.tobytes() == x.tobytes()


@few
@given(SEEDS, TOKENS, SIZES, st.integers(1, 3), st.integers(1, 20), st.sampled_from([0, 1, 3, 50]))
def test_attend(seed: int, n: int, kv: int, group: int, d: int, window: int) -> None:
    random = np.random.default_rng(seed)
    q, k, v = (normal(random, n, heads, d) for heads in (kv * group, kv, kv))
    sink = normal(random, kv * group)

    def write(q: Value, k: Value, v: Value, sink: Value) -> tuple[Value]:
        return (attend(q, k, v, scale=1 / math.sqrt(d), window=window or None, sink=sink),)

    (y,) = steps_of(write, {"q": q, "k": k, "v": v}, {"sink": sink})
    keys, values = k.transpose(1, 2, 0).copy(), v.transpose(1, 0, 2).copy()
    assert y.tobytes() == vector_unit.attend(q, keys, values, 0, window, sink).tobytes()


@few
@given(SEEDS, TOKENS, st.integers(1, 40), st.floats(0.1, 3), st.floats(0.1, 9))
def test_clamped_swiglu(seed: int, tokens: int, n: int, alpha: float, limit: float) -> None:
    x = normal(np.random.default_rng(seed), tokens, 2 * n)
    (y,) = steps_of(lambda x: (clamped_swiglu(x, alpha, limit),), {"x": x}, {})
    assert y.tobytes() == vector_unit.swiglu(x, alpha, limit).tobytes()


@few
@given(SEEDS, TOKENS, st.integers(1, 30), st.data())
def test_route(seed: int, tokens: int, experts: int, data: st.DataObject) -> None:
    logits = normal(np.random.default_rng(seed), tokens, experts).round(1)  # with equals
    k = data.draw(st.integers(1, experts))
    shares, chosen = steps_of(lambda x: route(x, k), {"x": logits}, {})
    expected_chosen, expected_shares = vector_unit.route(logits, k)
    assert chosen.tolist() == expected_chosen.tolist()
    assert shares.tobytes() == expected_shares.tobytes()


@few
@given(SEEDS, TOKENS, SIZES, st.sampled_from([None, 1, 3]))
def test_dense(seed: int, tokens: int, rows: int, among: int | None) -> None:
    """Matrices that share their activations, each of one member or of several that are chosen."""
    random = np.random.default_rng(seed)
    b, count = Builder("composite"), 5 if among else None
    x = b.input(Input("x", "data", (64,), "real"))
    chosen = b.input(Input("chosen", "data", (among,), "index")) if among else None
    shape = (count, rows, 64) if count else (rows, 64)
    matrices = [
        b.matrix(
            Matrix(
                name, rows, 64, "experts" if count else "attention", Cut("copy"),
                Tensor(name, shape), Tensor(name + "_bias", shape[:-1]), members=count,
            )
        )
        for name in ("first", "second")
    ]  # fmt: skip
    network = b.finish(*dense_all(x, *matrices, chosen=chosen))
    tensors = {
        n: normal(random, *s)
        for name in ("first", "second")
        for n, s in ((name, shape), (name + "_bias", shape[:-1]))
    }
    data: dict[str, Array] = {"x": normal(random, tokens, 64)}
    if among:
        data["chosen"] = random.integers(0, 5, (tokens, among))
    constants = FloatConstants(network, tensors)
    steps, spans = (Interpreter(network, constants, fused) for fused in ({}, FUSED))
    assert [part.spans[0].composite for part in spans.at_once] == ["dense"]
    expected, _ = steps.run(data, steps.start())
    found, _ = spans.run(data, spans.start())
    assert [y.tobytes() for y in found] == [y.tobytes() for y in expected]
