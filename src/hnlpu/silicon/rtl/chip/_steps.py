"""One step of a network in instructions: a method per operation, or a refusal by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION
from hnlpu.model.network import Step, ops
from hnlpu.silicon.rtl.chip._arrays import quantize
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._code import WORD
from hnlpu.silicon.rtl.chip._curves import curve, each
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._memories import read, write
from hnlpu.silicon.rtl.chip._pointwise import (
    choose,
    divide,
    is_plain,
    largest,
    pointwise,
    products,
    total,
)
from hnlpu.silicon.rtl.chip._registers import Register
from hnlpu.silicon.rtl.chip._values import Beside, RegisterPlaces, RegisterRows

Fields = dict[str, int | Register]


def lower_step(a: Assembler, n: int) -> None:
    """Write the instructions of step n; raises UnsupportedArchitecture."""
    step = a.network.steps[n]
    match step.op:
        case ops.Quantize():
            quantize(a, n, step, step.op)
        case ops.Project() | ops.FromSums():
            pass  # done with their digits
        case ops.Lookup(table):
            _embed(a, n, step, table)
        case ops.Add() | ops.Sub() | ops.Mul():
            (_arithmetic if is_plain(a, step) else pointwise)(a, n, step)
        case ops.Minimum() if is_plain(a, step) and any(isinstance(x, float) for x in step.args):
            _at_most(a, n, step)
        case ops.Minimum() | ops.Maximum() | ops.Compare():
            pointwise(a, n, step)
        case ops.Divide():
            divide(a, n, step)
        case ops.Where():
            choose(a, n, step)
        case ops.Dot(axes, wide=False) | ops.Outer(axes):
            products(a, n, step, axes)
        case ops.Sum(axis, wide=False):
            total(a, n, step, axis)
        case ops.Max(axis):
            largest(a, n, step, axis)
        case ops.Shift(bits):
            _shift(a, n, step, bits)
        case ops.Table():
            curve(a, n, step, step.op)
        case ops.Reshape():
            _rename(a, n, step)
        case ops.Permute(order):
            _permute(a, n, step, order)
        case ops.Split(_, axis):
            _split(a, n, step, axis)
        case ops.Concat(axis):
            _concat(a, n, step, axis)
        case ops.Read(state, when):
            read(a, n, step, state, before=when == "before")
        case ops.Write(state):
            write(a, n, step, state)
        case (
            ops.InverseRoot() | ops.Sum() | ops.Dot() | ops.TopK() | ops.ArgMax()
            | ops.Gather() | ops.Window() | ops.Repeat()
        ):  # fmt: skip
            a.refuse("", n, "the vector unit has no instructions for it")
        case _:
            assert_never(step.op)


def _vector(a: Assembler, n: int, arg: str | float) -> RegisterRows:
    """A value that registers must hold."""
    held = a.held(arg)
    if held is None:
        a.refuse("", n, f"{arg} is in no register")
    return held


def _embed(a: Assembler, n: int, step: Step, table: str) -> None:
    if a.places.get(str(step.args[0])) != Beside("token"):
        a.refuse("", n, "entries by other numbers than the token's")
    if a.embedding is not None or len(a.uses.parameters[table].shape) != 2:
        a.refuse("", n, "a chip has one embedding, a row per token")
    a.embedding = table
    _, size = a.uses.parameters[table].shape
    beats = a.room(step.outs[0], size)
    for beat, dst in enumerate(beats):
        a.code.emit(Op.EMBED, dst=dst, index=beat)
    a.places[step.outs[0]] = RegisterRows(beats, size)


def _in_units(a: Assembler, name: str, fraction: int) -> RegisterRows:
    """A value whose numbers lie in a row, in units of 2^-`fraction`."""
    found = a.brought(name, fraction)
    assert isinstance(found, RegisterRows)
    return found


def _arithmetic(a: Assembler, n: int, step: Step) -> None:
    """A sum, a difference or a product of a value and a value, a parameter or a number."""
    op, (left, right), out = step.op, step.args, step.outs[0]
    fraction, turned = a.formats.of(out), a.held(left) is None
    first, second = (right, left) if turned else (left, right)
    x, is_product = _vector(a, n, first), isinstance(op, ops.Mul)
    _expect_alike(a, n, x, second)
    if not is_product:
        x = _in_units(a, str(first), fraction)
    other = a.held(second)
    if other is not None and not is_product:
        other = _in_units(a, str(second), fraction)
    number_fraction = _number_fraction(second, fraction, is_product=is_product)
    units = other.fraction if other else number_fraction
    if isinstance(second, str) and other is None and units != fraction and not is_product:
        a.refuse("", n, f"the parameter {second} in a sum of finer units")
    dst = a.room(out, x.size, over=a.forms(first, second))
    for beat, (register, to) in enumerate(zip(x.beats, dst, strict=True)):
        kind, fields = _operand(a, second, other, units, beat)
        if is_product:
            shift = x.fraction + units - fraction
            a.code.multiply(to, register, kind, first=True, shift=shift, **fields)
        elif isinstance(op, ops.Sub):
            a.code.emit(Op.SUBTRACT, kind, dst=to, a=register, both=turned, **fields)
        else:
            a.code.emit(Op.ADD, kind, dst=to, a=register, **fields)
    parts = [x.clean, other.clean if other else isinstance(second, str)]
    clean = any(parts) if is_product else all(parts)
    a.places[out] = RegisterRows(dst, x.size, fraction, clean or a.fills(x.size))


def _expect_alike(a: Assembler, n: int, x: RegisterRows, second: str | float) -> None:
    """Refuse what would have to be repeated along an axis."""
    if not isinstance(second, str):
        return
    other = a.held(second)
    if other is None and second not in a.uses.parameters:
        a.refuse("", n, f"{second} is in no register")
    shape = a.uses.types[second].shape
    size = other.size if other else shape[0] if len(shape) == 1 else None
    if size != x.size:
        a.refuse("", n, f"{second} would have to be repeated to {x.size} numbers")


def _number_fraction(second: str | float, fraction: int, *, is_product: bool) -> int:
    """Fraction bits of a parameter or a written number."""
    if isinstance(second, str):
        return FRACTION
    if not is_product:
        return fraction
    return UNIT_FRACTION if abs(second) <= 1 else FRACTION


def _operand(
    a: Assembler, arg: str | float, held: RegisterRows | None, units: int, beat: int
) -> tuple[Operand, Fields]:
    """Operand of an instruction for one beat of a value, a parameter or a number."""
    if held is not None:
        return Operand.REGISTER, {"b": held.beats[beat]}
    if isinstance(arg, str):
        size = a.uses.parameters[arg].shape[0]
        return Operand.PARAMETER, {"index": a.code.parameter(arg, "value", size, beat)}
    return Operand.IMMEDIATE, {"immediate": fixed(arg, units) & WORD}


def _at_most(a: Assembler, n: int, step: Step) -> None:
    """The smaller of a value and a number."""
    (first, second), out = step.args, step.outs[0]
    if isinstance(first, float):
        first, second = second, first
    x = _vector(a, n, first)
    if not isinstance(second, float):
        a.refuse("", n, "the smaller of two values; of a value and a number it is a clamp")
    dst = a.room(out, x.size, over=a.forms(first))
    limit = fixed(second, x.fraction)
    for register, to in zip(x.beats, dst, strict=True):
        a.code.emit(Op.CLAMP, dst=to, a=register, immediate=limit & WORD)
    a.places[out] = RegisterRows(
        dst, x.size, x.fraction, (x.clean and limit >= 0) or a.fills(x.size)
    )


def _shift(a: Assembler, n: int, step: Step, bits: int) -> None:
    """A product with a power of two, or by 1 and rounded."""
    if bits > 30 or bits < -62:
        a.refuse("", n, f"by {bits} bits, and a product is by 30 to the left at most")
    name, out = str(step.args[0]), step.outs[0]
    x, dst = each(a, n, name, out, None)
    for register, to in zip(x.beats, dst, strict=True):
        a.code.multiply(
            to, register, Operand.IMMEDIATE, first=True, shift=max(0, -bits),
            immediate=1 << max(0, bits),
        )  # fmt: skip
    a.places[out] = replace(x, beats=dst)


def _rename(a: Assembler, n: int, step: Step) -> None:
    """The same registers under another name."""
    name, out = str(step.args[0]), step.outs[0]
    place = a.places.get(name)
    if place is None:
        a.refuse("", n, f"{name} is in no register")
    if isinstance(place, RegisterPlaces):
        a.settle(out, replace(place, places=place.places.reshape(a.uses.shape(out))))
    else:
        a.places[out] = place


def _permute(a: Assembler, n: int, step: Step, order: tuple[int, ...]) -> None:
    """The same places in another order."""
    view = a.view(n, step.args[0])
    a.settle(step.outs[0], replace(view, places=view.places.transpose(order)))


def _split(a: Assembler, n: int, step: Step, axis: int) -> None:
    """Pieces where they lie; those of a matrix's sums have been read apart."""
    if all(out in a.places or not a.uses.consumers[out] for out in step.outs):
        return
    if a.rank is not None and a.held(step.args[0]) is not None:
        a.refuse("", n, "pieces of what an expert gives")
    view, place, first = a.view(n, step.args[0]), a.places.get(str(step.args[0])), 0
    for out in step.outs:
        size = a.uses.shape(out)[axis]
        part = np.take(view.places, range(first, first + size), axis)
        first += size
        a.settle(out, replace(view, places=part))
        found = a.places[out]
        ends = isinstance(place, RegisterRows) and place.clean and int(part.max()) + 1 == place.size
        if isinstance(found, RegisterRows) and ends:
            a.places[out] = replace(found, clean=True)


def _concat(a: Assembler, n: int, step: Step, axis: int) -> None:
    """Pieces one behind the other, where they lie; parameters among them are brought into registers."""
    out = step.outs[0]
    fraction, parts, beats = a.formats.of(out), [], list[Register]()
    for arg in step.args:
        constant = arg in a.uses.parameters
        part = a.loaded(n, arg, fraction) if constant else a.view(n, arg, fraction)
        parts.append(part.places + len(beats) * a.code.width)
        beats += part.beats
    a.settle(out, RegisterPlaces(tuple(beats), np.concatenate(parts, axis), fraction))
    last, found = a.places.get(str(step.args[-1])), a.places[out]
    if isinstance(found, RegisterRows) and isinstance(last, RegisterRows) and last.clean:
        a.places[out] = replace(found, clean=True)
