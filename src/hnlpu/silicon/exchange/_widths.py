"""How wide the partial sums of a slice are: proved from its weights, for any activations."""

from __future__ import annotations

import numpy as np

from hnlpu.arithmetic.exchange import signed_bits
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts
from hnlpu.silicon.place import StackSlice


def part_bits(matrix: HardwiredMatrix, part: StackSlice, activation_bits: int) -> int:
    """Bits of every partial sum of a slice of a matrix, in units of its whole rows' exponents.

    The largest sum of |digit| of a row over the slice's blocks, times the largest activation.
    """
    return signed_bits(part_magnitude(matrix, part) << (activation_bits - 1))


def part_magnitude(matrix: HardwiredMatrix, part: StackSlice) -> int:
    """The largest sum of |digit| of a row over the slice's blocks, in units of the whole row's exponent."""
    rows, blocks = slice(*part.neurons), slice(*part.blocks)
    digits = tuple(
        Digit(
            np.ascontiguousarray(d.codes[rows, blocks]),
            np.ascontiguousarray(d.exponents[rows, blocks]),
        )
        for d in matrix.digits
    )
    facts = row_facts(digits)
    # a slice without weights has an exponent that stands for none
    units = facts.row_exponents.astype(np.int64) - matrix.row_exponents[rows]
    shifts = np.where(facts.magnitudes > 0, units, 0)
    return int((facts.magnitudes << shifts).max(initial=0))
