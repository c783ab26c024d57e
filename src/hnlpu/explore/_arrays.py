"""Neuron arrays of a design: area of all weights, programmable masks, cycles of a pass.

Published arrays take the system's own density and masks.  Ours are counted from the layout and the
transistors of the scheme (`hnlpu.embed`): whichever of metal and silicon needs more area.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hnlpu.catalog import ModelShape, System
from hnlpu.embed import array_kind, open_scheme
from hnlpu.explore._design import Design
from hnlpu.machine import bit_serial_cycles
from hnlpu.technology import load_technology

SCALE_RANGE = 4
"""Block exponents of a row that arrays are made for: Gaussian rows of 2,880 span 3 at most."""

ONE_DIGIT_BITS = 4.25
EXPERT_GROUPS = ("experts",)


@dataclass(frozen=True)
class ArrayCost:
    """mm2 of all weights of the model, masks that differ between chips, cycles of a pass."""

    area_mm2: float
    masks: int
    pass_cycles: float


def array_cost(
    system: System, model: ModelShape, design: Design, published_cycles: float
) -> ArrayCost:
    """The arrays that hold `model` in `design`."""
    assert system.array
    assert system.machine
    assert system.prices
    if design.arrays == "published":
        masks = sum(layer.masks for layer in system.prices.masks.layer if layer.programmable)
        area = model.hardwired_bits() * system.array.area_per_bit.value / 1e6
        return ArrayCost(area, masks, published_cycles)
    area = 0.0
    for group, count in model.weights().items():
        digits = 1 if model.formats[group].bits.value <= ONE_DIGIT_BITS else 2
        bank = design.fold * (design.experts_per_bank if group in EXPERT_GROUPS else 1)
        area += count * digits * _digit_um2(system.technology or "n5", design.arrays, digits, bank)
    cycles = bit_serial_cycles(system.machine.activation_bits, model.hidden)
    return ArrayCost(
        area / 1e6, _masks(system.technology or "n5", design.arrays), design.fold * cycles
    )


@functools.cache
def _digit_um2(technology: str, arrays: str, digits: int, bank: int) -> float:
    """Area of a digit; arrays repeat, so it is asked for again and again."""
    kind = array_kind(arrays, digits, bank, SCALE_RANGE)
    return open_scheme(load_technology(technology), kind).area_um2()


@functools.cache
def _masks(technology: str, arrays: str) -> int:
    tech = load_technology(technology)
    programmable = open_scheme(tech, array_kind(arrays, 1, 1, SCALE_RANGE)).programmable
    layers = [getattr(tech, name) for name in (
        "lower", "stub", "upper", "port_cut", "lower_cut", "upper_cut"
    )]  # fmt: skip
    return sum(len(layer.masks) for layer in layers if layer.name in programmable)
