"""An array's area -> the programmable masks and dollars that it is a share of."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import MasksNeeded, masks_needed, open_scheme
from hnlpu.silicon.hardwire import Build
from hnlpu.system.catalog import load_system, system_names
from hnlpu.system.cost import assume


@dataclass(frozen=True)
class AreaPrices:
    """What 1 mm2 of arrays is a share of: a chip of `system` and the masks of its own, a build's masks.

    `mask_usd` is the price of a DUV mask, as it is in the system's set: as `hnlpu cost` has it.
    """

    system: str
    chip_usd: float
    mask_usd: float
    array_mm2: float

    def usd_per_mm2(self, build: Build) -> float:
        """Dollars of a mm2 of arrays with the programmable masks that a build's arrays take."""
        units = _masks_needed(build).programmable_units
        return (self.chip_usd + units * self.mask_usd) / self.array_mm2


def prices(system: str | None, technology: str) -> AreaPrices | None:
    """Prices of a system in this technology (by default the first there is; None without any).

    A chip's wafer, package, memory and integration and the programmable masks of our scheme, divided by the
    area that its arrays have.  Raises InvalidInput for a system in another technology or without prices.
    """
    if system is None:
        fitting = (s for s in map(load_system, system_names()) if s.technology == technology)
        priced = next((s for s in fitting if s.prices is not None), None)
        if priced is None:
            return None
    else:
        priced = load_system(system)
        if priced.technology != technology:
            raise InvalidInput(
                f"`system` {system} is made in {priced.technology or 'no technology that is known'}, "
                f"the arrays in {technology}; choose a system of that technology"
            )
    a = assume(priced)
    chip = a.wafer_usd + a.package_and_test_usd + a.hbm_usd + a.integration_usd
    assert priced.prices
    set_usd = 1e6 * float(a.shared_masks_musd + a.chip_masks_musd)
    return AreaPrices(
        priced.name, float(chip), set_usd / priced.prices.masks.units(), float(a.array_mm2)
    )


def masks_per_chip(build: Build) -> int:
    """Programmable masks of each chip of a build."""
    return _masks_needed(build).programmable


def _masks_needed(build: Build) -> MasksNeeded:
    technology = build.manifest.technology
    kinds = sorted(build.manifest.placement.kinds())
    schemes = [(open_scheme(technology, kind), None) for kind in kinds]
    return masks_needed(schemes)
