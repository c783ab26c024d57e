"""A chip -> dollars of owning its machine: the one place where the search meets `cost`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hnlpu.system.catalog import System
from hnlpu.system.cost import Assumptions, assume, end, estimate
from hnlpu.system.explore._chip import Chip


@dataclass(frozen=True)
class Bill:
    """Million dollars over the years of owning `systems` machines, and tonnes of CO2e."""

    tco_musd: float
    masks_musd: float
    design_musd: float
    system_musd: float
    capex_musd: float
    electricity_musd: float
    tco2e: float
    years: float
    systems: int


def price(system: System, chip: Chip, system_w: float, systems: int = 1, respins: int = 0) -> Bill:
    """What `systems` machines of this chip cost under the system's own assumptions.

    Each chip needs its own programmable masks; all other masks of the set are shared.  A mask has the
    price that it has in the system's set.
    """
    assert system.prices
    chips = chip.specification.chips
    if chip.own is not None:
        return _bill(assume(system, end("value")), chips, systems, respins)
    a = assume(
        system, end("value"),
        die_mm2=chip.area_mm2, array_mm2=chip.blocks["neuron arrays"],
        chip_kw=system_w / chips / 1e3, hbm_gb=chip.hbm_gb,
    )  # fmt: skip
    mask_musd = float(a.shared_masks_musd + a.chip_masks_musd) / system.prices.masks.units()
    a = _with_masks(a, mask_musd * chip.shared_mask_units, mask_musd * chip.mask_units, chip)
    return _bill(a, chips, systems, respins)


def _bill(a: Assumptions, chips: int, systems: int, respins: int) -> Bill:
    e = estimate(a, chips, systems, respins)
    return Bill(
        tco_musd=float(e.tco_musd),
        masks_musd=float(e.masks_musd),
        design_musd=float(e.design_musd),
        system_musd=float(e.system_musd),
        capex_musd=float(e.owned.capex_musd),
        electricity_musd=float(e.owned.electricity_musd),
        tco2e=float(e.tco2e),
        years=float(e.years),
        systems=systems,
    )


def _with_masks(a: Assumptions, shared: float, of_chip: float, chip: Chip) -> Assumptions:
    return replace(
        a,
        shared_masks_musd=shared,
        chip_masks_musd=of_chip,
        integration_usd=a.integration_usd + chip.package_usd,
    )
