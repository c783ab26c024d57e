"""`FoldedShape`: a taps array whose ports take turns on one set of adders, F phases a step.

phase 0   x0 .. x255    ┐
phase 1   x256 .. x511  ├─► the same counts, tree and accumulator      (F = 4, 1024 inputs)
...                     ┘
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.codebooks import E2M1
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput
from hnlpu.silicon.rtl._shape import ArrayShape

LARGEST_FOLD = 64


@dataclass(frozen=True)
class FoldedShape(ArrayShape):
    """Silicon of a taps array folded `fold` times; its metal is that of the array unfolded.

    Up to as many phases as blocks, a phase takes whole blocks; beyond that, 1/2, 1/4 ... of one.
    Raises InvalidInput for other phases.
    """

    fold: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind.codebook != E2M1:
            raise InvalidInput(
                f"array kind {self.kind.name}: arrays of {self.kind.codebook} are not folded; "
                "leave `fold` out"
            )
        if not 2 <= self.fold <= LARGEST_FOLD:
            raise InvalidInput(f"fold {self.fold}: arrays are folded 2 to {LARGEST_FOLD} times")
        if self.fold > self.blocks and (
            self.fold % self.blocks or BLOCK % (self.fold // self.blocks)
        ):
            raise InvalidInput(
                f"fold {self.fold} of {self.blocks} blocks: take at most {self.blocks}, or "
                f"{self.blocks} times 2, 4, 8, 16 or 32"
            )

    @property
    def neuron_name(self) -> str:
        """Of the neuron, which does not depend on how many there are."""
        return f"{super().neuron_name}_f{self.fold}"

    @property
    def bits_a_product(self) -> int:
        """Steps of a product, each of `fold` cycles."""
        return super().steps

    @property
    def steps(self) -> int:
        """Cycles of a product."""
        return self.fold * self.bits_a_product

    @property
    def width(self) -> int:
        """Ports of a block that are counted in one phase."""
        return BLOCK // max(1, self.fold // self.blocks)

    @property
    def slots(self) -> int:
        """Parts of `width` ports in a row."""
        return self.blocks * BLOCK // self.width

    @property
    def places(self) -> int:
        """Counts that a row has: parts of one phase."""
        return -(-self.slots // self.fold)

    @property
    def turns(self) -> int:
        """Phases that differ in their blocks."""
        return self.fold * self.width // BLOCK

    @property
    def phase_sum_bits(self) -> int:
        """Bits of the sum of one phase."""
        largest = self.width * self.places * self.kind.digits << self.kind.scale_range
        return max(largest.bit_length(), self.column_bits)

    @property
    def total_bits(self) -> int:
        """Bits of a product, two's complement."""
        return self.high_bits + self.bits_a_product - 1
