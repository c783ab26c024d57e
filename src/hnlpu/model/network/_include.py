"""A network as a part of another: nesting, sequence and parallel, over typed inputs and outputs.

    include     outer ─► [ inner ] ─► outer          a span of the outer network
    in_sequence        x ─► [ a ] ─► [ b ] ─► y
    in_parallel        x ─► [ a ] ─► y, u ─► [ b ] ─► v

A part keeps its own states, which move with the positions of the whole.  Its matrices, parameters,
states and tensors have its name in front of theirs, as torch names those of a submodule.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._compose import Builder, Value
from hnlpu.model.network._declare import Matrix
from hnlpu.model.network._form import Network, Span
from hnlpu.model.network._source import prefixed
from hnlpu.model.network._types import ValueType
from hnlpu.model.network.ops import FromSums, Lookup, Op, Project, Read, Repeat, Step, Write


def include(
    b: Builder, name: str, part: Network, given: Mapping[str, Value] | None = None
) -> tuple[Value, ...]:
    """The outputs of a checked network that is written into another one as a span `name`.

    `given` has a value for each of its inputs by name; the position, and the token where it is left
    out, are those of the whole.  Raises MalformedNetwork where a value is missing, is of no input,
    or has not the input's type.
    """
    values = _wired(b, name, part, given or {})
    with b.span(name):
        names = {m.name: b.matrix(_under(name, m)).name for m in part.matrices}
        for p in part.parameters:
            values[p.name] = b.parameter(f"{name}.{p.name}", p.shape, prefixed(p.source, name))
            names[p.name] = values[p.name].name
        for other in part.left_out:
            b.leave_out(f"{name}.{other.start}", other.reason)
        names |= {s.name: b.state(s.name, s.shape, s.keeps, s.initial).name for s in part.states}
        _write_steps(b, part, values, _Names(name, names))
        return tuple(values[output] for output in part.outputs)


def in_sequence(family: str, *parts: tuple[str, Network]) -> Network:
    """Named networks one behind the other: each takes the outputs of the one before in order.

    What the first takes is what the whole takes.  Raises MalformedNetwork where outputs and inputs
    do not fit each other.
    """
    b = Builder(family)
    (first, part), *others = parts
    outputs = include(b, first, part, {x.name: b.input(x) for x in part.inputs})
    for name, part in others:
        takes = [x.name for x in part.inputs if x.carries == "data"]
        if len(takes) != len(outputs):
            text = f"{name} takes {len(takes)} values, is given {len(outputs)}"
            raise MalformedNetwork("interface", text)
        outputs = include(b, name, part, dict(zip(takes, outputs, strict=True)))
    return b.finish(*outputs)


def in_parallel(family: str, *parts: tuple[str, Network]) -> Network:
    """Named networks side by side: inputs of data have the part's name in front, outputs in order.

    Token and position are those of the whole.
    """
    b = Builder(family)
    outputs: list[Value] = []
    for name, part in parts:
        given = {
            x.name: b.input(replace(x, name=f"{name}.{x.name}") if x.carries == "data" else x)
            for x in part.inputs
        }
        outputs += include(b, name, part, given)
    return b.finish(*outputs)


def _wired(b: Builder, name: str, part: Network, given: Mapping[str, Value]) -> dict[str, Value]:
    """The part's inputs by name, each of the type that it asks for."""
    known = {x.name: x for x in part.inputs}
    for unknown in given.keys() - known.keys():
        raise MalformedNetwork("interface", f"{name} has no input {unknown}")
    values = dict(given)
    for x in part.inputs:
        if x.name not in values and x.carries == "data":
            raise MalformedNetwork("interface", f"{name} takes {x.name}, which is not given")
        if x.name not in values:
            values[x.name] = b.input(x)
        if values[x.name].builder is not b:
            raise MalformedNetwork("interface", f"{name} is given {x.name} of another network")
        asked, got = ValueType(x.shape, x.kind), values[x.name].type
        if got != asked:
            text = f"{name} takes {x.name}: {asked}, is given {values[x.name].name}: {got}"
            raise MalformedNetwork("interface", text)
    return values


def _under(name: str, matrix: Matrix) -> Matrix:
    """A matrix of the part, with the part's name in front of it, of its tensors and of its cut."""
    together = matrix.cut.together
    return replace(
        matrix,
        name=f"{name}.{matrix.name}",
        source=prefixed(matrix.source, name),
        bias=None if matrix.bias is None else prefixed(matrix.bias, name),
        cut=replace(matrix.cut, together=together and f"{name}.{together}"),
    )


@dataclass(frozen=True)
class _Names:
    """What the part's matrices, parameters and states are called in the whole."""

    part: str
    of: Mapping[str, str]

    def op(self, op: Op) -> Op:
        """An operation that names them so."""
        match op:
            case Project() | FromSums():
                return replace(op, matrix=self.of[op.matrix])
            case Lookup():
                return replace(op, table=self.of[op.table])
            case Read() | Write():
                return replace(op, state=self.of[op.state])
            case Repeat():
                return replace(
                    op,
                    inputs=tuple(map(self._local, op.inputs)),
                    body=tuple(map(self._step, op.body)),
                    outputs=tuple(map(self._local, op.outputs)),
                    until=op.until and self._local(op.until),
                )
            case _:
                return op

    def _step(self, step: Step) -> Step:
        args = tuple(self._local(arg) if isinstance(arg, str) else arg for arg in step.args)
        return Step(self.op(step.op), args, tuple(map(self._local, step.outs)))

    def _local(self, name: str) -> str:
        """A name within the body of a `repeat`, which must be none of the whole's parameters."""
        return self.of.get(name, f"{self.part}.{name}")


def _write_steps(b: Builder, part: Network, values: dict[str, Value], names: _Names) -> None:
    """The part's steps, in its spans; what they define is added to `values`."""
    begin: dict[int, list[Span]] = {}
    for span in part.spans:
        begin.setdefault(span.start, []).append(span)
    with ExitStack() as whole:
        open_spans: list[tuple[int, ExitStack]] = []
        for number, step in enumerate(part.steps):
            while open_spans and open_spans[-1][0] == number:
                open_spans.pop()[1].close()
            for span in begin.get(number, []):
                within = whole.enter_context(ExitStack())
                within.enter_context(b.span(span.composite, **dict(span.options)))
                open_spans.append((span.stop, within))
            args = [values[arg] if isinstance(arg, str) else arg for arg in step.args]
            made = b.steps(names.op(step.op), *args, outs=len(step.outs))
            values.update(zip(step.outs, made, strict=True))
