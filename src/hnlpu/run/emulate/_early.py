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
POSITIONS_AT_ONCE = 64
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


class EarlyValues:
    """The steps of positions and tokens, over what `EarlySteps.constants` gave."""

    def __init__(self, early: EarlySteps, known: Mapping[str, Array], constants: Constants):
        self._outside, self._constants = early.outside, constants
        fixed = {name: value[None] for name, value in known.items()}
        steps = [
            (s.op, [fixed.get(a, a) if isinstance(a, str) else a for a in s.args], s.outs)
            for s in early.of_inputs
        ]
        self._lookups = [step for step in steps if isinstance(step[0], ops.Lookup)]
        self._of_positions = [step for step in steps if not isinstance(step[0], ops.Lookup)]
        self._taken = {
            *early.outside,
            *(a for _, args, _ in self._lookups for a in args if isinstance(a, str)),
        }

    def by_position(self, positions: Mapping[str, Array]) -> dict[str, Array]:
        """What positions [rows], by the names of the inputs that carry them, decide alone: [rows, ...]."""
        values = self._values(self._of_positions, positions)
        return {name: value for name, value in values.items() if name in self._taken}

    def of(self, inputs: Mapping[str, Array], by_position: Mapping[str, Array]) -> dict[str, Array]:
        """Values [rows, ...] of `outside`, of inputs [rows, ...] and what `by_position` gave."""
        values = self._values(self._lookups, {**inputs, **by_position})
        count = max(map(len, (*inputs.values(), *by_position.values())))
        return {name: _of_rows(values[name], count) for name in self._outside}

    def _values(
        self, steps: Sequence[tuple[ops.Op, list[Any], tuple[str, ...]]], given: Mapping[str, Array]
    ) -> dict[str, Array]:
        values = dict(given)
        for op, args, outs in steps:
            taken = [values[arg] if isinstance(arg, str) else arg for arg in args]
            values.update(zip(outs, run_step(op, taken, self._constants, lead=1), strict=True))
        return values


class PositionTable:
    """What positions decide (cosines and sines), worked out once for every position that was met.

    NumPy takes a microsecond per call, and a token of a small model a hundred.  A position has two numbers
    of four bytes per angle, far less than its keys and values.
    """

    def __init__(self, early: EarlyValues, names: Sequence[str]):
        self._early, self._names = early, names
        self._made: tuple[int, dict[str, Array]] = 0, {}  # replaced whole: threads may read it

    def values(self, positions: Array) -> dict[str, Array]:
        """As `EarlyValues.by_position`, of positions [rows] in any order."""
        count, made = self._made
        most = int(positions[0] if len(positions) == 1 else positions.max()) + 1
        if most > count:
            count, made = self._made = self._grown(most)
        chosen = slice(most - 1, most) if len(positions) == 1 else positions
        return {name: x if len(x) == 1 else x[chosen] for name, x in made.items()}

    def _grown(self, most: int) -> tuple[int, dict[str, Array]]:
        """The table for a quarter more than `most` positions."""
        count, made = self._made
        until = most + most // 4
        until += -until % POSITIONS_AT_ONCE
        new = np.arange(count, until)
        found = self._early.by_position(dict.fromkeys(self._names, new))
        grown = {
            name: x if len(x) == 1 or not count else np.concatenate([made[name], x])
            for name, x in found.items()
        }
        return until, grown


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
