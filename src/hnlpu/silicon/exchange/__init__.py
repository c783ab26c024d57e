"""A network on a grid of chips -> what each chip has of every value, and what crosses links."""

from hnlpu.silicon.exchange._kept import kept_sums
from hnlpu.silicon.exchange._places import OfMembers, Shared, Where
from hnlpu.silicon.exchange._plan import (
    Crossing,
    CrossingKind,
    ExchangePlan,
    exchange_plan,
    unit_name,
)
from hnlpu.silicon.exchange._slices import ChipGrid, grid_of, slices_on
from hnlpu.silicon.exchange._widths import part_bits, part_magnitude

__all__ = [
    "ChipGrid",
    "Crossing",
    "CrossingKind",
    "ExchangePlan",
    "OfMembers",
    "Shared",
    "Where",
    "exchange_plan",
    "grid_of",
    "kept_sums",
    "part_bits",
    "part_magnitude",
    "slices_on",
    "unit_name",
]
