"""A build's arrays as SystemVerilog: silicon that no weight changes, and wiring that is the weights.

    Build ──► units (an array each) ──► silicon/, wiring/, top/, bench/ ──► Verilator ──► verdict
                                                                     └──► Yosys ──► counts, proofs

Silicon depends on `ArrayShape` alone: kind of array, neurons, blocks (of regions, also how they are cut
into tiles), activation bits.
"""

from hnlpu.rtl._design import Unit, find_units, identifier, sample_units, top
from hnlpu.rtl._mapping import Library, Mapped, MappedBlock, map_cells
from hnlpu.rtl._modules import array_name
from hnlpu.rtl._prove import Verdict, prove
from hnlpu.rtl._regions_shape import RegionsShape
from hnlpu.rtl._scheme import Part, array_shape, silicon, tile_wiring
from hnlpu.rtl._shape import ArrayShape
from hnlpu.rtl._simulate import Simulation, require_simulator, simulate
from hnlpu.rtl._synthesize import Block, Synthesis, count_parts, synthesize
from hnlpu.rtl._vectors import LANES, Batches, make_batches
from hnlpu.rtl._wiring import wiring
from hnlpu.rtl._write import Written, file_list, write_rtl

__all__ = [
    "LANES",
    "ArrayShape",
    "Batches",
    "Block",
    "Library",
    "Mapped",
    "MappedBlock",
    "Part",
    "RegionsShape",
    "Simulation",
    "Synthesis",
    "Unit",
    "Verdict",
    "Written",
    "array_name",
    "array_shape",
    "count_parts",
    "file_list",
    "find_units",
    "identifier",
    "make_batches",
    "map_cells",
    "prove",
    "require_simulator",
    "sample_units",
    "silicon",
    "simulate",
    "synthesize",
    "tile_wiring",
    "top",
    "wiring",
    "write_rtl",
]
