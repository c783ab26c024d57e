"""Types of the values that steps define, each from its operation's rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Declared
from hnlpu.model.network._types import ValueType, shape_text
from hnlpu.model.network.ops import Arg, Lookup, Op, Project, Read, Repeat, Step, Write


def op_name(op: Op) -> str:
    """What messages and the text form call an operation."""
    return class_name(type(op))


def class_name(of: type) -> str:
    """The same of a class."""
    return "".join("_" + c.lower() if c.isupper() else c for c in of.__name__).lstrip("_")


def out_types(op: Op, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
    """Types of what a step gives; raises MalformedNetwork."""
    return _repeat_types(op, args, known) if isinstance(op, Repeat) else op.types(args, known)


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps and those within them."""
    for step in steps:
        yield step
        if isinstance(step.op, Repeat):
            yield from all_steps(step.op.body)


def taken_by(step: Step) -> Iterator[str]:
    """Names of what a step takes: values, and the matrix, parameter or state that it names."""
    for each in all_steps([step]):
        yield from (arg for arg in each.args if isinstance(arg, str))
        match each.op:
            case Project(matrix=name) | Lookup(table=name) | Read(state=name) | Write(state=name):
                yield name


def step_types(step: Step, values: Mapping[str, ValueType], known: Declared) -> list[ValueType]:
    """Types of a step's `outs`, given those of all values before it; raises MalformedNetwork."""
    args = tuple(_arg_type(arg, values) for arg in step.args)
    types = out_types(step.op, args, known)
    if len(types) != len(step.outs):
        raise MalformedNetwork("outs", f"defines {len(types)} values, names {len(step.outs)}")
    return list(types)


def _arg_type(arg: Arg, values: Mapping[str, ValueType]) -> ValueType:
    if isinstance(arg, str):
        if arg not in values:
            raise MalformedNetwork("undefined", f"takes {arg}, which is not defined before it")
        return values[arg]
    if not math.isfinite(arg):
        raise MalformedNetwork("number", f"takes {arg}; numbers in steps are finite")
    return ValueType((), "number")


def _repeat_types(
    op: Repeat, args: tuple[ValueType, ...], known: Declared
) -> tuple[ValueType, ...]:
    if op.ticks < 1:
        raise MalformedNetwork("ticks", f"repeats {op.ticks} times; at least once")
    if len(args) != len(op.inputs) or not 1 <= len(op.outputs) <= len(op.inputs):
        raise MalformedNetwork("arguments", "inputs, values and outputs of its body do not match")
    values = {name: ValueType(p.shape) for name, p in known.parameters.items()}
    for name, type_ in zip(op.inputs, args, strict=True):
        if name in values:
            raise MalformedNetwork("redefined", f"its body defines {name} twice")
        values[name] = type_
    for step in op.body:
        if isinstance(step.op, Read | Write):
            raise MalformedNetwork("repeat", f"its body reaches for the state {step.op.state}")
        for name, type_ in zip(step.outs, step_types(step, values, known), strict=True):
            if name in values:
                raise MalformedNetwork("redefined", f"its body defines {name} twice")
            values[name] = type_
    for name in (*op.outputs, *((op.until,) if op.until else ())):
        if name not in values:
            raise MalformedNetwork("undefined", f"its body does not define {name}")
    if op.until and values[op.until] != ValueType((), "truth"):
        raise MalformedNetwork("kind", f"ends by {op.until}, which is {values[op.until]}")
    outs = tuple(values[name] for name in op.outputs)
    for before, after in zip(args, outs, strict=False):
        if before != after:
            raise MalformedNetwork(
                "carried",
                f"carries {before} in and {after} on; {shape_text(before.shape)} expected",
            )
    return outs
