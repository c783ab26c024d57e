"""Where every weight of a model goes: matrices cut over chips, arrays into tiles, tiles on a die.

    matrix ──► one slice a chip ──► arrays (a bank of members each) ──► tiles ──► places on the die

The cut is the HNLPU paper's (section on mapping), for any model and any number of chips.
"""

from hnlpu.silicon.place._cuts import StackSlice, chip_grid, cut, grid_limits, head_groups
from hnlpu.silicon.place._facts import PlacementFacts, placement_facts
from hnlpu.silicon.place._floorplan import DiePlan, PlacedBlock, PlacedTile, chip_plan, die_plan
from hnlpu.silicon.place._footprint import footprint_nm, landing_nm
from hnlpu.silicon.place._placement import (
    Embedding,
    MatrixPlacement,
    Placement,
    array_area_mm2,
    fewest_chips,
    place,
)
from hnlpu.silicon.place._target import Target, make_target
from hnlpu.silicon.place._tiles import Array, Tile, array_tiles, chip_arrays, chip_tiles, find_tiles

__all__ = [
    "Array",
    "DiePlan",
    "Embedding",
    "MatrixPlacement",
    "PlacedBlock",
    "PlacedTile",
    "Placement",
    "PlacementFacts",
    "StackSlice",
    "Target",
    "Tile",
    "array_area_mm2",
    "array_tiles",
    "chip_arrays",
    "chip_grid",
    "chip_plan",
    "chip_tiles",
    "cut",
    "die_plan",
    "fewest_chips",
    "find_tiles",
    "footprint_nm",
    "grid_limits",
    "head_groups",
    "landing_nm",
    "make_target",
    "place",
    "placement_facts",
]
