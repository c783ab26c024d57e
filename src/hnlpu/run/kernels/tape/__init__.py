"""Networks as flat tapes of C instructions, each for all rows of a call at once."""

from hnlpu.run.kernels.tape._lower import lacking, lower
from hnlpu.run.kernels.tape._lowering import Known
from hnlpu.run.kernels.tape._states import Held
from hnlpu.run.kernels.tape._tape import Memory, Tape, TapeRows
from hnlpu.run.kernels.tape._writer import NotOnTape

__all__ = ["Held", "Known", "Memory", "NotOnTape", "Tape", "TapeRows", "lacking", "lower"]
