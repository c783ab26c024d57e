"""A step of a network -> elements that the vector unit handles for it: our own count.

One for each number that a step makes of others, one for each number that it adds up or compares, one
for each product.  Moving numbers, and the bridge to and from the wires, take none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import assert_never

from hnlpu.model.network import Positions, Shape, Step, ValueType, ops

SELECT_OPERATIONS = 2
"""A comparison and a move for each of the numbers of which the largest are chosen."""


class OpenEnded(Exception):
    """An axis of positions, whose length no step says."""


def size_of(shape: Shape) -> int:
    """Numbers of a value; raises OpenEnded where it has an axis of positions."""
    size = 1
    for dim in shape:
        if isinstance(dim, Positions):
            raise OpenEnded
        size *= dim
    return size


def products(step: Step, axes: str, types: Mapping[str, ValueType]) -> int:
    """Products of a dot or outer product, for each position where it goes along positions."""
    lengths: dict[str, int] = {}
    for letters, arg in zip(axes.partition("->")[0].split(","), step.args, strict=True):
        for letter, dim in zip(letters, types[str(arg)].shape, strict=True):
            lengths[letter] = 1 if isinstance(dim, Positions) else dim
    return math.prod(lengths.values())


def elements(step: Step, types: Mapping[str, ValueType]) -> int:
    """Elements of a step where all of it is done on one chip; raises OpenEnded."""

    def taken() -> int:
        return size_of(types[str(step.args[0])].shape)

    match step.op:
        case ops.Dot(axes) | ops.Outer(axes):
            for arg in step.args:
                size_of(types[str(arg)].shape)
            return products(step, axes, types)
        case ops.Sum() | ops.Max() | ops.ArgMax():
            return taken()
        case ops.TopK():
            return SELECT_OPERATIONS * taken()
        case (
            ops.Add() | ops.Sub() | ops.Mul() | ops.Divide() | ops.Minimum() | ops.Maximum()
            | ops.Shift() | ops.Compare() | ops.Where() | ops.InverseRoot() | ops.Table()
        ):  # fmt: skip
            return size_of(types[step.outs[0]].shape)
        case (
            ops.Quantize() | ops.Project() | ops.FromSums() | ops.Lookup() | ops.Reshape()
            | ops.Permute() | ops.Split() | ops.Concat() | ops.Gather() | ops.Window()
            | ops.Read() | ops.Write() | ops.Repeat()
        ):  # fmt: skip
            return 0
        case _:
            assert_never(step.op)
