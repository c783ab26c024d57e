"""Programs of several chips, run side by side in Python: each chip has its slices, and parts of sums are added.

What a chip has not got is filled with random numbers, so that a use of it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from instruction_set import Chip, Int64

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import ChipShape, Instruction, Op

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
            assert self.program.reads[one.index].matrix not in self.shape.exchanged
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
        if self.place in self._holders(one):
            read = self.program.reads[one.index]
            first, last = self.shape.slices[read.matrix][self.place].neurons
            sums = super()._sums_of(one)
            rows = np.array(read.rows())
            sums[: read.count][(rows < first) | (rows >= last)] = 0
            self.parts_of_all[self.place][one.b] = sums

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
