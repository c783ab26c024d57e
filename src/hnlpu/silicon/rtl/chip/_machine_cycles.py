"""Prompts and answers -> the cycles that several chips take for them, without a simulator of circuits.

    every chip: its program, cycle by cycle (`_cycles`) ─► parts of exchanges ─► links (`_link_cycles`) ─► the others

Nothing is computed but time.  Which experts a token goes through decides who works; where they are not known they
are drawn evenly.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip._cycles import (
    InFlight,
    OneChip,
    Work,
    array_steps,
    expect_countable,
    expect_users,
)
from hnlpu.silicon.rtl.chip._instructions import Instruction, Op, Operand
from hnlpu.silicon.rtl.chip._link_cycles import LinkEnd, Word
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.links import LinkShape


def predict_machine_cycles(
    shape: ChipShape,
    steps: Mapping[str, int],
    requests: Sequence[Work],
    link: LinkShape,
    latency: int,
) -> int:
    """Cycles from reset until the last token of all requests, on chips whose wires take `latency` cycles.

    As `predict_cycles` has it for one chip; wires neither invert nor withhold.  Raises InvalidInput.
    """
    expect_countable(shape, requests)
    return _Machine(shape, steps, requests, link, latency).run()


def machine_token_cycles(
    build: Build,
    shape: ChipShape,
    link: LinkShape,
    latency: int,
    users: int,
    positions: int,
    tokens: int = 8,
) -> float:
    """Cycles between two tokens of a user, as `token_cycles` has them for one chip.  Raises InvalidInput."""
    expect_users(shape, users, positions, tokens)
    steps = array_steps(build)
    long, short = (
        predict_machine_cycles(shape, steps, [Work(positions, answer)] * users, link, latency)
        for answer in (tokens + 1, 1)
    )
    return (long - short) / tokens


class _Machine:
    """All chips and the ends of all links, in step."""

    def __init__(
        self,
        shape: ChipShape,
        steps: Mapping[str, int],
        requests: Sequence[Work],
        link: LinkShape,
        latency: int,
    ):
        places, program = range(shape.chips), make_program(shape)
        self.chips = [_Placed(shape, program, steps, requests, place) for place in places]
        for one in self.chips:
            one.first = self.chips[0]
            one.ends = {n: LinkEnd(link, latency) for n in places if n != one.here}
        for a in self.chips:
            for b in self.chips[: a.here]:
                a.ends[b.here].joined(b.ends[a.here])

    def run(self) -> int:
        """Step until every request has ended."""
        now, first = 0, self.chips[0]
        while first.ended < len(first.requests):
            came = [
                (one, peer, word)
                for one in self.chips
                for peer, end in one.ends.items()
                if (word := end.step(now)) is not None
            ]
            for one in self.chips:
                one.step(now)
            for one, peer, word in came:
                one.take(peer, word)
            now += 1
        return now


class _Placed(OneChip):
    """The chip at a place, and its exchange unit; all but the first follow."""

    def __init__(
        self,
        shape: ChipShape,
        program: Program,
        steps: Mapping[str, int],
        requests: Sequence[Work],
        here: int,
    ):
        super().__init__(shape, program, steps, requests if here == 0 else [])
        self.here = here
        self.ends: dict[int, LinkEnd] = {}
        self.first = self  # the chip that has the requests
        count = shape.sequences
        self.odd, self.odd_token = [0] * count, [0] * count
        self.complete: set[tuple[int, int, int]] = set()  # peer, sequence, odd
        self.told: dict[tuple[int, int], tuple[int, bool]] = {}
        self.prompts = [False] * count  # of the token that a follower works on
        self.holders = [
            shape.holders(one.matrix, one.rows(), member)
            for one, member in (
                (program.reads[read], member) for read, member in program.row_places
            )
        ]
        self.layer_of, layer = list[int](), 0
        for one in program.instructions:
            layer += one.op == Op.SHARES
            self.layer_of.append(layer)

    def take(self, peer: int, word: Word) -> None:
        """A word of another chip."""
        if word.starts is not None:
            self.told[word.sequence, word.odd] = word.starts
        elif word.last:
            self.complete.add((peer, word.sequence, word.odd))

    def _is_active(self, n: int) -> bool:
        return (n, self.odd_token[n]) in self.told if self.here else super()._is_active(n)

    def _has_arrived(self, n: int) -> bool:
        return all((peer, n, self.odd[n]) in self.complete for peer in self.ends)

    def _waits(self, n: int, now: int) -> bool:
        one = self.sequences[n]
        if one.waiting and one.awaited < 0:
            return not self._has_arrived(n)
        return super()._waits(n, now)

    def _is_blocked(self, one: Instruction, now: int) -> bool:
        if one.op == Op.MEET:
            return not self._has_arrived(self.current)
        return super()._is_blocked(one, now)

    def _execute(self, active: InFlight, one: Instruction, now: int) -> None:
        n, place = self.current, active.place
        if place == 0:
            self._begin(n, active)
        super()._execute(active, one, now)
        if active.waiting:
            active.awaited = -1 if one.op == Op.MEET else active.awaited
            return
        match one.op:
            case Op.SEND:
                self._send(n, place, one)
            case Op.HAVE if not self._has(n, place, one):
                active.place = one.immediate
            case Op.PART:
                self.complete -= {(peer, n, self.odd[n]) for peer in self.ends}
                self.odd[n] ^= 1
            case Op.SKIP if self.here and self.prompts[n]:
                active.place = one.immediate
            case Op.LEAVE if self.here:
                active.place = one.immediate
            case _:
                pass

    def _begin(self, n: int, active: InFlight) -> None:
        """The first chip tells the others of a token; they look at what they were told."""
        if self.here:
            active.position, self.prompts[n] = self.told[n, self.odd_token[n]]
            return
        word = Word(n, self.odd_token[n], (active.position, active.prompt))
        for end in self.ends.values():
            end.queue.append(word)

    def _finish(self, active: InFlight) -> None:
        n = self.current
        if self.here:
            del self.told[n, self.odd_token[n]]
        else:
            super()._finish(active)
        self.odd_token[n] ^= 1

    def _send(self, n: int, place: int, one: Instruction) -> None:
        if not one.both and not self._has(n, place, one):
            return
        word = Word(n, self.odd[n], last=one.both)
        for peer, end in self.ends.items():
            if not one.first or peer == 0:
                end.queue.append(word)

    def _has(self, n: int, place: int, one: Instruction) -> bool:
        """Whether the chip has a part of what is sent, or the expert."""
        if one.op == Op.HAVE or (one.operand == Operand.REGISTER and one.banked):
            return self.shape.expert_places[self._expert(n, place, one.rank)] == self.here
        if one.operand == Operand.REGISTER:
            return True
        row = one.immediate & 0xFFFF
        if one.banked:
            row += self._expert(n, place, one.rank) * (one.immediate >> 16)
        return bool(self.holders[row] >> self.here & 1)

    def _expert(self, n: int, place: int, rank: int) -> int:
        """The expert of a rank: the known one, or any, the same on all chips."""
        sizes = self.program.experts
        assert sizes
        position, known = self.sequences[n].position, self.first.sequences[n].request.experts
        if position < len(known):
            return known[position][self.layer_of[place] - 1][rank]
        return _drawn(n, position, self.layer_of[place], sizes.experts, sizes.ranks)[rank]


@cache
def _drawn(sequence: int, position: int, layer: int, experts: int, ranks: int) -> tuple[int, ...]:
    """Experts of a token in a layer, evenly drawn."""
    draw = random.Random(f"{sequence}.{position}.{layer}")
    return tuple(draw.sample(range(experts), ranks))
