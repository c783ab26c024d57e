"""A plan and what was chosen for it -> the values of a system's file, each with its reason."""

from __future__ import annotations

import math
import re
from typing import Any

from hnlpu.arithmetic.exchange import KINDS
from hnlpu.quantities import Quantity
from hnlpu.silicon.technology import Economy, Technology, load_technology
from hnlpu.system.catalog import Masks, System
from hnlpu.system.cost import CostSubject, MaskPlan, mask_plans, scheme_plan
from hnlpu.system.design._blocks import blocks
from hnlpu.system.design._plan import Plan
from hnlpu.system.design._size import Sized

FIGURES = 12
"""Significant figures of a number in the file: beyond what any source has, within what a float has."""


def system_values(
    plan: Plan, sized: Sized, subject: CostSubject, place: str | None
) -> dict[str, Any]:
    """The tables of a system's file, to be validated and written."""
    lib, arrays = plan.library, plan.arrays
    parts = blocks(plan, sized.choice)
    die = sum(part.area for part in parts)
    chip_w = sum(part.power for part in parts)
    factor = lib.power.system.value / (lib.chips * lib.power.chip.value)
    name = re.sub(r"[^a-z0-9._-]+", "-", subject.shape.name.lower()).strip("._-")[:48] or "model"
    prices = lib.model_dump()["prices"]
    prices["masks"] = _masks(plan)
    dropped = {"power.system"}
    if (economy := load_technology(plan.technology).economy) is not None:
        dropped |= {"prices.wafer.price", "prices.masks.set_price"}
        prices["wafer"]["price"] = _own_price(economy.wafer, plan)
    values: dict[str, Any] = {
        "name": f"{name}-own",
        "title": f"A chip of its own for {subject.shape.title}"[:200],
        "kind": "hardwired",
        "technology": plan.technology,
        "model": subject.shape.name,
        "checkpoint": place,
        "weights": None if subject.counted.startswith("digits") else subject.counted,
        "chips": arrays.chips,
        "target": {"users": sized.users, "context": plan.context},
        "die": {
            "process": plan.technology,
            "area": number(die, "mm^2", f"sum of the blocks; {plan.outline.why}"),
            "reticle": number(plan.outline.reticle, "mm^2", f"as {lib.name}"),
            **_slot(plan),
            "density": number(plan.density, "transistor/mm^2", f"technology {plan.technology}"),
        },
        "block": [
            {
                "name": part.name, "purpose": part.purpose,
                "area": number(part.area, "mm^2", part.why),
                "power": number(part.power, "W", part.why),
            }
            for part in parts
        ],
        "array": {
            "area_per_bit": number(
                # rounded so that the arrays hold every bit
                arrays.area_mm2 * arrays.chips * 1e6 / subject.bits * (1 - 10 ** (1 - FIGURES)),
                "um^2/bit",
                f"arrays of the fullest chip, times {arrays.chips}, over {subject.bits:,.0f} bits "
                f"({subject.counted})",
            ),
            "scheme": arrays.scheme,
            "bank": arrays.bank,
        },
        "machine": _machine(plan, sized),
        "power": {
            "chip": number(chip_w, "W", "sum of the blocks"),
            "system": number(
                arrays.chips * chip_w * factor, "W",
                f"{arrays.chips} x a chip, times {factor:.3g} as on {lib.name}",
            ),
            "overhead": number(factor, "dimensionless", f"as on {lib.name}"),
        },
        "prices": prices,
        "ownership": lib.model_dump()["ownership"],
        "range": [
            entry for entry in lib.model_dump().get("range", []) if entry["key"] not in dropped
        ],
    }  # fmt: skip
    return {key: value for key, value in values.items() if value is not None}


def _slot(plan: Plan) -> dict[str, Any]:
    """The largest core of a die that is made for a slot."""
    if not plan.outline.core:
        return {}
    return {"slot": number(plan.outline.mm2, "mm^2", plan.outline.why)}


def number(value: float, unit: str, source: str) -> dict[str, Any]:
    """A value with unit and source, as in a file."""
    return {"value": float(f"{value:.{FIGURES}g}"), "unit": unit, "source": source}


def _own_price(quantity: Quantity, plan: Plan) -> dict[str, Any]:
    """A price of the process's own file, with its doubts."""
    found = number(
        quantity.value, quantity.unit, f"technology {plan.technology}: {quantity.source}"
    )
    if quantity.uncertain:
        found |= {"low": quantity.low, "high": quantity.high}
    return found


def _times(quantity: Quantity, share: float, source: str) -> dict[str, Any]:
    """A quantity times a number, its doubts with it."""
    found = number(quantity.value * share, quantity.unit, source)
    if quantity.uncertain:
        for end in ("low", "high"):
            found[end] = float(f"{getattr(quantity, end) * share:.{FIGURES}g}")
        found["low"] = min(found["low"], found["value"])
        found["high"] = max(found["high"], found["value"])
    return found


def _machine(plan: Plan, sized: Sized) -> dict[str, Any]:
    lib, machine, choice, reasons = plan.library, plan.machine, sized.choice, sized.reasons
    given = lib.model_dump()["machine"]
    rows, columns = plan.arrays.grid
    share = choice.banks / machine.buffer.banks
    bank = machine.buffer.bank_capacity.value
    values: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        **{key: given[key] for key in ("stages", "activation_bits", "kv_bits", "clock")},
        "vector_unit": {
            "heads_per_cycle": _times(
                machine.vector_unit.heads_per_cycle, choice.units, reasons["vector_unit"]
            )
        },
        "buffer": {
            **given["buffer"],
            "banks": choice.banks,
            "capacity": number(choice.banks * bank / 1e3, "MB", reasons["buffer"]),
            "bandwidth": _times(
                machine.buffer.bandwidth, share, f"{choice.banks:,} banks, each as on {lib.name}"
            ),
        },
    }
    if plan.arrays.chips > 1:
        values["link"] = {**given["link"], **_narrower(plan), "exchange": _exchange(plan)}
    if choice.stacks:
        values["hbm"] = {**given["hbm"], "stacks": choice.stacks}
    return values


def _narrower(plan: Plan) -> dict[str, Any]:
    """The bandwidth of links with fewer lanes than the library's."""
    link = plan.machine.link
    if plan.width == 1 or link is None:
        return {}
    why = (
        f"1/{1 / plan.width:g} of the lanes of {plan.library.name}'s: with more, links and arrays leave no room "
        "on a die"
    )
    return {"bandwidth": _times(link.bandwidth, plan.width, why)}


def _exchange(plan: Plan) -> dict[str, Any]:
    """Formats of what crosses links, and the width of exact sums of a build."""
    formats: dict[str, Any] = {kind: plan.formats.of(kind) for kind in KINDS}
    bits = plan.arrays.sum_bits
    return formats if bits is None else {**formats, "sum_bits": bits}


def _masks(plan: Plan) -> dict[str, Any]:
    """The library's set with the masks of our scheme in place of its programmable ones."""
    lib = plan.library
    assert lib.prices
    given: dict[str, Any] = lib.model_dump()["prices"]["masks"]
    technology = load_technology(plan.technology)
    if (economy := technology.economy) is not None:
        given = _process_set(given, technology, economy, plan)
    masks = Masks.model_validate(given)
    ours = _own_masks(plan, masks)
    layers = None if ours is None else _layers(masks, ours, plan.technology)
    if layers is None or ours is None:
        return given
    units = ours.shared_units + ours.chip_units
    share = units / masks.units()
    whose = f"{lib.name}'s set" if economy is None else f"the set of technology {plan.technology}"
    why = f"{units:g} masks in units of one DUV mask at the price that each has in {whose}"
    return {**given, "set_price": _times(masks.set_price, share, why), "layer": layers}


def _process_set(
    given: dict[str, Any], technology: Technology, economy: Economy, plan: Plan
) -> dict[str, Any]:
    """A full set of masks of the process at its price; those that carry weights are its file's for now."""
    dear, source = economy.euv_masks, technology.mask_set.source
    ours = sum(len(layer.masks) for layer in technology.layers)
    others = round(technology.mask_set.value) - dear - ours
    kinds = [
        ("EUV layers", "EUV", dear, False),
        ("all other layers", "DUV", others, False),
        ("layers of the embedding", "DUV", ours, True),
    ]
    layers = [
        {"name": name, "exposure": exposure, "masks": masks, "programmable": own, "source": source}
        for name, exposure, masks, own in kinds if masks > 0
    ]  # fmt: skip
    return {**given, "set_price": _own_price(economy.mask_set, plan), "layer": layers}


def _own_masks(plan: Plan, masks: Masks) -> MaskPlan | None:
    """Masks of our scheme: of a build's own kinds of arrays, as `hnlpu place` counts them; else of usual ones.

    None where they cannot be told from a set: of a process without scanners, and of a library that is a design.
    """
    lib, arrays, technology = plan.library, plan.arrays, load_technology(plan.technology)
    if technology.lithography is None or (lib.array and lib.array.scheme):
        return None
    if arrays.kinds:
        return scheme_plan(masks, technology, arrays.scheme, arrays.kinds)
    assert lib.prices
    prices = lib.prices.model_copy(update={"masks": masks})
    own = lib.model_copy(update={"technology": plan.technology, "prices": prices})
    plans = mask_plans(own, plan.model, arrays.chips)
    return next((p for p in plans if p.name == arrays.scheme), None)


def _layers(masks: Masks, ours: MaskPlan, technology: str) -> list[dict[str, Any]] | None:
    """Layers of a set with our programmable ones; None where its prices do not make whole masks."""
    euv = [
        layer.model_dump() for layer in masks.layer
        if layer.exposure == "EUV" and not layer.programmable
    ]  # fmt: skip
    dear = sum(layer["masks"] for layer in euv)
    others = ours.shared - dear
    programmable = ours.programmable[1]
    whole = math.isclose(ours.shared_units, others + dear * masks.euv_weight.value)
    if not whole or not math.isclose(ours.chip_units, programmable) or others < 1:
        return None
    why = f"the set less what technology {technology} names for these layers, and what they share"
    return [
        *euv,
        {"name": "all other shared layers", "exposure": "DUV", "masks": others, "source": why},
        {
            "name": f"scheme {ours.name}: {ours.what}"[:200], "exposure": "DUV", "masks": programmable,
            "programmable": True,
            "source": "masks that print any weights (docs/masks.md), at the middle of the least k1",
        },
    ]  # fmt: skip


def plain(values: dict[str, Any]) -> System:
    """The checked system of a file's values."""
    return System.model_validate(values)
