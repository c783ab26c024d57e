"""Programmable masks: those that the design counts, beside those that print what weights may ask for."""

from __future__ import annotations

from collections.abc import Iterator

from hnlpu.quantities import Quantity
from hnlpu.silicon.technology import Lithography, Scanner
from hnlpu.system.audit._case import Case, Ends, ends
from hnlpu.system.audit._claim import Claim, need
from hnlpu.system.catalog import MaskLayer
from hnlpu.system.cost import MaskPlan, assume, estimate, mask_plans, plan_estimate


def mask_claims(case: Case) -> Iterator[Claim]:
    """Claims about exposures of the stated layers, about our schemes' masks, and about their price."""
    layers = [layer for layer in case.prices.masks.layer if layer.programmable]
    stated, *plans = mask_plans(case.system, case.model, case.chips)
    there = stated.programmable[1]
    for plan in plans:
        if plan.name == "exposures":
            assert case.technology.lithography
            yield from _features(layers, case.technology.lithography)
            yield need(
                "masks", "programmable masks, the stated layers", _ends_of(plan), there,
                "masks a chip", f"exposures of any cuts and wires at their half pitches: {plan.what}",
                "a mask is stated for each of them where one exposure does not print what weights "
                "may ask for" if plan.programmable[1] > there else "",
            )  # fmt: skip
            yield from _price(case, stated, plan)
        else:
            yield need(
                "masks", f"programmable masks, {plan.name}", _ends_of(plan), there, "masks a chip",
                f"as many as print any weights: {plan.what}",
                "fewer masks change with the model than are paid for"
                if plan.programmable[2] < there else "",
            )  # fmt: skip


def _ends_of(plan: MaskPlan) -> Ends:
    low, value, high = (float(count) for count in plan.programmable)
    return low, value, high


def _features(layers: list[MaskLayer], lithography: Lithography) -> Iterator[Claim]:
    """k1 of what the stated layers print.  Lines of two masks are mandrels of twice the pitch, and cuts."""
    scanner = _finest(lithography)
    lines = [layer for layer in layers if layer.feature == "lines"]
    spacers = [layer for layer in lines if layer.masks > 1]
    for what, found, least, times in (
        ("vias and cuts", [x for x in layers if x.feature == "cuts"] + spacers,
         lithography.least_k1_cuts, 1),
        ("lines", [x for x in lines if x.masks == 1], lithography.least_k1_lines, 1),
        ("mandrels", spacers, lithography.least_k1_lines, 2),
    ):  # fmt: skip
        for half in sorted({_least_half(layer) for layer in found}):
            names = ", ".join(layer.name for layer in found if _least_half(layer) == half)
            yield _exposure(what, half * times, names, least, scanner)


def _exposure(
    what: str, half_nm: float, names: str, least: Quantity, scanner: Scanner
) -> Claim:  # fmt: skip
    return need(
        "masks", f"one exposure of {what} at {half_nm:g} nm half pitch", ends(least),
        scanner.k1(2 * half_nm), "k1",
        f"{names}: least k1 of one exposure; there: half pitch x NA / wavelength, {scanner.name}, "
        f"{scanner.aperture.value:g}, {scanner.wavelength.value:g} nm",
    )  # fmt: skip


def _finest(lithography: Lithography) -> Scanner:
    """The scanner that resolves most among those whose masks are no dearer than a DUV mask."""
    plain = [scanner for scanner in lithography.scanner if scanner.mask_weight.value <= 1]
    return max(plain or lithography.scanner, key=lambda scanner: scanner.k1(1))


def _least_half(layer: MaskLayer) -> float:
    return min(half.value for half in layer.half_pitches)


def _price(case: Case, stated: MaskPlan, plan: MaskPlan) -> Iterator[Claim]:
    a = assume(case.system)
    base = estimate(a, case.chips)
    priced = plan_estimate(plan, case.system, a, base)
    for name, key in (("masks of all chips", "masks_musd"), ("a re-spin", "respin_musd")):
        yield need(
            "masks", f"price of {name}, by exposures", float(getattr(priced, key)),
            float(getattr(base, key)), "M$",
            f"{plan.programmable[1]} masks a chip instead of {stated.programmable[1]}, each at the price "
            "that it has in the stated set",
        )  # fmt: skip
