"""What the assembler makes of a network: instructions, and what the silicon around them must hold.

No weight changes it.  Registers are numbered in beats; `Program.row_places` and `reads` tell what
the arrays' sums are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hnlpu.silicon.rtl.chip._instructions import Instruction, Op

UNITS = ("attention", "sampler", "root", "router", "quotients")
"""Resources behind the groups of arrays, in the order of their numbers; the last where it is used."""


@dataclass(frozen=True)
class SumBeat:
    """A beat of sums: rows first, first + step, ... of a matrix, `count` of them."""

    matrix: str
    first: int
    step: int
    count: int

    def rows(self) -> range:
        """Rows of the matrix by lane."""
        return range(self.first, self.first + self.step * self.count, self.step)


@dataclass(frozen=True)
class StoredBeat:
    """A stored beat of a parameter: numbers `first` to `first` + `count` of it, row by row.

    value  the parameter's numbers
    norm   times the root of a row's length, as norms divide by the root of a sum
    heads  the same, over and over, `count` in all: the weights of every head's norm
    mask   ones, of no parameter
    placed by lane the number that `places` says, 0 for -1; in units of 2^-(16 + `finer`)
    """

    name: str
    how: Literal["value", "norm", "heads", "mask", "placed"]
    first: int
    count: int
    places: tuple[int, ...] = ()
    finer: int = 0


@dataclass(frozen=True)
class AttentionSizes:
    """Sizes of all heads, and the parameter that is each layer's sinks, if they have any.

    `parts` chips have equal parts of the query heads, in their order, and the key heads that these take; where
    it is 1 each chip has all of them.
    """

    heads: int
    key_heads: int
    head_dim: int
    layers: int
    sinks: tuple[str, ...]
    parts: int = 1

    @property
    def lanes(self) -> int:
        """Numbers of a chip's queries, one behind the other."""
        return self.heads // self.parts * self.head_dim

    def beats(self, width: int) -> int:
        """Beats of `width` lanes that a chip has a part of."""
        return -(-self.lanes // width)

    def first_beat(self, place: int, width: int) -> int:
        """The first of them among those of all heads."""
        return place * self.lanes // width

    def places(self, beat: int, width: int) -> list[int]:
        """The chips that have a part of a beat of all heads."""
        of = ((p, self.first_beat(p, width)) for p in range(self.parts))
        return [place for place, first in of if first <= beat < first + self.beats(width)]


def parts_of_heads(heads: int, key_heads: int, size: int, width: int, chips: int) -> int:
    """The chips among which heads are divided: all, or 1 where their parts do not fit beats of `width` lanes.

    A chip's query heads take whole key heads, or one of several chips'; its lanes are whole beats, or beats hold
    the lanes of whole chips.
    """
    own, rest = divmod(heads, chips)
    if rest or not own:
        return 1
    group = heads // key_heads
    shared = min(own, group)
    if own % shared or group % shared:
        return 1
    lanes = (own * size, own // shared * size)
    return chips if all(n % width == 0 or width % n == 0 for n in lanes) else 1


@dataclass(frozen=True)
class Norms:
    """Epsilons by their numbers, and the longest vector that is normed whole."""

    epsilons: tuple[int, ...] = ()
    longest: int = 0


@dataclass(frozen=True)
class RopeFactor:
    """The factor on cosines and sines."""

    factor: float


@dataclass(frozen=True)
class ExpertSizes:
    """Experts, how many of them a token goes through, and how many share what they are given."""

    experts: int
    ranks: int
    sharing: int


@dataclass(frozen=True)
class Program:
    """Instructions, groups of matrices that work at once, beats of sums, stored beats of rows.

    `moves` has, by pattern, the lane that each lane takes, -1 for none; `lane_sum_bits` are those of a
    lane's sum of products.  `parameters` has the stored beats of parameters; `row_places` has the read of every stored beat
    of shifts and biases and the expert that it is of.  `exchange_beats` are those of the longest exchange with
    other chips, 0 where there is one chip.  Units that the program does not use are None.
    """

    instructions: tuple[Instruction, ...]
    groups: tuple[tuple[str, ...], ...]
    reads: tuple[SumBeat, ...]
    parameters: tuple[StoredBeat, ...]
    row_places: tuple[tuple[int, int], ...]
    moves: tuple[tuple[int, ...], ...]
    lane_sum_bits: int
    registers: int
    embedding: str | None
    head_dim: int | None
    attention: AttentionSizes | None
    norms: Norms
    rope: RopeFactor | None
    experts: ExpertSizes | None
    exchange_beats: int = 0

    def uses(self, op: Op, *, banked: bool | None = None) -> bool:
        """Whether there is such an instruction."""
        return any(
            one.op == op and (banked is None or one.banked == banked) for one in self.instructions
        )

    def uses_curve(self, kind: int) -> bool:
        """Whether there is a CURVE of this kind."""
        return any(one.op == Op.CURVE and one.rank == kind for one in self.instructions)
