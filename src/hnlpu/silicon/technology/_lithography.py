"""What scanners print in one exposure: wavelength, aperture, and the least k1.

    half pitch = k1 * wavelength / NA

(Rayleigh's criterion, as in Mack, Fundamental Principles of Optical Lithography, Wiley 2007).  k1 is
what process and pattern decide; below 0.25 no second order of diffraction passes the lens, and dense
features have no image at all.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hnlpu.quantities import Contradiction, DataTable, Quantity, Title, Unit

THEORY_K1 = 0.25
"""Least k1 of dense lines for any lens."""
EXTREME_NM = 20
"""Wavelengths below are extreme ultraviolet: mirrors, with smaller apertures than lenses."""
MOST_MIRROR_APERTURE = 0.6


class Scanner(DataTable):
    """A scanner; `mask_weight` is the price of one of its masks in DUV masks."""

    name: Title
    wavelength: Annotated[Quantity, Unit("nm", 5, 500)]
    aperture: Annotated[Quantity, Unit("dimensionless", 0.1, 1.4)]
    mask_weight: Annotated[Quantity, Unit("dimensionless", 1, 100)]

    def k1(self, pitch_nm: float) -> float:
        """k1 of features `pitch_nm` apart, from centre to centre."""
        return pitch_nm / 2 * self.aperture.value / self.wavelength.value

    def least_pitch_nm(self, least_k1: float) -> float:
        """The pitch at which k1 is `least_k1`."""
        return 2 * least_k1 * self.wavelength.value / self.aperture.value

    @model_validator(mode="after")
    def _consistent(self) -> Scanner:
        if self.wavelength.value < EXTREME_NM and self.aperture.high > MOST_MIRROR_APERTURE:
            raise Contradiction(
                ("aperture",),
                f"{self.aperture.high:g} is out of range at {self.wavelength.value:g} nm "
                f"(at most {MOST_MIRROR_APERTURE:g})",
            )
        return self


class Lithography(DataTable):
    """Scanners that a process may use, cheapest exposure first, and the least k1 of one exposure.

    `least_k1_lines` holds for parallel lines, `least_k1_cuts` for what ends in two directions:
    vias, cuts, gaps between the ends of wires.
    """

    least_k1_lines: Annotated[Quantity, Unit("dimensionless", THEORY_K1, 1)]
    least_k1_cuts: Annotated[Quantity, Unit("dimensionless", THEORY_K1, 1)]
    scanner: Annotated[list[Scanner], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Lithography:
        names = [scanner.name for scanner in self.scanner]
        for n, name in enumerate(names):
            if name in names[:n]:
                raise Contradiction(("scanner", n, "name"), f"{name!r} is there twice")
        return self
