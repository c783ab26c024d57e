"""`RegionsShape`: what the silicon of a regions array depends on, and the widths that follow.

ports ──► count ──► times 1 or 3 ──► sign, shift ──► sum of all groups ──► accumulator
  g        of g        3g at most     entry_bits         sum_bits          high_bits + A - 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import groups_of, tie_count
from hnlpu.silicon.rtl._shape import ArrayShape


@dataclass(frozen=True)
class RegionsShape(ArrayShape):
    """Silicon of one regions array; `tiles` are the blocks of its tiles, side by side.

    Each tile has the groups that any weights of its inputs need.  How many tracks wires take is the
    height of a row and no concern of RTL, so `kind.tracks` is 0.
    """

    scheme: ClassVar[str] = "regions"

    tiles: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(self.tiles) != self.blocks:
            raise InvalidInput(f"array {self.name}: tiles of {self.tiles} blocks do not fill it")
        if self.kind.tracks:
            raise InvalidInput(f"array {self.name}: silicon has no tracks; replace them by 0")

    @property
    def neuron_name(self) -> str:
        """Of the neuron, which does not depend on how many there are."""
        kind = self.kind.name.removesuffix("-t0").replace("-", "_")
        return f"{kind}_k{'_'.join(map(str, self.tiles))}_a{self.activation_bits}"

    def groups_in(self, blocks: int) -> int:
        """Groups of a tile's row over `blocks` blocks."""
        return groups_of(blocks * BLOCK, self.kind.group, self.kind.scale_range)

    @property
    def groups(self) -> int:
        """Groups of a row of metal."""
        return sum(map(self.groups_in, self.tiles))

    @property
    def ties(self) -> int:
        """Ties of a group: sign, odd part, and the bits of its shift."""
        return tie_count(self.kind.scale_range)

    @property
    def steps(self) -> int:
        """Cycles of a product: one for signs, then the bits of an activation."""
        return self.activation_bits + 1

    @property
    def entries(self) -> int:
        """Groups that enter a neuron's tree."""
        return self.groups * self.kind.digits

    @property
    def largest_multiple(self) -> int:
        """Three times all ports of a group."""
        return 3 * self.kind.group

    @property
    def entry_bits(self) -> int:
        """Bits of a group's entry: 3 g shifted by R + 2, or that of g by R + 3, which is less."""
        return (self.largest_multiple << self.kind.scale_range + 2).bit_length()

    @property
    def largest_sum(self) -> int:
        """Largest sum of a step: every bit of every entry one."""
        return self.entries * ((1 << self.entry_bits) - 1)

    @property
    def high_bits(self) -> int:
        """Bits of the accumulator that add; the first step's sum counts twice."""
        return (2 * self.largest_sum).bit_length()

    @property
    def total_bits(self) -> int:
        """Bits of a product, two's complement."""
        return self.high_bits + self.activation_bits - 1
