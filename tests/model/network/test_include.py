"""Networks within networks: names, states, types; the bits of a part are its bits alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network import (
    Builder,
    Given,
    Input,
    Network,
    Replace,
    Stack,
    Tensor,
    check,
    extract,
    in_parallel,
    in_sequence,
    include,
    leaf_tensors,
    op_name,
)
from hnlpu.model.network._source import all_leaves
from hnlpu.run.emulate import FloatConstants, Interpreter
from network_samples import every_operation, networks

Array = np.ndarray[Any, Any]


def tensors(network: Network, seed: int = 0) -> dict[str, Array]:
    """Random numbers for every tensor of a network, by names without what is in front of them."""
    random = np.random.default_rng(seed)
    sources = [p.source for p in network.parameters]
    sources += [s for m in network.matrices for s in (m.source, m.bias) if s is not None]
    shapes: dict[str, tuple[int, ...]] = {}
    for source in sources:
        for leaf in all_leaves(source):
            shapes |= leaf_tensors(leaf)
    return {n: random.normal(size=s).astype(np.float32) for n, s in sorted(shapes.items())}


def run(network: Network, data: dict[str, Array], weights: dict[str, Array]) -> list[bytes]:
    runs = Interpreter(network, FloatConstants(network, weights))
    outputs, _ = runs.run(data, runs.start())
    return [output.tobytes() for output in outputs]


def sample_data(network: Network, count: int = 4) -> dict[str, Array]:
    random = np.random.default_rng(1)
    return {
        x.name: random.normal(size=(count, *x.shape)).astype(np.float32)
        if x.kind == "real"
        else random.integers(0, 9, (count, *x.shape))
        for x in network.inputs
        if x.carries != "position"
    }


def nested(network: Network, depth: int) -> Network:
    for level in range(depth):
        b = Builder("outer")
        taken = {x.name: b.input(x) for x in network.inputs if x.carries == "data"}
        network = b.finish(*include(b, f"level{level}", network, taken))
    return network


@settings(max_examples=10, deadline=None)
@given(networks())
def test_a_part_has_the_bits_that_it_has_alone(network: Network) -> None:
    alone, data = tensors(network), sample_data(network)
    expected = run(network, data, alone)
    for depth in (1, 2):
        whole = nested(network, depth)
        front = ".".join(f"level{level}" for level in reversed(range(depth)))
        assert tensors(whole).keys() == {f"{front}.{name}" for name in alone}
        assert run(whole, data, {f"{front}.{n}": x for n, x in alone.items()}) == expected


def test_steps_spans_and_declarations_are_the_parts() -> None:
    part = every_operation()
    whole = nested(part, 1)
    assert [op_name(s.op) for s in whole.steps] == [op_name(s.op) for s in part.steps]
    outer, *inner = whole.spans
    assert (outer.composite, outer.start, outer.stop) == ("level0", 0, len(part.steps))
    assert [(s.composite, s.start, s.stop, s.options) for s in inner] == [
        (s.composite, s.start, s.stop, s.options) for s in part.spans
    ]
    assert [m.name for m in whole.matrices] == [f"level0.{m.name}" for m in part.matrices]
    assert [replace(s, name="", block=None) for s in whole.states] == [
        replace(s, name="", block=None) for s in part.states
    ]
    together = {m.cut.together for m in whole.matrices}
    assert together == {None, "level0.b0.heads"}


def test_what_is_taken_out_again_has_its_bits() -> None:
    part = every_operation()
    whole = nested(part, 1)
    out = extract(whole, whole.spans[0])
    weights = {f"level0.{name}": x for name, x in tensors(part).items()}
    data = sample_data(part)
    assert run(out, data, weights) == run(whole, data, weights)


def counter(start: float = 0.0) -> Network:
    """The sum of x [3] so far and `start`, times a stack of tensors."""
    b = Builder("counter")
    x = b.input(Input("x", "data", (3,), "real"))
    weight = b.parameter("w", (2, 3), Stack((Tensor("a", (3,)), Tensor("b", (3,)))))
    state = b.state("total", (3,), Replace(), start)
    total = b.read(state, "before") + x
    b.write(state, total)
    return b.finish((total * weight).sum(0))


def test_two_of_the_same_keep_states_of_their_own() -> None:
    both = in_parallel("two", ("first", counter()), ("second", counter(5.0)))
    assert [x.name for x in both.inputs] == ["first.x", "second.x"]
    ones = np.ones((2, 3), np.float32)
    weights = {f"{part}.{n}": np.ones(3, np.float32) for part in ("first", "second") for n in "ab"}
    runs = Interpreter(both, FloatConstants(both, weights))
    (first, second), _ = runs.run({"first.x": ones, "second.x": 0 * ones}, runs.start())
    assert first[:, 0].tolist() == [2.0, 4.0]
    assert second[:, 0].tolist() == [10.0, 10.0]


def test_one_behind_the_other() -> None:
    chain = in_sequence("two", ("first", counter()), ("second", counter()))
    weights = {f"{part}.{n}": np.ones(3, np.float32) for part in ("first", "second") for n in "ab"}
    runs = Interpreter(chain, FloatConstants(chain, weights))
    (y,), _ = runs.run({"x": np.ones((3, 3), np.float32)}, runs.start())
    assert y[:, 0].tolist() == [4.0, 12.0, 24.0]


def values(b: Builder) -> dict[str, Any]:
    return {
        "good": b.input(Input("good", "data", (3,), "real")),
        "long": b.input(Input("long", "data", (4,), "real")),
        "index": b.input(Input("index", "data", (3,), "index")),
    }


@pytest.mark.parametrize(
    ("wires", "says"),
    [
        ({"x": "long"}, r"part takes x: real \[3\], is given long: real \[4\]"),
        ({"x": "index"}, r"part takes x: real \[3\], is given index: index \[3\]"),
        ({}, "part takes x, which is not given"),
        ({"x": "good", "y": "good"}, "part has no input y"),
    ],
)
def test_ill_typed_wires_are_refused(wires: dict[str, str], says: str) -> None:
    b = Builder("outer")
    there = values(b)
    with pytest.raises(MalformedNetwork, match=says) as refused:
        include(b, "part", counter(), {name: there[wire] for name, wire in wires.items()})
    assert refused.value.rule == "interface"


def test_values_of_another_network_are_refused() -> None:
    here, there = Builder("here"), Builder("there")
    x, other = values(here)["good"], values(there)["good"]
    with pytest.raises(MalformedNetwork, match="part is given x of another network"):
        include(here, "part", counter(), {"x": other})
    with pytest.raises(MalformedNetwork, match="good is a value of another network"):
        x + other


def test_a_sequence_with_a_wire_too_many_is_refused() -> None:
    b = Builder("two outputs")
    x = b.input(Input("x", "data", (3,), "real"))
    two = b.finish(x + 1.0, x * 2.0)
    with pytest.raises(MalformedNetwork, match="second takes 1 values, is given 2"):
        in_sequence("chain", ("first", two), ("second", counter()))


def test_a_name_is_given_to_one_part() -> None:
    b = Builder("outer")
    x = b.input(Input("x", "data", (3,), "real"))
    (y,) = include(b, "part", counter(), {"x": x})
    with pytest.raises(MalformedNetwork, match=r"part\.w is declared twice"):
        include(b, "part", counter(), {"x": y})


def test_numbers_that_a_family_gives_have_no_name() -> None:
    b = Builder("inner")
    x = b.input(Input("x", "data", (2,), "real"))
    inner = b.finish(x * b.parameter("w", (2,), Given((1.0, 2.0), (2,))))
    assert check(nested(inner, 1))["level0.w"].shape == (2,)
