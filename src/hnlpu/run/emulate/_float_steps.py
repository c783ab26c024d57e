"""What each operation of a network does in `float` numerics, at one position or at many.

Stated order of operations:

- a real is float32, a wide float64; every product, sum and quotient rounds once;
- a wide rounds to float32 where it meets a real; a written number rounds to what it meets;
- a function (exp, sigmoid, 1 / sqrt, ...) is NumPy's in float64 with its scale, then rounded once;
- sums run in index order, products of a `dot` rounded before they are added unless it is wide;
- nothing is fused or re-associated, so that positions done together have the bits of each alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Dim, ops
from hnlpu.run.emulate._activations import Activations, Meeting

Array = npt.NDArray[Any]


class Constants(Protocol):
    """A network's constants, in float32 or, for chip numerics, as values."""

    def prepare(self, x: Array) -> Activations:
        """x [rows, n] in the form that `project` takes."""
        ...

    def project(self, name: str, x: Activations, index: int = 0) -> Array:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        ...

    def project_all(self, meetings: Sequence[Meeting]) -> list[Array]:
        """`project` of each, which may be done side by side."""
        ...

    def parameter(self, name: str) -> Array:
        """A parameter in its shape, in float32."""
        ...

    def rows(self, name: str, numbers: Array) -> Array:
        """Entries of a parameter by their numbers [...]: [..., rest of its shape]."""
        ...


@dataclass(frozen=True)
class Digits:
    """Quantised activations of shape [*rows, n]: rows `first`, first + 1, ... of `prepared`."""

    prepared: Activations
    first: int
    rows: tuple[int, ...]

    def at(self, position: int) -> Digits:
        """Those of one entry of the first axis; of the only one where there is one."""
        position = position if self.rows[0] > 1 else 0
        each = math.prod(self.rows[1:])
        return Digits(self.prepared, self.first + position * each, self.rows[1:])

    def numbers(self) -> Array:
        """Numbers of the prepared rows: [*rows]."""
        return np.arange(self.first, self.first + math.prod(self.rows)).reshape(self.rows)


def run_step(op: ops.Op, args: list[Any], constants: Constants, lead: int = 0) -> tuple[Any, ...]:
    """Values that a step defines.  State and repetition are the interpreter's.

    With `lead` 1 every value has an axis of positions in front, of length 1 where it is the same
    at all of them; numbers have none.
    """
    match op:
        case ops.Project():
            return project_together([(op, args[1:])], args[0], constants, lead)
        case ops.Lookup(table):
            return (constants.rows(table, np.asarray(args[0])),)
        case ops.Quantize():
            return (quantize(args[0], constants),)
        case ops.FromSums():
            return (args[0],)  # `project` has scaled them and added the bias
        case ops.Add():
            return (_arithmetic(np.add, args, lead),)
        case ops.Sub():
            return (_arithmetic(np.subtract, args, lead),)
        case ops.Mul():
            return (_arithmetic(np.multiply, args, lead),)
        case ops.Divide():
            return (_arithmetic(np.divide, args, lead),)
        case ops.Minimum():
            return (_arithmetic(np.minimum, args, lead),)
        case ops.Maximum():
            return (_arithmetic(np.maximum, args, lead),)
        case ops.Shift(bits):
            return (np.ldexp(args[0], bits),)
        case ops.Compare(relation):
            return (_arithmetic(_RELATIONS[relation], args, lead),)
        case ops.Where():
            truth, *choices = aligned_ranks(args, lead)
            return (np.where(truth, *_alike(choices)),)
        case ops.Table(function, scale, coefficients):
            return (_table(function, scale, coefficients, args[0]),)
        case ops.InverseRoot():
            return (_real(1.0 / np.sqrt(np.asarray(args[0], np.float64))),)
        case ops.Sum(axis, keep, wide):
            x, axis = np.asarray(args[0], np.float64 if wide else np.float32), behind(axis, lead)
            total = np.take(np.cumsum(x, axis), -1, axis)
            return (np.expand_dims(total, axis) if keep else total,)
        case ops.Max(axis, keep):
            return (np.max(args[0], behind(axis, lead), keepdims=keep),)
        case ops.Dot(axes, wide):
            return (_dot(axes, args[0], args[1], np.float64 if wide else np.float32, lead),)
        case ops.Outer(axes):
            return (np.multiply(*sides(axes, args[0], args[1], lead)[0]),)
        case ops.TopK(k):
            order = np.argsort(-args[0], axis=-1, kind="stable")[..., :k]
            return np.take_along_axis(args[0], order, -1), order
        case ops.ArgMax():
            return (np.argmax(args[0], axis=-1),)
        case ops.Reshape(shape):
            lengths = [length if isinstance(length, int) else -1 for length in shape]
            return (args[0].reshape(*args[0].shape[:lead], *lengths),)
        case ops.Permute(order):
            return (args[0].transpose(*range(lead), *(axis + lead for axis in order)),)
        case ops.Split(sizes, axis):
            return _split(args[0], sizes, behind(axis, lead))
        case ops.Concat(axis):
            return (np.concatenate(_as_long(args, lead), behind(axis, lead)),)
        case ops.Gather(axis):
            return (_gather(args[0], args[1], axis, lead),)
        case ops.Window():
            return (_window(op, args[0], lead),)
        case ops.Read() | ops.Write() | ops.Repeat():
            raise AssertionError("the interpreter's own")
        case _:
            assert_never(op)


MOST_AT_ONCE = 16
"""Products up to which those of one place are added to the sums of all; more, sum after sum."""

_RELATIONS: dict[str, Callable[..., Any]] = {
    "less": np.less, "less_equal": np.less_equal, "equal": np.equal,
}  # fmt: skip


def behind(axis: int, lead: int) -> int:
    """An axis of a value, counted with the axis of positions in front."""
    return axis if axis < 0 else axis + lead


def _real(x: Any) -> Array:
    return np.asarray(x, np.float32)


def _alike(args: list[Any]) -> list[Any]:
    """Arguments in one type: float64 if all are wide or written numbers, else float32."""
    values = [arg for arg in args if type(arg) is not float]
    wide = bool(values) and all(value.dtype == np.float64 for value in values)
    kind = np.float64 if wide else np.float32
    return [np.asarray(arg, kind) for arg in args]


def aligned_ranks(args: list[Any], lead: int) -> list[Any]:
    """Arguments with as many axes each, ones put in behind that of positions."""
    if not lead:
        return args
    most = max(arg.ndim for arg in args if isinstance(arg, np.ndarray))
    return [
        arg
        if not isinstance(arg, np.ndarray) or arg.ndim == most
        else arg.reshape(arg.shape[0], *[1] * (most - arg.ndim), *arg.shape[1:])
        for arg in args
    ]


def _arithmetic(function: Callable[..., Any], args: list[Any], lead: int) -> Array:
    return np.asarray(function(*_alike(aligned_ranks(args, lead))))


def _as_long(args: list[Any], lead: int) -> list[Array]:
    """Values with the same number of positions each."""
    if not lead:
        return args
    count = max(len(arg) for arg in args)
    return [np.broadcast_to(arg, (count, *arg.shape[1:])) for arg in args]


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
        case "round":
            y = np.rint(x)
        case "polynomial":
            y = np.polynomial.polynomial.polyval(x, np.asarray(coefficients))
        case _:
            assert_never(function)
    return _real(y * scale)


def sides(axes: str, a: Array, b: Array, lead: int) -> tuple[tuple[Array, Array], int]:
    """Both sides with an axis for every letter, those of the result first; how many these are."""
    left, _, result = axes.partition("->")
    first, second = left.split(",")
    front = "*" * lead
    first, second, result = front + first, front + second, front + result
    letters = result + "".join(letter for letter in first if letter not in result)
    found = []
    for names, x in ((first, a), (second, b)):
        there = [letter for letter in letters if letter in names]
        x = x.transpose([names.index(letter) for letter in there])
        found.append(x[tuple(slice(None) if letter in names else None for letter in letters)])
    return (found[0], found[1]), len(result)


def _dot(axes: str, a: Array, b: Array, kind: type[np.floating[Any]], lead: int) -> Array:
    (a, b), kept = sides(axes, a, b, lead)
    products = np.multiply(a.astype(kind, copy=False), b.astype(kind, copy=False))
    flat = products.reshape(*products.shape[:kept], -1)
    if flat.shape[-1] > MOST_AT_ONCE:
        return np.asarray(np.cumsum(flat, -1)[..., -1])
    total = flat[..., 0].copy()
    for n in range(1, flat.shape[-1]):
        total += flat[..., n]
    return total


def _split(x: Array, sizes: tuple[Dim, ...], axis: int) -> tuple[Array, ...]:
    known = sum(size for size in sizes if isinstance(size, int))
    x, pieces, start = np.moveaxis(x, axis, 0), [], 0
    for size in sizes:
        stop = start + (size if isinstance(size, int) else len(x) - known)
        pieces.append(np.moveaxis(x[start:stop], 0, axis))
        start = stop
    return tuple(pieces)


def _gather(x: Array, numbers: Array, axis: int, lead: int) -> Array:
    if not lead:
        return np.take(x, numbers, axis)
    pairs = zip(*_as_long([x, numbers], lead), strict=True)
    return np.stack([np.take(each, chosen, axis) for each, chosen in pairs])


def _window(op: ops.Window, x: Array, lead: int) -> Array:
    x = np.pad(x, (*[(0, 0)] * lead, *op.pads, (0, 0)))
    count = len(op.sizes)
    for n, (size, stride, dilation) in enumerate(
        zip(op.sizes, op.strides, op.dilations, strict=True)
    ):
        axis = lead + n
        windows = (x.shape[axis] - dilation * (size - 1) - 1) // stride + 1
        places = np.arange(windows)[:, None] * stride + np.arange(size) * dilation
        x = np.take(x, places, axis)  # the window's places follow their window
        x = np.moveaxis(x, axis + 1, lead + count + n)
    return x.reshape(*x.shape[: lead + count], -1)


def quantize(x: Array, constants: Constants) -> Digits:
    """x [..., n] as matrices take it."""
    flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
    return Digits(constants.prepare(flat), 0, x.shape[:-1])


def project_together(
    projections: Sequence[tuple[ops.Project, Sequence[Array]]], digits: Digits,
    constants: Constants, lead: int,
) -> tuple[Array, ...]:  # fmt: skip
    """Sums of the same digits by several matrices, each with the numbers of its members if it takes any.

    All rows that one member meets are one piece of work.
    """
    layouts = [_layout(op, numbers, digits, lead) for op, numbers in projections]
    made = constants.project_all([m for layout in layouts for m in layout.meetings])
    results, start = [], 0
    for layout in layouts:
        end = start + len(layout.meetings)
        results.append(layout.joined(made[start:end]))
        start = end
    return tuple(results)


@dataclass(frozen=True)
class _Layout:
    """What a matrix's members meet, and where each row of the results goes: None, as they come."""

    meetings: list[Meeting]
    rows: tuple[int, ...]
    order: Array | None

    def joined(self, made: Sequence[Array]) -> Array:
        y = made[0]
        if self.order is not None:
            sorted_by_member = np.concatenate(made)
            y = np.empty_like(sorted_by_member)
            y[self.order] = sorted_by_member
        return y.reshape(*self.rows, -1)


def _layout(op: ops.Project, numbers: Sequence[Array], digits: Digits, lead: int) -> _Layout:
    if op.members == "one":
        stop = digits.first + math.prod(digits.rows)
        return _Layout(
            [(op.matrix, digits.prepared.part(slice(digits.first, stop)), 0)], digits.rows, None
        )
    rows = digits.numbers()
    if op.members == "chosen":
        rows, members = aligned_ranks([rows, np.asarray(numbers[0])], lead)
    else:
        members = np.arange(digits.rows[-1])
    shape = np.broadcast_shapes(rows.shape, members.shape)
    flat = np.broadcast_to(members, shape).ravel()
    order = np.argsort(flat, kind="stable")
    met = digits.prepared.take(np.broadcast_to(rows, shape).ravel()[order])
    among = flat[order]
    starts = [0, *(np.flatnonzero(among[1:] != among[:-1]) + 1).tolist()]
    meetings = [
        (op.matrix, met.part(slice(start, stop)), int(among[start]))
        for start, stop in zip(starts, [*starts[1:], len(among)], strict=True)
    ]
    return _Layout(meetings, shape, order)
