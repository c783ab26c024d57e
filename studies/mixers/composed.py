"""A composite of the form, run as a network of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hnlpu.model.network import Builder, Given, Input, Value
from hnlpu.run.emulate import FloatConstants, Interpreter

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


def composed(write: Callable[..., Value], data: Arrays, constants: Arrays | None = None) -> Array:
    """Outputs [n, ...] of a composite over inputs [n, ...]; `constants` become parameters.

    It is run as a whole and in three pieces, which must have the same bits.
    """
    b = Builder("composite")
    values = {
        name: b.input(Input(name, "data", array.shape[1:], "real")) for name, array in data.items()
    }
    for name, array in (constants or {}).items():
        numbers = Given(tuple(map(float, array.ravel())), array.shape)
        values[name] = b.parameter(name, array.shape, numbers)
    network = b.finish(write(**values) * 1.0)
    runs = Interpreter(network, FloatConstants(network, {}))
    inputs = {name: array.astype(np.float32) for name, array in data.items()}
    (whole,), _ = runs.run(inputs, runs.start())
    states, pieces = runs.start(), []
    for half in np.array_split(np.arange(len(whole)), 3):
        if len(half):
            (piece,), states = runs.run({k: v[half] for k, v in inputs.items()}, states)
            pieces.append(piece)
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    return whole


def normal(random: np.random.Generator, *shape: int) -> Array:
    """Normal numbers in float32."""
    return random.normal(size=shape).astype(np.float32)


def decays(random: np.random.Generator, *shape: int) -> Array:
    """Numbers from 0.3 to 1 in float32."""
    return random.uniform(0.3, 1.0, shape).astype(np.float32)
