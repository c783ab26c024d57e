"""Operations and composites in chip numerics against the page by hand, at ordinary and extreme values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic import fixed_point
from hnlpu.errors import InvalidInput, UnsupportedArchitecture
from hnlpu.model.network import Builder, Given, Input, Network, Replace, Value, formats, ops
from hnlpu.model.network.composites import (
    attend,
    causal_conv,
    clamped_swiglu,
    delta_rule,
    layer_norm,
    linear_attention,
    norm,
    retention,
    rope,
    route,
    route_groups,
    selective_scan,
    silu,
    softmax,
    ssm_scan,
    turns,
    unit_norm,
    wkv,
    wkv7,
)
from hnlpu.run.emulate import Activations, FloatConstants, Interpreter, Meeting, chip_interpreter
from network_by_hand import NetworkByHand
from network_samples import networks

Array = np.ndarray
HERE = Path("here")
SEEDS = st.integers(0, 2**32 - 1)
SPREADS = st.sampled_from([0.02, 1.0, 30.0, 5000.0])
"""Values of ordinary size, and some that saturate."""
few = settings(max_examples=12, deadline=None)


class Parameters:
    """Constants of a network without matrices."""

    bits = 12

    def __init__(self, network: Network):
        self._floats = FloatConstants(network, {})

    def parameter(self, name: str) -> Array:
        return self._floats.parameter(name)


def chip(network: Network) -> Interpreter:
    return chip_interpreter(network, Parameters(network), HERE)  # type: ignore[arg-type]  # no matrices


def written(
    write: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, Array] | None = None,
) -> Network:  # fmt: skip
    """The network of what `write` makes of inputs and constants, which it takes by name."""
    b = Builder("sample")
    values = {name: b.input(Input(name, "data", shape, "real")) for name, shape in shapes.items()}
    for name, array in (constants or {}).items():
        numbers = Given(tuple(map(float, array.ravel())), array.shape)
        values[name] = b.parameter(name, array.shape, numbers)
    made = write(**values)
    return b.finish(*(made if isinstance(made, tuple) else (made,)))


def values_of(
    random: np.random.Generator, n: int, shapes: Mapping[str, tuple[int, ...]], spread: float
) -> dict[str, Array]:
    """Inputs [n, ...] as values, some of them at the ends."""
    data = {}
    for name, shape in shapes.items():
        x = np.clip(spread * random.standard_normal((n, *shape)) * 65536, -(2**31), 2**31 - 1)
        x = x.astype(np.int64)
        if spread > 100:
            ends = random.choice([-(2**31), 2**31 - 1, 0, 1, -1], x.shape)
            x = np.where(random.random(x.shape) < 0.2, ends, x)
        data[name] = x
    return data


def expect_by_hand(network: Network, data: dict[str, Array]) -> list[Array]:
    """Outputs [n, ...], the same all at once, in pieces, and by hand."""
    runs = chip(network)
    outputs, end = runs.run(data, runs.start())
    constants = FloatConstants(network, {})
    hand = NetworkByHand(network, constants.parameter, lambda name, member: ([], [], []), 12)
    n = len(next(iter(data.values())))
    states = runs.start()
    for position in range(n):
        one = {name: x[position : position + 1] for name, x in data.items()}
        apart, states = runs.run(one, states)
        expected = hand.run(0, {name: x[position] for name, x in data.items()})
        for whole, alone, said in zip(outputs, apart, expected, strict=True):
            assert whole[position].tolist() == alone[0].tolist() == said.tolist()
    for name, entries in states.entries.items():
        assert entries.tolist() == end.entries[name].tolist()
        assert entries.tolist() == hand.still_kept(name, len(entries))
    return list(outputs)


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


COMPOSITES: dict[str, tuple[Callable[..., Any], dict[str, tuple[int, ...]], dict[str, Array]]] = {
    "norm": (lambda x, w: norm(x, w, 1e-5), {"x": (3, 5)}, {"w": normal(1, 5)}),
    "norm of rows": (
        lambda x, w: norm(x, w.reshape(2, 3), 1e-5), {"x": (2, 3)}, {"w": normal(1, 6)}
    ),
    "layer norm": (
        lambda x, w, c: layer_norm(x, w, c, 1e-5), {"x": (7,)},
        {"w": normal(2, 7), "c": normal(3, 7)},
    ),
    "unit norm": (lambda x: unit_norm(x, 1e-6), {"x": (2, 4)}, {}),
    "rope of a part": (
        lambda x, f: rope(x, turns(x.builder.position(), f, 1.2)), {"x": (2, 7)},
        {"f": np.float32([1.0, 0.3])},
    ),
    "softmax": (lambda x: softmax(x), {"x": (2, 4)}, {}),
    "softmax with a sink": (lambda x, y: softmax(x, y), {"x": (2, 4), "y": (2, 1)}, {}),
    "route": (lambda x: route(x, 2), {"x": (5,)}, {}),
    "route of all": (
        lambda x: route(x, 2, share_first=True, normalise=False), {"x": (5,)}, {}
    ),
    "route of the best": (lambda x: route(x, 3, share_first=True), {"x": (4,)}, {}),
    "route of groups": (
        lambda x, c, g: route_groups(x, c, 3, groups=g, kept=2, scale=2.5), {"x": (6,)},
        {"c": 0.1 * normal(4, 6), "g": np.float32([0, 1, 2])},
    ),
    "swiglu": (lambda x: clamped_swiglu(x, 1.702, 7.0), {"x": (6,)}, {}),
    "silu": (lambda x: silu(x), {"x": (6,)}, {}),
    "attend": (
        lambda q, k, v: attend(q, k, v, scale=0.3), {"q": (4, 3), "k": (2, 3), "v": (2, 5)}, {}
    ),
    "attend in a window": (
        lambda q, k, v, s: attend(q, k, v, scale=0.3, window=2, sink=s),
        {"q": (4, 3), "k": (2, 3), "v": (2, 3)}, {"s": normal(5, 4)},
    ),
    "attend with a cap": (
        lambda q, k, v: attend(q, k, v, scale=1.0, softcap=5.0),
        {"q": (2, 3), "k": (1, 3), "v": (1, 2)}, {},
    ),
    "convolution": (
        lambda x, w, c: causal_conv(x, w, c), {"x": (4,)}, {"w": normal(6, 4, 3), "c": normal(7, 4)}
    ),
    "state space": (
        lambda x, dt, b, c, a, d: ssm_scan(x, dt.table("softplus"), a.table("exp", -1.0), b, c, d),
        {"x": (4, 3), "dt": (4,), "b": (2, 5), "c": (2, 5)}, {"a": normal(8, 4), "d": normal(9, 4)},
    ),
    "selective scan": (
        lambda x, dt, b, c, a, d: selective_scan(
            x, dt.table("softplus"), a.table("exp", -1.0), b, c, d
        ),
        {"x": (3,), "dt": (3,), "b": (4,), "c": (4,)}, {"a": normal(8, 3, 4), "d": normal(9, 3)},
    ),
    "delta rule": (
        lambda q, k, v, beta, g: delta_rule(
            unit_norm(q, 1e-6), unit_norm(k, 1e-6), v, beta.table("sigmoid"), g.table("sigmoid")
        ),
        {"q": (2, 3), "k": (2, 3), "v": (2, 4), "beta": (2,), "g": (2,)}, {},
    ),
    "retention": (
        lambda q, k, v, g: retention(q, k, v, g), {"q": (2, 3), "k": (2, 3), "v": (2, 4)},
        {"g": np.float32([0.9, 0.99])},
    ),
    "linear attention": (
        lambda q, k, v: linear_attention(q, k, v), {"q": (2, 3), "k": (2, 3), "v": (2, 4)}, {}
    ),
    "rwkv-7": (
        lambda r, k, v, w, a: wkv7(
            r, k, v, w.table("sigmoid", -0.6).table("exp"), unit_norm(k, 1e-6), a.table("sigmoid")
        ),
        {"r": (2, 3), "k": (2, 3), "v": (2, 4), "w": (2, 3), "a": (2, 3)}, {},
    ),
    "rwkv": (
        lambda r, k, v, w, u: wkv(r, k, v, w.table("sigmoid"), u),
        {"r": (2, 3), "k": (2, 3), "v": (2, 4), "w": (2, 3)}, {"u": normal(10, 2, 3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSITES)
@few
@given(SEEDS, SPREADS)
def test_composites(name: str, seed: int, spread: float) -> None:
    write, shapes, constants = COMPOSITES[name]
    data = values_of(np.random.default_rng(seed), 4, shapes, spread)
    expect_by_hand(written(write, shapes, constants), data)


def pointwise(x: Value, y: Value, w: Value) -> tuple[Value, ...]:
    b = x.builder
    fine, other = x.table("sigmoid"), y.table("tanh")
    sides = [(x, y), (x, fine), (fine, other), (x, 0.7), (1.5, fine), (x, w), (y, 3.25)]
    pairs = [ops.Add(), ops.Sub(), ops.Mul(), ops.Minimum(), ops.Maximum(), ops.Divide()]
    made = [b.step(op, *side) for op in pairs for side in sides]
    curves = [
        x.table(name, scale)
        for name in (
            "exp",
            "softplus",
            "gelu",
            "gelu_tanh",
            "round",
            "sin",
            "cos",
            "tanh",
            "sigmoid",
        )
        for scale in (1.0, -0.3, 2.5)
    ]
    joined = b.step(ops.Concat(), fine, x)
    return (
        *made, *curves, joined, x.inverse_root(), (x * x).table("exp"), (fine - other).table("exp"),
        b.step(ops.Dot("n,n->"), x, y), b.step(ops.Dot("n,n->"), fine, y),
        b.step(ops.Outer("n,m->nm"), fine, other).permute(1, 0),
    )  # fmt: skip


@few
@given(SEEDS, SPREADS)
def test_pointwise_steps(seed: int, spread: float) -> None:
    shapes = {"x": (5,), "y": (5,)}
    data = values_of(np.random.default_rng(seed), 3, shapes, spread)
    expect_by_hand(written(pointwise, shapes, {"w": normal(4, 5)}), data)


class Hardwired:
    """Random constants for any network: integer weights, row exponents and biases."""

    bits = 9

    def __init__(self, network: Network, seed: int):
        random = np.random.default_rng(seed)
        self.parameters = {
            p.name: random.standard_normal(p.shape).astype(np.float32) for p in network.parameters
        }
        self.matrices = {
            (m.name, member): (
                random.integers(-12, 13, (m.rows, m.columns)),
                random.integers(112, 118, m.rows).astype(np.uint8),
                random.standard_normal(m.rows),
            )
            for m in network.matrices
            for member in range(m.count)
        }

    def parameter(self, name: str) -> Array:
        return self.parameters[name]

    def rows(self, name: str, numbers: Array) -> Array:
        return fixed_point.to_fixed(self.parameters[name][numbers])

    def prepare(self, x: Array, together: int = 1) -> Activations:
        integers, scales = fixed_point.quantize_values(x, self.bits)
        return Activations(None, integers, scales)

    def project(self, name: str, x: Activations, index: int = 0) -> Array:
        weights, exponents, bias = self.matrices[name, index]
        assert x.integers is not None
        assert x.scales is not None
        sums = x.integers.astype(np.int64) @ weights.T
        shifts = fixed_point.row_shifts(exponents)
        return fixed_point.from_sums(sums, x.scales, shifts, fixed_point.to_fixed(bias))

    def project_all(self, meetings: Sequence[Meeting]) -> list[Array]:
        return [self.project(*meeting) for meeting in meetings]

    def by_hand(self, name: str, member: int) -> tuple[list[list[int]], list[int], list[float]]:
        weights, exponents, bias = self.matrices[name, member]
        return weights.tolist(), exponents.tolist(), bias.tolist()


@settings(max_examples=6, deadline=None)
@given(networks(), SEEDS)
def test_every_operation(network: Network, seed: int) -> None:
    constants, n = Hardwired(network, seed), 4
    runs = chip_interpreter(network, constants, HERE)  # type: ignore[arg-type]  # of the same form
    hand = NetworkByHand(network, constants.parameter, constants.by_hand, constants.bits)
    random = np.random.default_rng(seed)
    data = {
        "token": random.integers(0, 11, n),
        "picture": random.integers(-(2**17), 2**17, (n, 6, 5, 3)),
    }
    outputs, _ = runs.run(data, runs.start())
    states = runs.start()
    for position in range(n):
        apart, states = runs.run({k: x[position : position + 1] for k, x in data.items()}, states)
        said = hand.run(int(data["token"][position]), {"picture": data["picture"][position]})
        for whole, alone, expected in zip(outputs, apart, said, strict=True):
            assert whole[position].tolist() == alone[0].tolist() == expected.tolist()


def test_a_recurrence_has_fraction_bits_of_its_own() -> None:
    """A memory that fades slowly does fade: in units of 2^-16 it would stand still."""

    def write(x: Value) -> Value:
        state = x.builder.state("memory", (1,), Replace())
        memory = x.builder.read(state, "before") * 0.999 + x * x.table("sigmoid")
        x.builder.write(state, memory)
        return memory

    network = written(write, {"x": (1,)})
    found = formats(network)
    assert set(found.states.values()) == {20}
    runs = chip(network)
    x = np.zeros((3000, 1), np.int64)
    x[0] = 655  # 0.01, at a sigmoid of a half
    (memory,), _ = runs.run({"x": x}, runs.start())
    ideal = 0.01 * 65536 * 0.5025 * 0.999 ** np.arange(3000)
    assert np.abs(memory[:, 0] - ideal).max() < 0.1 * ideal[0]
    assert memory[-1, 0] < memory[0, 0] / 4
    # the control: the same with rounding to 2^-16 does not move at all
    still = memory[0, 0]
    for _ in range(3000):
        still = int(still * 0.999 + 0.5)
    assert still >= min(memory[0, 0], 500)


def refused() -> dict[str, tuple[Callable[..., Any], str]]:
    def early(x: Value) -> Value:
        state = x.builder.state("memory", (3,), Replace())
        before = x.builder.read(state, "before")
        x.builder.write(state, norm(before, x, 1e-5))
        return before

    return {
        "wide": (lambda x: x / x.sum(wide=True, keep=True), "sum sum leaves a sum wide"),
        "log": (lambda x: x.table("log"), "table log is a logarithm"),
        "quantize": (_of_four_bits, "asks for 4 bits, the build has 12"),
        "weights": (early, "norm takes x, which is worked out at every position"),
        "turns": (lambda x: rope(x.reshape(1, 3), turns(x.sum(), x.builder.parameter(
            "f", (1,), Given((1.0,), (1,))))), "turns turns by sum, which is no whole number"),
    }  # fmt: skip


def _of_four_bits(x: Value) -> Value:
    from hnlpu.model.network import Cut
    from network_samples import tensor_matrix

    b = x.builder
    matrix = b.matrix(tensor_matrix("m", 2, 3, cut=Cut("rows")))
    sums = b.step(ops.Project("m"), b.step(ops.Quantize(bits=4), x))
    return b.step(ops.FromSums(matrix.name), sums)


@pytest.mark.parametrize("name", refused())
def test_what_is_not_defined_is_refused_by_name(name: str) -> None:
    write, text = refused()[name]
    network = written(write, {"x": (3,)})
    with pytest.raises(UnsupportedArchitecture, match=text) as error:
        chip_interpreter(network, Nothing(), HERE)  # type: ignore[arg-type]  # before it is asked
    assert "use `numerics` float" in str(error.value)


class Nothing:
    """Constants that no work has reached."""

    bits = 12

    def parameter(self, name: str) -> Array:
        return np.ones(1, np.float32)


def test_a_factor_beyond_the_unit_is_refused() -> None:
    f = np.float32([1.0])
    network = written(
        lambda x, f: rope(x, turns(x.builder.position(), f, 65.0)), {"x": (1, 2)}, {"f": f}
    )
    with pytest.raises(InvalidInput, match="factor on RoPE, 65, exceeds 64"):
        chip(network)
