"""`ChipShape` -> the program that every token runs: the network's steps, an instruction a cycle.

Composites that a unit does at once are lowered as a whole (`_units`), other steps one by one (`_steps`).
What stands behind the last block is for the next token alone; prompts skip it.
"""

from __future__ import annotations

from functools import partial

from hnlpu.errors import DoesNotFit
from hnlpu.model.network import AT_ONCE as DONE_AT_ONCE
from hnlpu.model.network import ops
from hnlpu.silicon.rtl.chip._assembler import Assembler
from hnlpu.silicon.rtl.chip._constants import is_made
from hnlpu.silicon.rtl.chip._instructions import Op
from hnlpu.silicon.rtl.chip._memories import reserve
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._signals import give, take_in
from hnlpu.silicon.rtl.chip._steps import lower_step
from hnlpu.silicon.rtl.chip._units import AT_ONCE
from hnlpu.silicon.rtl.chip._values import Beside

MOST_REGISTERS = 1024
MOST_LOGITS = 1024
MOST_PLACES = 65536


def make_program(shape: ChipShape) -> Program:
    """The program of a chip.

    Raises UnsupportedArchitecture for a step that it has no instructions for, DoesNotFit for sizes that the
    units cannot take.
    """
    a = Assembler(shape)
    a.walk = partial(_walk, a, a.uses.tail())
    a.of_signals = shape.task is not None
    for given in shape.network.inputs:
        a.places[given.name] = Beside(given.carries)
        if given.carries != "data":
            a.uses.last[given.name] = len(shape.network.steps)
    reserve(a)
    if a.of_signals:
        take_in(a, shape)
    last = len(shape.network.steps) - 1
    a.walk(0, last + 1)
    if a.of_signals:
        give(a)
    elif not a.sampled or a.embedding is None:
        a.refuse("", last, "a chip takes tokens, and gives the tokens of one matrix's logits")
    instructions = a.code.instructions()
    before_skip = instructions[: [one.op for one in instructions].index(Op.SKIP)]
    if shape.chips > 1 and all(one.op != Op.PART for one in before_skip):
        a.refuse("", 0, "chips that exchange nothing while a prompt lasts; build with `chips` 1")
    code = a.code
    for name, size, most in (
        ("registers", code.registers.count, MOST_REGISTERS),
        ("vocabulary beats", code.beats(shape.vocabulary), MOST_LOGITS),
        ("row beats", len(code.rows), MOST_PLACES),
        ("stored beats", len(code.parameters), MOST_PLACES),
        ("patterns of moves", len(code.moves), MOST_PLACES),
        ("beats of an exchange", code.exchange_beats, MOST_REGISTERS),
    ):
        if size > most:
            raise DoesNotFit(f"{size} {name}: instructions number {most} at most")
    return Program(
        instructions, tuple(code.groups), tuple(code.reads), tuple(code.parameters),
        tuple(code.rows), tuple(code.moves), max(64, 63 + a.most_terms.bit_length()),
        code.registers.count, a.embedding, a.head_dim, a.attention, a.norms,
        a.rope, a.experts, code.exchange_beats,
    )  # fmt: skip


def _walk(a: Assembler, tail: int, start: int, stop: int) -> None:
    """Write the instructions of steps `start` to `stop`."""
    n = start
    while n < stop:
        if n == tail:
            a.code.skip()
            a.skipped = True
        spans = [s for s in a.uses.spans[n] if s.composite in AT_ONCE and s.stop <= stop]
        if spans:
            a.stop = spans[0].stop
            AT_ONCE[spans[0].composite](a, spans[0])
            a.stop = spans[0].stop
        elif at_once := [s for s in a.uses.spans[n] if s.composite in DONE_AT_ONCE]:
            a.refuse(at_once[0].composite, n, "it is done at once, and no unit of the chip does it")
        elif n in a.uses.constants:
            a.stop = n + 1
            if not is_made(step := a.uses.constants[n]):
                named = step.op.function if isinstance(step.op, ops.Table) else ""
                a.refuse(named, n, "of parameters alone, and is not done when a chip is written")
        else:
            a.stop = n + 1
            lower_step(a, n)
        a.bury()
        n = a.stop
