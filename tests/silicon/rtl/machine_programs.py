"""Programs of several chips, run side by side in Python: each chip has its slices, and parts of sums are added.

What a chip has not got is filled with random numbers, so that a use of it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from instruction_set import Chip, Int64

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import ChipShape, Instruction, Op, Operand

Parts = list[dict[int, Int64]]
"""By place, then beat of the exchange."""


class PlacedChip(Chip):
    """One of several chips; `parts` is what all of them have sent in this exchange."""

    def __init__(self, build: Build, shape: ChipShape, place: int, parts: Parts):
        super().__init__(build, shape, seed=place)
        self.place, self.parts_of_all = place, parts
        self.left = 0
        self.noise = np.random.default_rng(1000 + place)

    def execute(self, n: int, one: Instruction) -> None:
        """One instruction, unless the chip has left this part of the program."""
        if n >= self.left:
            getattr(self, "_" + one.op.name.lower())(one)

    def _arrays(self, one: Instruction) -> None:
        chosen = self.chosen[one.rank] if one.banked else 0
        for name in self.program.groups[one.index]:
            shape, mine = self.build.shapes()[name], self.shape.slices[name][self.place]
            columns = slice(32 * mine.blocks[0], 32 * mine.blocks[1])
            found = self.noise.integers(-999, 999, shape.rows)
            if mine.members[0] <= chosen < mine.members[1]:
                key = (name, chosen)
                if key not in self.integers:
                    self.integers[key] = self.build.matrix(shape, chosen).integers()
                weights, flat = self.integers[key].astype(np.int64), self.activations.ravel()
                x = np.zeros(weights.shape[1], np.int64)
                x[: min(len(x), len(flat))] = flat[: len(x)]
                rows = slice(*mine.neurons)
                found[rows] = weights[rows, columns] @ x[columns]
            self.results[name] = found

    def _sums_of(self, one: Instruction) -> Int64:
        if not one.both:
            cut = self.program.reads[one.index].matrix in self.shape.exchanged
            assert not cut or (one.banked and self._has_expert(self.place, one.rank))
            return super()._sums_of(one)
        total = np.zeros(self.shape.width, np.int64)
        for place in self._holders(one):
            total += self.parts_of_all[place][one.b]
        bound = 1 << self.shape.sum_bits - 1
        assert (-bound <= total).all()
        assert (total < bound).all()
        return total

    def _holders(self, one: Instruction) -> list[int]:
        read = self.program.reads[one.index]
        member = self.chosen[one.rank] if one.banked else 0
        bits = self.shape.holders(read.matrix, read.rows(), member)
        return [place for place in range(self.shape.chips) if bits >> place & 1]

    def _send(self, one: Instruction) -> None:
        assert one.b < self.program.exchange_beats
        if one.operand == Operand.REGISTER:
            self._send_half(one)
            return
        if self.place in self._holders(one):
            read = self.program.reads[one.index]
            first, last = self.shape.slices[read.matrix][self.place].neurons
            sums = super()._sums_of(one)
            rows = np.array(read.rows())
            sums[: read.count][(rows < first) | (rows >= last)] = 0
            self.parts_of_all[self.place][one.b] = sums

    def _send_half(self, one: Instruction) -> None:
        beat = one.b
        if one.banked:
            if not self._has_expert(self.place, one.rank):
                return
        else:
            beat += 2 * (self.place * self._own_lanes // self.shape.width)
        bits = self.registers[one.a] & 0xFFFFFFFF
        self.parts_of_all[self.place][beat] = bits >> 16 if one.index else bits & 0xFFFF

    def _has_expert(self, place: int, rank: int) -> bool:
        """Whether a chip has the expert of a rank, all of it."""
        [name, *_] = [m.name for m in self.shape.network.matrices if m.members]
        first, last = self.shape.slices[name][place].members
        return first <= self.chosen[rank] < last

    def _have(self, one: Instruction) -> None:
        assert not self.busy
        if not self._has_expert(self.place, one.rank):
            self.left = one.immediate

    def _join(self, one: Instruction) -> None:
        total = np.zeros(self.shape.width, np.int64)
        for place, parts in enumerate(self.parts_of_all):
            if one.banked and not self._has_expert(place, one.rank):
                continue
            total += parts.get(one.b, 0)
        assert (total >> 16 == 0).all()
        low = self.registers[one.a] & 0xFFFF
        joined = total << 16 | low if one.index else total
        self.registers[one.dst] = np.where(joined >> 31, joined - (1 << 32), joined)

    # attention: a chip knows its own heads

    @property
    def _own_heads(self) -> range:
        unit = self.program.attention
        assert unit
        each = unit.heads // unit.parts
        return range(self.place * each, (self.place + 1) * each) if unit.parts > 1 else range(each)

    @property
    def _own_lanes(self) -> int:
        return len(self._own_heads) * (self.program.head_dim or 0)

    def _stored(self, one: Instruction, where: dict[tuple[int, int], list[Int64]]) -> None:
        super()._stored(one, where)
        unit, width = self.program.attention, self.shape.width
        assert unit
        mine = {head // (unit.heads // unit.key_heads) for head in self._own_heads}
        lane = one.index * width + np.arange(width)
        others = ~np.isin(lane // (self.program.head_dim or 1), list(mine))
        beat = where[one.immediate >> 24, one.index][-1]
        beat[others] = self.noise.integers(-999, 999, int(others.sum()))

    def _attend(self, one: Instruction) -> None:
        super()._attend(one)
        unit, width = self.program.attention, self.shape.width
        assert unit
        if unit.parts > 1:
            first, count = self.place * self._own_lanes, self._own_lanes
            own = np.zeros_like(self.mixed)
            own[first : first + count] = self.mixed[first : first + count]
            self.mixed = own[first // width * width :]

    def _meet(self, one: Instruction) -> None:
        assert not self.busy, "something is held while other chips are waited for"

    def _part(self, one: Instruction) -> None:
        pass

    def _finish(self, one: Instruction) -> None:
        assert bool(self.logits) == (self.place == 0)

    def _leave(self, one: Instruction) -> None:
        assert not self.busy
        if self.place:
            self.left = one.immediate


def run_machine(build: Build, shape: ChipShape, tokens: Sequence[int]) -> Int64:
    """Logits [tokens, vocabulary] of a sequence, as the first chip has them."""
    parts: Parts = [{} for _ in range(shape.chips)]
    chips = [PlacedChip(build, shape, place, parts) for place in range(shape.chips)]
    found = []
    for token in tokens:
        for chip in chips:
            chip.token, chip.logits, chip.left = int(token), {}, 0
        for n, one in enumerate(chips[0].program.instructions):
            for chip in chips:
                chip.execute(n, one)
            if one.op == Op.PART:
                for of_place in parts:
                    of_place.clear()
        for chip in chips:
            assert not chip.busy
            chip.position += 1
        logits = chips[0].logits
        found.append(np.concatenate([logits[n] for n in range(len(logits))])[: shape.vocabulary])
    return np.array(found)
