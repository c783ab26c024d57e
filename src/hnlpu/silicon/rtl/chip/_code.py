"""Instructions while they are written: registers, resources and stored beats get their numbers last."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from hnlpu.silicon.rtl.chip._instructions import Instruction, Op, Operand
from hnlpu.silicon.rtl.chip._program import UNITS, StoredBeat, SumBeat
from hnlpu.silicon.rtl.chip._registers import Beats, Register, Registers

Field = int | Register | str
"""A number, a register, or the name of a resource behind the arrays."""

WORD = (1 << 32) - 1


class ProgramBuilder:
    """A program under construction; `instructions` finishes it."""

    def __init__(self, width: int, exchanged: frozenset[str] = frozenset()):
        self.width = width
        self.exchange_beats = 0
        self._exchanged = exchanged
        self._to_read: list[tuple[Op, dict[str, Field]]] = []
        self.registers = Registers()
        self.groups: list[tuple[str, ...]] = []
        self.reads: list[SumBeat] = []
        self.parameters: list[StoredBeat] = []
        self.moves: dict[tuple[int, ...], int] = {}
        self._placed: dict[StoredBeat, int] = {}
        self.rows: list[tuple[int, int]] = []
        self._written: list[tuple[Op, Operand, dict[str, Field]]] = []
        self._banked: dict[tuple[str, int, int, int], tuple[list[int], int]] = {}
        self._skip: int | None = None
        self._leave: int | None = None

    def beats(self, n: int) -> int:
        """Beats of a vector of n numbers."""
        return -(-n // self.width)

    def emit(self, op: Op, operand: Operand = Operand.IMMEDIATE, **fields: Field) -> None:
        """One instruction."""
        self._written.append((op, operand, fields))

    def multiply(
        self,
        dst: Register | None,
        a: Register,
        operand: Operand,
        *,
        shift: int = 0,
        **fields: Field,
    ) -> None:
        """A product, added to the sums unless it is the first; written where there is a dst."""
        write: dict[str, Field] = {} if dst is None else {"write": True, "dst": dst}
        self.emit(Op.MULTIPLY, operand, a=a, shift=shift, **write, **fields)

    def skip(self) -> None:
        """From here on, what only the last token of a prompt needs."""
        self._skip = len(self._written)
        self.emit(Op.SKIP)

    def run(self, resource: str | int, **issue: Field) -> None:
        """Start a resource that has been acquired, and wait for it."""
        self.emit(Op.ISSUE, Operand.IMMEDIATE, index=resource, **issue)
        self.emit(Op.AWAIT, index=resource)

    def group(self, matrices: tuple[str, ...]) -> int:
        """The number of matrices that work at once."""
        if matrices not in self.groups:
            self.groups.append(matrices)
        return self.groups.index(matrices)

    def parameter(self, name: str, how: Any, size: int, beat: int, start: int = 0) -> int:
        """Place of a stored beat of the numbers `start` to `size` of a parameter."""
        first = start + beat * self.width
        self.parameters.append(StoredBeat(name, how, first, min(self.width, size - first)))
        return len(self.parameters) - 1

    def placed(self, name: str, places: Sequence[int], finer: int = 0) -> int:
        """Place of a stored beat that has, by lane, the number of a parameter at one of `places`."""
        one = StoredBeat(name, "placed", 0, len(places), tuple(places), finer)
        if one not in self._placed:
            self.parameters.append(one)
            self._placed[one] = len(self.parameters) - 1
        return self._placed[one]

    def pattern(self, lanes: Sequence[int]) -> int:
        """The number of a move: by lane the lane that it takes, -1 for none."""
        return self.moves.setdefault(tuple(lanes), len(self.moves))

    def take(
        self, matrix: str, first: int, step: int, dst: Sequence[Register | int], count: int,
        op: Op = Op.READ,
    ) -> None:  # fmt: skip
        """Sums of rows first, first + step, ... of a matrix, `count` of them, to dst."""
        for read, register in zip(self._read(matrix, first, step, count), dst, strict=True):
            self.rows.append((read, 0))
            self._sums(matrix, op, dst=register, index=read, immediate=len(self.rows) - 1)

    def take_banked(
        self, matrix: str, first: int, step: int, dst: Beats, count: int, rank: int, members: int
    ) -> None:
        """The same of the member that is the expert of `rank`; its rows stand beat by beat."""
        key = (matrix, first, step, count)
        if key not in self._banked:
            reads = list(self._read(*key))
            self._banked[key] = reads, len(self.rows)
            for member in range(members):
                self.rows += [(read, member) for read in reads]
        reads, place = self._banked[key]
        for offset, (read, register) in enumerate(zip(reads, dst, strict=True)):
            self._sums(
                matrix, Op.READ, dst=register, index=read, rank=rank, banked=True,
                immediate=len(reads) << 16 | (place + offset),
            )  # fmt: skip

    def _sums(self, matrix: str, op: Op, **fields: Field) -> None:
        """A beat of an array's sums; where chips have parts of it, it is sent, and read when all have come."""
        if matrix not in self._exchanged:
            self.emit(op, Operand.IMMEDIATE, **fields)
            return
        beat = len(self._to_read)
        sent = {name: field for name, field in fields.items() if name != "dst"}
        self.emit(Op.SEND, Operand.IMMEDIATE, **sent, b=beat, first=op == Op.LOGITS)
        self._to_read.append((op, {**fields, "b": beat, "both": True}))

    def _change(self, place: int, **fields: Field) -> None:
        """Further fields of an instruction that is written."""
        op, operand, known = self._written[place]
        self._written[place] = op, operand, {**known, **fields}

    def is_exchanged(self, matrix: str) -> bool:
        """Whether chips have parts of a matrix."""
        return matrix in self._exchanged

    def free(self, group: int) -> None:
        """Free a group of arrays whose sums have been taken, and exchange what chips have parts of.

        Nothing is held while other chips are waited for.
        """
        if self._to_read:
            last = max(n for n, (op, _, _) in enumerate(self._written) if op == Op.SEND)
            self._change(last, both=True)
        self.emit(Op.RELEASE, index=group)
        self.exchange_beats = max(self.exchange_beats, len(self._to_read))
        if not self._to_read:
            return
        if self._to_read[0][0] == Op.LOGITS:
            self._leave = len(self._written)
            self.emit(Op.LEAVE)
        self.emit(Op.MEET)

    def _read(self, matrix: str, first: int, step: int, rows: int) -> Iterator[int]:
        """Numbers of the beats of sums of rows first, first + step, ... of a matrix."""
        for start in range(0, rows, self.width):
            count = min(self.width, rows - start)
            self.reads.append(SumBeat(matrix, first + start * step, step, count))
            yield len(self.reads) - 1

    def read_exchanged(self) -> None:
        """Sums of all chips to where they are wanted."""
        for op, fields in self._to_read:
            self.emit(op, Operand.IMMEDIATE, **fields)

    def end_exchange(self) -> None:
        """The next exchange may come; who left goes on here."""
        if self._to_read:
            if self._leave is not None:
                self._change(self._leave, immediate=len(self._written))
            self.emit(Op.PART)
            self._to_read = []

    def send_values(self, beats: Beats, first: int = 0, **fields: Field) -> int:
        """Beats of own values to the others, in halves, from beat `first` of the exchange on; the next."""
        for register in beats:
            for half in (0, 1):
                self.emit(Op.SEND, Operand.REGISTER, a=register, index=half, b=first, **fields)
                first += 1
        self.exchange_beats = max(self.exchange_beats, first)
        return first

    def meet(self) -> None:
        """Wait for the others' values; the one that was sent last is the exchange's last."""
        self._change(len(self._written) - 1, both=True)
        self.emit(Op.MEET)

    def join_values(self, dst: Beats, first: int = 0, **fields: Field) -> int:
        """The values of whoever has them to dst; the next beat of the exchange."""
        for register in dst:
            for half in (0, 1):
                self.emit(
                    Op.JOIN,
                    Operand.REGISTER,
                    dst=register,
                    a=register,
                    index=half,
                    b=first,
                    **fields,
                )
                first += 1
        self.exchange_beats = max(self.exchange_beats, first)
        return first

    def have(self, rank: int) -> int:
        """From here to `end_have`, what the chip alone does that has the expert of `rank`."""
        self.emit(Op.HAVE, rank=rank)
        return len(self._written) - 1

    def end_have(self, place: int) -> None:
        """The end of what began at `place`."""
        self._change(place, immediate=len(self._written))

    def instructions(self) -> tuple[Instruction, ...]:
        """All of them, with their numbers."""
        self.emit(Op.FINISH)
        numbers = self.registers.numbers()
        resources = {name: len(self.groups) + n for n, name in enumerate(UNITS)}

        def number(field: Field) -> int:
            if isinstance(field, Register):
                return numbers[field]
            return resources[field] if isinstance(field, str) else field

        found = [
            Instruction(op, operand, **{name: number(field) for name, field in fields.items()})  # type: ignore[arg-type]  # flags are booleans
            for op, operand, fields in self._written
        ]
        assert self._skip is not None
        found[self._skip] = dataclasses.replace(found[self._skip], immediate=len(found) - 1)
        return tuple(found)
