"""Where buffers lie in the memory of a call, from their first and last uses; the words of a tape.

A buffer lives from the instruction that first touches it to the last.  Around a group of turns it
lives through all of them, unless they alone touch it: then it has room for the rows of one turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hnlpu.run.kernels.tape._code import (
    Code,
    Gate,
    InstructionWord,
    PlaceWord,
    TapeInstruction,
    address,
)
from hnlpu.run.kernels.tape._views import NUMBERS, Constant, Outside, RowBuffer, View

NOWHERE, CONSTANT, IN_ARENA, IN_TURN, OUTSIDE = range(5)
KINDS = tuple(NUMBERS)


@dataclass(frozen=True)
class TapeLayout:
    """Instructions as C takes them, what must outlive them, and the memory of their values."""

    words: Any
    kept: tuple[Any, ...]
    row_bytes: int
    turn_bytes: int


@dataclass
class _Life:
    """First and last instruction that touch a buffer, and whether those of one turn alone do."""

    first: int
    last: int
    in_turn: bool


def laid_out(
    instructions: Sequence[TapeInstruction], inputs: int, outputs: Sequence[View]
) -> TapeLayout:
    """Give every buffer its place; `outputs` lie outside, behind the `inputs` that come in."""
    groups = _groups(instructions)
    outside = {
        view.base: Outside(inputs + n)
        for n, view in enumerate(outputs)
        if isinstance(view.base, RowBuffer)
    }
    same = _in_place(instructions, groups, outside)
    lives = _lives(instructions, groups, same)
    offsets: dict[RowBuffer, tuple[int, int]] = {}
    sizes = []
    for in_turn in (False, True):
        chosen = {
            b: life for b, life in lives.items() if life.in_turn == in_turn and b not in outside
        }
        found, size = _packed(chosen)
        offsets |= {buffer: (IN_TURN if in_turn else IN_ARENA, at) for buffer, at in found.items()}
        sizes.append(size)
    offsets |= {buffer: (OUTSIDE, array.number) for buffer, array in outside.items()}
    words = (InstructionWord * max(1, len(instructions)))()
    for n, (word, instruction) in enumerate(zip(words, instructions, strict=False)):
        _encode(word, instruction, same, offsets)
        word.free = max(
            (at + b.row_bytes for b, (where, at) in offsets.items()
             if where == IN_ARENA and lives[b].first <= n <= lives[b].last),
            default=0,
        )  # fmt: skip
    return TapeLayout(words, tuple(instructions), *sizes)


def _groups(instructions: Sequence[TapeInstruction]) -> list[range]:
    """Instructions of each group of turns."""
    return [
        range(n + 1, n + 1 + i.n[0]) for n, i in enumerate(instructions) if i.code is Code.TURNS
    ]


def _buffer(view: View, same: dict[RowBuffer, RowBuffer]) -> RowBuffer | None:
    if not isinstance(view.base, RowBuffer):
        return None
    return same.get(view.base, view.base)


def _lives(
    instructions: Sequence[TapeInstruction],
    groups: Sequence[range],
    same: dict[RowBuffer, RowBuffer],
) -> dict[RowBuffer, _Life]:
    lives: dict[RowBuffer, _Life] = {}
    for n, instruction in enumerate(instructions):
        for view in (*instruction.taken(), *instruction.given()):
            buffer = _buffer(view, same)
            if buffer is not None:
                lives.setdefault(buffer, _Life(n, n, False)).last = n
    for life in lives.values():
        for group in groups:
            if life.first in group and life.last in group:
                life.in_turn = True
            elif life.first in group:
                life.first = group.start
            elif life.last in group:
                life.last = group.stop - 1
    return lives


def _in_place(
    instructions: Sequence[TapeInstruction], groups: Sequence[range], outside: dict[Any, Outside]
) -> dict[RowBuffer, RowBuffer]:
    """Buffers that take over another's place, whose last use is the instruction that makes them."""
    lives = _lives(instructions, groups, {})
    same: dict[RowBuffer, RowBuffer] = {}
    for n, instruction in enumerate(instructions):
        for made, taken in _may_share(instruction):
            out, old = instruction.places[made], instruction.places[taken]
            if out is None or old is None or not (out.is_whole and old.is_whole):
                continue
            if out.shape != old.shape or out.kind != old.kind:
                continue
            buffer, before = _buffer(out, same), _buffer(old, same)
            assert buffer is not None
            assert before is not None
            if buffer == before or buffer in outside or before in outside:
                continue
            if not _read_in_order(instruction, before, out, same):
                continue
            new, dying = lives[buffer], lives[before]
            if new.first != n or dying.last != n or new.in_turn != dying.in_turn:
                continue
            same |= {b: before for b, a in same.items() if a == buffer} | {buffer: before}
            dying.last = new.last
            break
    return same


def _read_in_order(
    i: TapeInstruction, buffer: RowBuffer, out: View, same: dict[RowBuffer, RowBuffer]
) -> bool:
    """Whether each number of a buffer is read for none but that of `out` in its own place."""
    views = [view for view in i.taken() if _buffer(view, same) == buffer]
    return all(view.is_whole and view.shape == out.shape for view in views)


def _may_share(i: TapeInstruction) -> list[tuple[int, int]]:
    """Places of an instruction's result and of what it may lie upon."""
    match i.code:
        case Code.PREPARE if i.n[5] == Gate.SILU:
            return [(3, 4), (3, 5)]
        case Code.PREPARE:
            return [(2, 0), (2, 1)]
        case Code.LOW_RANK:
            return [(3, 1)]
        case Code.ROTATE:
            return [(3, 0)]
        case Code.EXPERTS:
            return [(4, 3)]
        case Code.POINTWISE:
            return [(0, k) for k in range(1, len(i.places))]
        case _:
            return []


def _packed(lives: dict[RowBuffer, _Life]) -> tuple[dict[RowBuffer, int], int]:
    """An offset for each buffer, in bytes per row, such that none meets another; and their end."""
    placed: list[tuple[int, int, _Life]] = []
    offsets = {}
    size = 0
    for buffer, life in sorted(lives.items(), key=lambda item: (item[1].first, item[0].number)):
        at = 0
        for start, end, other in sorted(placed, key=lambda p: p[0]):
            apart = other.last < life.first or life.last < other.first
            if not apart and start < at + buffer.row_bytes and at < end:
                at = end
        placed.append((at, at + buffer.row_bytes, life))
        offsets[buffer] = at
        size = max(size, at + buffer.row_bytes)
    return offsets, size


def _encode(
    word: InstructionWord, instruction: TapeInstruction, same: dict[RowBuffer, RowBuffer],
    offsets: dict[RowBuffer, tuple[int, int]],
) -> None:  # fmt: skip
    word.code = int(instruction.code)
    for place, view in zip(word.places, instruction.places, strict=False):
        if view is not None:
            _encode_place(place, view, same, offsets)
    for n, value in enumerate(instruction.n):
        word.n[n] = value
    for n, real in enumerate(instruction.reals):
        word.reals[n] = real
    for n, pointer in enumerate(instruction.pointers):
        word.pointers[n] = address(pointer)


def _encode_place(
    place: PlaceWord, view: View, same: dict[RowBuffer, RowBuffer],
    offsets: dict[RowBuffer, tuple[int, int]],
) -> None:  # fmt: skip
    place.kind, place.first, place.step = KINDS.index(view.kind), view.first, view.row
    match view.base:
        case Constant(array):
            place.where, place.constant = CONSTANT, array.ctypes.data
        case Outside(number):
            place.where, place.offset = OUTSIDE, number
        case buffer:
            place.where, place.offset = offsets[same.get(buffer, buffer)]
