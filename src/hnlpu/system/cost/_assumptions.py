"""A system's file -> `Assumptions`: the numbers that its price follows from, at one choice each.

    pick(key, quantity) -> number      the file's value, its low, its high, or an array of draws

Low and high are chosen together: they are the optimistic and the pessimistic end of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.quantities import Quantity
from hnlpu.system.catalog import Ownership, System, Wafer, find_quantity
from hnlpu.system.cost._masks import mask_count, mask_shares
from hnlpu.system.cost._wafer import Value, good_dies

Pick = Callable[[str, Quantity], Value]
End = Literal["low", "value", "high"]


NEVER = 1e-9
"""Good dies of a wafer that yields none: a die then costs 10^13 dollars."""


@dataclass(frozen=True)
class Assumptions:
    """What a chip, its masks and its design cost, and what owning it adds.

    Every field may be an array over trials or design points.  `chip_kw` is the power of a system
    divided by its chips; `array_mm2` the area of a die that holds weights.
    """

    die_mm2: Any
    array_mm2: Any
    um2_per_bit: Any
    dies_per_wafer_good: Any
    wafer_usd: Any
    package_and_test_usd: Any
    hbm_usd: Any
    integration_usd: Any
    shared_masks_musd: Any
    chip_masks_musd: Any
    shared_masks: int
    chip_masks: int
    architecture_musd: Any
    verification_musd: Any
    physical_musd: Any
    ip_musd: Any
    chip_kw: Any
    owning: Owning


@dataclass(frozen=True)
class Owning:
    """What a data centre adds.  Fields may be arrays."""

    years: Any
    pue: Any
    usd_per_kwh: Any
    facility_musd_per_mw: Any
    network_usd: Any
    chips_per_network: int
    kg_per_kwh: Any
    module_kg: Any
    mask_kg: Any
    support: Any
    licence_usd: Any
    spares: Any


def end(which: End) -> Pick:
    """Pick every value, every low or every high of the source."""
    return lambda key, quantity: float(getattr(quantity, which))


def assume(system: System, pick: Pick | None = None, **changes: Any) -> Assumptions:
    """The assumptions of a hardwired `system`.

    `changes` replace the die's area (`die_mm2`), the area of its arrays (`array_mm2`), the power of
    a chip in its system (`chip_kw`) and its HBM (`hbm_gb`), as numbers or arrays: what a design
    search varies.  Raises InvalidInput for a system that is not built from scratch.
    """
    prices, machine, array = system.prices, system.machine, system.array
    if prices is None or machine is None or array is None or system.ownership is None:
        raise InvalidInput(
            f"system {system.name} is bought, not built: its file has no [prices], [machine] and "
            "[array]; take hnlpu-asplos26 or a file like it"
        )
    choose = pick or end("value")

    def take(key: str) -> Any:
        quantity = find_quantity(system, key)
        assert quantity is not None, key
        return choose(key, quantity)

    wafer = prices.wafer
    die_mm2 = changes.pop("die_mm2", system.die.area.value)
    hbm_gb = changes.pop("hbm_gb", machine.hbm.capacity_gb if machine.hbm else 0.0)
    array_mm2 = changes.pop("array_mm2", system.array_area_mm2)
    chip_kw = changes.pop("chip_kw", None)
    assert not changes, f"unknown changes {sorted(changes)}"
    good = good_dies(
        wafer, die_mm2, take("prices.wafer.defect_density"), take("prices.wafer.clustering")
    )
    # without a good die the price must be beyond all others, but finite: searches pass over it
    per_die = 1 / np.maximum(good, NEVER)
    shared, chip = mask_shares(prices.masks, take("prices.masks.euv_weight"))
    set_price = take("prices.masks.set_price")
    return Assumptions(
        die_mm2=die_mm2,
        array_mm2=array_mm2,
        um2_per_bit=take("array.area_per_bit"),
        dies_per_wafer_good=good,
        wafer_usd=take("prices.wafer.price") * per_die,
        package_and_test_usd=take("prices.assembly.package_and_test") * per_die,
        hbm_usd=take("prices.assembly.hbm") * hbm_gb,
        integration_usd=take("prices.assembly.integration"),
        shared_masks_musd=set_price * shared,
        chip_masks_musd=set_price * chip,
        shared_masks=mask_count(prices.masks, programmable=False),
        chip_masks=mask_count(prices.masks, programmable=True),
        architecture_musd=take("prices.design.architecture"),
        verification_musd=take("prices.design.verification"),
        physical_musd=take("prices.design.physical"),
        ip_musd=take("prices.design.ip"),
        chip_kw=take("power.system") / system.chips / 1e3 if chip_kw is None else chip_kw,
        owning=_owning(system.ownership, take),
    )


def owning_of(system: System, pick: Pick | None = None) -> Owning:
    """What owning a bought or built system adds; raises InvalidInput where its file says nothing."""
    if system.ownership is None:
        raise InvalidInput(
            f"system {system.name} has no [ownership] in its file, so there is no cost of owning it"
        )
    choose = pick or end("value")

    def take(key: str) -> Any:
        quantity = find_quantity(system, key)
        assert quantity is not None, key
        return choose(key, quantity)

    return _owning(system.ownership, take)


def _owning(table: Ownership, take: Callable[[str], Any]) -> Owning:
    def optional(key: str) -> Any:
        return 0.0 if getattr(table, key) is None else take(f"ownership.{key}")

    return Owning(
        years=take("ownership.years"),
        pue=take("ownership.pue"),
        usd_per_kwh=take("ownership.electricity"),
        facility_musd_per_mw=take("ownership.facility"),
        network_usd=take("ownership.network"),
        chips_per_network=table.chips_per_network,
        kg_per_kwh=take("ownership.grid_carbon"),
        module_kg=take("ownership.module_carbon"),
        mask_kg=optional("mask_carbon"),
        support=optional("support"),
        licence_usd=optional("licence"),
        spares=optional("spares"),
    )


_TAKEN = (
    "array.area_per_bit",
    *(f"prices.wafer.{key}" for key in ("price", "defect_density")),
    *(f"prices.assembly.{key}" for key in ("package_and_test", "hbm", "integration")),
    *(f"prices.masks.{key}" for key in ("set_price", "euv_weight")),
    *(f"prices.design.{key}" for key in ("architecture", "verification", "physical", "ip")),
    "power.system",
    *(
        f"ownership.{key}"
        for key in ("pue", "electricity", "facility", "network", "grid_carbon", "module_carbon",
                    "mask_carbon", "support", "licence")
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Doubt:
    """An uncertain number of a system's file: `key`, its value and the ends that it may reach."""

    key: str
    value: float
    low: float
    high: float
    unit: str
    source: str


def doubts(system: System) -> Iterator[Doubt]:
    """Every uncertain number that a price follows from: bounds of the source, or else our own."""
    own = {entry.key: entry for entry in system.range}
    keys = list(_TAKEN)
    if system.prices and _clusters(system.prices.wafer):
        keys.append("prices.wafer.clustering")
    for key in keys:
        quantity = find_quantity(system, key)
        if quantity is None:
            continue
        low, high, source = quantity.low, quantity.high, quantity.source
        if key in own:
            low, high = own[key].bounds(quantity)
            source = own[key].source
        if low < high:
            yield Doubt(key, quantity.value, low, high, quantity.unit, source)


def _clusters(wafer: Wafer) -> bool:
    return wafer.yield_model == "negative_binomial"
