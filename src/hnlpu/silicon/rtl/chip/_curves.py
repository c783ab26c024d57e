"""Functions of each number in instructions: those of lanes, and what sums and products make of them."""

from __future__ import annotations

from dataclasses import replace

from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION
from hnlpu.model.network import Step, ops
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._code import WORD
from hnlpu.silicon.rtl.chip._instructions import NORMAL, POWER, SOFTPLUS, Op, Operand
from hnlpu.silicon.rtl.chip._moving import compact
from hnlpu.silicon.rtl.chip._registers import Beats, Register
from hnlpu.silicon.rtl.chip._values import RegisterPlaces, RegisterRows

UNIT = 1 << UNIT_FRACTION
_TAKES = {"exp": UNIT_FRACTION}
"""Fraction bits of what a function takes, where it is no value."""
_KNOWN = ("sigmoid", "tanh", "exp", "softplus", "gelu", "gelu_tanh", "polynomial")
_GELU_FLAT, _GELU_LINEAR, _GELU_CUBIC = 1 << 19, 104580, 1197135
"""docs/vector-unit.md, gelu_tanh."""


def each(
    a: Assembler, n: int, name: str, out: str, fraction: int | None
) -> tuple[RegisterRows | RegisterPlaces, Beats]:
    """A value, in units of 2^-`fraction` or as it is, and registers for as many numbers that lie alike."""
    if a.spread(name) is None:
        a.refuse("", n, f"{name} is in no register")
    x = a.places[name] if fraction is None else a.brought(name, fraction)
    if isinstance(x, RegisterRows):
        return x, a.room(out, x.size, over=a.forms(name))
    assert isinstance(x, RegisterPlaces)
    x = compact(x, a.code.width)
    return x, a.room_at(out, x.places, a.forms(name))


def curve(a: Assembler, n: int, step: Step, op: ops.Table) -> None:
    """A function of each number, and its scale."""
    if op.function not in _KNOWN:
        a.refuse(op.function, n, "lanes have no table of it")
    name, out, fraction = str(step.args[0]), step.outs[0], a.formats.of(step.outs[0])
    x, dst = each(a, n, name, out, _TAKES.get(op.function, FRACTION))
    [scratch] = a.code.registers.pool(1, {*a.busy(), *dst, *x.beats})
    for register, to in zip(x.beats, dst, strict=True):
        _one(a, op, register, to, scratch)
        if op.scale != 1.0:
            units = UNIT_FRACTION if abs(op.scale) <= 1 else FRACTION
            scale = fixed(op.scale, units) & WORD
            a.code.multiply(to, to, Operand.IMMEDIATE, first=True, shift=units, immediate=scale)
    found = replace(x, beats=dst, fraction=fraction)
    if isinstance(found, RegisterRows):
        clean = (found.clean and op.function == "tanh") or a.fills(found.size)
        found = replace(found, clean=clean)
    a.places[out] = found


def _one(a: Assembler, op: ops.Table, x: Register, to: Register, scratch: Register) -> None:
    """A function of a beat; `to` may be x."""
    match op.function:
        case "sigmoid":
            a.code.emit(Op.SIGMOID, dst=to, a=x)
        case "tanh":  # 2 sigmoid(2 x) - 1
            a.code.emit(Op.ADD, Operand.REGISTER, dst=to, a=x, b=x)
            a.code.emit(Op.SIGMOID, dst=to, a=to)
            a.code.emit(Op.ADD, Operand.REGISTER, dst=to, a=to, b=to)
            a.code.emit(Op.ADD, dst=to, a=to, immediate=-UNIT & WORD)
        case "exp":
            a.code.emit(Op.CURVE, dst=to, a=x, rank=POWER)
        case "softplus":
            a.code.emit(Op.CURVE, dst=to, a=x, rank=SOFTPLUS)
        case "gelu":
            a.code.emit(Op.CURVE, dst=scratch, a=x, rank=NORMAL)
            a.code.multiply(to, x, Operand.REGISTER, b=scratch, first=True, shift=UNIT_FRACTION)
        case "gelu_tanh":
            _gelu_tanh(a, x, to, scratch)
        case "polynomial":
            _polynomial(a, op.coefficients, x, to, scratch)
        case _:
            raise AssertionError(op.function)


def _gelu_tanh(a: Assembler, x: Register, to: Register, y: Register) -> None:
    """x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)); beyond 8 nothing changes."""
    [p] = a.code.registers.pool(1, {*a.busy(), x, to, y})
    a.code.emit(Op.CLAMP, dst=y, a=x, immediate=_GELU_FLAT, both=True)
    a.code.multiply(p, y, Operand.REGISTER, b=y, first=True, shift=FRACTION)
    a.code.multiply(p, p, Operand.IMMEDIATE, first=True, shift=UNIT_FRACTION, immediate=_GELU_CUBIC)
    a.code.emit(Op.ADD, dst=p, a=p, immediate=_GELU_LINEAR)
    a.code.multiply(y, y, Operand.REGISTER, b=p, first=True, shift=FRACTION)
    a.code.emit(Op.SIGMOID, dst=y, a=y)
    a.code.multiply(to, x, Operand.REGISTER, b=y, first=True, shift=UNIT_FRACTION)


def _polynomial(
    a: Assembler, coefficients: tuple[float, ...], x: Register, to: Register, r: Register
) -> None:
    """Horner's rule, each product and each sum saturated."""
    *others, highest = (fixed(c) for c in coefficients)
    a.code.multiply(r, x, Operand.IMMEDIATE, first=True, immediate=0)
    a.code.emit(Op.ADD, dst=r, a=r, immediate=highest & WORD)
    for coefficient in reversed(others):
        a.code.multiply(r, x, Operand.REGISTER, b=r, first=True, shift=FRACTION)
        a.code.emit(Op.ADD, dst=r, a=r, immediate=coefficient & WORD)
    a.code.multiply(to, r, Operand.IMMEDIATE, first=True, immediate=1)
