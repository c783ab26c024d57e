"""A network run as it is written, in `float` numerics: the definition that every faster form meets.

    tokens, states ─► regions of steps, each for all positions of a piece or one by one ─► outputs

States are values: a run takes some and gives new ones, so that saving is keeping, and restoring or
rewinding is running on from what was kept.  How a sequence is cut into pieces changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.model.network import (
    Network,
    Region,
    Replace,
    Span,
    ValueType,
    all_steps,
    check,
    extract,
    ops,
    regions,
)
from hnlpu.run.emulate._float_steps import Constants, Digits, run_step
from hnlpu.run.emulate._states import Run, States, initial, most_kept, still_kept

Array = npt.NDArray[Any]
Values = dict[str, Any]
Watch = Callable[[ops.Step, int, tuple[Any, ...]], None]
"""Told of every step at every position of a piece, and of what it defined: a recorder.

Of steps that are done at once, it is told what others take from them.
"""
Make = Callable[[Network, Span, Constants], Run | None]


class Interpreter:
    """A network over its constants; holds no state of any sequence.

    `fused` does spans at once: by a composite's name, what makes a span's own network, the span and
    the constants into a `Run` of the same bits, or None where it cannot.  Raises MalformedNetwork.
    """

    def __init__(
        self, network: Network, constants: Constants, fused: Mapping[str, Make] | None = None
    ):
        types = check(network)
        self.network = network
        self._constants = constants
        self._plan = tuple(_plan(network, types, constants, fused or {}))
        read = {arg for step in all_steps(network.steps) for arg in step.args}
        self._parameters = {
            p.name: constants.parameter(p.name) for p in network.parameters if p.name in read
        }

    def start(self) -> States:
        """The states of an empty sequence."""
        entries = {state.name: initial(state) for state in self.network.states}
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
            if item.run is not None and item.part is not None:
                piece.run_at_once(item.steps[-1], item.part, item.run)
            elif item.in_turn:
                piece.run_in_turn(item.steps)
            else:
                piece.run_together(item.steps[0])
        outputs = tuple(piece.output(name) for name in self.network.outputs)
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
        return by_name


@dataclass(frozen=True)
class _Item:
    """Steps that a `run` of their `part` does, that go position by position, or a single one."""

    steps: tuple[ops.Step, ...]
    in_turn: bool = False
    part: Network | None = None
    run: Run | None = None


def _plan(
    network: Network, types: Mapping[str, ValueType], constants: Constants,
    fused: Mapping[str, Make],
) -> Iterator[_Item]:  # fmt: skip
    serial = {n: r for r in regions(network) if r.serial for n in range(r.start, r.stop)}
    spans = {s.start: s for s in reversed(network.spans) if s.composite in fused}  # outer ones win
    n = 0
    while n < len(network.steps):
        span, region = spans.get(n), serial.get(n)
        if span is not None and _stands_alone(network, span, serial):
            part = extract(network, span, types)
            run = fused[span.composite](part, span, constants)
            if run is not None:
                yield _Item(network.steps[n : span.stop], part=part, run=run)
                n = span.stop
                continue
        stop = n + 1 if region is None else region.stop
        yield _Item(network.steps[n:stop], in_turn=region is not None)
        n = stop


def _stands_alone(network: Network, span: Span, serial: Mapping[int, Region]) -> bool:
    """Whether a span holds all of its serial regions, and all that touches its states."""
    whole = range(span.start, span.stop)
    regions_within = [serial[n] for n in whole if n in serial]
    if any(r.start < span.start or r.stop > span.stop for r in regions_within):
        return False
    touching: dict[str, list[bool]] = {}
    for n, step in enumerate(network.steps):
        if isinstance(step.op, ops.Read | ops.Write):
            touching.setdefault(step.op.state, []).append(n in whole)
    return all(len(set(inside)) == 1 for inside in touching.values())


class _Piece:
    """The values of a piece of positions while its steps run.

    A column holds a value at all positions: an array [n, ...], [1, ...] where it is the same at all
    of them, or a list where shapes differ, as those of what attention reads do.
    """

    def __init__(
        self, of: Interpreter, states: States, given: dict[str, Array], count: int,
        watch: Watch | None,
    ):  # fmt: skip
        self._constants, self._before, self._count = of._constants, states, count
        self._watch = watch
        self._columns: Values = {name: np.asarray(x)[None] for name, x in of._parameters.items()}
        self._columns |= given
        self._states = of.network.declared().states
        self._after: dict[str, Array] = {}
        self._entries = {
            name: np.concatenate([kept, np.empty((count, *kept.shape[1:]), np.float32)])
            for name, kept in states.entries.items()
        }

    def output(self, name: str) -> Array:
        """A value [n, ...] at all positions."""
        column = np.asarray(self._columns[name])
        return np.array(np.broadcast_to(column, (self._count, *column.shape[1:])))

    def run_at_once(self, last: ops.Step, part: Network, run: Run) -> None:
        """A span's steps by what does them at once; `last` is the one that others hear of."""
        before = {state.name: self._before.entries[state.name] for state in part.states}
        inputs = {given.name: self.output(given.name) for given in part.inputs}
        outputs, after = run(inputs, States(self._before.position, before))
        self._columns.update(zip(part.outputs, outputs, strict=True))
        self._after.update(after.entries)
        if self._watch is not None:
            told = replace(last, outs=part.outputs)
            for position in range(self._count):
                self._watch(told, position, tuple(column[position] for column in outputs))

    def run_together(self, step: ops.Step) -> None:
        """One step at all positions."""
        args = [self._columns[arg] if isinstance(arg, str) else arg for arg in step.args]
        apart = isinstance(step.op, ops.Read | ops.Write | ops.Repeat)
        if apart or any(isinstance(arg, list) for arg in args):
            self.run_in_turn((step,))
            return
        results = run_step(step.op, args, self._constants, lead=1)
        self._columns.update(zip(step.outs, results, strict=True))
        if self._watch is not None:
            for position in range(self._count):
                self._watch(step, position, tuple(_at(column, position) for column in results))

    def run_in_turn(self, steps: Sequence[ops.Step]) -> None:
        """Steps position by position."""
        made: dict[str, list[Any]] = {name: [] for step in steps for name in step.outs}
        outside = {
            arg: self._columns[arg]
            for step in all_steps(steps)
            for arg in step.args
            if isinstance(arg, str) and arg in self._columns
        }
        for position in range(self._count):
            values = {name: _at(column, position) for name, column in outside.items()}
            for step in steps:
                results = self._run(step, position, values)
                values.update(zip(step.outs, results, strict=True))
                if self._watch is not None:
                    self._watch(step, position, results)
            for name, column in made.items():
                column.append(values[name])
        self._columns |= {name: _joined(column) for name, column in made.items()}

    def _run(self, step: ops.Step, position: int, values: Values) -> tuple[Any, ...]:
        match step.op:
            case ops.Read(name, when):
                return (self._read(name, when, position),)
            case ops.Write(name):
                kept = len(self._before.entries[name])
                self._entries[name][kept + position] = values[str(step.args[0])]
                return ()
            case op:
                return _results(op, _taken(step, values), self._constants, values)

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
            if name not in self._after
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


def _taken(step: ops.Step, values: Values) -> list[Any]:
    return [values[arg] if isinstance(arg, str) else arg for arg in step.args]


def _results(op: ops.Op, args: list[Any], constants: Constants, outer: Values) -> tuple[Any, ...]:
    if not isinstance(op, ops.Repeat):
        return run_step(op, args, constants)
    for _ in range(op.ticks):
        values = outer | dict(zip(op.inputs, args, strict=True))
        for step in op.body:
            results = _results(step.op, _taken(step, values), constants, values)
            values.update(zip(step.outs, results, strict=True))
        args = [*(values[name] for name in op.outputs), *args[len(op.outputs) :]]
        if op.until and values[op.until]:
            break
    return tuple(args[: len(op.outputs)])
