"""Any network as docs/vector-unit.md has it ("Any network"), position by position in exact integers.

Without a line of `fixed_point` or of the emulator: arrays give shapes, their numbers are Python's.
Formats are found while it runs, from the page's rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import by_hand
from by_hand import brought, nearest, real, value
from hnlpu.model.network import Network, Replace, Ring, Span, ops, span_ends

AT_ONCE = {
    "norm", "layer_norm", "unit_norm", "turns", "rope", "attend", "clamped_swiglu", "softmax",
    "route",
}  # fmt: skip
FINE = {"sigmoid", "tanh", "exp", "softplus", "sin", "cos"}
CURVES: dict[str, Callable[[int], int]] = {
    "sigmoid": by_hand.sigmoid, "tanh": by_hand.tanh, "exp": by_hand.power,
    "softplus": by_hand.softplus, "gelu": by_hand.gelu, "gelu_tanh": by_hand.gelu_tanh,
    "sin": lambda x: by_hand.sine(by_hand.turned(x), 1.0),
    "cos": lambda x: by_hand.sine((by_hand.turned(x) + 2**30) % 2**32, 1.0),
}  # fmt: skip
PAIRS: dict[type, Callable[[int, int], int]] = {
    ops.Add: lambda a, b: value(a + b), ops.Sub: lambda a, b: value(a - b),
    ops.Minimum: min, ops.Maximum: max,
}  # fmt: skip


@dataclass(frozen=True)
class Fixed:
    """Whole numbers [...] of Python and their fraction bits; 0 for an index."""

    x: Any
    bits: int

    def to(self, bits: int) -> Any:
        """Its numbers with other fraction bits."""
        return every(lambda v: brought(v, self.bits, bits), self.x)


Matrix = tuple[list[list[int]], list[int], list[float]]
"""Integer weights, row exponents, biases."""


def every(function: Callable[..., int], *arrays: Any) -> Any:
    """A function of each number of arrays that align."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), object)


def along(function: Callable[[list[int]], Sequence[int]], x: Any) -> Any:
    """A function of every row of the last axis."""
    rows = [list(function(row)) for row in x.reshape(-1, x.shape[-1]).tolist()]
    return np.array(rows, object).reshape(*x.shape[:-1], -1)


class NetworkByHand:
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
        self.values: dict[str, Any] = {}

    def _first(self, state: Any) -> list[Any]:
        start = value(
            math.floor(Fraction(state.initial) * 2 ** self.of_state[state.name] + by_hand.HALF)
        )
        count = state.keeps.length if isinstance(state.keeps, Ring) else 1
        count = count if isinstance(state.keeps, Ring | Replace) else 0
        return [np.full(state.shape, start, object)] * count

    def asked(self, name: str) -> int:
        """Fraction bits that rule 6 asks of what makes `name`."""
        takers = [s for s in self.network.steps for arg in s.args if arg == name]
        if any(isinstance(s.op, ops.Write) and self.of_state[s.op.state] == 20 for s in takers):
            return 20
        alone = len(takers) == 1 and name not in self.network.outputs and takers[0] in self.loose
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
                self._at_once(span)
            else:
                step = self.network.steps[n]
                self.values.update(zip(step.outs, self._step(step), strict=True))
                n += 1
        self.position += 1
        outputs = [self.values[name] for name in self.network.outputs]
        return [out.to(16) if out.bits else out.x for out in outputs]

    def fixed(self, arg: Any) -> Fixed:
        """A value, or a parameter as values."""
        found = self.values[arg]
        return found if isinstance(found, Fixed) else Fixed(every(real, found.astype(float)), 16)

    def _step(self, step: ops.Step) -> list[Any]:
        named = [arg for arg in step.args if isinstance(arg, str)]
        constant = named and all(isinstance(self.values[a], np.ndarray | np.float32) for a in named)
        match step.op:
            case ops.Reshape(shape) if constant:
                return [np.asarray(self.values[named[0]]).reshape(shape)]
            case ops.Table("exp", scale) if constant:
                return [np.float32(np.exp(self.values[named[0]].astype(float)) * scale)]
            case ops.Mul() if constant:
                a, b = (self.values[x] if isinstance(x, str) else np.float32(x) for x in step.args)
                return [np.float32(a * b)]
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

    # composites done at once

    def _at_once(self, span: Span) -> None:
        taken, given = span_ends(self.network, span)
        options: Mapping[str, Any] = dict(span.options)
        made = getattr(self, f"_{span.composite}")(taken, options, span)
        self.values.update(zip(given, made, strict=True))

    def _plain(self, name: str) -> Any:
        return self.fixed(name).to(16)

    def _weights(self, name: str, x: Any) -> Any:
        scaled = np.float64(self.values[name]) * math.sqrt(x.shape[-1])
        return np.broadcast_to(every(real, scaled), x.shape)

    def _norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, n = self._plain(taken[0]), self._plain(taken[0]).shape[-1]
        weights = self._weights(taken[1], x)
        epsilon = max(1, math.floor(n * options["eps"] * 2**32 + 0.5))
        rows = zip(x.reshape(-1, n).tolist(), weights.reshape(-1, n).tolist(), strict=True)
        made = [by_hand.norm(row, weight, epsilon) for row, weight in rows]
        return [Fixed(np.array(made, object).reshape(x.shape), 16)]

    def _layer_norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x = self._plain(taken[0])
        n = x.shape[-1]
        centred = along(lambda row: [value(v - nearest(Fraction(sum(row), n))) for v in row], x)
        self.values["centred"] = Fixed(centred, 16)
        (normed,) = self._norm(("centred", taken[1]), options, span)
        bias = every(real, np.float64(self.values[taken[2]]))
        return [Fixed(every(by_hand.add, normed.x, bias), 16)]

    def _unit_norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        epsilon = max(1, math.floor(options["eps"] * 2**32 + 0.5))
        return [
            Fixed(along(lambda row: by_hand.unit_norm(row, epsilon), self._plain(taken[0])), 24)
        ]

    def _turns(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        turn, factor = 2 * Fraction(by_hand.pi()), options["scale"]
        steps = [nearest(Fraction(float(f)) / turn * 2**32) for f in self.values[taken[0]]]
        angles = [int(self.values[taken[1]].x) * step % 2**32 for step in steps]
        sides = (
            [by_hand.sine((a + ahead) % 2**32, factor) for a in angles] for ahead in (2**30, 0)
        )
        return [Fixed(np.array(side, object), 24) for side in sides]

    def _rope(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, pairs = self._plain(taken[0]), options["pairs"]
        cos, sin = (self.values[name].to(24) for name in taken[1:])
        a, b = x[..., :pairs], x[..., pairs : 2 * pairs]
        turned = [
            every(lambda v: value(nearest(Fraction(v, 2**24))), side)
            for side in (a * cos - b * sin, b * cos + a * sin)
        ]
        return [Fixed(np.concatenate([*turned, x[..., 2 * pairs :]], -1), 16)]

    def _softmax(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        if not options["sink"]:
            return [Fixed(along(lambda row: by_hand.softmax(row, []), self._plain(taken[0])), 24)]
        sinks, x = (self._plain(name) for name in taken)
        pairs = zip(x.reshape(-1, x.shape[-1]).tolist(), sinks.reshape(-1, 1).tolist(), strict=True)
        made = [by_hand.softmax(row, sink) for row, sink in pairs]
        return [Fixed(np.array(made, object).reshape(x.shape), 24)]

    def _route(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        of_all = options["share_first"] and not options["normalise"]
        chosen, shares = by_hand.route(self._plain(taken[0]).tolist(), options["k"], of_all)
        found = {
            True: Fixed(np.array(chosen, object), 0),
            False: Fixed(np.array(shares, object), 24),
        }
        _, given = span_ends(self.network, span)
        numbers = {s.outs[1] for s in self.network.steps if isinstance(s.op, ops.TopK)}
        return [found[name in numbers] for name in given]

    def _clamped_swiglu(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, (alpha, limit) = self._plain(taken[0]), (real(options[n]) for n in ("alpha", "limit"))
        opened = every(lambda g, u: by_hand.swiglu(g, u, alpha, limit), x[..., ::2], x[..., 1::2])
        return [Fixed(opened, 16)]

    def _attend(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        k, v, q, *sink = taken
        factor = math.floor(2**16 * Fraction(options["scale"]) + by_hand.HALF)
        written = [
            s.op.state for s in self.network.steps[span.start : span.stop]
            if isinstance(s.op, ops.Write)
        ]  # fmt: skip
        for state, name in zip(written, (k, v), strict=True):
            self.kept[state].append(every(lambda x: by_hand.to_key(x, 2**16), self._plain(name)))
        first = max(0, self.position + 1 - (options["window"] or self.position + 1))
        keys, values = (np.stack(self.kept[state][first:]) for state in written)
        queries = every(lambda x: by_hand.to_key(x, factor), self._plain(q))
        sinks = [None] * len(queries)
        if sink:
            sinks = every(real, np.float64(self.values[sink[0]]).ravel()).tolist()
        out, group = [], len(queries) // keys.shape[1]
        for head, query in enumerate(queries.tolist()):
            seen = (x[:, head // group].tolist() for x in (keys, values))
            out += by_hand.attend(query, *seen, sinks[head], options["softcap"] or None)
        return [Fixed(np.array(out, object), 16)]
