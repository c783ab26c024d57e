"""Single steps as instructions.  What moves numbers only is another view of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import numpy as np

from hnlpu.model.network import Append, Ring, Step, ops
from hnlpu.run.kernels.tape._code import Code, Operation, Reduction, TapeInstruction
from hnlpu.run.kernels.tape._lowering import KINDS, Lowering
from hnlpu.run.kernels.tape._views import Sizes, View
from hnlpu.run.kernels.tape._writer import NotOnTape, QuantizedValue

FUNCTIONS: Mapping[ops.Function, Operation] = {
    "exp": Operation.EXP, "log": Operation.LOG, "sigmoid": Operation.SIGMOID,
    "tanh": Operation.TANH, "softplus": Operation.SOFTPLUS, "gelu": Operation.GELU,
    "gelu_tanh": Operation.GELU_TANH, "sin": Operation.SIN, "cos": Operation.COS,
    "round": Operation.ROUND, "polynomial": Operation.POLYNOMIAL,
}  # fmt: skip
RELATIONS = {
    "less": Operation.LESS, "less_equal": Operation.LESS_EQUAL, "equal": Operation.EQUAL,
}  # fmt: skip


def write_step(of: Lowering, step: Step) -> None:
    """Write one step; raises NotOnTape."""
    match step.op:
        case ops.Add():
            if not _added_to_experts(of, step):
                _pointwise(of, step, Operation.ADD)
        case ops.Sub():
            _pointwise(of, step, Operation.SUB)
        case ops.Mul():
            if not _raised_gate(of, step):
                _pointwise(of, step, Operation.MUL)
        case ops.Divide():
            _pointwise(of, step, Operation.DIVIDE)
        case ops.Minimum():
            _pointwise(of, step, Operation.MINIMUM)
        case ops.Maximum():
            _pointwise(of, step, Operation.MAXIMUM)
        case ops.Compare(relation):
            _pointwise(of, step, RELATIONS[relation])
        case ops.Where():
            _pointwise(of, step, Operation.SELECT)
        case ops.Shift(bits):
            _pointwise(of, step, Operation.SHIFT, scale=bits)
        case ops.InverseRoot():
            _pointwise(of, step, Operation.INVERSE_ROOT)
        case ops.Table(function, scale, coefficients):
            _pointwise(of, step, FUNCTIONS[function], scale, coefficients)
        case ops.Quantize() | ops.Project() | ops.FromSums():
            _metal(of, step)
        case ops.Sum() | ops.Max() | ops.Dot() | ops.Outer() | ops.TopK() | ops.ArgMax():
            _fewer(of, step)
        case ops.Reshape() | ops.Permute() | ops.Split() | ops.Concat():
            _moved(of, step)
        case ops.Read() | ops.Write():
            _state(of, step)
        case ops.Gather(axis):
            of.values[step.outs[0]] = _entries(of, step, axis)
        case ops.Lookup() | ops.Window() | ops.Repeat():
            raise NotOnTape("no instruction does it")
        case _:
            assert_never(step.op)


def _pointwise(
    of: Lowering, step: Step, operation: Operation, scale: float = 1.0,
    coefficients: tuple[float, ...] = (),
) -> None:  # fmt: skip
    (name,) = step.outs
    args = [of.view(arg) for arg in step.args]
    sides = args[1:] if operation is Operation.SELECT else args
    written = [isinstance(arg, str) for arg in step.args][-len(sides) :]
    kinds = [side.kind for side, is_value in zip(sides, written, strict=True) if is_value]
    wide = bool(kinds) and set(kinds) == {"float64"}
    of.values[name] = of.writer.pointwise(
        operation, args, of.sizes(name), KINDS[of.types[name].kind], wide=wide, scale=scale,
        coefficients=coefficients,
    )  # fmt: skip


def _added_to_experts(of: Lowering, step: Step) -> bool:
    """x + the mixture of experts, by the instruction that has just made the mixture."""
    made = of.writer.last(Code.EXPERTS)
    x, mixed = (of.view(arg) for arg in step.args)
    if made is None or made.places[4] != mixed or made.places[3] is not None:
        return False
    name = str(step.args[1])
    if of.all_uses(name) > 1 or x.shape != mixed.shape or not x.is_dense or x.kind != "float32":
        return False
    made.places[3] = x
    of.values[step.outs[0]] = mixed
    return True


def _raised_gate(of: Lowering, step: Step) -> bool:
    """An opened gate times what it lets through, by the instruction that has just opened it."""
    for opened, up in (step.args, step.args[::-1]):
        if of.all_uses(str(opened)) == 1 and of.writer.raise_gate(of.view(opened), of.view(up)):
            of.values[step.outs[0]] = of.view(opened)
            return True
    return False


def _metal(of: Lowering, step: Step) -> None:
    (name,) = step.outs
    match step.op:
        case ops.Quantize(scope, bits):
            x = str(step.args[0])
            if scope != "row" or bits not in (None, of.known.bits):
                raise NotOnTape("integers of another width, or with one scale for all rows")
            if x not in of.digits_of:
                alone = of.all_uses(x) == _times_quantized(of, x)
                of.digits_of[x] = of.writer.quantize(of.view(x), alone=alone)
            of.digits[name] = of.digits_of[x]
        case ops.Project(matrix, members):
            digits = of.digits[str(step.args[0])]
            if members == "one":
                described = of.known.describe(matrix, 0)
                of.values[name] = of.writer.project(digits, described.address, described.rows)
            else:
                of.values[name] = _members(of, step, matrix, digits)
        case _:
            of.values[name] = of.view(step.args[0])  # `project` has scaled them, with the bias


def _members(of: Lowering, step: Step, matrix: str, digits: QuantizedValue) -> View:
    """Each of a row's vectors, or its only one for each number, by a bank's member."""
    numbers = of.view(step.args[1]) if len(step.args) > 1 else None
    lead = digits.lead if numbers is None else numbers.shape
    if digits.lead not in ((), lead) or (numbers is not None and not numbers.is_dense):
        raise NotOnTape("some vectors for several members each")
    bank = of.declared.matrices[matrix]
    addresses = [of.known.describe(matrix, m).address for m in range(bank.count)]
    out = of.writer.buffer("float32", (*lead, bank.rows))
    vectors = math.prod(digits.lead)
    n = [math.prod(lead), vectors, digits.integers.size // vectors, bank.count]
    places: list[View | None] = [digits.integers, digits.scales, numbers, out]
    of.writer.add(
        TapeInstruction(Code.MEMBERS, places, (3,), n, [], [np.array(addresses, np.int64)])
    )
    return out


def _times_quantized(of: Lowering, name: str) -> int:
    return sum(isinstance(s.op, ops.Quantize) and s.args == (name,) for s in of.steps)


def _fewer(of: Lowering, step: Step) -> None:
    name = step.outs[0]
    args = [of.view(arg) for arg in step.args]
    x = args[0]
    match step.op:
        case ops.Sum(axis, _, wide):
            of.values[name] = _along(of, name, Reduction.SUM, x, axis % len(x.shape), wide=wide)
        case ops.Max(axis, _):
            of.values[name] = _along(of, name, Reduction.MOST, x, axis % len(x.shape), wide=False)
        case ops.Dot(axes, wide):
            letters = _Letters(axes, args)
            of.values[name] = of.writer.reduce(
                Reduction.DOT, args, [letters.steps(k, letters.result) for k in (0, 1)],
                [letters.steps(k, letters.gone) for k in (0, 1)], letters.sizes(letters.result),
                letters.sizes(letters.gone), wide=wide,
            )  # fmt: skip
        case ops.Outer(axes):
            letters = _Letters(axes, args)
            sides = [letters.spread(k) for k in (0, 1)]
            of.values[name] = of.writer.pointwise(Operation.MUL, sides, of.sizes(name), "float32")
        case ops.TopK(k):
            of.values[step.outs[0]], of.values[step.outs[1]] = _largest(of, x, k)
        case _:
            _, numbers = _largest(of, x, 1)
            of.values[name] = numbers.reshaped(x.shape[:-1])


def _along(
    of: Lowering, name: str, reduction: Reduction, x: View, axis: int, *, wide: bool
) -> View:
    def without(values: Sizes) -> Sizes:
        return (*values[:axis], *values[axis + 1 :])

    made = of.writer.reduce(
        reduction, [x], [without(x.steps)], [(x.steps[axis],)], without(x.shape),
        (x.shape[axis],), wide=wide,
    )  # fmt: skip
    return made.reshaped(of.sizes(name))  # with `keep`, the axis has length 1


class _Letters:
    """The axes of two sides by their letters."""

    def __init__(self, axes: str, args: list[View]):
        left, _, self.result = axes.partition("->")
        self.sides, self.args = left.split(","), args
        self.gone = "".join(letter for letter in self.sides[0] if letter not in self.result)

    def sizes(self, letters: str) -> Sizes:
        """Their lengths."""
        lengths = {
            letter: length
            for side, arg in zip(self.sides, self.args, strict=True)
            for letter, length in zip(side, arg.shape, strict=True)
        }
        return tuple(lengths[letter] for letter in letters)

    def steps(self, k: int, letters: str) -> Sizes:
        """Steps of side k along axes, 0 along those that it lacks."""
        own = dict(zip(self.sides[k], self.args[k].steps, strict=True))
        return tuple(own.get(letter, 0) for letter in letters)

    def spread(self, k: int) -> View:
        """Side k with all axes of the result, of length 1 where it lacks one."""
        lengths = dict(zip(self.sides[k], self.args[k].shape, strict=True))
        shape = tuple(lengths.get(letter, 1) for letter in self.result)
        return replace(self.args[k], shape=shape, steps=self.steps(k, self.result))


def _largest(of: Lowering, x: View, k: int) -> tuple[View, View]:
    x = of.writer.dense(x)
    shape = (*x.shape[:-1], k)
    values, numbers = of.writer.buffer("float32", shape), of.writer.buffer("int64", shape)
    n = [math.prod(x.shape[:-1]), x.shape[-1], k]
    of.writer.add(TapeInstruction(Code.LARGEST, [values, numbers, x], (0, 1), n))
    return values, numbers


def _entries(of: Lowering, step: Step, axis: int) -> View:
    x, numbers = (of.writer.dense(of.view(arg)) for arg in step.args)
    if x.kind != "float32":
        raise NotOnTape("entries of others than reals")
    axis %= len(x.shape)
    out = of.writer.buffer("float32", of.sizes(step.outs[0]))
    n = [math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]), numbers.size]
    of.writer.add(TapeInstruction(Code.GATHER, [out, x, numbers], (0,), n))
    return out


def _moved(of: Lowering, step: Step) -> None:
    args = [of.view(arg) for arg in step.args]
    name, x = str(step.args[0]), args[0]
    match step.op:
        case ops.Reshape():
            of.move(name, step.outs[0], of.writer.dense(x).reshaped(of.sizes(step.outs[0])))
        case ops.Permute(order):
            of.move(name, step.outs[0], x.permuted(order))
        case ops.Split(_, axis):
            start, axis = 0, axis % len(x.shape)
            for out in step.outs:
                length = of.sizes(out)[axis]
                of.move(name, out, x.piece(axis, start, length))
                start += length
        case ops.Concat(axis):
            if any(arg.kind != "float32" for arg in args):
                raise NotOnTape("others than reals in a row")
            shape = of.sizes(step.outs[0])
            made, start, axis = of.writer.buffer("float32", shape), 0, axis % len(shape)
            for arg in args:
                to = made.piece(axis, start, arg.shape[axis])
                of.writer.pointwise(Operation.COPY, [arg], arg.shape, "float32", to=to)
                start += arg.shape[axis]
            of.values[step.outs[0]] = made


def _state(of: Lowering, step: Step) -> None:
    assert isinstance(step.op, ops.Read | ops.Write)
    name = step.op.state
    state = of.declared.states[name]
    if isinstance(state.keeps, Append):
        raise NotOnTape(f"{name} grows, outside of an attention that fits")
    entries = state.keeps.length if isinstance(state.keeps, Ring) else 1
    size = entries * math.prod(state.shape)
    n = [of.state(name, "whole", entries), size, entries]
    if isinstance(step.op, ops.Read):
        if step.op.when == "after":
            return  # its write has left it
        shape = of.sizes(step.outs[0])
        out = of.writer.buffer("float32", shape)
        of.writer.add(TapeInstruction(Code.READ, [out], (0,), n))
        of.values[step.outs[0]] = out
        return
    x = of.writer.dense(of.view(step.args[0]))
    after = [
        s.outs[0]
        for s in of.steps
        if isinstance(s.op, ops.Read) and s.op.state == name and s.op.when == "after"
    ]
    if not after or not isinstance(state.keeps, Ring):
        of.writer.add(TapeInstruction(Code.WRITE, [x, None], (), n))
        of.values.update(dict.fromkeys(after, x))
        return
    kept = of.writer.buffer("float32", (entries, *state.shape))
    of.writer.add(TapeInstruction(Code.KEEP, [x, kept], (1,), n))
    of.values.update(dict.fromkeys(after, kept))
