"""Steps of a network whose values are known before its layers run.

parameters ─► constant steps ─► values that never change
positions  ─► early steps ────► cosines and sines, ...
tokens     ─► lookups ────────► rows of an embedding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Network, Step, all_steps, ops
from hnlpu.run.emulate._activations import Activations, Meeting
from hnlpu.run.emulate._float_steps import Constants, run_step

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
_LATER = (
    ops.Project, ops.Quantize, ops.FromSums, ops.Read, ops.Write, ops.Repeat, ops.Lookup
)  # fmt: skip


class _NoMetal:
    """Constants of steps that take parameters as values."""

    def prepare(self, x: Float32) -> Activations:
        raise AssertionError("no digits")

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        raise AssertionError("no matrices")

    def project_all(self, meetings: Sequence[Meeting]) -> list[Float32]:
        raise AssertionError("no matrices")

    def parameter(self, name: str) -> Float32:
        raise AssertionError("no names")

    def rows(self, name: str, numbers: Array) -> Float32:
        raise AssertionError("no tables")


@dataclass(frozen=True)
class EarlySteps:
    """`constant` steps take parameters and each other; `of_inputs` positions or tokens as well.

    `outside`: inputs and values of the latter that other steps take; `parameters`: those that any
    step takes as a whole.
    """

    constant: tuple[Step, ...]
    of_inputs: tuple[Step, ...]
    outside: tuple[str, ...]
    parameters: tuple[str, ...]

    @property
    def made(self) -> frozenset[str]:
        """Values that these steps give."""
        return frozenset(name for s in (*self.constant, *self.of_inputs) for name in s.outs)

    def constants(self, parameter: Callable[[str], Array]) -> dict[str, Array]:
        """Parameters and values of constant steps, by name."""
        values = {name: parameter(name) for name in self.parameters}
        for step in self.constant:
            args = [values[arg] if isinstance(arg, str) else arg for arg in step.args]
            results = run_step(step.op, args, _NoMetal())
            values.update((n, np.asarray(x)) for n, x in zip(step.outs, results, strict=True))
        return values

    def values(
        self, inputs: Mapping[str, Array], known: Mapping[str, Array], constants: Constants
    ) -> dict[str, Array]:
        """Values [rows, ...] of `outside`, of inputs [rows, ...] and what `constants` gave."""
        values = dict(inputs)
        count = len(next(iter(inputs.values())))
        for step in self.of_inputs:
            args = [
                arg
                if not isinstance(arg, str)
                else values[arg]
                if arg in values
                else known[arg][None]
                for arg in step.args
            ]
            results = run_step(step.op, args, constants, lead=1)
            values.update(zip(step.outs, results, strict=True))
        return {name: _of_rows(values[name], count) for name in self.outside}


def _of_rows(value: Array, count: int) -> Array:
    """A value [count, ...], in one piece, of one that may be the same for all rows: [1, ...]."""
    if len(value) != count:
        value = np.broadcast_to(value, (count, *value.shape[1:]))
    return np.ascontiguousarray(value)


def early_steps(network: Network) -> EarlySteps:
    """Sort out the steps of a checked network."""
    constants = {p.name for p in network.parameters}
    positional = {x.name for x in network.inputs if x.carries == "position"}
    given = {x.name for x in network.inputs}
    constant: list[Step] = []
    of_inputs: list[Step] = []
    rest: list[Step] = []
    for step in network.steps:
        names = {arg for arg in step.args if isinstance(arg, str)}
        if isinstance(step.op, ops.Lookup) and names <= given | positional:
            of_inputs.append(step)
            given.update(step.outs)
        elif isinstance(step.op, _LATER) or not names <= constants | positional:
            rest.append(step)
        elif names <= constants:
            constant.append(step)
            constants.update(step.outs)
        else:
            of_inputs.append(step)
            positional.update(step.outs)
    taken = [a for step in all_steps(rest) for a in step.args if isinstance(a, str)]
    wanted = dict.fromkeys([*taken, *network.outputs])
    read = {a for step in all_steps(network.steps) for a in step.args if isinstance(a, str)}
    return EarlySteps(
        tuple(constant),
        tuple(of_inputs),
        tuple(name for name in wanted if name in given | positional),
        tuple(p.name for p in network.parameters if p.name in read),
    )
