"""Any network as docs/vector-unit.md has it ("Any network"), position by position in exact integers.

Without a line of `fixed_point` or of the emulator: arrays give shapes, their numbers are Python's.
Formats are found while it runs, from the page's rules.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

import by_hand
from by_hand import nearest, real, value
from composites_by_hand import CompositesByHand
from fixed_by_hand import Fixed, along, every
from hnlpu.model.network import Network, Replace, Ring, Span, ops

AT_ONCE = {
    "norm", "layer_norm", "unit_norm", "turns", "rope", "attend", "clamped_swiglu", "softmax",
    "route",
}  # fmt: skip
FINE = {"sigmoid", "tanh", "exp", "softplus", "sin", "cos"}
CURVES: dict[str, Callable[[int], int]] = {
    "sigmoid": by_hand.sigmoid, "tanh": by_hand.tanh, "exp": by_hand.power,
    "softplus": by_hand.softplus, "gelu": by_hand.gelu, "gelu_tanh": by_hand.gelu_tanh,
    "round": lambda x: value(round(Fraction(x, 2**16)) * 2**16),  # halves to even
    "sin": lambda x: by_hand.sine(by_hand.turned(x), 1.0),
    "cos": lambda x: by_hand.sine((by_hand.turned(x) + 2**30) % 2**32, 1.0),
}  # fmt: skip
PAIRS: dict[type, Callable[[int, int], int]] = {
    ops.Add: lambda a, b: value(a + b), ops.Sub: lambda a, b: value(a - b),
    ops.Minimum: min, ops.Maximum: max,
}  # fmt: skip


RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b, "equal": lambda a, b: a == b,
}  # fmt: skip
Matrix = tuple[list[list[int]], list[int], list[float]]
"""Integer weights, row exponents, biases."""


class NetworkByHand(CompositesByHand):
    """One sequence of a network; `real_of` gives parameters in float32, `matrix` integers."""

    def __init__(
        self, network: Network, real_of: Callable[[str], Any],
        matrix: Callable[[str, int], Matrix], bits: int,
    ):  # fmt: skip
        self.network, self.real_of, self.matrix, self.bits = network, real_of, matrix, bits
        self.position = 0
        self.spans: dict[int, Span] = {}
        for span in reversed(network.spans):
            if span.composite in AT_ONCE:
                self.spans[span.start] = span
        self.loose = [
            step for n, step in enumerate(network.steps)
            if not any(s.start <= n < s.stop for s in self.spans.values())
        ]  # fmt: skip
        before = {
            s.op.state
            for s in network.steps
            if isinstance(s.op, ops.Read) and s.op.when == "before"
        }
        self.of_state = {
            s.name: 20 if isinstance(s.keeps, Replace) and s.name in before else 16
            for s in network.states
        }
        self.kept = {s.name: self._first(s) for s in network.states}
        self.values = {}
        self.around = (network.steps, network.outputs)

    def _first(self, state: Any) -> list[Any]:
        start = value(
            math.floor(Fraction(state.initial) * 2 ** self.of_state[state.name] + by_hand.HALF)
        )
        count = state.keeps.length if isinstance(state.keeps, Ring) else 1
        count = count if isinstance(state.keeps, Ring | Replace) else 0
        return [np.full(state.shape, start, object)] * count

    def still_kept(self, name: str, count: int) -> list[Any]:
        """The last `count` entries of a state, as nested lists."""
        return [entry.tolist() for entry in self.kept[name][len(self.kept[name]) - count :]]

    def asked(self, name: str) -> int:
        """Fraction bits that rule 6 asks of what makes `name`."""
        steps, outputs = self.around
        takers = [s for s in steps for arg in s.args if arg == name]
        if any(isinstance(s.op, ops.Write) and self.of_state[s.op.state] == 20 for s in takers):
            return 20
        inside = steps is not self.network.steps or (takers and takers[0] in self.loose)
        alone = len(takers) == 1 and name not in outputs and inside
        if not alone:
            return 0
        op = takers[0].op
        if isinstance(op, ops.Table) and op.function == "exp":
            return 24
        passing = ops.Reshape | ops.Permute | ops.Add | ops.Sub | ops.Mul | ops.Dot | ops.Outer
        return self.asked(takers[0].outs[0]) if isinstance(op, passing) else 0

    def run(self, token: int = 0, data: Mapping[str, Any] | None = None) -> list[Any]:
        """Outputs at one more position, reals as values; `data` are values by the inputs' names."""
        self.values = {p.name: np.float32(self.real_of(p.name)) for p in self.network.parameters}
        for given in self.network.inputs:
            if given.carries == "data":
                self.values[given.name] = Fixed(np.asarray((data or {})[given.name], object), 16)
                continue
            number = token if given.carries == "token" else self.position
            self.values[given.name] = Fixed(np.asarray(number, object), 0)
        n, end = 0, 0
        while n < len(self.network.steps):
            if n in self.spans and n >= end:
                span = self.spans[n]
                n = end = span.stop
                self.at_once(span)
            else:
                step = self.network.steps[n]
                self.values.update(zip(step.outs, self._step(step), strict=True))
                n += 1
        self.position += 1
        outputs = [self.values[name] for name in self.network.outputs]
        return [out.to(16) if out.bits else out.x for out in outputs]

    def _step(self, step: ops.Step) -> list[Any]:
        named = [arg for arg in step.args if isinstance(arg, str)]
        constant = named and all(isinstance(self.values[a], np.ndarray | np.float32) for a in named)
        match step.op:
            case ops.Reshape(shape) if constant:
                return [np.asarray(self.values[named[0]]).reshape(shape)]
            case ops.Table("exp", scale) if constant:
                return [np.float32(np.exp(self.values[named[0]].astype(float)) * scale)]
            case ops.Mul() | ops.Add() if constant:
                a, b = (self.values[x] if isinstance(x, str) else np.float32(x) for x in step.args)
                return [np.float32(a * b if isinstance(step.op, ops.Mul) else a + b)]
            case ops.Read(name, _):
                keeps = self.network.declared().states[name].keeps
                kept = self.kept[name]
                x = kept[-1] if isinstance(keeps, Replace) else np.stack(kept)
                return [Fixed(x, self.of_state[name])]
            case ops.Write(name):
                new = self.fixed(step.args[0]).to(self.of_state[name])
                self.kept[name] = [*self.kept[name], new]
                keeps = self.network.declared().states[name].keeps
                if isinstance(keeps, Ring):
                    self.kept[name] = self.kept[name][-keeps.length :]
                return []
            case ops.Repeat():
                return self._repeat(step.op, step.args)
            case _:
                args = [self.fixed(a) if isinstance(a, str) else a for a in step.args]
                return self._arithmetic(step, args)

    def _arithmetic(self, step: ops.Step, args: list[Any]) -> list[Any]:
        op, name = step.op, step.outs[0]
        coarsest = min([max(a.bits, 16) for a in args if isinstance(a, Fixed)], default=16)
        made = max(coarsest, self.asked(name))
        first = args[0]
        match op:
            case ops.Quantize() | ops.FromSums():
                return [Fixed(first.to(16), 16) if isinstance(op, ops.Quantize) else first]
            case ops.Project():
                return [Fixed(self._project(op, args), 16)]
            case ops.Lookup(table):
                row = np.float32(self.real_of(table))[int(first.x)]
                return [Fixed(every(real, row.astype(float)), 16)]
            case ops.Add() | ops.Sub() | ops.Minimum() | ops.Maximum():
                bits = made if isinstance(op, ops.Add | ops.Sub) else coarsest
                a, b = (self._side(a, bits) for a in args)
                return [Fixed(every(PAIRS[type(op)], a, b), bits)]
            case ops.Where():
                of = min([max(a.bits, 16) for a in args[1:] if isinstance(a, Fixed)], default=16)
                a, b = (self._side(x, of) for x in args[1:])
                return [Fixed(every(lambda t, v, w: v if t else w, first.x, a, b), of)]
            case ops.Compare(relation):
                a, b = (self._side(x, coarsest) for x in args)
                return [Fixed(every(RELATIONS[relation], a, b), 0)]
            case ops.Shift(places):
                moved = every(lambda v: value(nearest(v * Fraction(2) ** places)), first.x)
                return [Fixed(moved, first.bits)]
            case ops.Sum(axis, keep):
                return [Fixed(every(value, np.sum(first.x, axis, keepdims=keep)), first.bits)]
            case ops.Max(axis, keep):
                return [Fixed(np.asarray(np.max(first.x, axis, keepdims=keep)), first.bits)]
            case ops.ArgMax():
                return [Fixed(along(lambda row: [row.index(max(row))], first.x)[..., 0], 0)]
            case ops.TopK(k):
                best = along(
                    lambda row: sorted(range(len(row)), key=lambda n: -row[n])[:k], first.x
                )
                values = np.take_along_axis(first.x, best.astype(int), -1)
                return [Fixed(values, first.bits), Fixed(best, 0)]
            case ops.Gather(axis):
                numbers = args[1].x.astype(int)
                return [Fixed(np.asarray(np.take(first.x, numbers, axis), object), first.bits)]
            case ops.Window():
                return [Fixed(_windows(op, first.x), first.bits)]
            case ops.Mul():
                return [Fixed(*self._product(args, "", made))]
            case ops.Outer(axes) | ops.Dot(axes):
                return [Fixed(*self._product(args, axes, made))]
            case ops.Divide():
                bits = max(first.bits, 16) if isinstance(first, Fixed) else 16
                by = args[1] if isinstance(args[1], Fixed) else Fixed(real(args[1]), 16)
                a = self._side(first, bits)
                return [Fixed(every(lambda v, w: by_hand.quotient(v, w, by.bits), a, by.x), bits)]
            case ops.Table(function, scale, _):
                x = first.to(24 if function == "exp" else 16)
                y = Fixed(every(CURVES[function], x), 24 if function in FINE else 16)
                return [y if scale == 1 else Fixed(*self._product([y, scale], "", y.bits))]
            case ops.InverseRoot():
                return [Fixed(every(by_hand.root, first.to(16)), 16)]
            case ops.Reshape(shape):
                return [
                    Fixed(
                        first.x.reshape([d if isinstance(d, int) else -1 for d in shape]),
                        first.bits,
                    )
                ]
            case ops.Permute(order):
                return [Fixed(first.x.transpose(order), first.bits)]
            case ops.Split(sizes, axis):
                cuts = np.cumsum(sizes)[:-1]
                return [Fixed(x, first.bits) for x in np.split(first.x, cuts, axis)]
            case ops.Concat(axis):
                return [Fixed(np.concatenate([a.to(coarsest) for a in args], axis), coarsest)]
        raise AssertionError(step)

    def _repeat(self, op: ops.Repeat, args: Sequence[Any]) -> list[Fixed]:
        """Ticks; what goes in and what is carried are values."""

        def handed(x: Fixed) -> Fixed:
            return Fixed(x.to(16), 16) if x.bits else x

        outer, around = self.values, self.around
        self.around = (op.body, op.outputs)
        given = [handed(self.fixed(a)) if isinstance(a, str) else Fixed(real(a), 16) for a in args]
        for _ in range(op.ticks):
            self.values = outer | dict(zip(op.inputs, given, strict=True))
            for step in op.body:
                self.values.update(zip(step.outs, self._step(step), strict=True))
            on = [handed(self.values[name]) for name in op.outputs]
            given = [*on, *given[len(on) :]]
            if op.until and self.values[op.until].x:
                break
        self.values, self.around = outer, around
        return given[: len(op.outputs)]

    def _side(self, arg: Any, bits: int) -> Any:
        if not isinstance(arg, Fixed):
            return value(math.floor(Fraction(arg) * 2**bits + by_hand.HALF))
        return arg.to(bits)

    def _product(self, args: list[Any], axes: str, bits: int) -> tuple[Any, int]:
        """Products, summed over the axes that the result lacks, rounded once."""
        sides = []
        for arg in args:
            own = 24 if not isinstance(arg, Fixed) and abs(arg) <= 1 else 16
            x = (
                Fixed(np.asarray(self._side(arg, own), object), own)
                if not isinstance(arg, Fixed)
                else arg
            )
            sides.append(x if x.bits else Fixed(x.to(16), 16))
        a, b = sides
        exact = np.einsum(axes, a.x, b.x, optimize=False) if axes else a.x * b.x
        return every(
            lambda v: value(nearest(Fraction(v, 2 ** (a.bits + b.bits - bits)))), exact
        ), bits

    def _project(self, op: ops.Project, args: list[Any]) -> Any:
        x = args[0].x
        if op.members == "one":
            return along(lambda row: self._row(op.matrix, 0, row), x)
        numbers = args[1].x if op.members == "chosen" else np.arange(x.shape[-2])
        rows = np.broadcast_to(x, (*np.shape(numbers), x.shape[-1]))
        flat = [
            self._row(op.matrix, int(member), row.tolist())
            for member, row in zip(numbers.ravel(), rows.reshape(-1, x.shape[-1]), strict=True)
        ]
        return np.array(flat, object).reshape(*np.shape(numbers), -1)

    def _row(self, name: str, member: int, x: list[int]) -> list[int]:
        weights, exponents, biases = self.matrix(name, member)
        activations, s = by_hand.quantize(x, self.bits)
        return [
            by_hand.from_sums(
                sum(w * v for w, v in zip(row, activations, strict=False)), s, b, real(c)
            )
            for row, b, c in zip(weights, exponents, biases, strict=True)
        ]


def _windows(op: ops.Window, x: Any) -> Any:
    """Windows place by place, zeros beyond the edges."""
    *lengths, _ = x.shape
    axes = [
        range(-before, length + behind - dilation * (size - 1), stride)
        for length, size, stride, dilation, (before, behind) in zip(
            lengths, op.sizes, op.strides, op.dilations, op.pads, strict=True
        )
    ]
    made = []
    for corner in itertools.product(*axes):
        row: list[int] = []
        for offset in itertools.product(*map(range, op.sizes)):
            place = [c + o * d for c, o, d in zip(corner, offset, op.dilations, strict=True)]
            inside = all(0 <= p < length for p, length in zip(place, lengths, strict=True))
            row += x[tuple(place)].tolist() if inside else [0] * x.shape[-1]
        made.append(row)
    return np.array(made, object).reshape(*map(len, axes), -1)
