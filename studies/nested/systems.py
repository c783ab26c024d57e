"""Random dynamical systems as networks: typed inputs and outputs, states of all kinds inside."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import (
    Append,
    Builder,
    Cut,
    Given,
    Input,
    Matrix,
    Network,
    Replace,
    Ring,
    Value,
    ops,
)
from hnlpu.model.network.composites import dense, softmax
from hnlpu.run.emulate import FloatConstants, Interpreter, States

Array = np.ndarray[Any, Any]
Layer = Callable[[np.random.Generator, Value], Value]
Shapes = tuple[tuple[int, ...], ...]
SHAPES = ((2,), (3,), (1, 2), (2, 2))


def interface(random: np.random.Generator) -> Shapes:
    """Shapes of one or two values."""
    return tuple(SHAPES[n] for n in random.integers(0, len(SHAPES), random.integers(1, 3)))


def system(random: np.random.Generator, takes: Shapes, gives: Shapes) -> Network:
    """A network from values x0, x1, ... of these shapes to values of those, over random layers."""
    b = Builder("system")
    given = [b.input(Input(f"x{n}", "data", s, "real")) for n, s in enumerate(takes)]
    x = b.step(ops.Concat(), *(v.reshape(math.prod(v.sizes)) for v in given))
    layers = [STATEFUL[random.integers(0, 3)], *_some(random)]
    random.shuffle(layers)
    for layer in layers:
        x = layer(random, x)
    sizes = [math.prod(shape) for shape in gives]
    y = _dense(random, x, sum(sizes)).table("tanh")
    parts = y.split(*sizes) if len(sizes) > 1 else (y,)
    # a step for each output: an output is no input of the same network
    shaped = (b.step(ops.Reshape(shape), v) for v, shape in zip(parts, gives, strict=True))
    return b.finish(*shaped)


def identity(shapes: Shapes) -> Network:
    """Values as they come."""
    b = Builder("identity")
    given = [b.input(Input(f"x{n}", "data", s, "real")) for n, s in enumerate(shapes)]
    return b.finish(*(b.step(ops.Reshape(x.sizes), x) for x in given))


def _parameter(random: np.random.Generator, x: Value, *shape: int) -> Value:
    numbers = Given(tuple(map(float, random.normal(size=math.prod(shape)))), shape)
    return x.builder.parameter(x.builder._unique("p"), shape, numbers)


def _dense(random: np.random.Generator, x: Value, rows: int) -> Value:
    (columns,) = x.sizes
    numbers = random.normal(size=rows * columns) / math.sqrt(columns)
    source = Given(tuple(map(float, numbers)), (rows, columns))
    name, cut, padding = x.builder._unique("m"), Cut("rows"), -columns % BLOCK
    return dense(
        x, x.builder.matrix(Matrix(name, rows, columns, "mixer", cut, source, padding=padding))
    )


def _neurons(random: np.random.Generator, x: Value) -> Value:
    return _dense(random, x, int(random.integers(1, 6))).table("tanh")


def _leaky(random: np.random.Generator, x: Value) -> Value:
    b = x.builder
    state = b.state("leaky", x.sizes, Replace(), float(random.normal()))
    after = b.read(state, "before") * 0.75 + x
    b.write(state, after)
    return after.table("tanh")


def _ring(random: np.random.Generator, x: Value) -> Value:
    kept = x.builder.keep("ring", x, Ring(int(random.integers(1, 4))))
    return kept.sum(0).table("tanh")


def _history(random: np.random.Generator, x: Value) -> Value:
    window = [None, 2, 3][random.integers(0, 3)]
    kept = x.builder.keep("history", x, Append(window))
    return kept.max(0) - kept.sum(0).table("tanh")


def _gate(random: np.random.Generator, x: Value) -> Value:
    (size,) = x.sizes
    return x * _parameter(random, x, size).table("sigmoid")


def _clock(random: np.random.Generator, x: Value) -> Value:
    return x + (x.builder.position() * 0.5).table("sin")


def _shares(random: np.random.Generator, x: Value) -> Value:
    return softmax(x) - x


STATEFUL = (_leaky, _ring, _history)
LAYERS = (_neurons, *STATEFUL, _gate, _clock, _shares)


def _some(random: np.random.Generator) -> list[Layer]:
    return [LAYERS[n] for n in random.integers(0, len(LAYERS), random.integers(0, 3))]


def inputs(random: np.random.Generator, network: Network, count: int) -> dict[str, Array]:
    """Random values at `count` positions for what a network takes."""
    return {
        x.name: random.normal(size=(count, *_known(x))).astype(np.float32)
        for x in network.inputs
        if x.carries == "data"
    }


def _known(x: Input) -> tuple[int, ...]:
    return tuple(length for length in x.shape if isinstance(length, int))


def ran(network: Network, data: dict[str, Array]) -> tuple[list[bytes], list[bytes]]:
    """Outputs and states, as bits, after the positions of `data`; in two pieces."""
    runs = Interpreter(network, FloatConstants(network, {}))
    states, pieces = runs.start(), []
    count = len(next(iter(data.values())))
    for piece in (slice(0, count // 2), slice(count // 2, count)):
        outputs, states = runs.run({name: x[piece] for name, x in data.items()}, states)
        pieces.append(outputs)
    whole = [np.concatenate(parts).tobytes() for parts in zip(*pieces, strict=True)]
    return whole, [states.entries[s.name].tobytes() for s in network.states]


def renamed(network: Network, data: dict[str, Array]) -> dict[str, Array]:
    """The same values, in order, under the names of another network's inputs."""
    names = [x.name for x in network.inputs if x.carries == "data"]
    return dict(zip(names, data.values(), strict=True))


def writer(keeps: Append | Ring | Replace, shape: tuple[int, ...]) -> Network:
    """Writes x to its state `s`, and gives the sum of what the state then holds."""
    b = Builder("writer")
    x = b.input(Input("x", "data", shape, "real"))
    return b.finish(b.keep("s", x, keeps).sum(0))


def put(keeps: Append | Ring | Replace, values: Array, states: States | None = None) -> States:
    """The states after writing values [n, ...] one after the other."""
    network = writer(keeps, values.shape[1:])
    runs = Interpreter(network, FloatConstants(network, {}))
    _, after = runs.run({"x": values}, states or runs.start())
    return after
