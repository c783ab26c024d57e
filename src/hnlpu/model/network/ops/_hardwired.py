"""Steps that constants take part in: wires, the bridge to and from them, tables in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Declared, Matrix
from hnlpu.model.network._types import ValueType, broadcast, shape_text
from hnlpu.model.network.ops._rules import declared, expect_args, expect_kind


@dataclass(frozen=True)
class Quantize:
    """x [..., n] to the integers that wires take, with a scale for each of `scope`.

    `bits` is the integers' width; None leaves it to the build's policy.  `row`: a scale for each
    row of the last axis; `value`: one for all of x.  In float numerics x stays as it is.
    """

    scope: Literal["row", "value"] = "row"
    bits: int | None = None

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Digits of the same shape."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real")
        if self.bits is not None and not 2 <= self.bits <= 16:
            raise MalformedNetwork("bits", f"activations of {self.bits} bits; wires take 2 to 16")
        if not x.shape:
            raise MalformedNetwork("rank", "a single number has no row to quantise")
        return (ValueType(x.shape, "digits"),)


@dataclass(frozen=True)
class Project:
    """A matrix times digits x [..., columns]: sums [..., rows].

    `members` says which of a matrix's members take part:
    one      it is a single matrix, which all rows of x pass
    chosen   x and members' numbers i [...]: each row passes the member that its number chooses
    each     row m of x [..., members, columns] passes member m
    """

    matrix: str
    members: Literal["one", "chosen", "each"] = "one"

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Sums, a row of the matrix's rows for every row of x."""
        matrix = declared(known.matrices, self.matrix, "matrix")
        x, *chosen = expect_args(args, 2 if self.members == "chosen" else 1)
        expect_kind(x, "digits")
        if not x.shape or x.shape[-1] != matrix.columns:
            raise MalformedNetwork(
                "columns",
                f"{matrix.name} has {matrix.columns} columns, its input is {shape_text(x.shape)}",
            )
        if (matrix.members is None) != (self.members == "one"):
            has = "is one" if matrix.members is None else f"has {matrix.members} members"
            raise MalformedNetwork("members", f"{matrix.name} {has}, asked for: {self.members}")
        rows = x.shape[:-1]
        if self.members == "each" and rows[-1:] != (matrix.members,):
            raise MalformedNetwork(
                "members",
                f"{matrix.name} has {matrix.members} members, its input is {shape_text(x.shape)}",
            )
        for numbers in chosen:
            expect_kind(numbers, "index")
            if broadcast([rows, numbers.shape]) != numbers.shape:
                raise MalformedNetwork(
                    "members",
                    f"members {shape_text(numbers.shape)} are not chosen for every row of "
                    f"{shape_text(x.shape)}",
                )
            rows = numbers.shape
        return (ValueType((*rows, matrix.rows), "sums"),)


@dataclass(frozen=True)
class FromSums:
    """A matrix's sums to reals: times the scales of rows and activations, plus the bias.

    Where members were chosen, their numbers come along, since scales and biases are theirs.
    """

    matrix: str

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Reals of the same shape."""
        matrix: Matrix = declared(known.matrices, self.matrix, "matrix")
        if len(args) not in (1, 2):
            raise MalformedNetwork("arguments", f"takes sums and perhaps members, not {len(args)}")
        sums, *chosen = args
        expect_kind(sums, "sums")
        if sums.shape[-1] != matrix.rows:
            raise MalformedNetwork(
                "columns",
                f"{matrix.name} has {matrix.rows} rows, its sums {shape_text(sums.shape)}",
            )
        for numbers in chosen:
            expect_kind(numbers, "index")
            if numbers.shape != sums.shape[:-1]:
                raise MalformedNetwork(
                    "members",
                    f"members {shape_text(numbers.shape)} of sums {shape_text(sums.shape)}",
                )
        return (ValueType(sums.shape, "real"),)


@dataclass(frozen=True)
class Lookup:
    """Entries of a parameter along its first axis, by their numbers i [...]: an embedding."""

    table: str

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """[..., rest of the table's shape]."""
        table = declared(known.parameters, self.table, "parameter")
        (numbers,) = expect_args(args, 1)
        expect_kind(numbers, "index")
        if not table.shape:
            raise MalformedNetwork("rank", f"{table.name} is a single number, not a table")
        return (ValueType((*numbers.shape, *table.shape[1:]), "real"),)
