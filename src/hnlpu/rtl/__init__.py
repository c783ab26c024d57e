"""A build's arrays as SystemVerilog: silicon that no weight changes, and wiring that is the weights.

    Build ──► units (an array each) ──► silicon/, wiring/, top/, bench/ ──► Verilator ──► verdict
                                                                     └──► Yosys ──► counts, proofs

Silicon depends on `ArrayShape` alone: kind of array, neurons, blocks (of regions, also how they are cut
into tiles), activation bits.
"""

from hnlpu.rtl._compiler import require_simulator
from hnlpu.rtl._coverage import TYPES as COVERAGE_TYPES
from hnlpu.rtl._coverage import Coverage, cover, read_coverage
from hnlpu.rtl._coverage import merge as merge_coverage
from hnlpu.rtl._design import Unit, find_units, identifier, sample_units, top
from hnlpu.rtl._examine import ToolState, examine_tools
from hnlpu.rtl._folded_shape import FoldedShape
from hnlpu.rtl._loaded import Program, Programs, simulate_loaded
from hnlpu.rtl._mapping import Library, Mapped, MappedBlock, map_cells
from hnlpu.rtl._metal import Metal, read_metal
from hnlpu.rtl._modules import array_name
from hnlpu.rtl._prove import Verdict, prove
from hnlpu.rtl._regions_shape import RegionsShape
from hnlpu.rtl._scheme import Part, array_shape, silicon, tile_wiring
from hnlpu.rtl._shape import ArrayShape
from hnlpu.rtl._simulate import Simulation, simulate
from hnlpu.rtl._synthesize import Block, Synthesis, count_parts, synthesize
from hnlpu.rtl._tools import require_yosys
from hnlpu.rtl._vectors import LANES, Batches, Vectors, make_batches, make_vectors
from hnlpu.rtl._wiring import wiring
from hnlpu.rtl._write import Written, file_list, write_rtl

__all__ = [
    "COVERAGE_TYPES",
    "LANES",
    "ArrayShape",
    "Batches",
    "Block",
    "Coverage",
    "FoldedShape",
    "Library",
    "Mapped",
    "MappedBlock",
    "Metal",
    "Part",
    "Program",
    "Programs",
    "RegionsShape",
    "Simulation",
    "Synthesis",
    "ToolState",
    "Unit",
    "Vectors",
    "Verdict",
    "Written",
    "array_name",
    "array_shape",
    "count_parts",
    "cover",
    "examine_tools",
    "file_list",
    "find_units",
    "identifier",
    "make_batches",
    "make_vectors",
    "map_cells",
    "merge_coverage",
    "prove",
    "read_coverage",
    "read_metal",
    "require_simulator",
    "require_yosys",
    "sample_units",
    "silicon",
    "simulate",
    "simulate_loaded",
    "synthesize",
    "tile_wiring",
    "top",
    "wiring",
    "write_rtl",
]
