"""A build as one chip in SystemVerilog: token ids in, token ids out, no software.

Build ──► ChipShape ──► program of its network, tables, core: silicon
                 └────► stored words, tiles' metal: wiring ──► chip ──► Verilator ──► tokens
"""

from hnlpu.silicon.rtl.chip._cycles import Work, array_steps, predict_cycles, token_cycles
from hnlpu.silicon.rtl.chip._instructions import Instruction, Op, Operand, instruction_package
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._machine_cycles import machine_token_cycles, predict_machine_cycles
from hnlpu.silicon.rtl.chip._plan import chip_shape
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._record import RECORD as CHIP_RECORD
from hnlpu.silicon.rtl.chip._record import file_problems, read_chip_record, rewritten_problems
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._simulate import (
    ChipRequest,
    ChipRun,
    Wires,
    build_chip,
    expect_tags,
    simulate_chip,
)
from hnlpu.silicon.rtl.chip._synthesize import ChipUnit, synthesize_chip
from hnlpu.silicon.rtl.chip._write import WrittenChip, link_of, write_chip

__all__ = [
    "CHIP_RECORD",
    "ChipRequest",
    "ChipRun",
    "ChipShape",
    "ChipUnit",
    "Instruction",
    "Op",
    "Operand",
    "Program",
    "Wires",
    "Work",
    "WrittenChip",
    "array_steps",
    "build_chip",
    "chip_shape",
    "expect_tags",
    "file_problems",
    "instruction_package",
    "link_of",
    "machine_token_cycles",
    "make_program",
    "predict_cycles",
    "predict_machine_cycles",
    "read_chip_record",
    "rewritten_problems",
    "simulate_chip",
    "synthesize_chip",
    "token_cycles",
    "write_chip",
]
