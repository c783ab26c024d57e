"""Steps on each number for itself.  Shapes are aligned as NumPy does (`broadcast`).

Arithmetic gives reals; among wides and written numbers it stays wide.  An index in arithmetic is
the real of its value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Declared
from hnlpu.model.network._types import ValueType, broadcast
from hnlpu.model.network.ops._rules import arithmetic_kind, expect_args, expect_kind


@dataclass(frozen=True)
class _Pair:
    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """What arithmetic gives, of the common shape."""
        a, b = expect_args(args, 2)
        return (ValueType(broadcast([a.shape, b.shape]), arithmetic_kind(args)),)


@dataclass(frozen=True)
class Add(_Pair):
    """a + b."""


@dataclass(frozen=True)
class Sub(_Pair):
    """a - b."""


@dataclass(frozen=True)
class Mul(_Pair):
    """a * b."""


@dataclass(frozen=True)
class Divide(_Pair):
    """a / b."""


@dataclass(frozen=True)
class Minimum(_Pair):
    """The smaller of a and b."""


@dataclass(frozen=True)
class Maximum(_Pair):
    """The larger of a and b."""


@dataclass(frozen=True)
class Shift:
    """x * 2^bits: no multiplier is needed."""

    bits: int

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """As x."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real", "wide")
        if not -64 <= self.bits <= 64:
            raise MalformedNetwork("bits", f"a shift by {self.bits} bits leaves every word")
        return (x,)


@dataclass(frozen=True)
class Compare:
    """Whether a RELATION b."""

    relation: Literal["less", "less_equal", "equal"]

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Truths of the common shape."""
        a, b = expect_args(args, 2)
        arithmetic_kind(args)
        return (ValueType(broadcast([a.shape, b.shape]), "truth"),)


@dataclass(frozen=True)
class Where:
    """a where a truth holds, b elsewhere."""

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """What arithmetic gives, of the common shape."""
        truth, a, b = expect_args(args, 3)
        expect_kind(truth, "truth")
        kind = "real" if a.kind == b.kind == "number" else arithmetic_kind((a, b))
        return (ValueType(broadcast([truth.shape, a.shape, b.shape]), kind),)


@dataclass(frozen=True)
class InverseRoot:
    """1 / sqrt(x), rounded once."""

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Reals of x's shape."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real", "wide")
        return (ValueType(x.shape, "real"),)


Function = Literal[
    "exp",
    "log",
    "sigmoid",
    "tanh",
    "softplus",
    "gelu",
    "gelu_tanh",
    "sin",
    "cos",
    "round",
    "polynomial",
]


@dataclass(frozen=True)
class Table:
    """scale * f(x), rounded once: a function of one number, which hardware keeps as a table.

    round is the nearest whole number, of two the even one; softplus is log(1 + e^x); gelu is x times the normal distribution's integral, gelu_tanh its
    approximation by tanh; a polynomial has `coefficients` of rising powers.
    """

    function: Function
    scale: float = 1.0
    coefficients: tuple[float, ...] = ()

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Reals of x's shape."""
        (x,) = expect_args(args, 1)
        expect_kind(x, "real", "wide")
        if (self.function == "polynomial") != bool(self.coefficients):
            raise MalformedNetwork(
                "coefficients", f"{self.function} with {len(self.coefficients)} coefficients"
            )
        if not all(map(math.isfinite, (self.scale, *self.coefficients))) or not self.scale:
            raise MalformedNetwork("number", "its scale and coefficients must be finite numbers")
        return (ValueType(x.shape, "real"),)
