"""One step of a network in instructions: a method per operation, or a refusal by its name."""

from __future__ import annotations

from typing import assert_never

from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION
from hnlpu.model.network import Replace, Step, ops
from hnlpu.silicon.rtl.chip._arrays import quantize
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._code import WORD
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._registers import Register, in_order
from hnlpu.silicon.rtl.chip._values import Beside, Held, beats_of

UNIT = 1 << UNIT_FRACTION
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
            _arithmetic(a, n, step)
        case ops.Minimum():
            _at_most(a, n, step)
        case ops.Shift(bits):
            _shift(a, n, step, bits)
        case ops.Table():
            _table(a, n, step, step.op)
        case ops.Reshape():
            _rename(a, n, step)
        case ops.Split():
            _split(a, n, step)
        case ops.Concat():
            _concat(a, n, step)
        case ops.Read(state, when):
            _read(a, n, step, state, when == "before")
        case ops.Write(state):
            _write(a, n, step, state)
        case (
            ops.Maximum() | ops.Compare() | ops.Where() | ops.Divide() | ops.InverseRoot()
            | ops.Sum() | ops.Max() | ops.Dot() | ops.Outer() | ops.TopK() | ops.ArgMax()
            | ops.Permute() | ops.Gather() | ops.Window() | ops.Repeat()
        ):  # fmt: skip
            a.refuse("", n, "the vector unit has no instructions for it")
        case _:
            assert_never(step.op)


def _vector(a: Assembler, n: int, arg: str | float) -> Held:
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
    a.places[step.outs[0]] = Held(beats, size)


def _arithmetic(a: Assembler, n: int, step: Step) -> None:
    """A sum, a difference or a product of a value and a value, a parameter or a number."""
    op, (left, right), out = step.op, step.args, step.outs[0]
    fraction, turned = a.formats.of(out), a.held(left) is None
    first, second = (right, left) if turned else (left, right)
    x, is_product = _vector(a, n, first), isinstance(op, ops.Mul)
    _expect_alike(a, n, x, second)
    if not is_product:
        x = a.brought(str(first), fraction)
    other = a.held(second)
    if other is not None and not is_product:
        other = a.brought(str(second), fraction)
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
    a.places[out] = Held(dst, x.size, fraction, clean or a.fills(x.size))


def _expect_alike(a: Assembler, n: int, x: Held, second: str | float) -> None:
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
    a: Assembler, arg: str | float, held: Held | None, units: int, beat: int
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
    a.places[out] = Held(dst, x.size, x.fraction, (x.clean and limit >= 0) or a.fills(x.size))


def _shift(a: Assembler, n: int, step: Step, bits: int) -> None:
    """A product with a power of two, or by 1 and rounded."""
    if bits > 30 or bits < -62:
        a.refuse("", n, f"by {bits} bits, and a product is by 30 to the left at most")
    x, out = _vector(a, n, step.args[0]), step.outs[0]
    dst = a.room(out, x.size, over=a.forms(step.args[0]))
    for register, to in zip(x.beats, dst, strict=True):
        a.code.multiply(
            to, register, Operand.IMMEDIATE, first=True, shift=max(0, -bits),
            immediate=1 << max(0, bits),
        )  # fmt: skip
    a.places[out] = Held(dst, x.size, x.fraction, x.clean)


def _table(a: Assembler, n: int, step: Step, op: ops.Table) -> None:
    """Sigmoid, and tanh(x) = 2 sigmoid(2 x) - 1."""
    if op.function not in ("sigmoid", "tanh") or op.scale != 1.0:
        scale = "" if op.scale == 1.0 else f" times {op.scale:g}"
        a.refuse(op.function, n, f"lanes have no table of it{scale}")
    name, out = str(step.args[0]), step.outs[0]
    _vector(a, n, name)
    x = a.brought(name, FRACTION)
    dst = a.room(out, x.size, over=a.forms(name))
    for register, to in zip(x.beats, dst, strict=True):
        if op.function == "sigmoid":
            a.code.emit(Op.SIGMOID, dst=to, a=register)
            continue
        a.code.emit(Op.ADD, Operand.REGISTER, dst=to, a=register, b=register)
        a.code.emit(Op.SIGMOID, dst=to, a=to)
        a.code.emit(Op.ADD, Operand.REGISTER, dst=to, a=to, b=to)
        a.code.emit(Op.ADD, dst=to, a=to, immediate=-UNIT & WORD)
    clean = x.clean and op.function == "tanh"
    a.places[out] = Held(dst, x.size, UNIT_FRACTION, clean or a.fills(x.size))


def _rename(a: Assembler, n: int, step: Step) -> None:
    """The same registers under another name."""
    place = a.places.get(str(step.args[0]))
    if place is None:
        a.refuse("", n, f"{step.args[0]} is in no register")
    a.places[step.outs[0]] = place


def _split(a: Assembler, n: int, step: Step) -> None:
    """Pieces of whole beats; those of a matrix's sums have been read apart."""
    if all(out in a.places or not a.uses.consumers[out] for out in step.outs):
        return
    x, first = _vector(a, n, step.args[0]), 0
    for out in step.outs:
        size, *more = (dim for dim in a.uses.types[out].shape if isinstance(dim, int))
        if more:
            a.refuse("", n, "pieces of several rows")
        if first % a.code.width:
            a.refuse("", n, "a piece that begins within a beat")
        begin = first // a.code.width
        beats = x.beats[begin : begin + a.code.beats(size)]
        clean = a.fills(size) or (x.clean and first + size == x.size)
        a.places[out] = Held(beats, size, x.fraction, clean)
        first += size


def _concat(a: Assembler, n: int, step: Step) -> None:
    """Pieces of whole beats one behind the other."""
    out = step.outs[0]
    parts = []
    for arg in step.args:
        _vector(a, n, arg)
        parts.append(a.brought(str(arg), a.formats.of(out)))
    one_axis = len(a.uses.types[out].shape) == 1
    if not one_axis or any(not a.fills(part.size) for part in parts[:-1]):
        a.refuse("", n, "a piece that ends within a beat")
    beats = tuple(register for part in parts for register in part.beats)
    size, last = sum(part.size for part in parts), parts[-1]
    a.places[out] = Held(beats, size, last.fraction, all(part.clean for part in parts))


def _read(a: Assembler, n: int, step: Step, name: str, before: bool) -> None:
    """What a state keeps: its registers, which hold the initial value at a sequence's beginning."""
    state = a.uses.states[name]
    if not isinstance(state.keeps, Replace):
        a.refuse("", n, f"{name} keeps entries of several positions, which only attend does")
    [size], beats, fraction = state.shape, a.states[name], a.formats.states[name]
    initial = fixed(state.initial, fraction)
    if initial and not a.fills(size):
        a.refuse("", n, f"{name} begins with {state.initial:g} in a beat that it does not fill")
    if before:
        for register in beats:
            a.code.emit(Op.RECALL, dst=register, a=register, immediate=initial & WORD)
    a.places[step.outs[0]] = Held(beats, size, fraction)


def _write(a: Assembler, n: int, step: Step, name: str) -> None:
    """A value into its state's registers, unless it has been made there."""
    if name not in a.states:
        a.refuse("", n, f"{name} keeps entries of several positions, which only attend does")
    arg, beats = str(step.args[0]), a.states[name]
    _vector(a, n, arg)
    value = a.tidy(arg, a.formats.states[name])
    if value.beats == beats:
        return
    for other, place in list(a.places.items()):
        if isinstance(place, Held) and not a.dies(other) and set(beats_of(place)) & set(beats):
            a.move(other, place)
    if not in_order(value.beats, beats):
        value = a.copied(value)
    for register, dst in zip(value.beats, beats, strict=True):
        a.code.multiply(dst, register, Operand.IMMEDIATE, first=True, immediate=1)
