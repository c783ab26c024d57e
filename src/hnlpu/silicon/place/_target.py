"""`Target`: the process, the scheme and the number of chips that a build is made for."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import ROUTED, SCHEMES
from hnlpu.silicon.technology import Technology, load_technology

LARGEST_BANK = 64
LARGEST_GROUP = 64
LARGEST_CHIPS = 65536


@dataclass(frozen=True)
class Target:
    """What to embed in.

    `chips` None means as few as the scheme needs.  Up to `bank` experts of a chip share a popcount;
    `group` is the number of ports that metal gives a value together (regions only).
    """

    technology: Technology
    scheme: str = "taps"
    chips: int | None = None
    bank: int = 8
    group: int = 4


def make_target(
    technology: str = "n5", scheme: str = "taps", chips: int | None = None, bank: int = 8,
    group: int = 4,
) -> Target:  # fmt: skip
    """A target by the name or file of its technology; raises InvalidInput, InvalidData."""
    process = load_technology(technology)
    if scheme not in SCHEMES:
        raise InvalidInput(f"scheme {scheme!r} is unknown; choose from {', '.join(SCHEMES)}")
    if scheme not in process.schemes:
        raise InvalidInput(
            f"the rules of technology {process.name} are not enough for scheme {scheme} "
            f"(its file says why); choose from {', '.join(process.schemes)}"
        )
    for name, value, largest in (
        ("chips", chips, LARGEST_CHIPS), ("bank", bank, LARGEST_BANK), ("group", group, LARGEST_GROUP),
    ):  # fmt: skip
        if value is not None and not 1 <= value <= largest:
            raise InvalidInput(f"{name} {value}: must be from 1 to {largest}")
    return Target(process, scheme, chips, bank, group if scheme in ROUTED else 0)
