"""Steps on numbers that lie anywhere: each result in a lane, what it takes brought there by moves.

    y [a, b] = x [a, b] * w [b]     x lies as y; w goes through the mover, or is stored as often as needed
    y [a] = sum over b of x [a, b] * z [b]     products one behind the other into a lane's sum

New numbers lie as those of the first value that has as many; values of a state's shape lie as the state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION
from hnlpu.model.network import Step, ops
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._code import WORD
from hnlpu.silicon.rtl.chip._instructions import (
    EQUAL,
    LARGER,
    LESS,
    LESS_EQUAL,
    SMALLER,
    Op,
    Operand,
)
from hnlpu.silicon.rtl.chip._moving import by_beat, compacted, gather, source
from hnlpu.silicon.rtl.chip._registers import Beats, Register
from hnlpu.silicon.rtl.chip._values import Places, RegisterPlaces, RegisterRows

Operation = tuple[Operand, dict[str, Any]]
TRUTH = 0
"""Fraction bits of 0 and 1."""
_KINDS = {"less": LESS, "less_equal": LESS_EQUAL, "equal": EQUAL}
MOST_TERMS = 1 << 16
"""Products that a lane adds up."""


@dataclass(frozen=True, eq=False)
class Side:
    """What a step takes: `at` [of the result's shape] is where a value's or a parameter's numbers lie."""

    arg: str | float
    fraction: int
    view: RegisterPlaces | None = None
    at: Places | None = None


class Lanes:
    """Operands of one step, lane by lane; what lies in several registers is gathered into scratch ones."""

    def __init__(self, a: Assembler, dst: Beats):
        self._a, self._dst = a, dst
        self._scratch: dict[str, Register] = {}
        self._holds: dict[str, tuple[Any, ...]] = {}

    def scratch(self, name: str) -> Register:
        """A register of the step's own."""
        if name not in self._scratch:
            busy = {*self._a.busy(), *self._dst, *self._scratch.values()}
            [self._scratch[name]] = self._a.code.registers.pool(1, busy)
        return self._scratch[name]

    def register(self, side: Side, numbers: Places, name: str) -> Register:
        """The register that has, by lane, the `numbers` of a value's side."""
        found = self._source(side, numbers)
        if found is not None and found[0] == Operand.REGISTER:
            return found[1]["b"]  # type: ignore[no-any-return]  # an operand in a register has one
        return self._gathered(side, numbers, name)

    def operand(self, side: Side, numbers: Places, name: str) -> Operation:
        """The second operand that has, by lane, the `numbers` of a side."""
        if side.at is None:
            assert isinstance(side.arg, float | int)
            return Operand.IMMEDIATE, {"immediate": fixed(side.arg, side.fraction) & WORD}
        if side.view is None:
            places = np.where(numbers >= 0, side.at.ravel()[numbers], -1).tolist()
            finer = side.fraction - FRACTION
            return Operand.PARAMETER, {"index": self._a.code.placed(str(side.arg), places, finer)}
        found = self._source(side, numbers)
        return found or (Operand.REGISTER, {"b": self._gathered(side, numbers, name)})

    def fits(self, side: Side, numbers: Places) -> bool:
        """Whether a side's numbers lie in the lanes where they are taken."""
        found = self._source(side, numbers) if side.view else None
        return found is not None and found[0] == Operand.REGISTER

    def _source(self, side: Side, numbers: Places) -> Operation | None:
        assert side.view is not None
        return source(self._a.code, side.view, self._lanes(side, numbers))

    def _lanes(self, side: Side, numbers: Places) -> Places:
        assert side.at is not None
        return np.where(numbers >= 0, side.at.ravel()[numbers], -1)

    def _gathered(self, side: Side, numbers: Places, name: str) -> Register:
        assert side.view is not None
        lanes, register = self._lanes(side, numbers), self.scratch(name)
        holds = (id(side.view), lanes.tobytes())
        if self._holds.get(name) != holds:
            gather(self._a.code, side.view, lanes, register)
            self._holds[name] = holds
        return register


def side_of(a: Assembler, n: int, arg: str | float, shape: Sequence[int], fraction: int) -> Side:
    """A side that is broadcast to the result's shape, in units of 2^-`fraction`."""
    if not isinstance(arg, str):
        return Side(arg, fraction)
    if arg in a.uses.parameters:
        numbers = np.arange(math.prod(a.uses.shape(arg))).reshape(a.uses.shape(arg))
        return Side(arg, fraction, None, np.broadcast_to(numbers, shape))
    view = a.view(n, arg, fraction)
    return Side(arg, fraction, view, np.broadcast_to(view.places, shape))


def factor_fraction(a: Assembler, n: int, arg: str | float) -> int:
    """Fraction bits of a factor, which is taken as it is."""
    if not isinstance(arg, str):
        return UNIT_FRACTION if abs(arg) <= 1 else FRACTION
    if arg in a.uses.parameters:
        return FRACTION
    return a.view(n, arg).fraction


def target(a: Assembler, out: str, shape: Sequence[int], sides: Sequence[Side]) -> Places:
    """Where the numbers of a new value lie."""
    size, state = math.prod(shape), a.uses.resides.get(out)
    if state in a.layouts:
        return a.layouts[state]
    for side in sides:
        if side.view is not None and side.view.places.size == size:
            assert side.at is not None
            found = compacted(side.at, a.code.width)
            if found is not None:
                return found
    return np.arange(size).reshape(tuple(shape))


def _over(sides: Sequence[Side], beats: Places, lanes: Lanes) -> list[str]:
    """Values that a step reads beat by beat, each in its lanes."""
    alike = [side for side in sides if all(lanes.fits(side, numbers) for numbers in beats)]
    views = [side for side in sides if side.view is not None]
    return [str(side.arg) for side in alike] if len(alike) == len(views) else []


def pointwise(a: Assembler, n: int, step: Step) -> None:
    """A sum, a difference, a product, an end or a comparison of numbers that lie anywhere."""
    op, out = step.op, step.outs[0]
    shape, product = a.uses.shape(out), isinstance(op, ops.Mul)
    fraction = TRUTH if isinstance(op, ops.Compare) else a.formats.of(out)
    common = _coarsest(a, step) if isinstance(op, ops.Compare) else fraction
    sides = [
        side_of(a, n, arg, shape, factor_fraction(a, n, arg) if product else common)
        for arg in step.args
    ]
    if isinstance(op, ops.Compare) and sides[0].view is None:  # the others have a turned form
        view = a.loaded(n, step.args[0], common)
        sides[0] = Side(step.args[0], common, view, np.broadcast_to(view.places, shape))
    places = target(a, out, shape, sides)
    beats = by_beat(places, a.code.width)
    over = a.forms(*_over(sides, beats, Lanes(a, ())))
    dst = a.room_at(out, places, over)
    lanes = Lanes(a, dst)
    left, right = sides
    swapped = left.view is None or (
        right.view is not None
        and not isinstance(op, ops.Compare)
        and not all(lanes.fits(left, numbers) for numbers in beats)
        and all(lanes.fits(right, numbers) for numbers in beats)
    )
    first, second = (right, left) if swapped else (left, right)
    for numbers, to in zip(beats, dst, strict=True):
        register = lanes.register(first, numbers, "first")
        kind, fields = lanes.operand(second, numbers, "second")
        match op:
            case ops.Mul():
                shift = first.fraction + second.fraction - fraction
                a.code.multiply(to, register, kind, first=True, shift=shift, **fields)
            case ops.Sub():
                a.code.emit(Op.SUBTRACT, kind, dst=to, a=register, both=swapped, **fields)
            case ops.Add():
                a.code.emit(Op.ADD, kind, dst=to, a=register, **fields)
            case _:
                a.code.emit(Op.COMPARE, kind, dst=to, a=register, rank=_kind(op), **fields)
    a.settle(out, RegisterPlaces(dst, places, fraction))


def _coarsest(a: Assembler, step: Step) -> int:
    """Fraction bits in which two sides are compared."""
    named = [arg for arg in step.args if isinstance(arg, str)]
    return min(max(a.formats.of(arg), FRACTION) for arg in named)


def _kind(op: ops.Op) -> int:
    match op:
        case ops.Maximum():
            return LARGER
        case ops.Minimum():
            return SMALLER
        case ops.Compare(relation):
            return _KINDS[relation]
        case _:
            raise AssertionError(op)


def choose(a: Assembler, n: int, step: Step) -> None:
    """One value where a truth holds, another elsewhere: truth * one + (1 - truth) * other."""
    out = step.outs[0]
    shape, fraction = a.uses.shape(out), a.formats.of(out)
    truth = side_of(a, n, step.args[0], shape, TRUTH)
    one, other = (side_of(a, n, arg, shape, fraction) for arg in step.args[1:])
    places = target(a, out, shape, [one, other, truth])
    dst = a.room_at(out, places)
    lanes = Lanes(a, dst)
    for numbers, to in zip(by_beat(places, a.code.width), dst, strict=True):
        holds, fails = lanes.register(truth, numbers, "truth"), lanes.scratch("fails")
        a.code.emit(Op.SUBTRACT, dst=fails, a=holds, both=True, immediate=1)
        kind, fields = lanes.operand(one, numbers, "one")
        a.code.multiply(None, holds, kind, first=True, **fields)
        kind, fields = lanes.operand(other, numbers, "other")
        a.code.multiply(to, fails, kind, **fields)
    a.settle(out, RegisterPlaces(dst, places, fraction))


def divide(a: Assembler, n: int, step: Step) -> None:
    """Quotients lane by lane; a divisor is taken as it is."""
    (left, right), out = step.args, step.outs[0]
    shape, fraction = a.uses.shape(out), a.formats.of(out)
    units = FRACTION
    if isinstance(right, str) and right not in a.uses.parameters:
        units = a.view(n, right).fraction
    if isinstance(left, str) and left not in a.uses.parameters:
        dividend = side_of(a, n, left, shape, fraction)
    else:
        view = a.loaded(n, left, fraction)
        dividend = Side(left, fraction, view, np.broadcast_to(view.places, shape))
    divisor = side_of(a, n, right, shape, units)
    places = target(a, out, shape, [dividend, divisor])
    dst = a.room_at(out, places)
    lanes = Lanes(a, dst)
    a.code.emit(Op.ACQUIRE, index="quotients")
    for numbers, to in zip(by_beat(places, a.code.width), dst, strict=True):
        register = lanes.register(dividend, numbers, "dividend")
        kind, fields = lanes.operand(divisor, numbers, "divisor")
        if "index" in fields:  # ISSUE has the resource there
            scratch = lanes.scratch("divisors")
            a.code.multiply(scratch, scratch, Operand.IMMEDIATE, first=True)
            a.code.emit(Op.ADD, kind, dst=scratch, a=scratch, **fields)
            kind, fields = Operand.REGISTER, {"b": scratch}
        a.code.emit(Op.ISSUE, kind, a=register, shift=units, index="quotients", **fields)
        a.code.emit(Op.AWAIT, index="quotients")
        a.code.emit(Op.QUOTIENT, dst=to)
    a.code.emit(Op.RELEASE, index="quotients")
    a.settle(out, RegisterPlaces(dst, places, fraction))


def products(a: Assembler, n: int, step: Step, axes: str) -> None:
    """Products of two values, summed in their lanes over the axes that the result lacks."""
    names, _, result = axes.partition("->")
    letters = names.split(",")
    lengths = {
        letter: length
        for part, arg in zip(letters, step.args, strict=True)
        for letter, length in zip(part, a.uses.shape(str(arg)), strict=True)
    }
    summed = [letter for letter in lengths if letter not in result]
    kept, terms = [lengths[x] for x in result], math.prod(lengths[x] for x in summed)
    sides = [
        _aligned(a, n, arg, part, [*result, *summed], lengths)
        for part, arg in zip(letters, step.args, strict=True)
    ]
    sum_of(a, n, step.outs[0], kept, terms, sides)


def _aligned(
    a: Assembler, n: int, arg: str | float, part: str, order: Sequence[str], lengths: dict[str, int]
) -> Side:
    """A side of products with an axis for every letter of `order`."""
    side = side_of(a, n, arg, [lengths[x] for x in part], factor_fraction(a, n, arg))
    assert side.at is not None
    there = [letter for letter in order if letter in part]
    at = side.at.transpose([part.index(letter) for letter in there])
    at = at[tuple(slice(None) if letter in part else None for letter in order)]
    return Side(arg, side.fraction, side.view, np.broadcast_to(at, [lengths[x] for x in order]))


def total(a: Assembler, n: int, step: Step, axis: int) -> None:
    """Sum along an axis: products with 1, in units of the value."""
    view = a.view(n, step.args[0])
    at = np.moveaxis(view.places, axis, -1)
    kept, side = at.shape[:-1], Side(step.args[0], view.fraction, view, at)
    shape = a.uses.shape(step.outs[0])
    sum_of(a, n, step.outs[0], kept, at.shape[-1], [side, Side(1, 0)], shape)


def largest(a: Assembler, n: int, step: Step, axis: int) -> None:
    """The largest along an axis."""
    out, view = step.outs[0], a.view(n, step.args[0])
    at = np.moveaxis(view.places, axis, -1)
    at = at.reshape(-1, at.shape[-1])
    places = compacted(at[:, 0], a.code.width)
    assert places is not None
    dst = a.room_at(out, places)
    lanes = Lanes(a, dst)
    for numbers, to in zip(by_beat(places, a.code.width), dst, strict=True):
        for term in range(at.shape[1]):
            side = Side(step.args[0], view.fraction, view, at[:, term])
            kind, fields = lanes.operand(side, numbers, f"term {term % 2}")
            register = lanes.register(side, numbers, "first") if term == 0 else to
            a.code.emit(Op.COMPARE, kind, dst=to, a=register, rank=LARGER, **fields)
    a.settle(out, RegisterPlaces(dst, places.reshape(a.uses.shape(out)), view.fraction))


def sum_of(
    a: Assembler, n: int, out: str, kept: Sequence[int], terms: int, sides: Sequence[Side],
    keep: Sequence[int] | None = None,
) -> None:  # fmt: skip
    """Products of two sides [kept..., terms], each result's one behind the other into its lane's sum."""
    if terms > MOST_TERMS:
        a.refuse("", n, f"{terms} products, and a lane adds {MOST_TERMS} at most")
    a.most_terms = max(a.most_terms, terms)
    fraction, size = a.formats.of(out), math.prod(kept)
    at = [None if side.at is None else side.at.reshape(size, terms) for side in sides]
    places = _target_of_sums(a, out, kept, sides, at)
    dst = a.room_at(out, places)
    lanes, shift = Lanes(a, dst), sum(side.fraction for side in sides) - fraction
    for numbers, to in zip(by_beat(places, a.code.width), dst, strict=True):
        for term in range(terms):
            first, second = (
                Side(side.arg, side.fraction, side.view, None if x is None else x[:, term])
                for side, x in zip(sides, at, strict=True)
            )
            if first.view is None or (
                lanes.fits(second, numbers) and not lanes.fits(first, numbers)
            ):
                first, second = second, first
            register = lanes.register(first, numbers, "first")
            kind, fields = lanes.operand(second, numbers, "second")
            last = to if term == terms - 1 else None
            a.code.multiply(last, register, kind, first=term == 0, shift=shift, **fields)
    shape = tuple(kept if keep is None else keep)
    a.settle(out, RegisterPlaces(dst, places.reshape(shape), fraction))


def _target_of_sums(
    a: Assembler, out: str, kept: Sequence[int], sides: Sequence[Side], at: Sequence[Places | None]
) -> Places:
    """As the numbers of a side lie, if those of all terms lie alike; else one behind the other."""
    state = a.uses.resides.get(out)
    if state in a.layouts:
        return a.layouts[state]
    for side, x in zip(sides, at, strict=True):
        if side.view is None or x is None or side.view.places.size != x.size:
            continue
        found, lanes = compacted(x[:, 0], a.code.width), x % a.code.width
        if found is not None and (lanes == lanes[:, :1]).all():
            return found.reshape(tuple(kept))
    return np.arange(math.prod(kept)).reshape(tuple(kept))


def is_plain(a: Assembler, step: Step) -> bool:
    """Whether all that a step takes lies in a row, as many numbers as it gives."""
    if a.rank is not None:
        return True
    size = math.prod(a.uses.shape(step.outs[0]))
    if step.outs[0] in a.uses.resides:
        return False
    for arg in step.args:
        if not isinstance(arg, str):
            continue
        place, parameter = a.places.get(arg), a.uses.parameters.get(arg)
        if parameter is not None:
            finer = not isinstance(step.op, ops.Mul) and a.formats.of(step.outs[0]) != FRACTION
            if parameter.shape != (size,) or finer:
                return False
        elif not isinstance(place, RegisterRows) or place.size != size:
            return place is None or not isinstance(place, RegisterRows | RegisterPlaces)
    return True
