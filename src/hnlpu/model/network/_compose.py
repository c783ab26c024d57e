"""`Builder`: how families and composites write a network, step by step.

    b = Builder("tiny")
    x = b.lookup(b.parameter("embedding", (97, 64), Tensor("embed.weight", (97, 64))), b.token())
    network = b.finish(unembed(x * 0.5 + 1.0))

Values add, multiply and divide like numbers; each operation becomes a step whose type is worked out
at once, so that a mistake is told where it is made.  Names of values are the names of the block and
the spans that they are in, the operation and a number: b3.attend.softmax.exp_1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._check import check, place_of
from hnlpu.model.network._declare import (
    Append,
    Declared,
    Input,
    Keeps,
    LeftOut,
    Matrix,
    Parameter,
    State,
)
from hnlpu.model.network._form import Network, Span
from hnlpu.model.network._infer import op_name, step_types
from hnlpu.model.network._rules import at
from hnlpu.model.network._source import Source
from hnlpu.model.network._types import Dim, Shape, ValueType
from hnlpu.model.network.ops import (
    Add,
    Divide,
    Function,
    InverseRoot,
    Lookup,
    Max,
    Mul,
    Op,
    Permute,
    Read,
    Reshape,
    Shift,
    Split,
    Step,
    Sub,
    Sum,
    Table,
    Write,
)


@dataclass(frozen=True)
class Value:
    """A value of a network under construction."""

    name: str
    type: ValueType
    builder: Builder = field(repr=False, compare=False)

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.type.shape

    @property
    def sizes(self) -> tuple[int, ...]:
        """Its shape where no axis is of positions."""
        assert all(isinstance(dim, int) for dim in self.shape), self.shape
        return tuple(dim for dim in self.shape if isinstance(dim, int))

    def __add__(self, other: Value | float) -> Value:
        return self.builder.step(Add(), self, other)

    def __radd__(self, other: float) -> Value:
        return self + other

    def __sub__(self, other: Value | float) -> Value:
        return self.builder.step(Sub(), self, other)

    def __rsub__(self, other: float) -> Value:
        return self.builder.step(Sub(), other, self)

    def __mul__(self, other: Value | float) -> Value:
        return self.builder.step(Mul(), self, other)

    def __rmul__(self, other: float) -> Value:
        return self * other

    def __truediv__(self, other: Value | float) -> Value:
        return self.builder.step(Divide(), self, other)

    def __neg__(self) -> Value:
        return self.builder.step(Sub(), 0.0, self)

    def table(self, function: Function, scale: float = 1.0) -> Value:
        """scale * function(x)."""
        return self.builder.step(Table(function, scale), self)

    def shift(self, bits: int) -> Value:
        """x * 2^bits."""
        return self.builder.step(Shift(bits), self)

    def inverse_root(self) -> Value:
        """1 / sqrt(x)."""
        return self.builder.step(InverseRoot(), self)

    def sum(self, axis: int = -1, *, keep: bool = False, wide: bool = False) -> Value:
        """Sum along an axis."""
        return self.builder.step(Sum(axis, keep, wide), self)

    def max(self, axis: int = -1, *, keep: bool = False) -> Value:
        """The largest along an axis."""
        return self.builder.step(Max(axis, keep), self)

    def reshape(self, *shape: Dim) -> Value:
        """The same numbers in another shape; nothing happens where it is the same."""
        return self if shape == self.shape else self.builder.step(Reshape(shape), self)

    def permute(self, *order: int) -> Value:
        """Axes in another order."""
        return self.builder.step(Permute(order), self)

    def split(self, *sizes: Dim, axis: int = -1) -> tuple[Value, ...]:
        """Pieces of these sizes along an axis."""
        return self.builder.steps(Split(sizes, axis), self)


class Builder:
    """Collects declarations and steps; `finish` makes them a checked network."""

    def __init__(self, family: str, *, context: int | None = None):
        self._network = Network(family, (), (), (), (), (), (), (), context)
        self._inputs: dict[str, Input] = {}
        self._matrices: dict[str, Matrix] = {}
        self._parameters: dict[str, Parameter] = {}
        self._states: dict[str, State] = {}
        self._declared = Declared(self._matrices, self._parameters, self._states)
        self._types: dict[str, ValueType] = {}
        self._steps: list[Step] = []
        self._spans: list[Span] = []
        self._scope: list[str] = []
        self._block: int | None = None
        self._count: Counter[str] = Counter()

    # declarations

    def input(self, given: Input) -> Value:
        """An input; declared at its first use."""
        self._inputs[given.name] = given
        self._types[given.name] = ValueType(given.shape, given.kind)
        return Value(given.name, self._types[given.name], self)

    def token(self) -> Value:
        """The token's number."""
        return self.input(Input("token", "token"))

    def position(self) -> Value:
        """The position's number, 0 for the first."""
        return self.input(Input("position", "position"))

    def matrix(self, matrix: Matrix) -> Matrix:
        """A matrix, of the block that is being written."""
        matrix = replace(matrix, block=self._block)
        _expect_new(matrix.name, self._matrices)
        self._matrices[matrix.name] = matrix
        return matrix

    def parameter(self, name: str, shape: tuple[int, ...], source: Source) -> Value:
        """A parameter, of the block that is being written; as a value."""
        _expect_new(name, self._parameters)
        self._parameters[name] = Parameter(name, shape, source, self._block)
        self._types[name] = ValueType(shape)
        return Value(name, self._types[name], self)

    def state(self, name: str, shape: tuple[int, ...], keeps: Keeps, initial: float = 0.0) -> State:
        """A state, of the block and spans that are being written."""
        state = State(self._unique(name), shape, keeps, initial, self._block)
        self._states[state.name] = state
        return state

    def leave_out(self, start: str, reason: str) -> None:
        """Tensors of the checkpoint whose names begin with `start` are no part of the network."""
        left_out = (*self._network.left_out, LeftOut(start, reason))
        self._network = replace(self._network, left_out=left_out)

    # steps

    def steps(self, op: Op, *args: Value | float, outs: int | None = None) -> tuple[Value, ...]:
        """A step; raises MalformedNetwork where it breaks the operation's rule."""
        names = tuple(self._named(arg) for arg in args)
        count = len(op.sizes) if isinstance(op, Split) else outs
        count = 1 if count is None else count
        called = op.function if isinstance(op, Table) else op_name(op)
        step = Step(op, names, tuple(self._unique(called) for _ in range(count)), self._block)
        with at(place_of(len(self._steps), step)):
            types = step_types(step, self._types, self._declared)
        self._types.update(zip(step.outs, types, strict=True))
        self._steps.append(step)
        return tuple(Value(name, type_, self) for name, type_ in zip(step.outs, types, strict=True))

    def step(self, op: Op, *args: Value | float) -> Value:
        """A step that defines one value."""
        (value,) = self.steps(op, *args)
        return value

    def lookup(self, table: Value, numbers: Value) -> Value:
        """Entries of a parameter by their numbers."""
        return self.step(Lookup(table.name), numbers)

    def read(self, state: State, when: Literal["before", "after"] = "after") -> Value:
        """What a state holds before or after this position's write."""
        return self.step(Read(state.name, when))

    def write(self, state: State, value: Value) -> None:
        """The entry of a state for this position."""
        self.steps(Write(state.name), value, outs=0)

    def keep(self, name: str, value: Value, keeps: Keeps | None = None) -> Value:
        """Write `value` to a state of its own and read what it then holds."""
        state = self.state(name, value.sizes, keeps or Append())
        self.write(state, value)
        return self.read(state)

    # structure

    @contextmanager
    def block(self, number: int) -> Iterator[None]:
        """Steps and declarations of a block (a layer)."""
        assert self._block is None
        self._block = number
        self._scope.append(f"b{number}")
        yield
        self._scope.pop()
        self._block = None

    @contextmanager
    def span(self, composite: str, **options: int | float | str | bool) -> Iterator[None]:
        """Steps of a composite, called with these options."""
        number, start, name = len(self._spans), len(self._steps), self._unique(composite)
        span = Span(composite, name, start, start, tuple(sorted(options.items())))
        self._spans.append(span)  # outer ones stand before inner ones
        outer, self._scope = self._scope, [name]
        yield
        self._scope = outer
        self._spans[number] = replace(span, stop=len(self._steps))

    def draft(self) -> tuple[tuple[Step, ...], tuple[Span, ...], dict[str, State]]:
        """The steps and the spans so far, and the states by name."""
        return tuple(self._steps), tuple(self._spans), dict(self._states)

    def finish(self, *outputs: Value) -> Network:
        """The network that gives these values; raises MalformedNetwork."""
        network = replace(
            self._network,
            inputs=tuple(self._inputs.values()),
            outputs=tuple(value.name for value in outputs),
            matrices=tuple(self._matrices.values()),
            parameters=tuple(self._parameters.values()),
            states=tuple(self._states.values()),
            steps=tuple(self._steps),
            spans=tuple(self._spans),
        )
        check(network)
        return network

    def _named(self, arg: Value | float) -> str | float:
        if not isinstance(arg, Value):
            return float(arg)
        if arg.builder is not self:
            raise MalformedNetwork("undefined", f"{arg.name} is a value of another network")
        return arg.name

    def _unique(self, name: str) -> str:
        """`name` within the block and spans, with a number from the second of its kind on."""
        path = unique = ".".join([*self._scope, name])
        while self._count[unique] or unique in self._types or unique in self._matrices:
            self._count[path] += 1
            unique = f"{path}_{self._count[path]}"
        self._count[unique] += 1
        return unique


def _expect_new(name: str, known: Iterable[str]) -> None:
    if name in known:
        raise MalformedNetwork("redefined", f"{name} is declared twice")
