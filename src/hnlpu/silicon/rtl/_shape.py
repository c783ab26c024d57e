"""`ArrayShape`: what the silicon of an array depends on, and every width that follows from it.

activation ──► tap generators ──► ports ──► count of 32 ──► columns ──► sum ──► accumulator
  A bits          A + 4 steps                 6 bits          6 + R     SUM      HIGH + steps - 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.silicon.embed import ArrayKind

COUNT_BITS = 6
"""Bits of a count of 32 ports."""
LARGEST_TOTAL_BITS = 63
"""Benches compare totals as 64-bit integers."""


@dataclass(frozen=True)
class ArrayShape:
    """Silicon of one array: kind, neurons, blocks of 32 ports (and so inputs, of most kinds), bits of an activation.

    This is the taps scheme's; `RegionsShape` is the other's, `array_shape` chooses.  Raises
    InvalidInput for a kind or activation that the silicon does not have, DoesNotFit for totals too
    wide for a bench.
    """

    scheme: ClassVar[str] = "taps"

    kind: ArrayKind
    neurons: int
    blocks: int
    activation_bits: int

    def __post_init__(self) -> None:
        if self.kind.scheme != self.scheme:
            raise InvalidInput(
                f"array kind {self.kind.name} is of scheme {self.kind.scheme}, and this silicon of "
                f"{self.scheme}; ask array_shape for its own"
            )
        if not 2 <= self.activation_bits <= 16:
            raise InvalidInput(
                f"activations of {self.activation_bits} bits have no RTL: 2 to 16 do; "
                "build with `activation_bits`"
            )
        if self.total_bits > LARGEST_TOTAL_BITS:
            raise DoesNotFit(
                f"array {self.name}: totals of {self.total_bits} bits, at most "
                f"{LARGEST_TOTAL_BITS} are supported; build with fewer `activation_bits`"
            )

    @property
    def name(self) -> str:
        """As in module names: taps_d1_b8_r2_n32_k8_a8."""
        return f"{self.neuron_name}_n{self.neurons}"

    @property
    def neuron_name(self) -> str:
        """Of the neuron, which does not depend on how many there are."""
        kind = self.kind.name.replace("-", "_")
        return f"{kind}_k{self.blocks}_a{self.activation_bits}"

    @property
    def inputs(self) -> int:
        """Activations of a vector."""
        return self.ports * self.kind.inputs_per_port

    @property
    def ports(self) -> int:
        """Ports of a row of metal."""
        return self.blocks * BLOCK

    @property
    def rows(self) -> int:
        """Rows of metal."""
        return self.neurons * self.kind.rows_per_neuron

    @property
    def weights(self) -> int:
        """Weights of all members."""
        return self.neurons * self.inputs * self.kind.bank

    @property
    def steps(self) -> int:
        """Cycles of a product: bits of the largest value times an activation (12 times, of E2M1)."""
        return self.activation_bits + self.kind.values.product_bits

    @property
    def trunks(self) -> int:
        """Products that an input offers: all of its values but zero."""
        return len(self.kind.values.codes) - 1

    @property
    def entries(self) -> int:
        """Counts that enter a neuron's second tree."""
        return self.blocks * self.kind.digits

    @property
    def column_bits(self) -> int:
        """Columns of the second tree where a count may enter; 0 where there is no such tree."""
        return COUNT_BITS + self.kind.scale_range if self.kind.scale_range else 0

    @property
    def largest_sum(self) -> int:
        """Largest sum of a step: every port one, every block at the largest shift."""
        return BLOCK * self.entries << self.kind.scale_range

    @property
    def sum_bits(self) -> int:
        """Bits of a step's sum."""
        return self.largest_sum.bit_length()

    @property
    def high_bits(self) -> int:
        """Bits of the accumulator that add; see hnlpu_accumulator.sv."""
        return (2 * self.largest_sum - 1).bit_length()

    @property
    def total_bits(self) -> int:
        """Bits of a product, two's complement."""
        return self.high_bits + self.steps - 1

    @property
    def member_bits(self) -> int:
        """Bits of a member's number; 0 without a bank."""
        return (self.kind.bank - 1).bit_length()
