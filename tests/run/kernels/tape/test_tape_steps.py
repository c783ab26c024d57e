"""Single steps and composites on a tape: the interpreter's bits, or the name of what is lacking."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.model.network import Builder, Given, Input, Network, Replace, Ring, Value, ops
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
    unit_norm,
    wkv,
    wkv7,
)
from hnlpu.run.emulate import FloatConstants, Interpreter
from hnlpu.run.emulate._early import EarlyValues, early_steps
from hnlpu.run.kernels import load
from hnlpu.run.kernels.tape import Known, TapeMemory, TapeRows, lacking, lower
from network_samples import every_operation

LIBRARY, REASON = load()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=REASON)
Array = np.ndarray
SEEDS, TOKENS, SIZES = st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 6)
few = settings(max_examples=15, deadline=None)


def no_metal(name: str, member: int) -> object:
    raise AssertionError(f"{name}: no matrices here")


def known(network: Network) -> tuple[Known, dict[str, Array]]:
    early = early_steps(network)
    constants = early.constants(FloatConstants(network, {}).parameter)
    return Known(constants, early.outside, early.made, no_metal, 12), constants  # type: ignore[arg-type]


def holds(
    write: Callable[..., tuple[Value, ...]], data: Mapping[str, Array],
    constants: Mapping[str, Array] | None = None,
) -> Network:  # fmt: skip
    """The bits of the interpreter for a sequence in two calls, beside another one, in two orders."""
    b = Builder("composite")
    values = {n: b.input(Input(n, "data", x.shape[1:], "real")) for n, x in data.items()}
    for name, array in (constants or {}).items():
        numbers = Given(tuple(map(float, array.ravel())), array.shape)
        values[name] = b.parameter(name, array.shape, numbers)
    network = b.finish(*write(**values))
    interpreter = Interpreter(network, FloatConstants(network, {}))
    assert LIBRARY is not None
    of, found_constants = known(network)
    tape = lower(LIBRARY, network, of)
    count = len(next(iter(data.values())))
    random = np.random.default_rng(count)
    memory = TapeMemory(
        {h.name: np.full(h.memory_shape(2, 16), h.initial, np.float32) for h in tape.states},
        np.array([[1], [0]]), np.array([1, 0]),
    )  # fmt: skip
    expected, _ = interpreter.run(dict(data), interpreter.start())
    backwards = {name: np.ascontiguousarray(x[::-1]) for name, x in data.items()}
    other, _ = interpreter.run(backwards, interpreter.start())
    cut = count // 2
    for start, stop in ((0, cut), (cut, count)):
        if start == stop:
            continue
        places = np.arange(start, stop)
        order = random.permutation(np.repeat([0, 1], stop - start))
        rows = np.empty(len(order), np.int64)
        rows[order == 0], rows[order == 1] = places, places
        inputs = {
            name: np.where(
                (order == 0).reshape(-1, *[1] * (x.ndim - 1)), x[rows], backwards[name][rows]
            )
            for name, x in data.items()
        }
        early = EarlyValues(early_steps(network), found_constants, FloatConstants(network, {}))
        made = tape.run(early.of(inputs, {}), TapeRows(order, rows), memory)
        for y, whole, another in zip(made, expected, other, strict=True):
            for s, of_it in ((0, whole), (1, another)):
                np.testing.assert_array_equal(y[order == s], of_it[places])
                if of_it.dtype == np.float32:  # zeros of either sign are equal
                    same = y[order == s] + np.float32(0), of_it[places] + np.float32(0)
                    assert same[0].tobytes() == same[1].tobytes()
    return network


def normal(random: np.random.Generator, *shape: int) -> Array:
    return (2 * random.normal(size=shape)).astype(np.float32)


@few
@given(SEEDS, TOKENS, SIZES, SIZES, SIZES)
def test_memories(seed: int, n: int, heads: int, key: int, width: int) -> None:
    random = np.random.default_rng(seed)
    q, k = normal(random, n, heads, key), normal(random, n, heads, key)
    v, beta = normal(random, n, heads, width), normal(random, n, heads)
    decay = random.uniform(0.1, 1.0, heads).astype(np.float32)
    qkv = {"q": q, "k": k, "v": v}
    holds(lambda q, k, v, decay: (retention(q, k, v, decay),), qkv, {"decay": decay})
    holds(lambda q, k, v: (linear_attention(q, k, v),), qkv)
    holds(
        lambda q, k, v, beta, decay: (delta_rule(unit_norm(q, 1e-6), k, v, beta, decay),),
        {**qkv, "beta": beta}, {"decay": decay},
    )  # fmt: skip
    fades = random.uniform(0.1, 1.0, (heads, key)).astype(np.float32)
    holds(
        lambda q, k, v, decay, bonus: (wkv(q, k, v, decay, bonus),), qkv,
        {"decay": fades, "bonus": normal(random, heads, key)},
    )  # fmt: skip
    holds(
        lambda q, k, v, beta, decay: (
            wkv7(q, k, v, decay, unit_norm(k, 1e-6), beta.table("sigmoid").reshape(heads, 1)),
        ),
        {**qkv, "beta": beta}, {"decay": fades},
    )  # fmt: skip


@few
@given(SEEDS, TOKENS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 20), st.integers(1, 9))
def test_ssm_scan(seed: int, n: int, groups: int, each: int, p: int, size: int) -> None:
    random = np.random.default_rng(seed)
    heads = groups * each
    data = {
        "x": normal(random, n, heads, p), "dt": np.abs(normal(random, n, heads)),
        "b": normal(random, n, groups, size), "c": normal(random, n, groups, size),
    }  # fmt: skip
    constants = {"a": -np.abs(normal(random, heads)), "skip": normal(random, heads)}
    holds(lambda x, dt, b, c, a, skip: (ssm_scan(x, dt, a, b, c, skip),), data, constants)


@few
@given(SEEDS, TOKENS, st.integers(1, 20), st.integers(1, 9))
def test_selective_scan(seed: int, n: int, channels: int, size: int) -> None:
    random = np.random.default_rng(seed)
    data = {
        "x": normal(random, n, channels), "dt": np.abs(normal(random, n, channels)),
        "b": normal(random, n, size), "c": normal(random, n, size),
    }  # fmt: skip
    constants = {"a": -np.abs(normal(random, channels, size)), "skip": normal(random, channels)}
    holds(lambda x, dt, b, c, a, skip: (selective_scan(x, dt, a, b, c, skip),), data, constants)


@few
@given(SEEDS, TOKENS, st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_causal_conv(seed: int, n: int, channels: int, length: int, biased: bool) -> None:
    random = np.random.default_rng(seed)
    constants = {"weight": normal(random, channels, length)}
    if biased:
        constants["bias"] = normal(random, channels)
    x = normal(random, n, channels)
    holds(lambda x, **of: (causal_conv(x, *of.values()),), {"x": x}, constants)
    weight = normal(random, n, channels, length)  # no constant: the window is kept, then summed
    holds(lambda x, weight: (causal_conv(x, weight),), {"x": x, "weight": weight})


@few
@given(SEEDS, TOKENS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 20),
       st.sampled_from([0, 1, 3, 50]), st.booleans())  # fmt: skip
def test_attend(seed: int, n: int, kv: int, group: int, d: int, window: int, sinks: bool) -> None:
    random = np.random.default_rng(seed)
    q, k, v = (normal(random, n, heads, d) for heads in (kv * group, kv, kv))
    constants = {"sink": normal(random, kv * group)} if sinks else {}

    def write(q: Value, k: Value, v: Value, sink: Value | None = None) -> tuple[Value]:
        return (attend(q, k, v, scale=0.3, window=window or None, sink=sink),)

    holds(write, {"q": q, "k": k, "v": v}, constants)


@few
@given(SEEDS, TOKENS, st.lists(st.integers(1, 4), max_size=2), st.integers(2, 40))
def test_rows_of_numbers(seed: int, n: int, rows: list[int], size: int) -> None:
    random = np.random.default_rng(seed)
    x, y = normal(random, n, *rows, size), normal(random, n, *rows, size)
    weight, bias = normal(random, size), normal(random, size)
    named = {"weight": weight, "bias": bias}
    holds(lambda x, y, weight, bias: (norm(x + y, weight, 1e-5), layer_norm(x, weight, bias, 1e-6)),
          {"x": x, "y": y}, named)  # fmt: skip
    holds(lambda x, y: (softmax(x), silu(x) * y, y * silu(x), silu(x)), {"x": x, "y": y})
    pairs = normal(random, n, *rows, 2 * size)
    holds(lambda x: (clamped_swiglu(x, 1.7, 2.0),), {"x": pairs})


@few
@given(SEEDS, TOKENS, st.integers(1, 3), st.integers(1, 5), st.integers(0, 2), st.integers(2, 9))
def test_rope_and_route(seed: int, n: int, heads: int, pairs: int, rest: int, experts: int) -> None:
    random = np.random.default_rng(seed)
    data = {
        "x": normal(random, n, heads, 2 * pairs + rest), "cos": normal(random, n, pairs),
        "sin": normal(random, n, pairs),
    }  # fmt: skip
    holds(lambda x, cos, sin: (rope(x, (cos, sin)),), data)
    logits, k = normal(random, n, experts), int(random.integers(1, experts + 1))
    for first in (False, True):
        holds(lambda x, f=first: route(x, k, share_first=f), {"x": logits})
    pairs = {"x": normal(random, n, 2 * experts)}
    constants = {"c": normal(random, 2 * experts), "g": np.arange(experts, dtype=np.float32)}
    holds(lambda x, c, g: route_groups(x, c, k, groups=g, kept=k), pairs, constants)


@few
@given(SEEDS, TOKENS, SIZES, SIZES)
def test_numbers_for_themselves(seed: int, n: int, rows: int, size: int) -> None:
    random = np.random.default_rng(seed)
    data = {"x": normal(random, n, rows, size), "y": normal(random, n, 1, size),
            "z": normal(random, n, rows, 1)}  # fmt: skip

    def write(x: Value, y: Value, z: Value, table: Value) -> tuple[Value, ...]:
        b = x.builder
        step = b.step
        wide = step(ops.Sum(-1, True, True), x)
        truth = step(ops.Compare("less"), x, y)
        return (
            x + y, x - z, y * z, x / (z * z + 1.0), step(ops.Minimum(), x, y),
            step(ops.Maximum(), x, 0.25), step(ops.Where(), truth, x, y), truth,
            step(ops.Where(), step(ops.Compare("less_equal"), z, 0.5), 1.0, x),
            step(ops.Compare("equal"), x, x), x.shift(-3), x * wide / 3.0,
            (wide * wide + 1e-3).inverse_root(), x * table,
        )  # fmt: skip

    holds(write, data, {"table": normal(random, rows, size)})


@few
@given(SEEDS, TOKENS, st.sampled_from(["exp", "sigmoid", "tanh", "softplus", "gelu", "gelu_tanh", "sin",
                                       "cos", "log", "round"]), st.sampled_from([1.0, -0.7]))  # fmt: skip
def test_tables(seed: int, n: int, function: ops.Function, scale: float) -> None:
    random = np.random.default_rng(seed)
    x = normal(random, n, 30)
    x = np.abs(x) + np.float32(1e-3) if function == "log" else x

    def write(x: Value) -> tuple[Value, ...]:
        b = x.builder
        polynomial = b.step(ops.Table("polynomial", scale, (0.5, -1.0, 0.25)), x)
        return x.table(function, scale), polynomial

    holds(write, {"x": x})


@few
@given(SEEDS, TOKENS, SIZES, SIZES, SIZES)
def test_moves_and_sums(seed: int, n: int, a: int, b: int, c: int) -> None:
    random = np.random.default_rng(seed)
    data = {"x": normal(random, n, a, b, c), "y": normal(random, n, c, a)}

    def write(x: Value, y: Value) -> tuple[Value, ...]:
        step = x.builder.step
        turned = x.permute(2, 0, 1)
        joined = step(ops.Concat(0), turned, turned * 2.0)
        both = joined.split(c, c, axis=0)
        best, numbers = x.builder.steps(ops.TopK(min(2, b)), turned, outs=2)
        return (
            turned, x.reshape(a * b, c), turned.reshape(a, b, c) + 0.0, joined,
            both[1] - both[0], x.sum(1), turned.sum(0, keep=True), x.max(2, keep=True),
            step(ops.Dot("abc,ca->b"), x, y), step(ops.Dot("abc,ca->cb", wide=False), x, y),
            step(ops.Outer("ca,cab->bac"), y, turned), best, numbers,
            step(ops.ArgMax(), turned), step(ops.Gather(2), turned, numbers),
            step(ops.Gather(1), y, step(ops.ArgMax(), y)),
        )  # fmt: skip

    holds(write, data)


@few
@given(SEEDS, TOKENS, st.integers(2, 6), st.integers(1, 300))
def test_other_views_of_what_a_result_may_lie_upon(seed: int, n: int, a: int, b: int) -> None:
    """The result of `x * x[:1]` must not take the place of x, whose numbers are read again."""
    random = np.random.default_rng(seed)

    def write(x: Value, y: Value) -> tuple[Value, ...]:
        turned, pieces, narrow = x + 1.0, y + 1.0, y - 1.0
        first, _ = pieces.split(1, a - 1, axis=0)
        left, _ = narrow.split(1, b, axis=1)
        results = (turned + turned.permute(1, 0), pieces * first, narrow * left)
        return tuple(result * 3.0 for result in results)

    holds(write, {"x": normal(random, n, a, a), "y": normal(random, n, a, b + 1)})


@few
@given(SEEDS, TOKENS, st.integers(1, 6))
def test_another_view_of_a_gate_that_is_used_again(seed: int, n: int, size: int) -> None:
    """What is joined to the gate must not change it for those who take it by another name."""
    random = np.random.default_rng(seed)

    def write(x: Value, up: Value) -> tuple[Value, ...]:
        opened = silu(x)
        raised = opened.reshape(2, size).reshape(2 * size) * up
        whole = silu(x * 3.0)
        (all_of_it,) = whole.split(2 * size)
        also_raised = all_of_it * up
        return raised + opened, also_raised + whole

    holds(write, {"x": normal(random, n, 2 * size), "up": normal(random, n, 2 * size)})


def test_states_before_and_after() -> None:
    random = np.random.default_rng(0)

    def write(x: Value) -> tuple[Value, ...]:
        b = x.builder
        ring, value = b.state("ring", (3,), Ring(2), 0.5), b.state("value", (3,), Replace(), 0.25)
        old = b.read(ring, "before")
        b.write(ring, x + old.sum(0))
        b.write(value, x * 2.0)
        return b.read(ring, "after"), b.read(value, "after"), old

    holds(write, {"x": normal(random, 7, 3)})


def odd(write: Callable[[Builder, Value], Value]) -> Network:
    b = Builder("odd")
    return b.finish(write(b, b.input(Input("x", "data", (4, 2), "real"))))


LACKING: list[tuple[str, Callable[[Builder, Value], Value]]] = [
    (r"window", lambda b, x: b.step(ops.Window((2,), (1,), (1,), ((0, 0),)), x)),
    (r"dot .* axis of positions|grows", lambda b, x: attend(x, x, x, scale=1.0, softcap=2.0)),
    (r"grows", lambda b, x: attend(x, x, x.split(1, 1, axis=1)[0], scale=1.0)),
]


@pytest.mark.parametrize(("what", "write"), LACKING)
def test_what_is_lacking_is_named(what: str, write: Callable[[Builder, Value], Value]) -> None:
    network = odd(write)
    found = lacking(network, known(network)[0])
    assert found is not None
    assert found.startswith("step ")
    assert re.search(what, found), found


def test_a_network_of_every_operation_lacks_one() -> None:
    network = every_operation()
    early = early_steps(network)
    of = Known({}, early.outside, early.made, no_metal, 12)  # type: ignore[arg-type]
    found = lacking(network, of)
    assert found is not None
    assert "window" in found
