"""`ChipShape` -> the program that every token runs: the transformer, an instruction a cycle.

No weight changes it.  Registers are numbered in beats; `Program.row_places` and `reads` tell what
the arrays' sums are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hnlpu.arithmetic.fixed_point import FRACTION, KEY_FRACTION, UNIT_FRACTION
from hnlpu.model.checkpoint import FINAL_NORM, UNEMBEDDING, layer_prefix
from hnlpu.silicon.rtl.chip._instructions import Instruction, Op, Operand
from hnlpu.silicon.rtl.chip._shape import ChipShape

UNITS = 4
"""Resources behind the arrays: attention unit, sampler, root, router."""


@dataclass(frozen=True)
class Read:
    """A beat of sums: rows first, first + step, ... of a matrix, `count` of them."""

    matrix: str
    first: int
    step: int
    count: int

    def rows(self) -> range:
        """Rows of the matrix by lane."""
        return range(self.first, self.first + self.step * self.count, self.step)


@dataclass(frozen=True)
class Program:
    """Instructions, groups of matrices that work at once, beats of sums, stored beats of rows.

    `parameters` names the norm and beat of every stored beat; `row_places` has the read of every
    stored beat of shifts and biases and the expert that it is of.
    """

    instructions: tuple[Instruction, ...]
    groups: tuple[tuple[str, ...], ...]
    reads: tuple[Read, ...]
    parameters: tuple[tuple[str, int], ...]
    row_places: tuple[tuple[int, int], ...]


def make_program(shape: ChipShape) -> Program:
    """The program of a chip."""
    return _Assembler(shape).program()


class _Assembler:
    """Numbers registers, resources and stored beats while it writes instructions."""

    def __init__(self, shape: ChipShape):
        self.shape = shape
        self.code: list[Instruction] = []
        self.groups: list[tuple[str, ...]] = []
        self.reads: list[Read] = []
        self.parameters: list[tuple[str, int]] = []
        self.rows: list[tuple[int, int]] = []
        a, count = shape.architecture, 0

        def registers(beats: int) -> range:
            nonlocal count
            count += beats
            return range(count - beats, count)

        self.x, self.h = registers(shape.hidden_beats), registers(shape.hidden_beats)
        self.q, self.scaled_q = registers(shape.query_beats), registers(shape.query_beats)
        self.k, self.v = registers(shape.key_beats), registers(shape.key_beats)
        self.scaled_k, self.scaled_v = registers(shape.key_beats), registers(shape.key_beats)
        self.gate, self.up = registers(shape.expert_beats), registers(shape.expert_beats)
        self.t = registers(shape.expert_beats)
        self.y = [registers(shape.hidden_beats) for _ in range(a.num_experts_per_tok)]
        [self.logits] = registers(1)
        assert count == shape.registers
        # matrices of a layer that work at once, then the unembedding
        for layer in range(a.num_hidden_layers):
            prefix = layer_prefix(layer)
            attention, experts = prefix + ".self_attn.", prefix + ".mlp.experts."
            self.groups += [
                tuple(attention + name for name in ("q_proj", "k_proj", "v_proj")),
                (attention + "o_proj",),
                (prefix + ".mlp.router",),
                (experts + "gate_up_proj",),
                (experts + "down_proj",),
            ]
        self.groups.append((UNEMBEDDING,))
        first = len(self.groups)
        self.attention, self.sampler, self.root, self.router = range(first, first + UNITS)

    def program(self) -> Program:
        a = self.shape.architecture
        for beat, dst in enumerate(self.x):
            self.emit(Op.EMBED, dst=dst, index=beat)
        for pair, turn in enumerate(self.shape.turns):
            self.emit(Op.ANGLE, index=pair, immediate=turn)
        for layer in range(a.num_hidden_layers):
            self.attend(layer)
            self.experts(layer)
        skip = len(self.code)
        self.emit(Op.SKIP)
        self.norm(FINAL_NORM)
        self.sample()
        self.code[skip] = Instruction(Op.SKIP, immediate=len(self.code))
        self.emit(Op.FINISH)
        return Program(
            tuple(self.code), tuple(self.groups), tuple(self.reads), tuple(self.parameters),
            tuple(self.rows),
        )  # fmt: skip

    def emit(self, op: Op, operand: Operand = Operand.IMMEDIATE, **fields: int) -> None:
        self.code.append(Instruction(op, operand, **fields))  # type: ignore[arg-type]

    def multiply(
        self, dst: int | None, a: int, operand: Operand, *, shift: int = 0, **fields: int
    ) -> None:
        """A product, added to the sums unless it is the first; written where there is a dst."""
        write = {} if dst is None else {"write": True, "dst": dst}
        self.emit(Op.MULTIPLY, operand, a=a, shift=shift, **write, **fields)

    def norm(self, weight: str) -> None:
        """x to h."""
        self.emit(Op.ACQUIRE, index=self.root)
        for beat, x in enumerate(self.x):
            self.emit(Op.SQUARES, a=x, first=beat == 0)
        self.emit(Op.ISSUE, index=self.root)
        self.emit(Op.AWAIT, index=self.root)
        for x, h in zip(self.x, self.h, strict=True):
            self.multiply(h, x, Operand.INVERSE, first=True, root=True)
        self.emit(Op.RELEASE, index=self.root)
        for beat, h in enumerate(self.h):
            place = len(self.parameters)
            self.parameters.append((weight, beat))
            self.multiply(h, h, Operand.PARAMETER, first=True, shift=UNIT_FRACTION, index=place)

    def project(self, group: int, source: range, rank: int | None = None) -> None:
        """Activations of `source` through a group of arrays; they hold their sums until freed."""
        self.emit(Op.ACQUIRE, index=group)
        for beat, a in enumerate(source):
            self.emit(Op.PEAK, a=a, first=beat == 0)
        self.emit(Op.SETTLE)
        for beat, a in enumerate(source):
            self.emit(Op.QUANTIZE, a=a, index=beat)
        self.emit(Op.ISSUE, index=group, rank=rank or 0, banked=rank is not None)
        self.emit(Op.AWAIT, index=group)

    def read(self, matrix: str, rows: int, *, first: int = 0, step: int = 1) -> Iterator[int]:
        """Number the beats of sums of rows first, first + step, ... of a matrix."""
        for start in range(0, rows, self.shape.width):
            count = min(self.shape.width, rows - start)
            self.reads.append(Read(matrix, first + start * step, step, count))
            yield len(self.reads) - 1

    def take(self, reads: list[int], dst: range, op: Op = Op.READ) -> None:
        """Sums of beats `reads` to dst."""
        for read, register in zip(reads, dst, strict=True):
            self.rows.append((read, 0))
            self.emit(op, dst=register, index=read, immediate=len(self.rows) - 1)

    def take_banked(self, reads: list[int], dst: range, rank: int, places: int) -> None:
        """Sums of the expert of `rank`; its rows stand `len(reads)` stored beats apart."""
        for offset, (read, register) in enumerate(zip(reads, dst, strict=True)):
            self.emit(
                Op.READ, dst=register, index=read, rank=rank, banked=True,
                immediate=len(reads) << 16 | (places + offset),
            )  # fmt: skip

    def store_banked(self, reads: list[int]) -> int:
        """Stored beats of rows of all experts, expert by expert; the first one's place."""
        place = len(self.rows)
        for expert in range(self.shape.architecture.num_local_experts):
            self.rows += [(read, expert) for read in reads]
        return place

    def attend(self, layer: int) -> None:
        """The attention half of a layer, added to x."""
        a, prefix, group = self.shape.architecture, layer_prefix(layer), 5 * layer
        name = prefix + ".self_attn."
        self.norm(prefix + ".input_layernorm.weight")
        self.project(group, self.h)
        for matrix, rows, dst in (
            ("q_proj", a.attention_width, self.q),
            ("k_proj", a.key_value_width, self.k),
            ("v_proj", a.key_value_width, self.v),
        ):
            self.take(list(self.read(name + matrix, rows)), dst)
        self.emit(Op.RELEASE, index=group)
        for register in (*self.q, *self.k):
            self.multiply(None, register, Operand.COSINE, first=True)
            self.multiply(register, register, Operand.SINE, swap=True, shift=UNIT_FRACTION)
        one, shift = 1 << FRACTION, 2 * FRACTION - KEY_FRACTION
        for source, scaled, factor in (
            (self.q, self.scaled_q, self.shape.query_factor),
            (self.k, self.scaled_k, one),
            (self.v, self.scaled_v, one),
        ):
            for register, place in zip(source, scaled, strict=True):
                self.multiply(
                    place, register, Operand.IMMEDIATE, first=True, shift=shift, immediate=factor
                )
        of_layer = layer << 24
        for op, scaled in ((Op.KEYS, self.scaled_k), (Op.VALUES, self.scaled_v)):
            for beat, register in enumerate(scaled):
                self.emit(op, a=register, index=beat, immediate=of_layer)
        self.emit(Op.ACQUIRE, index=self.attention)
        for beat, register in enumerate(self.scaled_q):
            self.emit(Op.QUERY, a=register, index=beat)
        window = a.window(layer) or 0
        bounded = window if window < self.shape.context else 0
        self.emit(Op.ISSUE, index=self.attention, immediate=of_layer | bounded)
        self.emit(Op.AWAIT, index=self.attention)
        for beat, register in enumerate(self.q):
            self.emit(Op.MIXED, dst=register, index=beat)
        self.emit(Op.RELEASE, index=self.attention)
        self.project(group + 1, self.q)
        self.take(list(self.read(name + "o_proj", a.hidden_size)), self.h)
        self.emit(Op.RELEASE, index=group + 1)
        self.add()

    def add(self) -> None:
        """x + h to x."""
        for x, h in zip(self.x, self.h, strict=True):
            self.emit(Op.ADD, Operand.REGISTER, dst=x, a=x, b=h)

    def experts(self, layer: int) -> None:
        """The mixture of experts of a layer, added to x."""
        a, prefix, group = self.shape.architecture, layer_prefix(layer), 5 * layer + 2
        self.norm(prefix + ".post_attention_layernorm.weight")
        self.project(group, self.h)
        logits = range(self.logits, self.logits + 1)
        self.take(list(self.read(prefix + ".mlp.router", a.num_local_experts)), logits)
        self.emit(Op.RELEASE, index=group)
        ranks = range(a.num_experts_per_tok)
        self.emit(Op.ACQUIRE, index=self.router)
        for rank in ranks:
            self.emit(Op.TOP, a=self.logits, rank=rank, first=rank == 0)
        self.emit(Op.ISSUE, index=self.router)
        self.emit(Op.AWAIT, index=self.router)
        self.emit(Op.SHARES)
        self.emit(Op.RELEASE, index=self.router)
        name = prefix + ".mlp.experts."
        gates = list(self.read(name + "gate_up_proj", a.intermediate_size, step=2))
        ups = list(self.read(name + "gate_up_proj", a.intermediate_size, first=1, step=2))
        downs = list(self.read(name + "down_proj", a.hidden_size))
        at_gates, at_ups, at_downs = (self.store_banked(reads) for reads in (gates, ups, downs))
        for rank in ranks:
            self.project(group + 1, self.h, rank)
            self.take_banked(gates, self.gate, rank, at_gates)
            self.take_banked(ups, self.up, rank, at_ups)
            self.emit(Op.RELEASE, index=group + 1)
            self.swiglu()
            self.project(group + 2, self.t, rank)
            self.take_banked(downs, self.y[rank], rank, at_downs)
            self.emit(Op.RELEASE, index=group + 2)
        for beat, h in enumerate(self.h):
            for rank in ranks:
                last = rank == ranks[-1]
                self.multiply(
                    h if last else None, self.y[rank][beat], Operand.SHARE, first=rank == 0,
                    rank=rank, shift=UNIT_FRACTION,
                )  # fmt: skip
        self.add()

    def swiglu(self) -> None:
        """gate and up to t."""
        limit, one = self.shape.limit, 1 << FRACTION
        for gate, up, t in zip(self.gate, self.up, self.t, strict=True):
            self.emit(Op.CLAMP, a=gate, dst=gate, immediate=limit)
            self.emit(Op.CLAMP, a=up, dst=up, immediate=limit, both=True)
            self.multiply(
                t, gate, Operand.IMMEDIATE, first=True, shift=FRACTION, immediate=self.shape.alpha
            )
            self.emit(Op.SIGMOID, a=t, dst=t)
            self.multiply(t, gate, Operand.REGISTER, b=t, first=True, shift=UNIT_FRACTION)
            self.emit(Op.ADD, a=up, dst=up, immediate=one)
            self.multiply(t, up, Operand.REGISTER, b=t, first=True, shift=FRACTION)

    def sample(self) -> None:
        """Logits of h, and the token that they give."""
        group = len(self.groups) - 1
        self.project(group, self.h)
        self.emit(Op.ACQUIRE, index=self.sampler)
        reads = list(self.read(UNEMBEDDING, self.shape.architecture.vocab_size))
        self.take(reads, range(len(reads)), Op.LOGITS)
        self.emit(Op.RELEASE, index=group)
        self.emit(Op.ISSUE, index=self.sampler)
        self.emit(Op.AWAIT, index=self.sampler)
        self.emit(Op.TAKE)
        self.emit(Op.RELEASE, index=self.sampler)
