"""Steps that make fewer numbers of many.  Sums run in the order of the index."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Declared
from hnlpu.model.network._types import Dim, Positions, Shape, ValueType, axis_of, shape_text
from hnlpu.model.network.ops._rules import expect_args, expect_kind


def _without(shape: Shape, axis: int, keep: bool) -> Shape:
    axis = axis_of(shape, axis)
    return (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])


@dataclass(frozen=True)
class Sum:
    """Sum along an axis, which is gone or, with `keep`, has length 1; `wide` leaves it unrounded."""

    axis: int = -1
    keep: bool = False
    wide: bool = False

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """x without the axis."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real")
        shape = _without(x.shape, self.axis, self.keep)
        return (ValueType(shape, "wide" if self.wide else "real"),)


@dataclass(frozen=True)
class Max:
    """The largest along an axis, which is gone or, with `keep`, has length 1."""

    axis: int = -1
    keep: bool = False

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """x without the axis."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real")
        return (ValueType(_without(x.shape, self.axis, self.keep), "real"),)


@dataclass(frozen=True)
class Dot:
    """Products of two values, summed over the axes that the result lacks.

    `axes` names every axis by a letter, as in "hd,td->ht": scores of heads h at positions t.  With
    `wide` the sum is left unrounded.
    """

    axes: str
    wide: bool = False

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """The axes behind the arrow."""
        shape = _product_shape(self.axes, args, summed=True)
        return (ValueType(shape, "wide" if self.wide else "real"),)


@dataclass(frozen=True)
class Outer:
    """Products of two values, none summed: "k,v->kv"."""

    axes: str

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """The axes behind the arrow."""
        return (ValueType(_product_shape(self.axes, args, summed=False), "real"),)


def _product_shape(axes: str, args: tuple[ValueType, ...], *, summed: bool) -> Shape:
    a, b = expect_args(args, 2)
    left, arrow, result = axes.partition("->")
    names = left.split(",")
    if not arrow or len(names) != 2 or any(len(set(n)) < len(n) for n in (*names, result)):
        raise MalformedNetwork("axes", f"{axes!r} is not of the form ab,bc->ac")
    lengths: dict[str, Dim] = {}
    for letters, value in zip(names, (a, b), strict=True):
        expect_kind(value, "real")
        if len(letters) != len(value.shape):
            raise MalformedNetwork("axes", f"{letters!r} names {shape_text(value.shape)}")
        for letter, length in zip(letters, value.shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise MalformedNetwork(
                    "axes", f"axis {letter} has lengths {lengths[letter]} and {length}"
                )
    gone = set(lengths) - set(result)
    if not set(result) <= set(lengths):
        raise MalformedNetwork("axes", f"{axes!r} makes an axis that no side has")
    if bool(gone) != summed or not gone <= set(names[0]) & set(names[1]):
        raise MalformedNetwork(
            "axes", f"{axes!r} must sum {'over axes of both sides' if summed else 'nothing'}"
        )
    return tuple(lengths[letter] for letter in result)


@dataclass(frozen=True)
class TopK:
    """The k largest along the last axis and their numbers, falling; of equals the first."""

    k: int

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Values [..., k] and numbers [..., k]."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real")
        longest = x.shape[axis_of(x.shape, -1)]
        if isinstance(longest, Positions) or not 1 <= self.k <= longest:
            raise MalformedNetwork("axis", f"there are no {self.k} largest of {longest}")
        shape = (*x.shape[:-1], self.k)
        return ValueType(shape, "real"), ValueType(shape, "index")


@dataclass(frozen=True)
class ArgMax:
    """The number of the largest along the last axis; of equals the first."""

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Numbers [...]."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real")
        axis_of(x.shape, -1)
        return (ValueType(x.shape[:-1], "index"),)
