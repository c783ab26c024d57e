"""`ChipShape`: what the silicon around a chip's arrays depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hnlpu.errors import DoesNotFit
from hnlpu.model.families import Task
from hnlpu.model.network import Network
from hnlpu.silicon.place import StackSlice

LARGEST_SUM_BITS = 62


@dataclass(frozen=True)
class ChipShape:
    """Sizes of one chip: lanes, sequences in flight, positions of each, and the network.

    `vocabulary` and `ends` are the tokens that there are, and those that end a text.  Of a network of signals
    `vocabulary` is the numbers that it gives, and `task` what it answers.  `slices` has, by matrix, the slice
    of each of several chips, in the order of their places; none for one chip.  Raises DoesNotFit for sums
    that the units cannot take.
    """

    network: Network
    vocabulary: int
    ends: tuple[int, ...]
    activation_bits: int
    width: int
    context: int
    sequences: int
    sum_bits: int
    task: Task | None = None
    slices: Mapping[str, tuple[StackSlice, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sum_bits > LARGEST_SUM_BITS:
            raise DoesNotFit(
                f"sums of {self.sum_bits} bits: at most {LARGEST_SUM_BITS} become values; "
                "build with fewer `activation_bits`"
            )

    def beats(self, n: int) -> int:
        """Beats of a vector of n values."""
        return -(-n // self.width)

    @property
    def activation_beats(self) -> int:
        """Beats of the widest vector that meets an array."""
        return self.beats(widest(self.network))

    @property
    def inputs(self) -> int:
        """Numbers of a position; 0 where it is a token."""
        shapes = [x.shape for x in self.network.inputs if x.carries == "data"]
        return sum(dim for shape in shapes for dim in shape if isinstance(dim, int))

    @property
    def in_bits(self) -> int:
        """Bits of what comes in at a position."""
        return 32 * self.inputs or ceil_log2(self.vocabulary)

    @property
    def out_bits(self) -> int:
        """Bits of an answer: a token, a class, or numbers."""
        numbers = self.task in ("regress", "stream")
        return 32 * self.vocabulary if numbers else ceil_log2(self.vocabulary)

    @property
    def chips(self) -> int:
        """Chips that say one thing together."""
        return max((len(slices) for slices in self.slices.values()), default=1)

    @property
    def exchanged(self) -> frozenset[str]:
        """Matrices of which a chip has a part only."""
        return frozenset(
            name
            for name, slices in self.slices.items()
            if len({(one.members, one.neurons, one.blocks) for one in slices}) > 1
        )

    @property
    def expert_places(self) -> tuple[int, ...]:
        """The place of each expert, where every expert lies whole on one chip; else none.

        Experts are all members of all matrices that have any.
        """
        found = {self._member_places(m.name, m.members) for m in self.network.matrices if m.members}
        return found.pop() if len(found) == 1 and self.chips > 1 else ()

    def _member_places(self, matrix: str, members: int) -> tuple[int, ...]:
        [rows] = [m.rows for m in self.network.matrices if m.name == matrix]
        slices, places = self.slices.get(matrix, ()), list[int]()
        whole = {(0, rows)} == {one.neurons for one in slices} and len(
            {s.blocks for s in slices}
        ) == 1
        for member in range(members):
            having = [n for n, s in enumerate(slices) if s.members[0] <= member < s.members[1]]
            if not whole or len(having) != 1:
                return ()
            places += having
        return tuple(places)

    def holders(self, matrix: str, rows: range, member: int) -> int:
        """Places that have a part of some rows of a member of a matrix, as bits; all where none is cut."""
        return sum(
            1 << place
            for place, one in enumerate(self.slices.get(matrix, ()))
            if one.members[0] <= member < one.members[1]
            and any(one.neurons[0] <= row < one.neurons[1] for row in rows)
        )

    @property
    def layers(self) -> int:
        """Blocks of the network."""
        return len({step.block for step in self.network.steps} - {None})


def widest(network: Network) -> int:
    """Numbers of the longest vector that meets a matrix."""
    return max(matrix.columns for matrix in network.matrices)


def ceil_log2(n: int) -> int:
    """Bits that number n things, at least 1."""
    return max(1, (n - 1).bit_length())
