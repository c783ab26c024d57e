"""Whether a network keeps the rules; run after every pass that makes or changes one.

Each rule has a name, which MalformedNetwork carries, and the message names the step, the
declaration or the span that breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable

from hnlpu.model.network._check_declared import check_declared
from hnlpu.model.network._form import Network, Span
from hnlpu.model.network._infer import all_steps, op_name, step_types, taken_by
from hnlpu.model.network._rules import LEGAL_NAME, at, refuse_if
from hnlpu.model.network._types import ValueType
from hnlpu.model.network.ops import Arg, FromSums, Lookup, Project, Read, Repeat, Step, Write


def check(network: Network) -> dict[str, ValueType]:
    """Types of all values of a network; raises MalformedNetwork where it breaks a rule."""
    check_declared(network)
    values = _check_steps(network)
    _check_outputs(network, values)
    _check_states(network)
    _check_sums(network.steps)
    _check_use(network)
    _check_blocks(network)
    _check_spans(network)
    return values


def _check_steps(network: Network) -> dict[str, ValueType]:
    """Every step's rule, names defined once."""
    refuse_if(not network.steps, "empty", "a network without steps does nothing")
    known = network.declared()
    taken = set(known.matrices) | set(known.parameters) | set(known.states)
    values = {x.name: ValueType(x.shape, x.kind) for x in network.inputs}
    values |= {name: ValueType(p.shape) for name, p in known.parameters.items()}
    for number, step in enumerate(network.steps):
        with at(place_of(number, step)):
            types = step_types(step, values, known)
            for name, type_ in zip(step.outs, types, strict=True):
                refuse_if(
                    name in values or name in taken, "redefined", f"{name} is defined already"
                )
                refuse_if(not LEGAL_NAME.fullmatch(name), "name", f"{name!r} is no legal name")
                values[name] = type_
    return values


def _check_outputs(network: Network, values: dict[str, ValueType]) -> None:
    refuse_if(not network.outputs, "empty", "a network without outputs tells nothing")
    parameters = {parameter.name for parameter in network.parameters}
    for name in network.outputs:
        with at(f"output {name}"):
            defined = name in values and name not in parameters
            refuse_if(not defined, "undefined", "no step defines it")
            kind = values[name].kind
            refuse_if(kind in ("digits", "sums", "wide"), "kind", f"{kind} stay inside")
    twice = len(set(network.outputs)) < len(network.outputs)
    refuse_if(twice, "redefined", "an output is named twice")


def place_of(number: int, step: Step) -> str:
    """How messages call a step: step 17 (mul b0.norm.mul_1)."""
    named = step.outs[0] if step.outs else getattr(step.op, "state", "")
    return f"step {number} ({op_name(step.op)} {named})"


def _check_states(network: Network) -> None:
    """One write per state and position, reads on the side of it that they say."""
    writes: dict[str, int] = {}
    for number, step in enumerate(network.steps):
        if isinstance(step.op, Write):
            state = step.op.state
            twice = state in writes
            with at(place_of(number, step)):
                refuse_if(
                    twice, "writes", f"{state} is written before, by step {writes.get(state)}"
                )
            writes[state] = number
    for number, step in enumerate(network.steps):
        if isinstance(step.op, Read):
            state = step.op.state
            with at(place_of(number, step)):
                refuse_if(state not in writes, "writes", f"{state} is read, but no step writes it")
                before = number < writes[state]
                right = before == (step.op.when == "before")
                text = f"reads {state} {step.op.when} its write, which is step {writes[state]}"
                refuse_if(not right, "order", text)


def _check_sums(steps: Iterable[Step]) -> None:
    """Sums go back to reals by the matrix and the members that made them."""
    made: dict[str, tuple[str, tuple[Arg, ...]]] = {}
    for number, step in enumerate(steps):
        match step.op:
            case Project(matrix=name):
                made[step.outs[0]] = name, step.args[1:]
            case FromSums(matrix=name):
                with at(place_of(number, step)):
                    of, members = made.get(str(step.args[0]), ("no projection beside it", ()))
                    refuse_if(of != name, "sums", f"sums are of {of}, not of {name}")
                    same = members == step.args[1:]
                    refuse_if(
                        not same, "sums", "its sums are of members that were chosen otherwise"
                    )
            case Repeat(body=body):
                with at(place_of(number, step)):
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
        refuse_if(not is_used, "unused", f"{place}: nothing uses it")


def _check_blocks(network: Network) -> None:
    """Steps of a block stand together, and what is declared of a block is used there alone."""
    known = network.declared()
    of: dict[str, int | None] = {}
    for things in (known.matrices, known.parameters, known.states):
        of.update({name: thing.block for name, thing in things.items()})
    left: set[int] = set()
    before: int | None = None
    for number, step in enumerate(network.steps):
        with at(place_of(number, step)):
            if before is not None and step.block != before:
                left.add(before)
            refuse_if(step.block in left, "block", f"block {step.block} has ended before")
            before = step.block
            for name in taken_by(step):
                foreign = of.get(name) not in (None, step.block)
                refuse_if(foreign, "block", f"{name} is of block {of.get(name)}")


def _check_spans(network: Network) -> None:
    """Spans nest: each lies within steps, within or beside every other, outer ones first."""
    names: set[str] = set()
    in_order = sorted(network.spans, key=lambda span: (span.start, -span.stop))
    refuse_if(in_order != list(network.spans), "span", "spans are not listed as they begin")
    open_spans: list[Span] = []
    for span in network.spans:
        with at(f"span {span.name} ({span.composite})"):
            refuse_if(
                not LEGAL_NAME.fullmatch(span.name), "name", f"{span.name!r} is no legal name"
            )
            refuse_if(span.name in names, "redefined", "the name is given to two spans")
            names.add(span.name)
            inside = 0 <= span.start < span.stop <= len(network.steps)
            refuse_if(
                not inside, "span", f"steps {span.start} to {span.stop} are not in the network"
            )
            while open_spans and open_spans[-1].stop <= span.start:
                open_spans.pop()
            crosses = bool(open_spans) and span.stop > open_spans[-1].stop
            refuse_if(
                crosses, "span", f"crosses the end of {open_spans[-1].name if crosses else ''}"
            )
            open_spans.append(span)
            blocks = {step.block for step in network.steps[span.start : span.stop]}
            refuse_if(len(blocks) > 1, "span", "lies in more than one block")
