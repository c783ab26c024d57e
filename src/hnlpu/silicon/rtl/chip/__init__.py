"""A build as one chip in SystemVerilog: token ids in, token ids out, no software.

Build ──► ChipShape ──► program of its network, tables, core: silicon
                 └────► stored words, tiles' metal: wiring ──► chip ──► Verilator ──► tokens
"""

from hnlpu.silicon.rtl.chip._instructions import Instruction, Op, Operand, instruction_package
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._plan import chip_shape
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._simulate import ChipRequest, ChipRun, build_chip, simulate_chip
from hnlpu.silicon.rtl.chip._synthesize import ChipUnit, synthesize_chip
from hnlpu.silicon.rtl.chip._write import WrittenChip, write_chip

__all__ = [
    "ChipRequest",
    "ChipRun",
    "ChipShape",
    "ChipUnit",
    "Instruction",
    "Op",
    "Operand",
    "Program",
    "WrittenChip",
    "build_chip",
    "chip_shape",
    "instruction_package",
    "make_program",
    "simulate_chip",
    "synthesize_chip",
    "write_chip",
]
