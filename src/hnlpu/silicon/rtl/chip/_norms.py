"""Norms in instructions: of a vector, of every head of a beat at once, or of rows one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hnlpu.arithmetic.fixed_point import FRACTION, UNIT_FRACTION, norm_epsilon
from hnlpu.model.network import Span, span_ends
from hnlpu.silicon.rtl.chip._assembler import Assembler
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._moving import by_beat, gather
from hnlpu.silicon.rtl.chip._registers import Beats
from hnlpu.silicon.rtl.chip._span_sizes import ends, head, sizes
from hnlpu.silicon.rtl.chip._values import RegisterPlaces, RegisterRows


def norm(a: Assembler, span: Span) -> None:
    """x to a register of its own, or head by head in place."""
    name, out = ends(a, span)
    taken, _ = span_ends(a.network, span)
    weights = [other for other in taken if other in a.uses.parameters]
    *rows, n = sizes(a, name)
    own = len(weights) == 1 and a.uses.parameters[weights[0]].shape == (*rows, n)
    one_for_all = len(weights) == 1 and a.uses.parameters[weights[0]].shape == (n,)
    if len(taken) != 2 or not (own or one_for_all):
        a.refuse("norm", span.start, "its weights are not one parameter of a row's length")
    if rows and own:
        _norms_of_rows(a, span, weights[0])
        return
    heads, x = bool(rows), a.value(name)
    if heads:
        head(a, span, n)
    epsilon = _epsilon(a, norm_epsilon(float(span.option("eps")), n), 0 if heads else n)
    if heads:
        beats = a.room(out, x.size, over=[name])
        _head_norms(a, x.beats, beats, epsilon)
    else:
        beats = _whole_norm(a, x.beats, epsilon, out, x.size)
    for beat, h in enumerate(beats):
        place = a.code.parameter(weights[0], "heads" if heads else "norm", x.size, beat)
        a.code.multiply(h, h, Operand.PARAMETER, first=True, shift=UNIT_FRACTION, index=place)
    a.places[out] = RegisterRows(beats, x.size)


def _norms_of_rows(a: Assembler, span: Span, weights: str) -> None:
    """Rows with weights of their own, one after the other, each in beats of its own."""
    name, out = ends(a, span)
    *_, n = sizes(a, name)
    epsilon = _epsilon(a, norm_epsilon(float(span.option("eps")), n), n)

    def normed(row: int, x: Beats) -> None:
        _rooted(a, x, epsilon, x)
        _weighted(a, x, weights, row * n, n)

    _by_row(a, name, out, FRACTION, normed)


def _by_row(
    a: Assembler, name: str, out: str, fraction: int, normed: Callable[[int, Beats], None]
) -> None:
    """Rows of a value, each into beats of its own with zeros behind its last number, and normed there."""
    view = a.spread(name, FRACTION)
    assert view is not None
    n, width = view.places.shape[-1], a.code.width
    rows, count, beats = view.places.reshape(-1, n), a.code.beats(n), by_beat(np.arange(n), width)
    made = a.code.registers.pool(len(rows) * count, a.busy())
    for row, at in enumerate(rows):
        dst = made[row * count : (row + 1) * count]
        for numbers, register in zip(beats, dst, strict=True):
            gather(a.code, view, np.where(numbers >= 0, at[numbers], -1), register)
        normed(row, dst)
    starts = np.arange(len(rows))[:, None] * count * width
    places = (starts + np.arange(n)).reshape(view.places.shape)
    a.settle(out, RegisterPlaces(made, places, fraction))


def _weighted(a: Assembler, x: Beats, weights: str, start: int, n: int) -> None:
    """A row's beats times the numbers `start` to `start + n` of a norm's weights, in place."""
    for beat, h in enumerate(x):
        place = a.code.parameter(weights, "norm", start + n, beat, start)
        a.code.multiply(h, h, Operand.PARAMETER, first=True, shift=UNIT_FRACTION, index=place)


def unit_norm(a: Assembler, span: Span) -> None:
    """Rows at length 1, fine."""
    name, out = ends(a, span)
    *_, n = sizes(a, name)
    epsilon = _epsilon(a, norm_epsilon(float(span.option("eps")), 1), n)
    _by_row(a, name, out, UNIT_FRACTION, lambda _, x: _rooted(a, x, epsilon, x))


def layer_norm(a: Assembler, span: Span) -> None:
    """Rows without their mean, normed, and a bias."""
    name, out = ends(a, span)
    steps = a.network.steps[span.start : span.stop]
    weights, bias = (str(step.args[1]) for step in steps[-2:])
    *_, n = sizes(a, name)
    if any(
        a.uses.parameters[x].shape != (n,) if x in a.uses.parameters else True
        for x in (weights, bias)
    ):
        a.refuse("layer_norm", span.start, "its weights are not one parameter of a row's length")
    epsilon = _epsilon(a, norm_epsilon(float(span.option("eps")), n), n)

    def normed(row: int, x: Beats) -> None:
        a.code.emit(Op.ACQUIRE, index="root")
        for beat, register in enumerate(x):
            a.code.emit(Op.SUM, a=register, first=beat == 0)
        a.code.run("root", both=True, immediate=n)
        for register in x:
            a.code.emit(Op.SUBTRACT, Operand.INVERSE, dst=register, a=register)
        if not a.fills(n):  # lanes behind the last number hold minus the mean
            mask = a.code.parameter("", "mask", n, len(x) - 1)
            a.code.multiply(x[-1], x[-1], Operand.PARAMETER, first=True, index=mask)
        a.code.emit(Op.RELEASE, index="root")
        _rooted(a, x, epsilon, x)
        _weighted(a, x, weights, 0, n)
        for beat, h in enumerate(x):
            place = a.code.parameter(bias, "value", n, beat)
            a.code.emit(Op.ADD, Operand.PARAMETER, dst=h, a=h, index=place)

    _by_row(a, name, out, FRACTION, normed)


def _epsilon(a: Assembler, epsilon: int, whole: int) -> int:
    """The number of an epsilon."""
    known = a.norms.epsilons if epsilon in a.norms.epsilons else (*a.norms.epsilons, epsilon)
    a.norms = replace(a.norms, epsilons=known, longest=max(a.norms.longest, whole))
    return known.index(epsilon)


def _whole_norm(a: Assembler, x: Beats, epsilon: int, out: str, size: int) -> Beats:
    beats = a.room(out, size)
    _rooted(a, x, epsilon, beats)
    return beats


def _rooted(a: Assembler, x: Beats, epsilon: int, beats: Beats) -> None:
    """A vector's beats times the inverse root of its squares."""
    a.code.emit(Op.ACQUIRE, index="root")
    for beat, register in enumerate(x):
        first = beat == 0
        a.code.emit(Op.SQUARES, a=register, first=first, index=epsilon if first else 0)
    a.code.run("root")
    for register, h in zip(x, beats, strict=True):
        a.code.multiply(h, register, Operand.INVERSE, first=True, root=True)
    a.code.emit(Op.RELEASE, index="root")


def _head_norms(a: Assembler, x: Beats, beats: Beats, epsilon: int) -> None:
    a.code.emit(Op.ACQUIRE, index="root")
    for register, h in zip(x, beats, strict=True):
        a.code.emit(Op.SQUARES, a=register, first=True, banked=True, index=epsilon)
        a.code.run("root", banked=True)
        a.code.multiply(h, register, Operand.INVERSE, first=True, root=True, banked=True)
    a.code.emit(Op.RELEASE, index="root")
