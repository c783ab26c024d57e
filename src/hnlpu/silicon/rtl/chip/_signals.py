"""A network of signals in instructions: a position's numbers into registers, and an answer out of them.

    EMBED, a beat each ─► the network's steps ─► ACQUIRE, LOGITS, ISSUE, AWAIT, TAKE, RELEASE

Outputs that are a matrix's last sums go to the sampler as logits do (`_arrays`); others come out of registers.
"""

from __future__ import annotations

from hnlpu.arithmetic.fixed_point import FRACTION
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.silicon.rtl.chip._assembler import Assembler
from hnlpu.silicon.rtl.chip._instructions import Op
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._values import RegisterRows


def take_in(a: Assembler, shape: ChipShape) -> None:
    """A position's numbers as values; raises UnsupportedArchitecture for inputs that are no one row."""
    data = [given for given in a.network.inputs if given.carries == "data"]
    if len(data) != 1 or len(data[0].shape) != 1 or data[0].kind != "real":
        told = ", ".join(f"{given.name} {list(given.shape)} {given.kind}" for given in data)
        raise UnsupportedArchitecture(
            f"hnlpu chip: inputs {told or 'none'}: a chip of signals takes one row of real numbers; "
            "hnlpu rtl writes the arrays of any network"
        )
    (given,) = data
    size = shape.inputs
    beats = a.room(given.name, size)
    for beat, dst in enumerate(beats):
        a.code.emit(Op.EMBED, dst=dst, index=beat)
    a.places[given.name] = RegisterRows(beats, size)


def give(a: Assembler) -> None:
    """The outputs to the sampler, where no matrix's sums went there: what it keeps is the answer."""
    if a.sampled:
        return
    if not a.skipped:
        a.code.skip()
        a.skipped = True
    a.stop = len(a.network.steps)
    (name,) = a.network.outputs
    held = a.tidy(name, FRACTION)
    a.code.emit(Op.ACQUIRE, index="sampler")
    for beat, register in enumerate(held.beats):
        a.code.emit(Op.LOGITS, a=register, dst=beat, first=True)
    a.code.run("sampler")
    a.code.emit(Op.TAKE)
    a.code.emit(Op.RELEASE, index="sampler")
    a.sampled = True
