"""Neuron arrays of a design: area of all weights, programmable masks, cycles of a pass.

Published arrays take the system's own density and masks, as published.  Ours are counted from the layout
and the transistors of the scheme (`embed`): whichever of metal and silicon needs more area, and as
many masks as print any weights with the technology's scanners.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hnlpu.silicon.embed import MasksNeeded, Scheme, array_kind, masks_needed, open_scheme
from hnlpu.silicon.technology import load_technology
from hnlpu.system.catalog import DIGIT_BITS, Model, System
from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._options import Options
from hnlpu.system.machine import bit_serial_cycles

EXPERT_GROUPS = ("experts",)


@dataclass(frozen=True)
class ArrayCost:
    """mm2 of all weights of the model, masks that differ between chips, cycles of a pass.

    In units of a DUV mask: `mask_units` of those masks, `shared_units` of all others of the set.
    """

    area_mm2: float
    masks: int
    mask_units: float
    shared_units: float
    pass_cycles: float


def array_cost(
    system: System, model: Model, options: Options, design: ExploredDesign, published_cycles: float
) -> ArrayCost:
    """The arrays that hold `model` in `design`."""
    assert system.array
    assert system.machine
    assert system.prices
    masks = system.prices.masks
    if design.arrays == "stated":
        count = sum(layer.masks for layer in masks.layer if layer.programmable)
        area = model.hardwired_bits() * system.array.area_per_bit.value / 1e6
        if system.target is not None:  # designed for this model: as its dies have them
            area = system.array_area_mm2 * system.chips
        units = masks.units(programmable=True), masks.units(programmable=False)
        return ArrayCost(area, count, *units, published_cycles)
    assert system.technology
    technology, spread = system.technology, round(options.array.scale_range.value)
    area, kinds = 0.0, set()
    for group, (weights, bits) in zip(model.weights(), model.stored(), strict=True):
        digits = 1 if bits <= DIGIT_BITS else 2
        bank = design.fold * (design.experts_per_bank if group in EXPERT_GROUPS else 1)
        kinds.add((digits, bank, spread))
        area += weights * digits * _digit_um2(technology, design.arrays, digits, bank, spread)
    needed = _masks(technology, design.arrays, frozenset(kinds))
    # the set has masks for these layers already: those that the technology states
    shared = masks.units() - needed.stated + needed.shared_units
    cycles = bit_serial_cycles(system.machine.activation_bits, model.hidden)
    return ArrayCost(
        area / 1e6, needed.programmable, needed.programmable_units, shared, design.fold * cycles
    )


@functools.cache
def _digit_um2(technology: str, arrays: str, digits: int, bank: int, spread: int) -> float:
    """Area of a digit; arrays repeat, so it is asked for again and again."""
    return _scheme(technology, arrays, digits, bank, spread).area_um2()


@functools.cache
def _masks(technology: str, arrays: str, kinds: frozenset[tuple[int, int, int]]) -> MasksNeeded:
    """Masks of a chip with arrays of these digits, banks and ranges of scales."""
    return masks_needed([(_scheme(technology, arrays, *kind), None) for kind in sorted(kinds)])


@functools.cache
def _scheme(technology: str, arrays: str, digits: int, bank: int, spread: int) -> Scheme:
    kind = array_kind(arrays, digits, bank, spread)
    return open_scheme(load_technology(technology), kind)
