"""Steps that move numbers and change none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Declared
from hnlpu.model.network._types import (
    Dim,
    Shape,
    ValueType,
    axis_of,
    joined,
    known_size,
    shape_text,
)
from hnlpu.model.network.ops._rules import expect_args, expect_kind


def _movable(args: tuple[ValueType, ...], count: int) -> tuple[ValueType, ...]:
    for value in expect_args(args, count):
        expect_kind(value, "real", "index", "truth")
    return args


@dataclass(frozen=True)
class Reshape:
    """The same numbers, row by row, in another shape."""

    shape: Shape

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """`shape`."""
        (x,) = _movable(args, 1)
        if any(isinstance(dim, int) and dim < 1 for dim in self.shape):
            raise MalformedNetwork("shape", f"{shape_text(self.shape)} has an axis without entries")
        if known_size(x.shape) != known_size(self.shape):
            raise MalformedNetwork(
                "reshape", f"{shape_text(x.shape)} does not reshape to {shape_text(self.shape)}"
            )
        return (ValueType(self.shape, x.kind),)


@dataclass(frozen=True)
class Permute:
    """Axes in another order: axis n of the result is axis order[n] of x."""

    order: tuple[int, ...]

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """x's shape in that order."""
        (x,) = _movable(args, 1)
        if sorted(self.order) != list(range(len(x.shape))):
            raise MalformedNetwork(
                "permute", f"order {list(self.order)} does not permute {shape_text(x.shape)}"
            )
        return (ValueType(tuple(x.shape[axis] for axis in self.order), x.kind),)


@dataclass(frozen=True)
class Split:
    """x in pieces of `sizes` along an axis."""

    sizes: tuple[Dim, ...]
    axis: int = -1

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """The pieces."""
        (x,) = _movable(args, 1)
        axis = axis_of(x.shape, self.axis)
        known_sizes = [size for size in self.sizes if isinstance(size, int)]
        if joined(self.sizes) != x.shape[axis] or min(known_sizes, default=1) < 1:
            sizes = " + ".join(map(str, self.sizes))
            raise MalformedNetwork("split", f"sizes {sizes} do not make up {x.shape[axis]}")
        before, behind = x.shape[:axis], x.shape[axis + 1 :]
        return tuple(ValueType((*before, size, *behind), x.kind) for size in self.sizes)


@dataclass(frozen=True)
class Concat:
    """Several values one behind the other along an axis."""

    axis: int = -1

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Shapes must agree but for the axis."""
        if not args:
            raise MalformedNetwork("arguments", "takes at least one value, is given none")
        first, *others = _movable(args, len(args))
        axis = axis_of(first.shape, self.axis)
        for value in others:
            if value.kind != first.kind or len(value.shape) != len(first.shape):
                raise MalformedNetwork("concat", f"{first} and {value} do not join")
            pairs = enumerate(zip(first.shape, value.shape, strict=True))
            if any(a != b for n, (a, b) in pairs if n != axis):
                raise MalformedNetwork("concat", f"{first} and {value} do not join")
        length = joined(tuple(value.shape[axis] for value in (first, *others)))
        return (ValueType((*first.shape[:axis], length, *first.shape[axis + 1 :]), first.kind),)


@dataclass(frozen=True)
class Gather:
    """Entries of x along an axis by their numbers i [...], which take the axis's place."""

    axis: int = 0

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """x's shape with the numbers' in place of the axis."""
        x, numbers = _movable(args, 2)
        expect_kind(numbers, "index")
        axis = axis_of(x.shape, self.axis)
        return (ValueType((*x.shape[:axis], *numbers.shape, *x.shape[axis + 1 :]), x.kind),)


@dataclass(frozen=True)
class Window:
    """Windows of x [n, m, ..., channels] along its first axes, as a convolution sees them.

    `sizes`, `strides`, `dilations` and `pads` (zeros before and behind) have an entry for each of
    the axes that a window moves along: all but the last.  The result is [windows, ..., sizes
    product * channels], the window's places row by row, channels last: a convolution is this, then
    a projection.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """The windows."""
        (x,) = _movable(args, 1)
        expect_kind(x, "real")
        lists = (self.sizes, self.strides, self.dilations, self.pads)
        if {len(values) for values in lists} != {len(x.shape) - 1} or len(x.shape) < 2:
            raise MalformedNetwork(
                "window", f"no window of {self.sizes} over {shape_text(x.shape)}"
            )
        known_shape = [length for length in x.shape if isinstance(length, int)]
        if len(known_shape) < len(x.shape):
            raise MalformedNetwork("window", "an axis of positions has no known length")
        windows = []
        for length, size, stride, dilation, pad in zip(known_shape, *lists, strict=False):
            room = length + sum(pad) - dilation * (size - 1) - 1
            if min(size, stride, dilation, 1 + min(pad)) < 1 or room < 0:
                raise MalformedNetwork(
                    "window", f"no window of {self.sizes} over {shape_text(x.shape)}"
                )
            windows.append(room // stride + 1)
        return (ValueType((*windows, math.prod(self.sizes) * known_shape[-1]), "real"),)
