"""Transistors below the metal, counted part by part.

    32 inputs ──► popcount (26 full, 5 half adders) ──► 6 bits ──► second tree at the
                                                                   columns of the block's shift
    ──► accumulator, one bit of the activations a cycle

Counts of parts are arithmetic; transistors a part come from the technology.
"""

from __future__ import annotations

import math

from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.technology import Silicon

COUNT_BITS = 6  # of the sum of 32 one-bit inputs


def popcount_adders(inputs: int) -> tuple[int, int]:
    """Full and half adders that count `inputs` bits.

    Every full adder takes three bits of a column to two, so n bits need n minus the bits of the
    result; a column left with two bits takes a half adder.
    """
    full, half = 0, 0
    column = inputs
    while column > 1:
        carries = 0
        while column >= 3:
            column, carries, full = column - 2, carries + 1, full + 1
        if column == 2:
            column, carries, half = 1, carries + 1, half + 1
        column = carries
    return full, half


def _popcount(silicon: Silicon, inputs: int) -> float:
    full, half = popcount_adders(inputs)
    return full * silicon.full_adder.value + half * silicon.half_adder.value


def taps_transistors(
    silicon: Silicon, kind: ArrayKind, columns: int, neurons: int, activation_bits: int
) -> float:
    """Transistors a weight of the taps scheme.

    `neurons` share the tap generators of an input.  With a bank, ports are selected and the
    trees serve all members.
    """
    of_a_port = kind.inputs_per_port
    blocks = columns // (32 * of_a_port) * kind.digits
    full_adder = silicon.full_adder.value
    entries = COUNT_BITS + kind.scale_range
    if kind.scale_range:
        trees = blocks * _popcount(silicon, 32) + entries * (blocks - 1) * full_adder
    else:
        trees = _popcount(silicon, 32 * blocks)
    width = (
        activation_bits
        + kind.values.product_bits
        + kind.scale_range
        + math.ceil(math.log2(columns))
    )
    accumulator = width * (full_adder + silicon.flip_flop.value)
    total = trees + accumulator
    if kind.bank > 1:
        ports = 32 * blocks + (entries * blocks if kind.scale_range else 0)
        total += kind.bank * ports * silicon.selected_port.value
    generator = silicon.tap_generator.value / (of_a_port * neurons * kind.bank)
    return total / (columns * kind.bank) + generator
