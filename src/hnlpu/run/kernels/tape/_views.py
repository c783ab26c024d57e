"""Where the numbers of a value lie: in a buffer, in an array outside, or constant.

A view is a value's shape with the steps from number to number in its row.  Reshaping, splitting and
permuting make other views of the same numbers; nothing moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Sizes = tuple[int, ...]
Number = Literal["float32", "float64", "int64", "truth", "int32"]
NUMBERS: dict[Number, tuple[int, type[np.generic]]] = {
    "float32": (4, np.float32), "float64": (8, np.float64), "int64": (8, np.int64),
    "truth": (1, np.bool_), "int32": (4, np.int32),
}  # fmt: skip
"""Bytes of a number, and NumPy's type of it."""


@dataclass(frozen=True)
class RowBuffer:
    """Room for a value of every row, between its first and its last use; `numbers` per row."""

    number: int
    kind: Number
    numbers: int

    @property
    def row_bytes(self) -> int:
        """Bytes per row, so that what lies behind it begins on a boundary of 64."""
        return -(-self.numbers * NUMBERS[self.kind][0] // 64) * 64


@dataclass(frozen=True)
class Outside:
    """The n-th array that comes with a call: [rows, ...], dense."""

    number: int


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are the same for all rows."""

    array: npt.NDArray[Any]


@dataclass(frozen=True)
class View:
    """Numbers of `base` [*shape]: of row r from `first` + r * `row` on, with `steps` in between."""

    base: RowBuffer | Outside | Constant
    kind: Number
    shape: Sizes
    steps: Sizes
    first: int
    row: int

    @property
    def size(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether a row's numbers lie one behind the other."""
        return all(
            step == dense
            for length, step, dense in zip(
                self.shape, self.steps, dense_steps(self.shape), strict=True
            )
            if length != 1
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is all that a buffer holds, in order."""
        return (
            isinstance(self.base, RowBuffer)
            and self.is_dense
            and self.first == 0
            and self.row == self.size == self.base.numbers
            and self.kind == self.base.kind
        )

    def reshaped(self, shape: Sizes) -> View:
        """Dense numbers in another shape."""
        assert self.is_dense
        return replace(self, shape=shape, steps=dense_steps(shape))

    def permuted(self, order: Sizes) -> View:
        """Axis n is axis order[n] of this one."""
        return replace(
            self,
            shape=tuple(self.shape[axis] for axis in order),
            steps=tuple(self.steps[axis] for axis in order),
        )

    def piece(self, axis: int, start: int, length: int) -> View:
        """Entries `start` to `start + length` along an axis."""
        shape = (*self.shape[:axis], length, *self.shape[axis + 1 :])
        return replace(self, shape=shape, first=self.first + start * self.steps[axis])

    def steps_in(self, shape: Sizes) -> Sizes:
        """Steps along the axes of a shape that this one is broadcast to."""
        missing = len(shape) - len(self.shape)
        own = [
            0 if length == 1 else step for length, step in zip(self.shape, self.steps, strict=True)
        ]
        return (*[0] * missing, *own)


def dense_steps(shape: Sizes) -> Sizes:
    """Steps of numbers that lie one behind the other."""
    steps, step = [], 1
    for length in reversed(shape):
        steps.append(step)
        step *= length
    return tuple(reversed(steps))


def constant(array: npt.NDArray[Any]) -> View:
    """A constant array as a view."""
    kinds: dict[type[np.generic], Number] = {kind: name for name, (_, kind) in NUMBERS.items()}
    array = np.ascontiguousarray(array).reshape(array.shape)
    return View(
        Constant(array), kinds[array.dtype.type], array.shape, dense_steps(array.shape), 0, 0
    )


def joined_axes(shape: Sizes, all_steps: Sequence[Sizes]) -> tuple[Sizes, list[Sizes]]:
    """The same numbers with as few axes as can be, and their steps in each of several views."""
    lengths: list[int] = []
    kept: list[list[int]] = [[] for _ in all_steps]
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        steps = [of[axis] for of in all_steps]
        follows = lengths and all(
            before[-1] == step * length for before, step in zip(kept, steps, strict=True)
        )
        if follows:
            lengths[-1] *= length
            for before, step in zip(kept, steps, strict=True):
                before[-1] = step
        else:
            lengths.append(length)
            for before, step in zip(kept, steps, strict=True):
                before.append(step)
    if not lengths:
        return (1,), [(0,) for _ in all_steps]
    return tuple(lengths), [tuple(steps) for steps in kept]
