"""What a value is: a shape and a kind.

The last axis of a shape is what a matrix multiplies; the axes before it are rows that pass the same
wires one after the other (heads, positions, pixels).  A shape has no axis for the sequence: a
network describes one position.  What was kept of earlier positions comes back with an axis of
`Positions`, whose length is known only when the network runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hnlpu.errors import MalformedNetwork


@dataclass(frozen=True)
class Positions:
    """Length of an axis along positions: all so far with this one, or the last `most` of them.

    `more` entries stand beside them, such as a sink.
    """

    most: int | None = None
    more: int = 0

    def __str__(self) -> str:
        length = "T" if self.most is None else f"min(T, {self.most})"
        return f"{length} + {self.more}" if self.more else length


Dim = int | Positions
Shape = tuple[Dim, ...]
Kind = Literal["real", "wide", "digits", "sums", "index", "truth", "number"]
"""What the numbers of a value are.

real    numbers of the vector unit: float32 in float numerics, fixed point in chip numerics
wide    sums before they are rounded: float64, or exact integers; rounded where they meet a real
digits  quantised activations, the only thing that wires take
sums    what wires give: integers that `from_sums` turns into reals
index   whole numbers that choose: tokens, positions, experts
truth   yes or no
number  a number written into a step: as exact as whatever it meets
"""


@dataclass(frozen=True)
class ValueType:
    """Shape and kind of a value."""

    shape: Shape
    kind: Kind = "real"

    def __str__(self) -> str:
        return f"{self.kind} {shape_text(self.shape)}"


def shape_text(shape: Shape) -> str:
    """A shape as people write it: [4, T, 64]."""
    return "[" + ", ".join(map(str, shape)) + "]"


def known_size(shape: Shape) -> tuple[int, tuple[Positions, ...]]:
    """Product of the lengths that are known, and the axes of positions beside them."""
    size, open_ended = 1, []
    for dim in shape:
        if isinstance(dim, Positions):
            open_ended.append(dim)
        else:
            size *= dim
    return size, tuple(open_ended)


def joined(lengths: tuple[Dim, ...]) -> Dim:
    """Length of several pieces one behind the other; raises MalformedNetwork."""
    total = sum(length for length in lengths if isinstance(length, int))
    open_ended = [length for length in lengths if isinstance(length, Positions)]
    if not open_ended:
        return total
    if len(open_ended) > 1:
        raise MalformedNetwork("join", "two axes of positions are joined to none that is known")
    return Positions(open_ended[0].most, open_ended[0].more + total)


def broadcast(shapes: list[Shape]) -> Shape:
    """The shape of a pointwise step, as NumPy aligns: from the last axis, 1 fits any length.

    Raises MalformedNetwork.
    """
    result: list[Dim] = []
    for axis in range(1, max((len(shape) for shape in shapes), default=0) + 1):
        lengths = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(lengths) > 1:
            texts = " and ".join(shape_text(shape) for shape in shapes)
            raise MalformedNetwork("broadcast", f"shapes {texts} do not fit each other")
        result.append(lengths.pop() if lengths else 1)
    return tuple(reversed(result))


def axis_of(shape: Shape, axis: int) -> int:
    """`axis` counted from the first, where negative ones count from behind.

    Raises MalformedNetwork where there is no such axis.
    """
    if not -len(shape) <= axis < len(shape):
        raise MalformedNetwork("axis", f"{shape_text(shape)} has no axis {axis}")
    return axis % len(shape)
