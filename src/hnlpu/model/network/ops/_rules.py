"""What the rules of several steps have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._types import Kind, ValueType

Thing = TypeVar("Thing")


def expect_args(args: tuple[ValueType, ...], count: int) -> tuple[ValueType, ...]:
    """`args`, if there are `count` of them."""
    if len(args) != count:
        raise MalformedNetwork("arguments", f"takes {count} values, is given {len(args)}")
    return args


def expect_kind(value: ValueType, *kinds: Kind) -> None:
    """Raise unless a value is of one of `kinds`."""
    if value.kind not in kinds:
        raise MalformedNetwork("kind", f"takes {' or '.join(kinds)}, is given {value}")


def declared(things: Mapping[str, Thing], name: str, what: str) -> Thing:
    """The matrix, parameter or state of that name."""
    if name not in things:
        raise MalformedNetwork("undeclared", f"names the {what} {name}, which is not declared")
    return things[name]


def arithmetic_kind(args: tuple[ValueType, ...]) -> Kind:
    """Kind of what arithmetic gives: wide among wides and numbers, else real."""
    kinds = {arg.kind for arg in args}
    for arg in args:
        expect_kind(arg, "real", "wide", "index", "number")
    if kinds == {"number"}:
        raise MalformedNetwork("constant", "takes numbers only: write the result in their place")
    return "wide" if kinds <= {"wide", "number"} else "real"
