"""A build's arrays as SystemVerilog: silicon that no weight changes, and wiring that is the weights.

    Build ──► units (an array each) ──► silicon/, wiring/, top/, bench/ ──► Verilator ──► verdict
                                                                     └──► Yosys ──► counts, proofs

Silicon depends on `ArrayShape` alone: kind of array, neurons, blocks (of regions, also how they are cut
into tiles), activation bits.
"""

from hnlpu.silicon.rtl._compiler import require_simulator
from hnlpu.silicon.rtl._coverage import TYPES as COVERAGE_TYPES
from hnlpu.silicon.rtl._coverage import Coverage, cover, read_coverage
from hnlpu.silicon.rtl._coverage import merge as merge_coverage
from hnlpu.silicon.rtl._design import ArrayUnit, find_units, identifier, sample_units, top
from hnlpu.silicon.rtl._examine import ToolState, examine_tools
from hnlpu.silicon.rtl._folded_shape import FoldedShape
from hnlpu.silicon.rtl._loaded import ArrayProgram, Programs, simulate_loaded
from hnlpu.silicon.rtl._mapping import GateLibrary, Mapped, MappedBlock, map_cells
from hnlpu.silicon.rtl._metal import Joins, read_metal
from hnlpu.silicon.rtl._modules import array_name
from hnlpu.silicon.rtl._prove import Verdict, prove
from hnlpu.silicon.rtl._regions_shape import RegionsShape
from hnlpu.silicon.rtl._scheme import Submodule, array_shape, silicon, tile_wiring
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._simulate import ArraySimulation, simulate
from hnlpu.silicon.rtl._synthesize import Synthesis, SynthesizedBlock, count_parts, synthesize
from hnlpu.silicon.rtl._tools import require_yosys
from hnlpu.silicon.rtl._vectors import LANES, Batches, Vectors, make_batches, make_vectors
from hnlpu.silicon.rtl._wiring import wiring
from hnlpu.silicon.rtl._write import Written, file_list, write_rtl

__all__ = [
    "COVERAGE_TYPES",
    "LANES",
    "ArrayProgram",
    "ArrayShape",
    "ArraySimulation",
    "ArrayUnit",
    "Batches",
    "Coverage",
    "FoldedShape",
    "GateLibrary",
    "Joins",
    "Mapped",
    "MappedBlock",
    "Programs",
    "RegionsShape",
    "Submodule",
    "Synthesis",
    "SynthesizedBlock",
    "ToolState",
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
