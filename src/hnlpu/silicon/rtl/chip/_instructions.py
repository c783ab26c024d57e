"""Instructions of a chip's vector unit: one table, in Python for the assembler and as a SystemVerilog package.

Numbers of opcodes and operands, and the fields of a word, highest first, are written here;
`scripts/instruction_package.py` makes silicon/hnlpu_chip_pkg.sv of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Coded(IntEnum):
    """A number of an instruction, and what it says in the package's comment."""

    says: str

    def __new__(cls, number: int, says: str = "") -> Coded:
        """A member of `number` with its comment."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.says = says
        return member


class Op(Coded):
    """What an instruction does; opcode_t of the package."""

    MULTIPLY = 0, "sums (or 0) + a * operand, rounded by shift, saturated, to dst"
    ADD = 1, "a + operand, saturated, to dst"
    CLAMP = 2, "a, at most immediate, with `both` at least its negative, to dst"
    SIGMOID = 3, "sigmoid(a) to dst"
    EMBED = 4, "beat `index` of the token's embedding, or of the position's numbers, to dst"
    READ = 5, "values of beat `index` of the arrays' sums to dst"
    SQUARES = 6, "sum of squares (or epsilon `index`) + squares of a"
    PEAK = 7, "largest and smallest value so far (or 0) and of a"
    SETTLE = 8, "the scale that they ask for becomes the sequence's"
    QUANTIZE = 9, "a at the sequence's scale to beat `index` of activations"
    ACQUIRE = 10, "waits until the resource is free, and takes it"
    ISSUE = 11, "starts the resource"
    AWAIT = 12, "waits until the resource is done"
    RELEASE = 13, "frees the resource"
    ANGLE = 14, "cosine and sine `index` of the token's position"
    KEYS = 15, "a, as keys, to beat `index` of the position's"
    VALUES = 16, "a, as values, to beat `index` of the position's"
    QUERY = 17, "a, as queries, to beat `index` of the attention unit"
    MIXED = 18, "beat `index` of the attention unit's result to dst"
    TOP = 19, "next expert among logits a, of rank `rank` if there is such a rank"
    SHARES = 20, "the experts' shares become the sequence's"
    LOGITS = 21, "like READ, to beat `dst` of the sampler"
    SKIP = 22, "goes to instruction `immediate` if more of the prompt follows"
    TAKE = 23, "the sampler's token becomes the sequence's next"
    FINISH = 24, "the token is done"
    SUBTRACT = 25, "a - operand, with `both` operand - a, saturated, to dst"
    RECALL = 26, "a, or the immediate at a sequence's first position, to dst"
    CURVE = 27, "of a by `rank`: 0 power, 1 softplus, 2 normal, to dst"
    MOVE = 28, "lanes of b by pattern `index`, others of a (or 0), to dst"
    COMPARE = 29, "by `rank`: 0 larger, 1 smaller, whether a 2 <, 3 <=, 4 = operand, to dst"
    SUM = 30, "the mean's sum (or 0) + lanes of a"
    QUOTIENT = 31, "the dividers' quotients to dst"
    SEND = 32, "this chip's part of beat `index` of sums to the others, as beat b of the exchange"
    MEET = 33, "waits until the others' parts of the exchange have come"
    PART = 34, "the exchange is over"
    LEAVE = 35, "goes to instruction `immediate` on all chips but the first"
    HAVE = 36, "goes to instruction `immediate` unless the expert of rank `rank` is on this chip"
    JOIN = (
        37,
        "half `index` of beat b of the exchange to dst: 0 the lower, 1 the upper beside the lower of a",
    )


POWER, SOFTPLUS, NORMAL = range(3)
"""Kinds of CURVE."""
LARGER, SMALLER, LESS, LESS_EQUAL, EQUAL = range(5)
"""Kinds of COMPARE."""


class Operand(Coded):
    """What a product or sum takes beside `a`; operand_t of the package."""

    IMMEDIATE = 0
    REGISTER = 1, "beat b"
    PARAMETER = 2, "beat `index` of the parameters"
    INVERSE = 3, "the inverse root; of SUBTRACT the mean"
    COSINE = 4, "of the lane's pair"
    SINE = 5, "of the lane's pair, negative in the first half of a head"
    SHARE = 6, "of the expert of rank `rank`"
    MOVED = 7, "lanes of b by pattern `index`, 0 where it takes none"


class WordField(NamedTuple):
    """A field of an instruction's word: its bits, and its type where it is none of logic."""

    name: str
    bits: int
    says: str = ""
    type: str = "logic"


FIELDS = (
    WordField("op", 6, type="opcode_t"),
    WordField("operand", 3, "SEND: of a register, half `index` of a", "operand_t"),
    WordField(
        "first",
        1,
        "MULTIPLY, SQUARES, SUM, PEAK, TOP, MOVE: begins anew; SEND: to the first chip alone; LOGITS: of a",
    ),
    WordField("write", 1, "MULTIPLY: to dst"),
    WordField("swap", 1, "MULTIPLY: a with the halves of every head swapped"),
    WordField("root", 1, "MULTIPLY: rounds by what the root says"),
    WordField(
        "both",
        1,
        "CLAMP, SUBTRACT; ISSUE of the root: a mean; SEND: the last; READ, LOGITS: of all chips",
    ),
    WordField(
        "banked",
        1,
        "READ, LOGITS, ISSUE, SEND, JOIN: of the member of rank `rank`; SQUARES, root: head by head",
    ),
    WordField("shift", 6),
    WordField("rank", 4),
    WordField("dst", 10),
    WordField("a", 10),
    WordField("b", 10),
    WordField("index", 16),
    WordField("immediate", 32),
)
"""The highest bits of a word first."""
WORD_BITS = sum(part.bits for part in FIELDS)


@dataclass(frozen=True)
class Instruction:
    """One instruction; its fields are those of `FIELDS`, instruction_t of the package."""

    op: Op
    operand: Operand = Operand.IMMEDIATE
    first: bool = False
    write: bool = False
    swap: bool = False
    root: bool = False
    both: bool = False
    banked: bool = False
    shift: int = 0
    rank: int = 0
    dst: int = 0
    a: int = 0
    b: int = 0
    index: int = 0
    immediate: int = 0

    def word(self) -> int:
        """Its bits, the first field highest."""
        value = 0
        for part in FIELDS:
            field = int(getattr(self, part.name))
            assert 0 <= field < 1 << part.bits, (part.name, field)
            value = value << part.bits | field
        return value


def instruction_package() -> str:
    """Text of silicon/hnlpu_chip_pkg.sv."""
    op, operand, *_ = FIELDS
    return f"""\
// Instructions of a chip's vector unit.  All act on beats: as many values as the unit has lanes.
package hnlpu_chip_pkg;
  typedef enum logic [{op.bits - 1}:0] {{
{_lines(_members(Op, op.bits, 12))}
  }} opcode_t;

  typedef enum logic [{operand.bits - 1}:0] {{
{_lines(_members(Operand, operand.bits, 10))}
  }} operand_t;

  typedef struct packed {{
{_lines(_fields())}
  }} instruction_t;
endpackage
"""


def _lines(pairs: Iterator[tuple[str, str]]) -> str:
    return "\n".join(
        f"    {code}// {says}" if says else f"    {code.rstrip()}" for code, says in pairs
    )


def _members(kind: type[Coded], bits: int, width: int) -> Iterator[tuple[str, str]]:
    """Members of an enumeration as code and comment, their names `width` wide."""
    *_, last = kind
    for member in kind:
        number = f"{bits}'d{member.value}" + ("" if member is last else ",")
        yield f"{member.name:<{width}}= {number:<8}", member.says


def _fields() -> Iterator[tuple[str, str]]:
    """Fields of the word as code and comment."""
    for part in FIELDS:
        kind = f"logic [{part.bits - 1}:0]" if part.type == "logic" and part.bits > 1 else part.type
        yield f"{kind:<13}{part.name + ';':<10}", part.says
