"""A network run as it is written, in any numerics: the definition that every faster form meets.

    tokens, states ─► regions of steps, each for all positions of a piece or one by one ─► outputs

States are values: a run takes some and gives new ones, so that saving is keeping, and restoring or
rewinding is running on from what was kept.  How a sequence is cut into pieces changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.model.network import (
    Network,
    Replace,
    all_steps,
    check,
    ops,
)
from hnlpu.model.network.composites import check_composites
from hnlpu.run.emulate._float_steps import Constants, Digits
from hnlpu.run.emulate._numerics import FloatNumerics, StepNumerics
from hnlpu.run.emulate._plan import AtOnce, Make, Single, args_of, outs_of, plan
from hnlpu.run.emulate._states import States, initial, most_kept, still_kept

Array = npt.NDArray[Any]
Values = dict[str, Any]
Watch = Callable[[ops.Step, int, tuple[Any, ...]], None]
"""Told of every step at every position of a piece, and of what it defined: a recorder.

Of steps that are done at once, it is told what others take from them.
"""


class Interpreter:
    """A network over its constants; holds no state of any sequence.

    `fused` does spans at once: by a composite's name, what makes a span's own network, the span and
    the constants into a `Run` of the same bits, or None where it cannot.  `numerics` are float
    unless given; they may have composites of their own.  Raises MalformedNetwork.
    """

    def __init__(
        self, network: Network, constants: Constants, fused: Mapping[str, Make] | None = None,
        numerics: StepNumerics | None = None,
    ):  # fmt: skip
        types = check(network)
        check_composites(network, types)
        self.network = network
        self._numerics = FloatNumerics(constants) if numerics is None else numerics
        self._plan = tuple(plan(network, types, constants, fused or {}))
        read = {arg for step in all_steps(network.steps) for arg in step.args}
        self.parameters = {
            p.name: np.asarray(self._numerics.parameter(p.name))[None]
            for p in network.parameters
            if p.name in read
        }
        """Columns of parameters [1, ...] by name."""
        inside = {state.name for part in self.at_once for state in part.states}
        self.stepwise = {s.name: s for s in network.states if s.name not in inside}
        """States that no span has to itself."""

    @property
    def at_once(self) -> tuple[Network, ...]:
        """The spans, as networks of their own, that are done at once."""
        items = (
            each for item in self._plan for each in (item if isinstance(item, tuple) else [item])
        )
        return tuple(item.part for item in items if isinstance(item, AtOnce))

    def start(self) -> States:
        """The states of an empty sequence."""
        entries = {
            state.name: initial(state, self._numerics.initial(state))
            for state in self.network.states
        }
        return States(0, MappingProxyType(entries))

    def run(
        self,
        inputs: Sequence[int] | Mapping[str, Array],
        states: States,
        watch: Watch | None = None,
    ) -> tuple[tuple[Array, ...], States]:
        """Outputs [n, ...] at n more positions, and the states behind them.

        `inputs` are tokens [n], or [n, ...] by the inputs' names; `watch` sees every step.  Raises
        InvalidInput.
        """
        given = self._given(inputs, states.position)
        count = len(next(iter(given.values())))
        piece = _Piece(self, states, given, count, watch)
        for item in self._plan:
            match item:
                case AtOnce():
                    piece.run_at_once(item)
                case tuple():
                    piece.run_in_turn(item)
                case ops.Step():
                    piece.run_together(item)
        outputs = tuple(
            np.array(self._numerics.handed(name, piece.output(name)))
            for name in self.network.outputs
        )
        return outputs, piece.states()

    def _given(self, inputs: Sequence[int] | Mapping[str, Array], start: int) -> dict[str, Array]:
        """Inputs [n, ...] by name, positions among them."""
        by_name = dict(inputs) if isinstance(inputs, Mapping) else {}
        for given in self.network.inputs:
            if given.carries == "token" and not isinstance(inputs, Mapping):
                by_name[given.name] = np.asarray(inputs, np.int64)
        lengths = {len(values) for values in by_name.values()}
        if len(lengths) != 1 or not min(lengths):
            raise InvalidInput("give at least one position, and as many of every input")
        for given in self.network.inputs:
            if given.carries == "position":
                by_name[given.name] = np.arange(start, start + max(lengths))
            elif given.name not in by_name:
                raise InvalidInput(f"the network takes an input {given.name}, which is not given")
            else:
                by_name[given.name] = self._numerics.given(given, by_name[given.name])
        return by_name


class _Piece:
    """The values of a piece of positions while its steps run.

    A column holds a value at all positions: an array [n, ...], [1, ...] where it is the same at all
    of them, or a list where shapes differ, as those of what attention reads do.
    """

    def __init__(
        self, of: Interpreter, states: States, given: dict[str, Array], count: int,
        watch: Watch | None,
    ):  # fmt: skip
        self._numerics, self._before, self._count = of._numerics, states, count
        self._watch = watch
        self._columns: Values = {**of.parameters, **given}
        self._states = of.stepwise
        self._after: dict[str, Array] = {}
        self._entries = {name: self._room(states.entries[name]) for name in of.stepwise}

    def _room(self, kept: Array) -> Array:
        """Entries of a state, and room for those of this piece."""
        return np.concatenate([kept, np.empty((self._count, *kept.shape[1:]), kept.dtype)])

    def output(self, name: str) -> Array:
        """A value [n, ...] at all positions, for whoever leaves it as it is."""
        column = np.asarray(self._columns[name])
        if len(column) == self._count:
            return column
        return np.broadcast_to(column, (self._count, *column.shape[1:]))

    def run_at_once(self, span: AtOnce) -> None:
        """A span's steps by what does them at once, at all positions."""
        part = span.part
        before = {state.name: self._before.entries[state.name] for state in part.states}
        inputs = {given.name: self.output(given.name) for given in part.inputs}
        outputs, after = span.run(inputs, States(self._before.position, before))
        self._columns.update(zip(part.outputs, outputs, strict=True))
        self._after.update(after.entries)
        for position in range(self._count if self._watch else 0):
            self._tell(span, position, tuple(column[position] for column in outputs))

    def _tell(self, of: Single, position: int, results: tuple[Any, ...]) -> None:
        if self._watch is not None:
            step = replace(of.last, outs=of.part.outputs) if isinstance(of, AtOnce) else of
            self._watch(step, position, results)

    def run_together(self, step: ops.Step) -> None:
        """One step at all positions."""
        args = [self._columns[arg] if isinstance(arg, str) else arg for arg in step.args]
        apart = isinstance(step.op, ops.Read | ops.Write | ops.Repeat)
        if apart or any(isinstance(arg, list) for arg in args):
            self.run_in_turn((step,))
            return
        results = self._numerics.step(step, args, lead=1)
        self._columns.update(zip(step.outs, results, strict=True))
        for position in range(self._count if self._watch else 0):
            self._tell(step, position, tuple(_at(column, position) for column in results))

    def run_in_turn(self, singles: Sequence[Single]) -> None:
        """Steps and spans position by position."""
        made: dict[str, list[Any]] = {name: [] for single in singles for name in outs_of(single)}
        outside = {
            arg: self._columns[arg]
            for single in singles
            for arg in args_of(single)
            if arg in self._columns
        }
        for position in range(self._count):
            values = {name: _at(column, position) for name, column in outside.items()}
            for single in singles:
                results = self._run(single, position, values)
                values.update(zip(outs_of(single), results, strict=True))
                self._tell(single, position, results)
            for name, column in made.items():
                column.append(values[name])
        self._columns |= {name: _joined(column) for name, column in made.items()}

    def _run(self, single: Single, position: int, values: Values) -> tuple[Any, ...]:
        if isinstance(single, AtOnce):
            inputs = {
                given.name: np.asarray(values[given.name])[None] for given in single.part.inputs
            }
            outputs, _ = single.run(inputs, States(self._before.position + position, {}))
            return tuple(column[0] for column in outputs)
        match single.op:
            case ops.Read(name, when):
                return (self._read(name, when, position),)
            case ops.Write(name):
                kept, arg = len(self._before.entries[name]), str(single.args[0])
                written = self._numerics.written(name, arg, values[arg])
                self._entries[name][kept + position] = written
                return ()
            case _:
                return _results(single, values, self._numerics)

    def _read(self, name: str, when: str, position: int) -> Array:
        end = len(self._before.entries[name]) + position + (when == "after")
        entries, keeps = self._entries[name], self._states[name].keeps
        most = most_kept(keeps)
        read = entries[0 if most is None else max(0, end - most) : end]
        return np.asarray(read[0]) if isinstance(keeps, Replace) else read

    def states(self) -> States:
        """What is kept behind the piece."""
        kept = {
            name: still_kept(entries, self._states[name].keeps)
            for name, entries in self._entries.items()
        }
        kept |= self._after
        return States(self._before.position + self._count, MappingProxyType(kept))


def _at(column: Any, position: int) -> Any:
    """A column's value at a position."""
    if isinstance(column, Digits):
        return column.at(position)
    return column[0] if not isinstance(column, list) and len(column) == 1 else column[position]


def _joined(column: list[Any]) -> Any:
    """Values at all positions as an array, where they have one shape."""
    alike = len({np.shape(value) for value in column}) == 1
    return np.stack(column) if alike and not isinstance(column[0], Digits) else column


def _results(
    step: ops.Step, values: Values, numerics: StepNumerics, scope: tuple[str, ...] = ()
) -> tuple[Any, ...]:
    """What a step gives at one position; `scope` names the repetitions around it."""
    args = [values[arg] if isinstance(arg, str) else arg for arg in step.args]
    if not isinstance(step.op, ops.Repeat):
        return numerics.step(step, args, scope=scope)
    op, within = step.op, (*scope, step.outs[0])
    args = [numerics.handed(n, x, scope) for n, x in zip(step.args, args, strict=True)]
    for _ in range(op.ticks):
        inner = values | dict(zip(op.inputs, args, strict=True))
        for each in op.body:
            inner.update(zip(each.outs, _results(each, inner, numerics, within), strict=True))
        on = [numerics.handed(name, inner[name], within) for name in op.outputs]
        args = [*on, *args[len(on) :]]
        if op.until and inner[op.until]:
            break
    return tuple(args[: len(op.outputs)])
