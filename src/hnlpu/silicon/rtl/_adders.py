"""Columns of bits -> full and half adders that leave one bit a column.

Three bits of a column become one, and a carry in the next column; a column of two takes a half
adder.  Bits that are ready first are added first, so that a column of n bits is about
log(n) / log(1.5) adders deep.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Adders:
    """Instances as SystemVerilog, the bits of the sum, and the carry that leaves the last column.

    `inputs` are those of each adder, two or three; adder n drives `s{n}` and `c{n}`.
    """

    text: str
    sum: tuple[str, ...]
    spilled: tuple[str, ...]
    full: int
    half: int
    inputs: tuple[tuple[str, ...], ...]


def add_columns(columns: Sequence[Sequence[str]], bits: int) -> Adders:
    """Add `columns` of one-bit signals (column j counts 2^j) to a sum of `bits` bits.

    Carries out of the last column are named in `spilled`: zero where the sum fits.
    """
    waiting: list[list[tuple[int, int, str]]] = [[] for _ in range(bits + 1)]
    order = 0
    for j, column in enumerate(columns):
        for signal in column:
            heapq.heappush(waiting[j], (0, order, signal))
            order += 1
    lines: list[str] = []
    inputs: list[tuple[str, ...]] = []
    full = half = 0
    for j in range(bits):
        heap = waiting[j]
        while len(heap) > 1:
            number = full + half
            taken = [heapq.heappop(heap) for _ in range(min(3, len(heap)))]
            ready = 1 + max(depth for depth, _, _ in taken)
            inputs.append(tuple(signal for _, _, signal in taken))
            lines.append(_instance(number, inputs[-1]))
            heapq.heappush(heap, (ready, order, f"s{number}"))
            heapq.heappush(waiting[j + 1], (ready, order + 1, f"c{number}"))
            order += 2
            full, half = full + (len(taken) == 3), half + (len(taken) == 2)
    declared = [
        f"  logic [LANES-1:0] s{n};\n  logic [LANES-1:0] c{n};\n" for n in range(full + half)
    ]
    total = tuple(heap[0][2] if heap else "'0" for heap in waiting[:bits])
    spilled = tuple(signal for _, _, signal in sorted(waiting[bits]))
    return Adders("".join(declared + lines), total, spilled, full, half, tuple(inputs))


def _instance(number: int, inputs: Sequence[str]) -> str:
    kind = "full" if len(inputs) == 3 else "half"
    pins = ", ".join(f".{pin}({signal})" for pin, signal in zip("abc", inputs, strict=False))
    return (
        f"  hnlpu_{kind}_adder #(.LANES(LANES)) add{number} "
        f"({pins}, .sum(s{number}), .carry(c{number}));\n"
    )
