"""Transistors below the regions scheme, counted part by part.

    g ports ──► popcount ──► times 1 or 3 ──► sign ──► shift ──┐
    g ports ──► popcount ──► times 1 or 3 ──► sign ──► shift ──┼──► tree ──► accumulator
    ...                       by the ties of the group        ─┘

A group does not know its value before the metal, so each has what any value takes; that, and not
the ports, is most of a neuron.
"""

from __future__ import annotations

import math

from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._regions_values import groups_of, tie_count
from hnlpu.silicon.embed._silicon import popcount_adders
from hnlpu.silicon.technology import Silicon


def group_transistors(silicon: Silicon, group: int, scale_range: int) -> dict[str, float]:
    """Transistors of one group of ports, by part.

    Three times the count is an adder of the count and of its double, which the odd tie gates.  An
    XOR a bit and a carry into the tree negate.  A stage of multiplexers a tie shifts and fills with
    the sign.  Every bit that enters the tree costs a full adder there.
    """
    full, half = popcount_adders(group)
    largest = 3 * group
    width = largest.bit_length()
    entering = (largest << (scale_range + 2)).bit_length()
    multiplexers = 0
    for stage in range(tie_count(scale_range) - 2):
        width = min(width + (1 << stage), entering)
        multiplexers += width
    count_bits = group.bit_length()
    return {
        "popcount": full * silicon.full_adder.value + half * silicon.half_adder.value,
        "times three": count_bits * (silicon.full_adder.value + silicon.multiplexer.value),
        "sign": largest.bit_length() * silicon.exclusive_or.value,
        "shift": multiplexers * silicon.multiplexer.value,
        "tree": (entering + 2) * silicon.full_adder.value,
    }


def regions_transistors(
    silicon: Silicon, kind: ArrayKind, columns: int, neurons: int, activation_bits: int
) -> dict[str, float]:
    """Transistors a weight of a neuron with `columns` inputs, by part.

    `neurons` share the register that makes an input serial.  With a bank, ports and ties are
    selected and everything behind them serves all members.
    """
    groups = groups_of(columns, kind.group, kind.scale_range) * kind.digits
    one = group_transistors(silicon, kind.group, kind.scale_range)
    weights = columns * kind.bank
    total = {part: groups * count / weights for part, count in one.items()}
    width = activation_bits + 4 + kind.scale_range + math.ceil(math.log2(columns))
    accumulator = width * (silicon.full_adder.value + silicon.flip_flop.value)
    total["accumulator"] = accumulator / weights
    if kind.bank > 1:
        selected = groups * kind.bank * (kind.group + tie_count(kind.scale_range))
        total["bank selection"] = selected * silicon.selected_port.value / weights
    register = activation_bits * (silicon.flip_flop.value + silicon.multiplexer.value)
    total["serial input"] = register / (neurons * kind.bank)
    return total
