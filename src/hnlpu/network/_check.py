"""Whether a network keeps the rules; run after every pass that makes or changes one.

Each rule has a name, which MalformedNetwork carries, and the message names the step, the
declaration or the span that breaks it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hnlpu.errors import MalformedNetwork
from hnlpu.network._declare import Append, Matrix, Ring
from hnlpu.network._form import Network, Span
from hnlpu.network._infer import all_steps, op_name, step_types, taken_by
from hnlpu.network._source import BLOCK, Source, all_leaves, leaf_tensors, source_shape
from hnlpu.network._types import Positions, ValueType
from hnlpu.network.ops import (
    Arg,
    FromSums,
    Lookup,
    Project,
    Read,
    Repeat,
    Reshape,
    Split,
    Step,
    Write,
)

_LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check(network: Network) -> dict[str, ValueType]:
    """Types of all values of a network; raises MalformedNetwork where it breaks a rule."""
    _check_names(network)
    for matrix in network.matrices:
        with _at(f"matrix {matrix.name}"):
            _check_matrix(matrix)
    for parameter in network.parameters:
        with _at(f"parameter {parameter.name}"):
            _check_shape(parameter.shape)
            _same_shape(source_shape(parameter.source), parameter.shape)
    for state in network.states:
        with _at(f"state {state.name}"):
            _check_shape(state.shape)
            _check_keeps(state.keeps)
            _refuse(not math.isfinite(state.initial), "number", f"starts from {state.initial}")
    _check_tensors(network)
    _check_cuts(network.matrices)
    values = _check_steps(network)
    _check_states(network)
    _check_sums(network.steps)
    _check_use(network)
    _check_blocks(network)
    _check_spans(network)
    return values


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Names the place where a rule is broken."""
    try:
        yield
    except MalformedNetwork as error:
        raise MalformedNetwork(error.rule, f"{place}: {error}") from None


def _refuse(broken: bool, rule: str, message: str) -> None:
    if broken:
        raise MalformedNetwork(rule, message)


def _check_names(network: Network) -> None:
    _refuse(not network.steps, "empty", "a network without steps does nothing")
    _refuse(not network.outputs, "empty", "a network without outputs tells nothing")
    seen: set[str] = set()
    declared: Iterable[tuple[str, str]] = (
        *(("input", x.name) for x in network.inputs),
        *(("matrix", x.name) for x in network.matrices),
        *(("parameter", x.name) for x in network.parameters),
        *(("state", x.name) for x in network.states),
    )
    for what, name in declared:
        legal = _LEGAL.fullmatch(name)
        _refuse(not legal, "name", f"{what} {name!r}: letters, digits and _ . - make a name")
        _refuse(name in seen, "redefined", f"{what} {name}: the name is declared twice")
        seen.add(name)
    for carries in ("token", "position"):
        count = sum(x.carries == carries for x in network.inputs)
        _refuse(count > 1, "inputs", f"{count} inputs carry the {carries}; one may")
    for given in network.inputs:
        counts = given.carries != "data"
        wrong = counts and (given.shape or given.kind != "index")
        _refuse(bool(wrong), "inputs", f"input {given.name}: a {given.carries} is a single index")
        fits = given.kind in ("real", "index", "truth")
        _refuse(not fits, "inputs", f"input {given.name}: {given.kind} do not come from outside")
        _refuse(
            any(isinstance(dim, Positions) or dim < 1 for dim in given.shape),
            "shape", f"input {given.name}: lengths of axes are known and at least 1",
        )  # fmt: skip
    _refuse(
        network.context is not None and network.context < 1,
        "context", f"a context of {network.context} positions",
    )  # fmt: skip


def _check_shape(shape: tuple[int, ...]) -> None:
    _refuse(min(shape, default=1) < 1, "shape", f"{list(shape)} has an axis without entries")


def _same_shape(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    _refuse(
        given != expected, "source", f"its source gives {list(given)}, not {list(expected)}"
    )  # fmt: skip


def _check_keeps(keeps: object) -> None:
    match keeps:
        case Ring(length=count) | Append(window=int() as count):
            _refuse(count < 1, "keeps", f"keeps {count} entries; at least 1")


def _check_matrix(matrix: Matrix) -> None:
    _check_shape((matrix.count, matrix.rows, matrix.columns))
    whole = matrix.columns + matrix.padding
    _refuse(
        whole % BLOCK != 0,
        "blocks", f"{whole} inputs are not in blocks of {BLOCK}: declare its padding",
    )  # fmt: skip
    _refuse(
        not 0 <= matrix.padding < BLOCK,
        "padding", f"{matrix.padding} inputs of padding; less than a block of {BLOCK}",
    )  # fmt: skip
    _same_shape(source_shape(matrix.source), matrix.shape)
    if matrix.bias is not None:
        with _at("bias"):
            _same_shape(source_shape(matrix.bias), matrix.shape[:-1])
    cut = matrix.cut
    along = matrix.columns if cut.how == "heads_in" else matrix.rows
    _refuse(
        cut.group < 1 or along % cut.group != 0,
        "cut", f"runs of {cut.group} do not divide {along}",
    )  # fmt: skip
    in_runs = cut.how.startswith("heads")
    _refuse(
        not in_runs and cut.group != 1, "cut", f"{cut.how} has no runs, but a group of {cut.group}"
    )
    alone = matrix.members is None
    _refuse(cut.how == "members" and alone, "cut", "a single matrix has no members to cut by")
    _refuse(in_runs and not alone, "cut", "a bank of members is not cut by heads")


def _check_tensors(network: Network) -> None:
    """A tensor of the checkpoint has one shape, whoever takes it."""
    sources: list[Source] = [p.source for p in network.parameters]
    for matrix in network.matrices:
        sources += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    shapes: dict[str, tuple[int, ...]] = {}
    for leaf in (leaf for source in sources for leaf in all_leaves(source)):
        for name, shape in leaf_tensors(leaf).items():
            known = shapes.setdefault(name, shape)
            text = f"tensor {name} is taken as {list(known)} and as {list(shape)}"
            _refuse(known != shape, "tensor", text)


def _check_cuts(matrices: Iterable[Matrix]) -> None:
    """Matrices cut together have as many runs."""
    runs: dict[str, tuple[str, int]] = {}
    for matrix in matrices:
        cut = matrix.cut
        if cut.together is None:
            continue
        count = (matrix.columns if cut.how == "heads_in" else matrix.rows) // cut.group
        if not cut.how.startswith("heads"):
            count = matrix.count
        first, expected = runs.setdefault(cut.together, (matrix.name, count))
        _refuse(
            count != expected, "cut together",
            f"matrix {matrix.name}: {count} runs, but {first}, cut together with it, has {expected}",
        )  # fmt: skip


def _check_steps(network: Network) -> dict[str, ValueType]:
    """Every step's rule, names defined once."""
    known = network.declared()
    taken = set(known.matrices) | set(known.parameters) | set(known.states)
    values = {x.name: ValueType(x.shape, x.kind) for x in network.inputs}
    values |= {name: ValueType(p.shape) for name, p in known.parameters.items()}
    for number, step in enumerate(network.steps):
        with _at(place_of(number, step)):
            for dim in _written_dims(step):
                _refuse(dim < 1, "shape", f"writes an axis of length {dim}")
            types = step_types(step, values, known)
            for name, type_ in zip(step.outs, types, strict=True):
                _refuse(name in values or name in taken, "redefined", f"{name} is defined already")
                _refuse(not _LEGAL.fullmatch(name), "name", f"{name!r} is no legal name")
                values[name] = type_
    for name in network.outputs:
        defined = name in values and name not in taken
        _refuse(not defined, "undefined", f"output {name} is defined by no step")
        kind = values[name].kind
        _refuse(kind in ("digits", "sums", "wide"), "kind", f"output {name}: {kind} stay inside")
    twice = len(set(network.outputs)) < len(network.outputs)
    _refuse(twice, "redefined", "an output is named twice")
    return values


def place_of(number: int, step: Step) -> str:
    """How messages call a step: step 17 (mul b0.norm.mul_1)."""
    named = step.outs[0] if step.outs else getattr(step.op, "state", "")
    return f"step {number} ({op_name(step.op)} {named})"


def _written_dims(step: Step) -> Iterator[int]:
    written: tuple[int | Positions, ...] = ()
    match step.op:
        case Reshape(shape=shape):
            written = shape
        case Split(sizes=sizes):
            written = sizes
    yield from (dim for dim in written if isinstance(dim, int))


def _check_states(network: Network) -> None:
    """One write per state and position, reads on the side of it that they say."""
    writes: dict[str, int] = {}
    for number, step in enumerate(network.steps):
        if isinstance(step.op, Write):
            state = step.op.state
            twice = state in writes
            with _at(place_of(number, step)):
                _refuse(twice, "writes", f"{state} is written before, by step {writes.get(state)}")
            writes[state] = number
    for number, step in enumerate(network.steps):
        if isinstance(step.op, Read):
            state = step.op.state
            with _at(place_of(number, step)):
                _refuse(state not in writes, "writes", f"{state} is read, but no step writes it")
                before = number < writes[state]
                right = before == (step.op.when == "before")
                _refuse(
                    not right, "order",
                    f"reads {state} {step.op.when} its write, which is step {writes[state]}",
                )  # fmt: skip


def _check_sums(steps: Iterable[Step]) -> None:
    """Sums go back to reals by the matrix and the members that made them."""
    made: dict[str, tuple[str, tuple[Arg, ...]]] = {}
    for number, step in enumerate(steps):
        match step.op:
            case Project(matrix=name):
                made[step.outs[0]] = name, step.args[1:]
            case FromSums(matrix=name):
                with _at(place_of(number, step)):
                    of, members = made.get(str(step.args[0]), ("no projection beside it", ()))
                    _refuse(of != name, "sums", f"sums are of {of}, not of {name}")
                    same = members == step.args[1:]
                    _refuse(not same, "sums", "its sums are of members that were chosen otherwise")
            case Repeat(body=body):
                with _at(place_of(number, step)):
                    _check_sums(body)


def _check_use(network: Network) -> None:
    """Everything that is declared is used, and so is something of every step."""
    used, projected, read = set(network.outputs), set[str](), set[str]()
    for step in all_steps(network.steps):
        used.update(arg for arg in step.args if isinstance(arg, str))
        match step.op:
            case Project(matrix=name):
                projected.add(name)
            case Lookup(table=name):
                used.add(name)
            case Read(state=name):
                read.add(name)
    places = (
        *((f"matrix {x.name}", x.name in projected) for x in network.matrices),
        *((f"parameter {x.name}", x.name in used) for x in network.parameters),
        *((f"state {x.name}", x.name in read) for x in network.states),
        *((f"input {x.name}", x.name in used) for x in network.inputs),
        *(
            (place_of(number, step), bool(used.intersection(step.outs)))
            for number, step in enumerate(network.steps)
            if step.outs
        ),
    )
    for place, is_used in places:
        _refuse(not is_used, "unused", f"{place}: nothing uses it")


def _check_blocks(network: Network) -> None:
    """Steps of a block stand together, and what is declared of a block is used there alone."""
    known = network.declared()
    of: dict[str, int | None] = {}
    for things in (known.matrices, known.parameters, known.states):
        of.update({name: thing.block for name, thing in things.items()})
    left: set[int] = set()
    before: int | None = None
    for number, step in enumerate(network.steps):
        with _at(place_of(number, step)):
            if before is not None and step.block != before:
                left.add(before)
            _refuse(step.block in left, "block", f"block {step.block} has ended before")
            before = step.block
            for name in taken_by(step):
                foreign = of.get(name) not in (None, step.block)
                _refuse(foreign, "block", f"{name} is of block {of.get(name)}")


def _check_spans(network: Network) -> None:
    """Spans nest: each lies within steps, within or beside every other, outer ones first."""
    names: set[str] = set()
    in_order = sorted(network.spans, key=lambda span: (span.start, -span.stop))
    _refuse(in_order != list(network.spans), "span", "spans are not listed as they begin")
    open_spans: list[Span] = []
    for span in network.spans:
        with _at(f"span {span.name} ({span.composite})"):
            _refuse(not _LEGAL.fullmatch(span.name), "name", f"{span.name!r} is no legal name")
            _refuse(span.name in names, "redefined", "the name is given to two spans")
            names.add(span.name)
            inside = 0 <= span.start < span.stop <= len(network.steps)
            _refuse(not inside, "span", f"steps {span.start} to {span.stop} are not in the network")
            while open_spans and open_spans[-1].stop <= span.start:
                open_spans.pop()
            crosses = bool(open_spans) and span.stop > open_spans[-1].stop
            _refuse(crosses, "span", f"crosses the end of {open_spans[-1].name if crosses else ''}")
            open_spans.append(span)
            blocks = {step.block for step in network.steps[span.start : span.stop]}
            _refuse(len(blocks) > 1, "span", "lies in more than one block")
