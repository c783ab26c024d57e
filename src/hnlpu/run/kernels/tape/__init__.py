"""Networks as flat tapes of C instructions, each for all rows of a call at once."""

from hnlpu.run.kernels.tape._lower import lacking, lower
from hnlpu.run.kernels.tape._lowering import Known
from hnlpu.run.kernels.tape._states import TapeState
from hnlpu.run.kernels.tape._tape import LaidStates, Tape, TapeMemory, TapeRows
from hnlpu.run.kernels.tape._writer import NotOnTape

__all__ = [
    "Known",
    "LaidStates",
    "NotOnTape",
    "Tape",
    "TapeMemory",
    "TapeRows",
    "TapeState",
    "lacking",
    "lower",
]
