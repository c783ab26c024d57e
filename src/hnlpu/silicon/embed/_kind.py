"""`ArrayKind`: what of an array is silicon, hence the same for all weights of a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from hnlpu.arithmetic.codebooks import E2M1, Codebook, open_codebook
from hnlpu.errors import InvalidInput
from hnlpu.silicon.technology import SchemeName

SCHEMES = get_args(SchemeName)
ROUTED = ("regions",)
"""Schemes whose rows have wires: as many tracks as the weights of a build need."""
SCALE_RANGES = (0, 1, 2, 4, 8, 12, 16, 20)
"""Ranges of block exponents that arrays are made for: weights trained anew fit the same one."""
BY_CODEBOOK = ("taps",)
"""Schemes whose silicon is made for one codebook; others take E2M1 digits as they are stored."""
DEFAULT_GROUP = 4
"""Ports that metal gives a value together in the regions scheme, unless said otherwise."""


@dataclass(frozen=True, order=True)
class ArrayKind:
    """One kind of array: `digits` rows of metal a neuron for each of `bank` members.

    `scale_range` is the largest shift of a block against its row's base.  For the regions scheme
    `group` is the number of ports that metal gives a value together, `tracks` the number of wiring
    tracks of a row; both are 0 for taps.  `codebook` names the values that its digits may have.
    """

    scheme: str
    digits: int
    bank: int
    scale_range: int
    group: int = 0
    tracks: int = 0
    codebook: str = E2M1

    @property
    def values(self) -> Codebook:
        """The values that digits may have."""
        return open_codebook(self.codebook)

    @property
    def inputs_per_port(self) -> int:
        """Inputs that share a port and a via."""
        return self.values.inputs

    @property
    def rows_per_neuron(self) -> int:
        """Rows of metal that belong to one neuron of the silicon."""
        return self.digits * self.bank

    @property
    def name(self) -> str:
        """Short name, as in cell names: taps-d1-b8-r2, or taps-d1-b8-r2-ternary."""
        name = f"{self.scheme}-d{self.digits}-b{self.bank}-r{self.scale_range}"
        name += f"-{self.codebook}" if self.codebook != E2M1 else ""
        return f"{name}-g{self.group}-t{self.tracks}" if self.scheme in ROUTED else name


def array_kind(
    scheme: str, digits: int, bank: int, spread: int, group: int = 0, codebook: str = E2M1
) -> ArrayKind:
    """The smallest kind that holds `spread`; raises InvalidInput for an unknown scheme.

    `digits` are digits of the codebook.  For one of `ROUTED`, the number of tracks is still to be found
    (`tracks_needed`).
    """
    if scheme not in SCHEMES:
        raise InvalidInput(f"scheme {scheme!r} is unknown; choose from {', '.join(SCHEMES)}")
    if not 0 <= spread <= SCALE_RANGES[-1]:
        raise InvalidInput(
            f"block exponents of a row span {spread}, arrays hold at most {SCALE_RANGES[-1]}; "
            "build with `requantize` or a smaller `max_spread`"
        )
    fitting = next(r for r in SCALE_RANGES if r >= spread)
    group = (group or DEFAULT_GROUP) if scheme in ROUTED else 0
    if scheme in BY_CODEBOOK:
        if spread and open_codebook(codebook).inputs > 1:
            raise InvalidInput(
                f"arrays of {codebook} have no scales, and block exponents of a row span {spread}; build "
                f"with the format {open_codebook(codebook).of}"
            )
        return ArrayKind(scheme, digits, bank, fitting, codebook=codebook)
    return ArrayKind(scheme, digits * open_codebook(codebook).stored, bank, fitting, group)
