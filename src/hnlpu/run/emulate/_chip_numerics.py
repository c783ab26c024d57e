"""What each operation of a network does in `chip` numerics, at one position or at many.

Whole numbers of 32 bits throughout, with the fraction bits that `formats` says; every operation
rounds once, halves up, and saturates.  docs/vector-unit.md ("Any network") is the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION, brought, clipped, to_fixed
from hnlpu.model.network import WHOLE, Formats, Input, Network, State, formats, ops
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._float_steps import Digits, aligned_ranks, behind, run_step, sides

Array = npt.NDArray[Any]
Scope = tuple[str, ...]

_CURVES = {
    "sigmoid": fixed_point.SIGMOID, "tanh": fixed_point.TANH, "exp": fixed_point.EXP,
    "softplus": fixed_point.SOFTPLUS, "gelu": fixed_point.GELU,
    "gelu_tanh": fixed_point.GELU_TANH, "round": fixed_point.NEAREST,
}  # fmt: skip
_AHEAD = {"sin": 0, "cos": 1 << 30}
"""2^-32 turns by which a function runs ahead of the sine."""
_RELATIONS: dict[str, Callable[..., Any]] = {
    "less": np.less, "less_equal": np.less_equal, "equal": np.equal,
}  # fmt: skip


@dataclass(frozen=True)
class AttentionInputs:
    """What attention takes: scaled queries [n, heads, d] behind `kept` entries, keys and values.

    Keys [kv heads, kept + n, d], values [kv heads, kept + n, width], `sinks` [heads], `cap` as
    `fixed_point.soft_cap` makes it.
    """

    queries: npt.NDArray[np.int32]
    keys: npt.NDArray[np.int32]
    values: npt.NDArray[np.int32]
    kept: int
    window: int
    sinks: npt.NDArray[np.int64]
    cap: tuple[int, int]


class ChipNumerics:
    """Fixed point: a network's steps over the constants of a build.

    `made` are parameters beside those of the build, in float32.  `together` says that matrices which
    take one vector may be multiplied in one call.
    """

    together = True

    def __init__(self, network: Network, constants: ChipConstants, made: Mapping[str, Array]):
        self.constants, self._made = constants, made
        self._formats = formats(network)
        self._sines = fixed_point.sine_table(1.0)

    def real(self, name: str) -> Array:
        """A parameter in its shape, in float32."""
        return self._made[name] if name in self._made else self.constants.parameter(name)

    def parameter(self, name: str) -> Array:
        """A parameter in its shape, as values."""
        return to_fixed(self.real(name))

    def given(self, declared: Input, x: Array) -> Array:
        """Whole numbers as they are, others as values."""
        x = np.asarray(x)
        return x if np.issubdtype(x.dtype, np.integer) or x.dtype == bool else to_fixed(x)

    def initial(self, state: State) -> np.generic:
        """As declared, in the state's format."""
        return np.int32(to_fixed(state.initial, self._formats.states[state.name]))

    def written(self, state: str, name: str, x: Array) -> Array:
        """The value x called `name` in the format of its state."""
        return brought(_whole(x), self._formats.of(name), self._formats.states[state])

    def handed(self, name: ops.Arg, x: Any, scope: Scope = ()) -> Any:
        """Reals as values, others as they are."""
        if not isinstance(name, str):
            return np.asarray(to_fixed(name))
        return self.values(name, x, scope)

    def values(self, name: str, x: Any, scope: Scope = (), wanted: int = FRACTION) -> Any:
        """The value x called `name` with `wanted` fraction bits; an index as it is."""
        has = self._of(scope).of(name)
        if has == WHOLE or isinstance(x, Digits):
            return x
        return brought(_whole(np.asarray(x)), has, wanted)

    def taken(self, unit: str, name: str, x: Any) -> Any:
        """The value x called `name` [n, ...] as a span takes it that is done at once."""
        return x

    def attend(self, unit: str, given: AttentionInputs, start: int) -> Array:
        """Attention's output [n, heads * width]; `start` is the position of the oldest entry."""
        return fixed_point.attend(
            given.queries,
            given.keys,
            given.values,
            given.kept,
            given.window,
            given.sinks,
            given.cap,
        )

    def _of(self, scope: Scope) -> Formats:
        found = self._formats
        for name in scope:
            found = found.bodies[name]
        return found

    def step(
        self, step: ops.Step, args: list[Any], lead: int = 0, scope: Scope = ()
    ) -> tuple[Any, ...]:
        """Values that a step defines; see `run_step`."""
        known = self._of(scope)
        has = [known.of(arg) if isinstance(arg, str) else None for arg in step.args]
        args = [_whole(arg) for arg in args]
        bits = known.of(step.outs[0]) if step.outs else FRACTION
        match step.op:
            case ops.Quantize(scope=of):
                return (self._quantize(brought(args[0], has[0] or FRACTION, FRACTION), of, lead),)
            case ops.Lookup(table):
                return (self.constants.rows(table, args[0]),)
            case ops.Concat():
                x = [_brought(arg, of, bits) for arg, of in zip(args, has, strict=True)]
                return run_step(step.op, x, self.constants, lead)
            case ops.Table() | ops.InverseRoot():
                return (self._curve(step.op, args[0], has[0]),)
            case ops.Mul() | ops.Outer() | ops.Dot():
                return (_product(step.op, args, has, bits, lead),)
            case ops.Divide():
                return (_divide(args, has, bits, lead),)
            case ops.Add() | ops.Sub() | ops.Minimum() | ops.Maximum():
                a, b = aligned_ranks(_all_brought(args, has, bits), lead)
                return (clipped(_POINTWISE[type(step.op)](a, b)),)
            case ops.Compare(relation):
                coarsest = min(max(of, FRACTION) for of in has if of is not None)
                sides_of = aligned_ranks(_all_brought(args, has, coarsest), lead)
                return (np.asarray(_RELATIONS[relation](*sides_of)),)
            case ops.Where():
                truth, a, b = aligned_ranks([args[0], *_all_brought(args[1:], has[1:], bits)], lead)
                return (np.where(truth, a, b),)
            case ops.Sum(axis, keep):
                return (clipped(np.sum(args[0], behind(axis, lead), keepdims=keep)),)
            case ops.Shift(places):
                return (fixed_point.shifted(args[0], places),)
            case (
                ops.Project() | ops.FromSums() | ops.Max() | ops.TopK() | ops.ArgMax()
                | ops.Reshape() | ops.Permute() | ops.Split() | ops.Gather() | ops.Window()
                | ops.Read() | ops.Write() | ops.Repeat()
            ):  # fmt: skip
                return run_step(step.op, args, self.constants, lead)  # moves whole numbers too
            case _:
                assert_never(step.op)

    def _quantize(self, x: Array, scope: str, lead: int) -> Digits:
        flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
        together = math.prod(x.shape[lead:-1]) if scope == "value" else 1
        return Digits(self.constants.prepare(flat, together), 0, x.shape[:-1])

    def _curve(self, op: ops.Table | ops.InverseRoot, x: Array, has: int | None) -> Array:
        """A function of each number."""
        exponent = isinstance(op, ops.Table) and op.function == "exp"
        x = brought(x, has or FRACTION, UNIT_FRACTION if exponent else FRACTION)
        flat = np.ascontiguousarray(x.reshape(-1))
        if isinstance(op, ops.InverseRoot):
            y = fixed_point.each(fixed_point.ROOT, flat)
        elif op.function == "polynomial":
            y = fixed_point.polynomial(flat, [int(to_fixed(c)) for c in op.coefficients])
        elif op.function in _AHEAD:
            y = fixed_point.sines(flat, _AHEAD[op.function], self._sines)
        else:
            y = fixed_point.each(_CURVES[op.function], flat)
        if isinstance(op, ops.Table) and op.scale != 1.0:
            y = fixed_point.times(y, *_factor(op.scale))
        return y.reshape(x.shape)


_POINTWISE: dict[type, Callable[..., Any]] = {
    ops.Add: np.add, ops.Sub: np.subtract, ops.Minimum: np.minimum, ops.Maximum: np.maximum,
}  # fmt: skip


def _whole(x: Any) -> Any:
    """States are kept in 32 bits; arithmetic has 64."""
    return x.astype(np.int64) if isinstance(x, np.ndarray) and x.dtype == np.int32 else x


def _factor(number: float) -> tuple[int, int]:
    """A written number in a product, and its fraction bits."""
    bits = UNIT_FRACTION if abs(number) <= 1 else FRACTION
    return int(to_fixed(number, bits)), bits


def _brought(x: Any, has: int | None, bits: int) -> Any:
    return np.asarray(to_fixed(x, bits)) if has is None else brought(x, has, bits)


def _all_brought(args: list[Any], has: list[int | None], bits: int) -> list[Any]:
    """Numbers, indices and written numbers with the same fraction bits; written ones as int."""
    return [
        int(to_fixed(x, bits)) if of is None else brought(x, of, bits)
        for x, of in zip(args, has, strict=True)
    ]


def _product(
    op: ops.Mul | ops.Outer | ops.Dot, args: list[Any], has: list[int | None], bits: int, lead: int
) -> Array:
    """Products, or sums of them, rounded once."""
    (a, b), places = factors(args, has, bits)
    match op:
        case ops.Mul():
            return fixed_point.times(*_ranked(a, b, lead), places)
        case ops.Outer(axes):
            return fixed_point.times(*sides(axes, a, b, lead)[0], places)
        case ops.Dot(axes):
            (a, b), kept = sides(axes, a, b, lead)
            return fixed_point.inner(a, b, kept, places)


def factors(args: list[Any], has: list[int | None], bits: int) -> tuple[tuple[Any, Any], int]:
    """Two factors as whole numbers, and the places by which their product is shifted right."""
    both: list[tuple[Any, int]] = [
        _factor(x)
        if of is None
        else (x, of)
        if of != WHOLE
        else (brought(x, of, FRACTION), FRACTION)
        for x, of in zip(args, has, strict=True)
    ]
    (a, has_a), (b, has_b) = both
    return (a, b), has_a + has_b - bits


def _ranked(a: Any, b: Any, lead: int) -> tuple[Any, Any]:
    """Two sides that align; a written number stays one."""
    if isinstance(a, int) or isinstance(b, int):
        return a, b
    a, b = aligned_ranks([a, b], lead)
    return a, b


def _divide(args: list[Any], has: list[int | None], bits: int, lead: int) -> Array:
    a = _brought(args[0], has[0], bits)
    by = FRACTION if has[1] is None else max(has[1], FRACTION)
    b = _brought(args[1], has[1], by)
    if a.ndim and b.ndim:
        a, b = aligned_ranks([a, b], lead)
    return fixed_point.quotient(a, b, by)
