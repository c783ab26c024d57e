"""Masks of a system as its source counts them -> beside them, as scanners print them, and in money.

    stated        the layers of the system's file, with the masks that it counts
    exposures     the same layers, as many exposures as the half pitches take
    taps, regions our schemes on the same chips, the other layers of the set as they are

Programmable masks are paid for each chip and re-spin, all others once.  Every mask has the price that it
has in the published set, so more masks make a dearer set.  What passes of the wafer cost beside masks is
not counted.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import (
    ArrayKind,
    CutGrid,
    Limit,
    MasksNeeded,
    Scheme,
    TileShape,
    Way,
    WireGrid,
    cheapest_first,
    cut_ways,
    layer_exposures,
    masks_needed,
    open_scheme,
    wire_ways,
)
from hnlpu.silicon.technology import Lithography, Technology, load_technology
from hnlpu.system.catalog import MaskLayer, Masks, Model, System
from hnlpu.system.cost._assumptions import Assumptions
from hnlpu.system.cost._estimate import Estimate, estimate
from hnlpu.system.cost._masks import mask_count

SCALE_RANGE = 2
"""Block exponents of a row that arrays are taken to be made for."""
GROUP, TRACKS = 4, 32
"""Of regions: ports of a group, and tracks that Gaussian weights need (docs/masks-regions.md)."""
LIMITS: tuple[Limit, ...] = ("low", "value", "high")


@dataclass(frozen=True)
class MaskPlan:
    """Masks of one way to make the chips: `programmable` at the low, middle and high end of the least k1.

    At the middle, `shared` is the number of all others, and `shared_units` and `chip_units` are prices in
    DUV masks, of the shared and of the programmable ones.
    """

    name: str
    programmable: tuple[int, int, int]
    shared: int
    shared_units: float
    chip_units: float
    what: str

    def priced(self, a: Assumptions, set_units: float) -> Assumptions:
        """Assumptions `a` of the system with these masks; `set_units` is its set in DUV masks."""
        price = (a.shared_masks_musd + a.chip_masks_musd) / set_units
        return replace(
            a,
            shared_masks_musd=price * self.shared_units,
            chip_masks_musd=price * self.chip_units,
            shared_masks=self.shared,
            chip_masks=self.programmable[1],
        )


def mask_plans(system: System, model: Model, chips: int) -> list[MaskPlan]:
    """The masks of a hardwired `system` with `model` on `chips` chips, as stated first.

    Those that need lithography are left out where the technology names no scanners, and `exposures`
    where the system's file does not say what its programmable layers print.  Raises DoesNotFit where
    no scanner prints a layer.
    """
    assert system.prices
    assert system.technology
    masks, technology = system.prices.masks, load_technology(system.technology)
    plans = [_stated(masks)]
    if (
        system.array and system.array.scheme
    ):  # ours already: what is stated are the masks of its scheme
        return plans
    if technology.lithography is None:
        return plans
    if all(layer.feature for layer in masks.layer if layer.programmable):
        plans.append(_exposed(masks, technology.lithography))
    bank = max(1, -(-model.expert_count // chips))
    plans += [
        scheme_plan(masks, technology, name, _kinds(name, bank)) for name in technology.schemes
    ]
    return plans


def plan_estimate(plan: MaskPlan, system: System, a: Assumptions, base: Estimate) -> Estimate:
    """`base`, an estimate of `system` under `a`, with the masks of `plan`."""
    assert system.prices
    units = system.prices.masks.units()
    return estimate(plan.priced(a, units), base.chips, base.systems, base.respins)


def _stated(masks: Masks) -> MaskPlan:
    count = sum(layer.masks for layer in masks.layer if layer.programmable)
    names = ", ".join(layer.name for layer in masks.layer if layer.programmable)
    return MaskPlan(
        "stated", (count, count, count), mask_count(masks, programmable=False),
        masks.units(False), masks.units(True), names,
    )  # fmt: skip


def _exposed(masks: Masks, lithography: Lithography) -> MaskPlan:
    """Lines by spacers have a mandrel that no weights change: the rest of their masks cut."""
    layers = [layer for layer in masks.layer if layer.programmable]
    ways = {limit: [layer_way(layer, lithography, limit) for layer in layers] for limit in LIMITS}
    middle = ways["value"]
    what = ", ".join(
        f"{layer.name.partition(' ')[0]} {way.programmable}"
        + (f" and {way.shared} that is shared" if way.shared else "")
        for layer, way in zip(layers, middle, strict=True)
    )
    low, value, high = (sum(way.programmable for way in ways[limit]) for limit in LIMITS)
    return MaskPlan(
        "exposures",
        (low, value, high),
        mask_count(masks, programmable=False) + sum(way.shared for way in middle),
        masks.units(False) + sum(way.shared * way.mask_weight for way in middle),
        sum(way.programmable * way.mask_weight for way in middle),
        what,
    )


def layer_way(layer: MaskLayer, lithography: Lithography, limit: Limit = "value") -> Way:
    """The cheapest way to print a published layer at its half pitches, whatever stands beside what.

    Cuts may stand on any crossing of the grid; wires may end on any, with gaps of a half pitch.
    Raises DoesNotFit where no scanner prints it.
    """
    pitches = [round(2 * half.value) for half in layer.half_pitches]
    if layer.feature == "cuts":
        across, along = pitches
        ways = list(
            cut_ways(lithography, CutGrid((0,), across, (False,), (0,), (0,), along), limit)
        )
    else:
        ways = list(wire_ways(lithography, WireGrid(pitches[0], pitches[0] / 2, pitches[0]), limit))
    if not ways:
        raise DoesNotFit(
            f"no scanner prints {layer.name} at a pitch of {min(pitches)} nm; add one to "
            "lithography.scanner of the technology"
        )
    return cheapest_first(ways)[0]


def _kinds(name: str, bank: int) -> list[ArrayKind]:
    """Kinds that a scheme is taken to have where no build says which."""
    return [
        ArrayKind(name, 1, b, SCALE_RANGE, *((GROUP, TRACKS) if name == "regions" else ()))
        for b in sorted({1, bank})
    ]


def scheme_plan(
    masks: Masks, technology: Technology, name: str, kinds: Sequence[ArrayKind]
) -> MaskPlan:
    """The masks of one of our schemes with arrays of these kinds, in place of a set's programmable ones.

    The technology names scanners.  Raises DoesNotFit where none prints a layer.
    """
    needed, names = _needed(technology.model_dump_json(), tuple(kinds))
    low, value, high = (found.programmable for found in needed)
    middle = needed[1]
    # the published set has masks for these layers: those that the technology states
    count = sum(layer.masks for layer in masks.layer) - middle.stated + middle.shared
    shared = masks.units() - middle.stated + middle.shared_units
    units = middle.programmable_units
    return MaskPlan(name, (low, value, high), count, shared, units, names)


@functools.lru_cache(maxsize=64)
def _needed(technology: str, kinds: tuple[ArrayKind, ...]) -> tuple[tuple[MasksNeeded, ...], str]:
    """Masks at each of LIMITS, and their names at the middle; of a technology as JSON.

    No system changes them, and they take most of the time of a price: each process is worked out once.
    """
    process = Technology.model_validate_json(technology)
    schemes: list[tuple[Scheme, TileShape | None]] = [
        (open_scheme(process, kind), None) for kind in kinds
    ]
    names = ", ".join(mask for layer in layer_exposures(schemes) for mask in layer.masks)
    return tuple(masks_needed(schemes, limit) for limit in LIMITS), names
