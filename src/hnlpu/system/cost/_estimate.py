"""Assumptions and a number of chips -> `Estimate`: silicon, money, energy and carbon.

    n systems of c chips, R the recurring cost of one system, K re-spins
    first build   shared masks + c x chip masks + design + n R
    re-spin       c x chip masks + n R
    power         n x c x kW x PUE
    CapEx         first build + networks + facility x MW
    TCO           CapEx + electricity + maintenance + K re-spins

The formulas are those that reproduce tables 3 and 5 of the HNLPU paper (arXiv 2508.16151); docs/cost.md
derives them.  Everything may be an array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hnlpu.system import catalog
from hnlpu.system.cost._assumptions import Assumptions, Owning
from hnlpu.system.cost._wafer import Value

HOURS_PER_YEAR = 8760
SECONDS_PER_YEAR = 3600 * HOURS_PER_YEAR


@dataclass(frozen=True)
class Owned:
    """Years of owning: million dollars, megawatts, tonnes of CO2e."""

    facility_mw: Any
    infrastructure_musd: Any
    capex_musd: Any
    electricity_musd: Any
    maintenance_musd: Any
    tco_musd: Any
    operation_t: Any
    modules_t: Any

    @property
    def tco2e(self) -> Any:
        """Carbon of operation and of the modules."""
        return self.operation_t + self.modules_t


@dataclass(frozen=True)
class Estimate:
    """What `systems` systems of `chips` chips each take.

    `tco2e` is operation, modules and the modules of re-spins, the scope of the HNLPU paper;
    `masks_t` is apart.
    """

    chips: Any
    systems: Any
    respins: Any
    area_mm2: Any
    power_w: Any
    chip_usd: Any
    system_musd: Any
    shared_masks_musd: Any
    chip_masks_musd: Any
    design_musd: Any
    first_build_musd: Any
    respin_musd: Any
    owned: Owned
    tco_musd: Any
    respin_modules_t: Any
    masks_t: Any
    years: Any

    @property
    def masks_musd(self) -> Any:
        """Shared masks and those of every chip of a system."""
        return self.shared_masks_musd + self.chip_masks_musd

    @property
    def nre_musd(self) -> Any:
        """What is paid once: masks and design."""
        return self.masks_musd + self.design_musd

    @property
    def tco2e(self) -> Any:
        """Operation, modules, modules of re-spins."""
        return self.owned.tco2e + self.respin_modules_t

    @property
    def tco2e_with_masks(self) -> Any:
        """`tco2e` and what making the masks, re-spun ones too, emits."""
        return self.tco2e + self.masks_t

    def usd_per_mtoken(self, tokens_per_second: Value, utilisation: Value = 1.0) -> Any:
        """Dollars a million tokens at `tokens_per_second` of one system, busy for a share of time."""
        return cost_per_mtoken(
            self.tco_musd, tokens_per_second * np.asarray(self.systems), self.years, utilisation
        )


def cost_per_mtoken(
    tco_musd: Value, tokens_per_second: Value, years: Value, utilisation: Value = 1.0
) -> Any:
    """Dollars a million tokens of everything that makes `tokens_per_second` together."""
    tokens = np.asarray(tokens_per_second) * utilisation * years * SECONDS_PER_YEAR
    with np.errstate(divide="ignore"):
        return np.asarray(tco_musd) * 1e12 / tokens


def chips_needed(bits: Value, a: Assumptions) -> Any:
    """Chips whose arrays hold `bits` of weights, under these assumptions."""
    return catalog.chips_needed(np.asarray(bits), a.um2_per_bit, a.array_mm2)


def spare_systems(systems: Value, share: Value) -> Any:
    """Whole spares for `systems`: their share, at least one where there are any."""
    return np.ceil(np.asarray(systems) * share - 1e-9)


def own(
    o: Owning,
    hardware_musd: Value,
    chips: Value,
    it_mw: Value,
    spares_musd: Value = 0.0,
    power_decimals: int | None = None,
) -> Owned:
    """Years of owning `chips` chips that cost `hardware_musd` and take `it_mw` before PUE.

    `power_decimals` rounds the megawatts, as the low-volume column of the HNLPU paper does.
    """
    mw = np.asarray(it_mw) * o.pue
    if power_decimals is not None:
        mw = np.round(mw, power_decimals)
    networks = np.ceil(np.asarray(chips) / o.chips_per_network - 1e-9)
    infrastructure = networks * o.network_usd / 1e6 + mw * o.facility_musd_per_mw
    capex = hardware_musd + infrastructure
    mwh = mw * o.years * HOURS_PER_YEAR
    electricity = mwh * o.usd_per_kwh / 1e3
    maintenance = (
        o.support * o.years * capex
        + o.licence_usd * o.years * np.asarray(chips) / 1e6
        + spares_musd
    )
    return Owned(
        facility_mw=mw,
        infrastructure_musd=infrastructure,
        capex_musd=capex,
        electricity_musd=electricity,
        maintenance_musd=maintenance,
        tco_musd=capex + electricity + maintenance,
        operation_t=mwh * o.kg_per_kwh,
        modules_t=np.asarray(chips) * o.module_kg / 1e3,
    )


def estimate(
    a: Assumptions,
    chips: Value,
    systems: Value = 1,
    respins: Value = 0,
    spares: Value | None = None,
    power_decimals: int | None = None,
) -> Estimate:
    """What `systems` systems of `chips` chips and `respins` re-spins of all of them take.

    `spares` are whole systems in reserve (default: the share that the assumptions name).
    """
    chip_usd = a.wafer_usd + a.package_and_test_usd + a.hbm_usd + a.integration_usd
    system_musd = np.asarray(chips) * chip_usd / 1e6
    chip_masks = np.asarray(chips) * a.chip_masks_musd
    design = a.architecture_musd + a.verification_musd + a.physical_musd + a.ip_musd
    respin = chip_masks + systems * system_musd
    first = a.shared_masks_musd + design + respin
    reserve = spare_systems(systems, a.owning.spares) if spares is None else spares
    all_chips = np.asarray(systems) * chips
    owned = own(
        a.owning, first, all_chips, all_chips * a.chip_kw / 1e3, reserve * system_musd,
        power_decimals,
    )  # fmt: skip
    masks = a.shared_masks + np.asarray(chips) * a.chip_masks * (1 + np.asarray(respins))
    return Estimate(
        chips=chips,
        systems=systems,
        respins=respins,
        area_mm2=np.asarray(chips) * a.die_mm2,
        power_w=np.asarray(chips) * a.chip_kw * 1e3,
        chip_usd=chip_usd,
        system_musd=system_musd,
        shared_masks_musd=a.shared_masks_musd,
        chip_masks_musd=chip_masks,
        design_musd=design,
        first_build_musd=first,
        respin_musd=respin,
        owned=owned,
        tco_musd=owned.tco_musd + respins * respin,
        respin_modules_t=respins * owned.modules_t,
        masks_t=masks * a.owning.mask_kg / 1e3,
        years=a.owning.years,
    )
