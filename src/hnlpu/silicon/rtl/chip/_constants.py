"""What depends on parameters and written numbers alone: worked out when a chip is written.

    parameters ──► steps in float32, each result rounded once ──► a parameter more, in the stored words

docs/vector-unit.md ("Formats"): a function is taken in float64 with its scale, then rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Network, Step, constant_steps, ops

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_PAIRS: Mapping[type, Callable[[Any, Any], Any]] = {
    ops.Add: np.add, ops.Sub: np.subtract, ops.Mul: np.multiply, ops.Divide: np.divide,
    ops.Minimum: np.minimum, ops.Maximum: np.maximum,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[[Float64], Float64]] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)), "softplus": lambda x: np.logaddexp(0.0, x),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A parameter that steps make of others: its shape, and no tensor."""

    name: str
    shape: tuple[int, ...]
    source: None = None


def is_made(step: Step) -> bool:
    """Whether `make` knows the operation."""
    match step.op:
        case ops.Table(function):
            return function in _FUNCTIONS
        case ops.Reshape() | ops.Permute() | ops.Split() | ops.Concat() | ops.Shift():
            return True
        case ops.InverseRoot():
            return True
        case _:
            return type(step.op) in _PAIRS


def make(network: Network, name: str, parameter: Callable[[str], Float32]) -> Float32:
    """The numbers of a constant; `parameter` gives those of the network's parameters."""
    makers = {out: step for step in constant_steps(network).values() for out in step.outs}

    def value(arg: str | float) -> Float32:
        if not isinstance(arg, str):
            return np.float32(arg)  # type: ignore[return-value]  # a number broadcasts as an array does
        if arg not in makers:
            return parameter(arg)
        step = makers[arg]
        return _step(step, value)[step.outs.index(arg)]

    return value(name)


def _step(step: Step, value: Callable[[str | float], Float32]) -> tuple[Float32, ...]:
    args = [value(arg) for arg in step.args]
    match step.op:
        case ops.Reshape(shape):
            return (args[0].reshape([dim if isinstance(dim, int) else -1 for dim in shape]),)
        case ops.Permute(order):
            return (np.ascontiguousarray(args[0].transpose(order)),)
        case ops.Split(sizes, axis):
            ends = np.cumsum([size for size in sizes if isinstance(size, int)])[:-1]
            return tuple(np.split(args[0], ends, axis))
        case ops.Concat(axis):
            return (np.concatenate(args, axis),)
        case ops.Shift(bits):
            return (_rounded(np.ldexp(args[0], bits)),)
        case ops.InverseRoot():
            return (_rounded(1.0 / np.sqrt(args[0].astype(np.float64))),)
        case ops.Table(function, scale):
            return (_rounded(_FUNCTIONS[function](args[0].astype(np.float64)) * scale),)
        case _:
            return (_rounded(_PAIRS[type(step.op)](*args)),)


def _rounded(x: npt.NDArray[np.floating[Any]]) -> Float32:
    return np.asarray(x, np.float32)
