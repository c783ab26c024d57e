"""Matrices in instructions: digits to the arrays that share them, and their sums into registers.

    ACQUIRE ─► PEAK, SETTLE, QUANTIZE ─► ISSUE, AWAIT ─► READ ... ─► RELEASE
    ... AWAIT ─► SEND ... ─► RELEASE ─► MEET ─► READ ... ─► PART       where chips have parts of sums

All sums of a group are read or sent before it is freed, whichever steps stand between.
"""

from __future__ import annotations

import math

from hnlpu.model.network import Matrix, Step, ops
from hnlpu.silicon.rtl.chip._assembler import Assembler
from hnlpu.silicon.rtl.chip._instructions import Op
from hnlpu.silicon.rtl.chip._values import Beside, Pairs, Place, RegisterRows


def quantize(a: Assembler, n: int, step: Step, op: ops.Quantize) -> None:
    """The digits of a value through all matrices that take them."""
    name, digits = str(step.args[0]), step.outs[0]
    projects = [a.network.steps[m] for m in a.uses.consumers[digits]]
    matrices = [_matrix(a, n, project) for project in projects]
    if op.bits is not None:
        a.refuse("", n, f"digits of {op.bits} bits, whatever the build's policy says")
    banked = matrices[0].members is not None
    rows = [dim for dim in a.uses.types[digits].shape[:-1] if isinstance(dim, int)]
    if not banked and math.prod(rows) != 1:
        a.refuse("", n, "rows that pass the same wires one after the other")
    x = a.value(name)
    group = a.code.group(tuple(matrix.name for matrix in matrices))
    a.code.emit(Op.ACQUIRE, index=group)
    for beat, register in enumerate(x.beats):
        a.code.emit(Op.PEAK, a=register, first=beat == 0)
    a.code.emit(Op.SETTLE)
    for beat, register in enumerate(x.beats):
        a.code.emit(Op.QUANTIZE, a=register, index=beat)
    a.code.run(group, rank=a.rank or 0, banked=banked)
    a.bury()
    a.places[digits] = Beside("digits")
    for project, matrix in zip(projects, matrices, strict=True):
        [sums] = project.outs
        [m] = a.uses.consumers[sums]
        [y] = a.network.steps[m].outs
        a.places[sums] = Beside("sums")
        if y in a.network.outputs and not (a.of_signals and _is_taken_on(a, y, projects)):
            _sample(a, m, matrix, group)
            return
        _take(a, y, matrix)
    a.code.free(group)
    a.code.read_exchanged()
    a.code.end_exchange()


def _matrix(a: Assembler, n: int, project: Step) -> Matrix:
    """The matrix of a step that takes digits."""
    assert isinstance(project.op, ops.Project)
    matrix = a.uses.matrices[project.op.matrix]
    match project.op.members:
        case "one":
            pass
        case "chosen":
            if a.rank is None or a.places.get(str(project.args[1])) != Beside("routed"):
                a.refuse("project", n, f"members of {matrix.name} that no router of moe chose")
        case "each":
            a.refuse("project", n, f"{matrix.name}, each of whose members takes a row of its own")
    return matrix


def _take(a: Assembler, y: str, matrix: Matrix) -> None:
    """Sums of a matrix as values, in pieces where they are used in pieces."""
    if a.uses.span_of(y, "clamped_swiglu"):
        half = matrix.rows // 2
        banks = a.code.registers
        gate, up = (
            RegisterRows(banks.bank(bank, a.code.beats(half)), half) for bank in ("gate", "up")
        )
        _read(a, matrix, 0, 2, gate)
        _read(a, matrix, 1, 2, up)
        a.places[y] = Pairs(gate, up)
        return
    pieces = _pieces(a, y)
    if not pieces:
        a.places[y] = _held(a, y, matrix.rows)
        _read(a, matrix, 0, 1, a.places[y])
        return
    a.places[y] = Beside("pieces")
    first = 0
    for piece, size in pieces:
        a.places[piece] = _held(a, piece, size)
        _read(a, matrix, first, 1, a.places[piece])
        first += size


def _held(a: Assembler, name: str, size: int) -> RegisterRows:
    return RegisterRows(a.room(name, size), size)


def _pieces(a: Assembler, y: str) -> list[tuple[str, int]]:
    """Names and sizes of the pieces that a value is split into, if nothing else takes it."""
    steps = [a.network.steps[n] for n in a.uses.consumers[y]]
    if len(steps) != 1 or not isinstance(steps[0].op, ops.Split) or y in a.network.outputs:
        return []
    sizes = [size for size in steps[0].op.sizes if isinstance(size, int)]
    one_row = len(a.uses.types[y].shape) == 1 or a.rank is not None
    last = steps[0].op.axis in (-1, len(a.uses.types[y].shape) - 1)
    return list(zip(steps[0].outs, sizes, strict=True)) if one_row and last else []


def _read(a: Assembler, matrix: Matrix, first: int, step: int, to: Place) -> None:
    assert isinstance(to, RegisterRows)
    if matrix.members is None:
        a.code.take(matrix.name, first, step, to.beats, to.size)
    else:
        assert a.rank is not None
        a.code.take_banked(matrix.name, first, step, to.beats, to.size, a.rank, matrix.members)


def _is_taken_on(a: Assembler, y: str, projects: list[Step]) -> bool:
    """Whether registers must hold an output: other steps take it, or it is no last one."""
    return bool(a.uses.consumers[y]) or len(projects) != 1 or not a.skipped


def _sample(a: Assembler, n: int, matrix: Matrix, group: int) -> None:
    """Logits to the sampler, and the token that they give."""
    if not a.skipped or len(a.network.outputs) != 1 or matrix.members is not None:
        a.refuse("from_sums", n, "logits that are not all that a network's last steps give")
    beats = range(a.code.beats(matrix.rows))
    if a.code.is_exchanged(matrix.name):
        a.code.take(matrix.name, 0, 1, beats, matrix.rows, Op.LOGITS)
        a.code.free(group)
        a.code.emit(Op.ACQUIRE, index="sampler")
        a.code.read_exchanged()
    else:
        a.code.emit(Op.ACQUIRE, index="sampler")
        a.code.take(matrix.name, 0, 1, beats, matrix.rows, Op.LOGITS)
        a.code.free(group)
    a.code.run("sampler")
    a.code.emit(Op.TAKE)
    a.code.emit(Op.RELEASE, index="sampler")
    a.code.end_exchange()
    a.sampled = True
