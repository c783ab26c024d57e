"""Forward and reverse as lenses: what a step gives, and what it asks of what it takes.

A lens on an environment (values by name) has `get`, which adds what a step defines, and `put`, which
turns cotangents of all values into cotangents of those before the step.  Lenses compose, and the
composition of all steps of a network is its forward pass and its gradient.  In float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from hnlpu.model.network import Network, Step, ops, read_source

Array = np.ndarray[Any, Any]
Environment = Mapping[str, Array]


@dataclass(frozen=True)
class Lens:
    """`get` of an environment, and `put` of an environment and the cotangents behind it."""

    get: Callable[[Environment], Environment]
    put: Callable[[Environment, Environment], Environment]

    def then(self, other: Lens) -> Lens:
        """One lens and the other behind it."""
        return Lens(
            lambda x: other.get(self.get(x)),
            lambda x, dy: self.put(x, other.put(self.get(x), dy)),
        )


def lens_of(network: Network) -> Lens:
    """All steps of a network without states; raises NotImplementedError for one that it lacks."""
    return reduce(Lens.then, (_step_lens(network, step) for step in network.steps))


def constants(network: Network, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Matrices, biases (NAME/bias) and parameters of a network, in float64."""
    found = {m.name: read_source(m.source, tensors, _none) for m in network.matrices}
    found |= {
        f"{m.name}/bias": read_source(m.bias, tensors, _none)
        for m in network.matrices
        if m.bias is not None
    }
    found |= {p.name: read_source(p.source, tensors, _none) for p in network.parameters}
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


def _none(blocks: Array, scales: Array) -> Array:
    raise NotImplementedError("MXFP4")


def _step_lens(network: Network, step: Step) -> Lens:
    names = _taken(network, step)
    (out,) = step.outs

    def get(x: Environment) -> Environment:
        return {
            **x,
            out: _value(step.op, [x[n] if isinstance(n, str) else np.array(n) for n in names]),
        }

    def put(x: Environment, dy: Environment) -> Environment:
        args = [x[n] if isinstance(n, str) else np.array(n) for n in names]
        asked = dict(dy)
        cotangent = asked.pop(out, None)
        if cotangent is None:
            return asked
        for name, share in zip(names, _asks(step.op, args, cotangent), strict=True):
            if isinstance(name, str):
                asked[name] = asked.get(name, np.zeros_like(x[name])) + _fit(share, x[name].shape)
        return asked

    return Lens(get, put)


def _taken(network: Network, step: Step) -> list[str | float]:
    """What a step takes, the constants that it names among them."""
    match step.op:
        case ops.Project(name):
            return [name, *step.args]
        case ops.FromSums(name):
            has_bias = network.declared().matrices[name].bias is not None
            return [*step.args, *([f"{name}/bias"] if has_bias else [])]
        case _:
            return list(step.args)


def _value(op: ops.Op, args: list[Array]) -> Array:
    match op:
        case ops.Quantize():
            return args[0]
        case ops.Project():
            return np.asarray(args[1] @ args[0].T)
        case ops.FromSums() | ops.Add():
            return np.asarray(sum(args))
        case ops.Sub():
            return args[0] - args[1]
        case ops.Mul():
            return args[0] * args[1]
        case ops.Reshape(shape):
            return args[0].reshape([int(str(n)) for n in shape])
        case ops.Table("tanh", scale):
            return np.asarray(scale * np.tanh(args[0]))
        case ops.Table("sigmoid", scale):
            return np.asarray(scale / (1 + np.exp(-args[0])))
        case _:
            raise NotImplementedError(f"no lens for {op}")


def _asks(op: ops.Op, args: list[Array], dy: Array) -> list[Array]:
    """Cotangents of a step's arguments, of the shapes that they are spread to."""
    match op:
        case ops.Quantize():
            return [dy]
        case ops.Project():
            return [np.outer(dy, args[1]), dy @ args[0]]
        case ops.FromSums() | ops.Add():
            return [dy] * len(args)
        case ops.Sub():
            return [dy, -dy]
        case ops.Mul():
            return [dy * args[1], dy * args[0]]
        case ops.Reshape():
            return [dy.reshape(args[0].shape)]
        case ops.Table("tanh", scale):
            return [dy * scale * (1 - np.tanh(args[0]) ** 2)]
        case ops.Table("sigmoid", scale):
            share = 1 / (1 + np.exp(-args[0]))
            return [dy * scale * share * (1 - share)]
        case _:
            raise NotImplementedError(f"no lens for {op}")


def _fit(share: Array, shape: tuple[int, ...]) -> Array:
    """Summed over the axes along which an argument was spread."""
    while share.ndim > len(shape):
        share = share.sum(0)
    for axis, length in enumerate(shape):
        if length == 1 and share.shape[axis] != 1:
            share = share.sum(axis, keepdims=True)
    return share
