"""States in instructions: each keeps registers of its own from token to token.

replace   a value; one of several axes lies so that what is summed over is not within a beat
ring      an entry behind the other, the oldest first; a write moves all on by one
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hnlpu.model.network import Replace, Ring, State, Step
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._code import WORD
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._moving import by_beat, gather, source
from hnlpu.silicon.rtl.chip._registers import Beats, in_order
from hnlpu.silicon.rtl.chip._values import Places, RegisterPlaces, RegisterRows, beats_of


def reserve(a: Assembler) -> None:
    """Registers for every state but those of attention."""
    for state in a.network.states:
        layout = _layout(a, state)
        if layout is None:
            continue
        count = int(layout.max()) // a.code.width + 1
        a.states[state.name] = a.code.registers.state(count)
        if isinstance(state.keeps, Ring) or len(state.shape) != 1:
            a.layouts[state.name] = layout


def _layout(a: Assembler, state: State) -> Places | None:
    """Where the numbers of a state lie in its registers."""
    if isinstance(state.keeps, Ring):
        beats = a.code.beats(math.prod(state.shape))
        return _rows((state.keeps.length, *state.shape), (0,), beats * a.code.width)
    if not isinstance(state.keeps, Replace):
        return None
    outer = a.uses.summed_axes(state.name) if len(state.shape) > 1 else ()
    inner = math.prod(dim for n, dim in enumerate(state.shape) if n not in outer)
    return _rows(state.shape, outer, a.code.beats(inner) * a.code.width)


def _rows(shape: tuple[int, ...], outer: tuple[int, ...], apart: int) -> Places:
    """Places of numbers whose `outer` axes lie `apart`, the others in a row."""
    order = [*outer, *(n for n in range(len(shape)) if n not in outer)]
    rows = math.prod(shape[n] for n in outer)
    each = math.prod(shape) // rows
    places = np.arange(rows)[:, None] * apart + np.arange(each)
    turned = places.reshape([shape[n] for n in order])
    return np.ascontiguousarray(turned.transpose(np.argsort(order)))


def read(a: Assembler, n: int, step: Step, name: str, *, before: bool) -> None:
    """What a state keeps: its registers, which hold the initial value at a sequence's beginning."""
    if name not in a.states:
        a.refuse("", n, f"{name} keeps entries of all positions, which only attend does")
    state, beats, fraction = a.uses.states[name], a.states[name], a.formats.states[name]
    initial, layout = fixed(state.initial, fraction), a.layouts.get(name)
    if before:
        for register in beats:
            a.code.emit(Op.RECALL, dst=register, a=register, immediate=initial & WORD)
    if layout is None:
        [size] = state.shape
        if initial and not a.fills(size):
            a.refuse("", n, f"{name} begins with {state.initial:g} in a beat that it does not fill")
        a.places[step.outs[0]] = RegisterRows(beats, size, fraction)
    else:
        a.places[step.outs[0]] = RegisterPlaces(beats, layout, fraction)


def write(a: Assembler, n: int, step: Step, name: str) -> None:
    """A value into its state's registers, unless it has been made there."""
    if name not in a.states:
        a.refuse("", n, f"{name} keeps entries of all positions, which only attend does")
    arg, beats = str(step.args[0]), a.states[name]
    if a.spread(arg) is None:
        a.refuse("", n, f"{arg} is in no register")
    if isinstance(a.uses.states[name].keeps, Ring):
        _move_on(a, arg, name)
    elif name in a.layouts:
        _place(a, arg, name)
    else:
        value = a.tidy(arg, a.formats.states[name])
        if value.beats == beats:
            return
        _keep_others(a, beats)
        if not in_order(value.beats, beats):
            value = replace(value, beats=a.copies(value.beats))
        for register, dst in zip(value.beats, beats, strict=True):
            a.code.multiply(dst, register, Operand.IMMEDIATE, first=True, immediate=1)


def _keep_others(a: Assembler, beats: Beats) -> None:
    """Move living values out of a state's registers."""
    for other, place in list(a.places.items()):
        if (
            isinstance(place, RegisterRows | RegisterPlaces)
            and not a.dies(other)
            and set(beats_of(place)) & set(beats)
        ):
            a.move(other, place)


def _place(a: Assembler, arg: str, name: str) -> None:
    """A value to where its state's numbers lie."""
    view, beats, layout = a.spread(arg, a.formats.states[name]), a.states[name], a.layouts[name]
    assert view is not None
    if view.beats == beats and np.array_equal(view.places, layout):
        return
    _keep_others(a, beats)
    if set(view.beats) & set(beats):
        view = replace(view, beats=a.copies(view.beats))
    _fill(a, view, layout, beats)


def _fill(a: Assembler, view: RegisterPlaces, layout: Places, beats: Beats) -> None:
    """Numbers of a view into registers that are none of its own, at the places of `layout`."""
    flat = view.places.ravel()
    for numbers, dst in zip(by_beat(layout, a.code.width), beats, strict=True):
        lanes = np.where(numbers >= 0, flat[numbers], -1)
        found = source(a.code, view, lanes)
        if found is not None and found[0] == Operand.REGISTER:
            register = found[1]["b"]
            a.code.emit(Op.MULTIPLY, a=register, dst=dst, write=True, first=True, immediate=1)
        else:
            gather(a.code, view, lanes, dst)


def _move_on(a: Assembler, arg: str, name: str) -> None:
    """Every entry of a ring to the one before it, the first time its initial value, and a new last one."""
    state, beats, fraction = a.uses.states[name], a.states[name], a.formats.states[name]
    view = a.spread(arg, fraction)
    assert view is not None
    _keep_others(a, beats)
    if set(view.beats) & set(beats):
        view = replace(view, beats=a.copies(view.beats))
    initial = fixed(state.initial, fraction) & WORD
    each = a.code.beats(math.prod(state.shape))
    for to, register in zip(beats, beats[each:], strict=False):
        a.code.emit(Op.RECALL, dst=to, a=register, immediate=initial)
    layout = _rows(state.shape, (), each * a.code.width)
    _fill(a, view, layout, beats[len(beats) - each :])
