"""What each operation of a network does in `float` numerics, one position at a time.

Stated order of operations:

- a real is float32, a wide float64; every product, sum and quotient rounds once;
- a wide rounds to float32 where it meets a real; a written number rounds to what it meets;
- a function (exp, sigmoid, 1 / sqrt, ...) is taken in float64 with its scale, then rounded once;
- sums run in index order, products of a `dot` rounded before they are added unless it is wide;
- nothing is fused or re-associated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.emulate._weights import Activations
from hnlpu.network import Dim, ops

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


class Constants(Protocol):
    """A network's constants in float numerics; `Weights` of a build offers the first two."""

    def prepare(self, x: Float32) -> Activations:
        """x [rows, n] in the form that `project` takes."""
        ...

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        ...

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        ...

    def rows(self, name: str, numbers: Array) -> Float32:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        ...


@dataclass(frozen=True)
class Digits:
    """Quantised activations of shape [*rows, n]: rows `first`, first + 1, ... of `prepared`."""

    prepared: Activations
    first: int
    rows: tuple[int, ...]

    def taken(self, rows: tuple[int, ...]) -> Array:
        """Numbers of the prepared rows that rows of this shape come from, flat."""
        own = np.arange(self.first, self.first + math.prod(self.rows)).reshape(self.rows)
        return np.broadcast_to(own, rows).ravel()


def run_many(op: ops.Op, args: list[list[Any]], constants: Constants) -> list[tuple[Any, ...]]:
    """`run_step` at several positions; what passes wires does so for all of them together."""
    match op:
        case ops.Quantize():
            return _quantize(args, constants)
        case ops.Project() if len({id(at[0].prepared) for at in args}) == 1:
            return _project(op, args, constants)
        case _:
            return [run_step(op, at, constants) for at in args]


def run_step(op: ops.Op, args: list[Any], constants: Constants) -> tuple[Any, ...]:
    """Values that a step defines.  State and repetition are the interpreter's."""
    match op:
        case ops.Project():
            return _project(op, [args], constants)[0]
        case ops.Lookup(table):
            return (constants.rows(table, np.asarray(args[0])),)
        case ops.Quantize():
            return _quantize([args], constants)[0]
        case ops.FromSums():
            return (args[0],)  # `project` has scaled them and added the bias
        case ops.Add():
            return (_arithmetic(np.add, args),)
        case ops.Sub():
            return (_arithmetic(np.subtract, args),)
        case ops.Mul():
            return (_arithmetic(np.multiply, args),)
        case ops.Divide():
            return (_arithmetic(np.divide, args),)
        case ops.Minimum():
            return (_arithmetic(np.minimum, args),)
        case ops.Maximum():
            return (_arithmetic(np.maximum, args),)
        case ops.Shift(bits):
            return (np.ldexp(args[0], bits),)
        case ops.Compare(relation):
            compare: dict[str, Any] = {
                "less": np.less, "less_equal": np.less_equal, "equal": np.equal,
            }  # fmt: skip
            return (_arithmetic(compare[relation], args),)
        case ops.Where():
            return (np.where(args[0], *_alike(args[1:])),)
        case ops.Table(function, scale, coefficients):
            return (_table(function, scale, coefficients, args[0]),)
        case ops.InverseRoot():
            return (_real(1.0 / np.sqrt(np.asarray(args[0], np.float64))),)
        case ops.Sum(axis, keep, wide):
            x = np.asarray(args[0], np.float64 if wide else np.float32)
            total = np.take(np.cumsum(x, axis), -1, axis)
            return (np.expand_dims(total, axis) if keep else total,)
        case ops.Max(axis, keep):
            return (np.max(args[0], axis, keepdims=keep),)
        case ops.Dot(axes, wide):
            return (_dot(axes, args[0], args[1], np.float64 if wide else np.float32),)
        case ops.Outer(axes):
            return (np.multiply(*_aligned(axes, *args)),)
        case ops.TopK(k):
            order = np.argsort(-args[0], axis=-1, kind="stable")[..., :k]
            return np.take_along_axis(args[0], order, -1), order
        case ops.ArgMax():
            return (np.argmax(args[0], axis=-1),)
        case ops.Reshape(shape):
            lengths = [length if isinstance(length, int) else -1 for length in shape]
            return (args[0].reshape(lengths),)
        case ops.Permute(order):
            return (args[0].transpose(order),)
        case ops.Split(sizes, axis):
            return tuple(_split(args[0], sizes, axis))
        case ops.Concat(axis):
            return (np.concatenate(args, axis),)
        case ops.Gather(axis):
            return (np.take(args[0], args[1], axis),)
        case ops.Window():
            return (_window(op, args[0]),)
        case ops.Read() | ops.Write() | ops.Repeat():
            raise AssertionError("the interpreter's own")
        case _:
            assert_never(op)


def _real(x: Any) -> Array:
    return np.asarray(x, np.float32)


def _alike(args: list[Any]) -> list[Any]:
    """Arguments in one type: float64 if all are wide or written numbers, else float32."""
    values = [arg for arg in args if type(arg) is not float]
    wide = bool(values) and all(value.dtype == np.float64 for value in values)
    kind = np.float64 if wide else np.float32
    return [np.asarray(arg, kind) for arg in args]


def _arithmetic(function: Callable[..., Any], args: list[Any]) -> Array:
    return np.asarray(function(*_alike(args)))


def _table(function: ops.Function, scale: float, coefficients: tuple[float, ...], x: Any) -> Array:
    x = np.asarray(x, np.float64)
    match function:
        case "exp":
            y = np.exp(x)
        case "log":
            y = np.log(x)
        case "sigmoid":
            y = 1.0 / (1.0 + np.exp(-x))
        case "tanh":
            y = np.tanh(x)
        case "softplus":
            y = np.logaddexp(0.0, x)
        case "gelu":
            y = x * 0.5 * (1.0 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2.0)))
        case "gelu_tanh":
            inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
            y = x * 0.5 * (1.0 + np.tanh(inner))
        case "sin":
            y = np.sin(x)
        case "cos":
            y = np.cos(x)
        case "polynomial":
            y = np.polynomial.polynomial.polyval(x, np.asarray(coefficients))
        case _:
            assert_never(function)
    return _real(y * scale)


def _aligned(axes: str, a: Array, b: Array) -> tuple[Array, Array]:
    """Both sides with an axis for every letter: those of the result, then the others."""
    left, _, result = axes.partition("->")
    first, second = left.split(",")
    letters = result + "".join(letter for letter in first if letter not in result)
    sides = []
    for names, x in ((first, a), (second, b)):
        there = [letter for letter in letters if letter in names]
        x = x.transpose([names.index(letter) for letter in there])
        index = tuple(slice(None) if letter in names else None for letter in letters)
        sides.append(x[index])
    return sides[0], sides[1]


def _dot(axes: str, a: Array, b: Array, kind: type[np.floating[Any]]) -> Array:
    result = axes.partition("->")[2]
    a, b = _aligned(axes, a, b)
    products = np.multiply(a.astype(kind, copy=False), b.astype(kind, copy=False))
    flat = products.reshape(*products.shape[: len(result)], -1)
    return np.asarray(np.cumsum(flat, -1)[..., -1])


def _split(x: Array, sizes: tuple[Dim, ...], axis: int) -> list[Array]:
    known = sum(size for size in sizes if isinstance(size, int))
    lengths = [size if isinstance(size, int) else x.shape[axis] - known for size in sizes]
    return np.split(x, np.cumsum(lengths)[:-1].tolist(), axis)


def _window(op: ops.Window, x: Array) -> Array:
    x = np.pad(x, (*op.pads, (0, 0)))
    for axis, (size, stride, dilation) in enumerate(
        zip(op.sizes, op.strides, op.dilations, strict=True)
    ):
        count = (x.shape[axis] - dilation * (size - 1) - 1) // stride + 1
        places = np.arange(count)[:, None] * stride + np.arange(size) * dilation
        x = np.take(x, places, axis)  # the window's places follow their window
        x = np.moveaxis(x, axis + 1, len(op.sizes) + axis)
    return x.reshape(*x.shape[: len(op.sizes)], -1)


def _quantize(args: list[list[Any]], constants: Constants) -> list[tuple[Digits]]:
    flat = [np.reshape(x, (-1, np.shape(x)[-1])) for (x,) in args]
    prepared = constants.prepare(np.concatenate(flat))
    starts = np.cumsum([0, *(len(rows) for rows in flat)]).tolist()
    return [
        (Digits(prepared, start, np.shape(x)[:-1]),)
        for start, (x,) in zip(starts, args, strict=False)
    ]


def _project(op: ops.Project, args: list[list[Any]], constants: Constants) -> list[tuple[Array]]:
    """All rows of all positions, those of one member together."""
    shapes, taken, members = [], [], []
    for digits, *chosen in args:
        numbers = np.zeros((), np.int64)
        if op.members != "one":
            numbers = np.asarray(chosen[0]) if chosen else np.arange(digits.rows[-1])
        shapes.append(np.broadcast_shapes(digits.rows, numbers.shape))
        taken.append(digits.taken(shapes[-1]))
        members.append(np.broadcast_to(numbers, shapes[-1]).ravel())
    rows, of, prepared = np.concatenate(taken), np.concatenate(members), args[0][0].prepared
    order = np.argsort(of, kind="stable")
    present, starts = np.unique(of[order], return_index=True)
    made = [
        constants.project(op.matrix, prepared.take(rows[places]), int(member))
        for member, places in zip(present, np.split(order, starts[1:]), strict=True)
    ]
    y = np.empty((len(rows), made[0].shape[1]), np.float32)
    y[order] = np.concatenate(made)
    ends = np.cumsum([len(part) for part in taken])[:-1]
    pieces = zip(np.split(y, ends), shapes, strict=True)
    return [(piece.reshape(*shape, -1),) for piece, shape in pieces]
