"""Writing instructions: values by name, and what becomes of them.

The writer joins neighbours as it goes: an addition, the norm of its result and the integers of that
are one instruction, matrices that share integers another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels.tape._code import (
    MOST_AXES,
    MOST_SHARED,
    Code,
    Gate,
    Operation,
    Reduction,
    TapeInstruction,
)
from hnlpu.run.kernels.tape._views import (
    Number,
    RowBuffer,
    Sizes,
    View,
    dense_steps,
    joined_axes,
)

BLOCK = 32


class NotOnTape(Exception):
    """What a tape lacks, in one line."""


@dataclass(frozen=True)
class QuantizedValue:
    """Digits of a value: integers [lead, padded] and scales [lead] of every row."""

    integers: View
    scales: View
    lead: Sizes


class Writer:
    """The instructions so far, and where values lie.  `bits`: width of integers."""

    def __init__(self, bits: int):
        self.bits = bits
        self.instructions: list[TapeInstruction] = []
        self.barrier = 0  # instructions before it are joined with none behind it
        self._buffers = 0

    def buffer(self, kind: Number, shape: Sizes) -> View:
        """A new dense value."""
        size = int(np.prod(shape, dtype=np.int64))
        self._buffers += 1
        return View(
            RowBuffer(self._buffers - 1, kind, size), kind, shape, dense_steps(shape), 0, size
        )

    def add(self, instruction: TapeInstruction) -> None:
        """Write one."""
        self.instructions.append(instruction)

    def last(self, code: Code) -> TapeInstruction | None:
        """The last instruction, if it is of that code and may be joined with another."""
        if len(self.instructions) <= self.barrier or self.instructions[-1].code is not code:
            return None
        return self.instructions[-1]

    def dense(self, x: View) -> View:
        """x itself where a row's numbers lie one behind the other, else a copy."""
        if x.is_dense:
            return x
        if x.kind == "int64":
            raise NotOnTape("a copy of numbers that choose")
        return self.pointwise(Operation.COPY, [x], x.shape, x.kind)

    def pointwise(
        self, operation: Operation, args: Sequence[View], shape: Sizes, kind: Number, *,
        wide: bool = False, scale: float = 1.0, coefficients: Sequence[float] = (),
        to: View | None = None,
    ) -> View:  # fmt: skip
        """A step on each number for itself, into a new value or into `to`."""
        wide = wide or operation >= Operation.SHIFT
        out = self.buffer(kind, shape) if to is None else to
        views = [out, *args]
        lengths, steps = joined_axes(shape, [view.steps_in(shape) for view in views])
        if len(lengths) > MOST_AXES:
            raise NotOnTape(f"{len(lengths)} axes at once; {MOST_AXES} are the most")
        n = [int(operation), int(wide), len(lengths), *_filled(lengths)]
        for of in [*steps, *[()] * (4 - len(steps))]:
            n += _filled(of)
        table = np.asarray(coefficients, np.float64) if coefficients else None
        places: list[View | None] = [*views]
        self.add(
            TapeInstruction(Code.POINTWISE, places, (0,), [*n, len(coefficients)], [scale], [table])
        )
        return out

    def reduce(
        self, reduction: Reduction, args: Sequence[View], stays: Sequence[Sequence[int]],
        goes: Sequence[Sequence[int]], shape: Sizes, gone: Sizes, *, wide: bool,
    ) -> View:  # fmt: skip
        """Fewer numbers: steps of each argument along the axes that stay [`shape`] and go."""
        if max(len(shape), len(gone)) > MOST_AXES:
            raise NotOnTape(f"more than {MOST_AXES} axes at once")
        out = self.buffer("float64" if wide else "float32", shape)
        n = [int(reduction), int(wide), len(shape), len(gone), *_filled(shape), *_filled(gone)]
        for stay, go in zip(stays, goes, strict=True):
            n += [*_filled(stay), *_filled(go)]
        self.add(TapeInstruction(Code.REDUCE, [out, *args], (0,), n))
        return out

    def norm(self, x: View, weight: npt.NDArray[np.float32], eps: float) -> View:
        """RMSNorm over the last axis, joined with the addition that x is made by."""
        vectors = 1 if weight.ndim == 1 else len(weight)
        lead, n = x.size // x.shape[-1], x.shape[-1]
        added = self.last(Code.POINTWISE)
        places: list[View | None] = [None] * 8
        if added is not None and _is_sum(added, x):
            self.instructions.pop()
            places[0], places[1], places[2] = added.places[1], added.places[2], x
        else:
            places[0] = self.dense(x)
        places[3] = out = self.buffer("float32", x.shape)
        self.add(
            TapeInstruction(
                Code.PREPARE, places, (2, 3, 6, 7), [n, lead, 0, 0, vectors, 0], [eps, 0.0, 0.0],
                [np.ascontiguousarray(weight)],
            )
        )  # fmt: skip
        return out

    def gate(
        self, kind: Gate, gate: View, n: int, *, gain: float = 0.0, limit: float = 0.0
    ) -> View:
        """Opened gates [..., n]."""
        gate = self.dense(gate)
        places: list[View | None] = [None] * 8
        places[4] = gate
        places[3] = out = self.buffer("float32", (*gate.shape[:-1], n))
        self.add(
            TapeInstruction(
                Code.PREPARE, places, (2, 3, 6, 7), [n, out.size // n, 0, 0, 1, int(kind)],
                [0.0, gain, limit], [None],
            )
        )  # fmt: skip
        return out

    def raise_gate(self, opened: View, up: View) -> bool:
        """Make opened gates times `up` of them, if the last instruction has opened them."""
        made = self.last(Code.PREPARE)
        if (
            made is None
            or made.places[3] != opened
            or made.places[5] is not None
            or made.n[5] != Gate.SILU
            or up.shape != opened.shape
            or not up.is_dense
            or up.kind != "float32"
        ):
            return False
        made.places[5] = up
        return True

    def quantize(self, x: View, *, alone: bool) -> QuantizedValue:
        """Integers of x; `alone`: nothing else takes x, so that it need not be kept."""
        n, lead = x.shape[-1], x.shape[:-1]
        vectors, padded = x.size // n, -(-n // BLOCK) * BLOCK
        made = self.last(Code.PREPARE)
        if made is None or made.places[3] != x or made.places[6] is not None:
            places: list[View | None] = [None] * 8
            added = self.last(Code.POINTWISE)
            if added is not None and _is_sum(added, x):
                self.instructions.pop()
                places[0], places[1], places[2] = added.places[1], added.places[2], x
            else:
                places[0] = self.dense(x)
            made = TapeInstruction(
                Code.PREPARE, places, (2, 3, 6, 7), [n, vectors, 0, 0, 1, 0], [0.0, 0.0, 0.0],
                [None],
            )  # fmt: skip
            self.add(made)
        elif alone:
            made.places[3] = None
        made.n[2], made.n[3] = padded, self.bits
        made.places[6] = integers = self.buffer("int32", (*lead, padded))
        made.places[7] = scales = self.buffer("int32", (*lead, 1))
        return QuantizedValue(integers, scales, lead)

    def project(self, x: QuantizedValue, matrix: int, rows: int) -> View:
        """A matrix at an address times x, together with others that share x."""
        out = self.buffer("float32", (*x.lead, rows))
        made = self.last(Code.PROJECT)
        if made is not None and made.places[0] == x.integers and made.n[0] < MOST_SHARED:
            made.places.append(out)
            made.pointers.append(matrix)
            made.n[0] += 1
            made.gives = (*made.gives, len(made.places) - 1)
            return out
        lead = int(np.prod(x.lead, dtype=np.int64))
        places: list[View | None] = [x.integers, x.scales, out]
        self.add(TapeInstruction(Code.PROJECT, places, (2,), [1, lead], [], [matrix]))
        return out


def _filled(values: Sequence[int]) -> list[int]:
    return [*values, *[0] * (MOST_AXES - len(values))]


def _is_sum(made: TapeInstruction, x: View) -> bool:
    """Whether an instruction adds two dense values of x's shape into x, in float32."""
    out, *args = made.places
    return (
        made.n[0] == Operation.ADD
        and not made.n[1]
        and out == x
        and all(
            arg is not None and arg.shape == x.shape and arg.is_dense and arg.kind == "float32"
            for arg in args
        )
    )
