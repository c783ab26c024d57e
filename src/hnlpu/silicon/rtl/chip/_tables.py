"""Tables of the vector unit and its program as SystemVerilog: silicon, as no weight changes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hnlpu.arithmetic.fixed_point import (
    EXP_TABLE,
    NORMAL_TABLE,
    SIGMOID_TABLE,
    SOFTPLUS_TABLE,
)
from hnlpu.silicon.rtl.chip._instructions import FIELDS, WORD_BITS, Instruction, Op, Operand
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ceil_log2


def tables(sine: Sequence[int]) -> dict[str, str]:
    """Text of the tables of functions, by file name; `sine` has the entries of that of sines."""
    exp, sigmoid, softplus, normal = (
        table.tolist() for table in (EXP_TABLE, SIGMOID_TABLE, SOFTPLUS_TABLE, NORMAL_TABLE)
    )
    return {
        "hnlpu_exp_table.sv": _table(
            "hnlpu_exp_table", "2^-(k / 256) and how far it falls to the next entry",
            8, ("value", 25, exp[:-1]), ("fall", 16, _steps(exp, -1)),
        ),
        "hnlpu_sigmoid_table.sv": _table(
            "hnlpu_sigmoid_table", "sigmoid(k / 32) and how far it rises to the next entry",
            9, ("value", 25, sigmoid[:-1]), ("rise", 18, _steps(sigmoid, 1)),
        ),
        "hnlpu_softplus_table.sv": _table(
            "hnlpu_softplus_table",
            "ln(1 + exp(-k / 32)) and how far it falls to the next entry",
            9, ("value", 25, softplus[:-1]), ("fall", 18, _steps(softplus, -1)),
        ),
        "hnlpu_normal_table.sv": _table(
            "hnlpu_normal_table",
            "the normal distribution up to k / 64 and how far it rises to the next entry",
            9, ("value", 25, normal[:-1]), ("rise", 18, _steps(normal, 1)),
        ),
        "hnlpu_sine_table.sv": _table(
            "hnlpu_sine_table", "factor * sin(k / 256 quarter turns) and its rise to the next entry",
            9, ("value", 26, sine), ("rise", 18, [*_steps(sine, 1), 0]),
        ),
    }  # fmt: skip


def _steps(entries: Sequence[int], sign: int) -> list[int]:
    return [sign * (b - a) for a, b in pairwise(entries)]


def _table(
    name: str, what: str, index_bits: int, first: tuple[str, int, Sequence[int]],
    second: tuple[str, int, Sequence[int]],
) -> str:  # fmt: skip
    (value, value_bits, values), (step, step_bits, steps) = first, second
    rows = "".join(
        f"      {index_bits}'d{k}: {{{value}, {step}}} = {{{value_bits}'d{v}, {step_bits}'d{s}}};\n"
        for k, (v, s) in enumerate(zip(values, steps, strict=True))
    )
    return f"""\
// Table: {what}.
//
// Latency  combinational
// Numbers  index: {index_bits} bits; {value}: {value_bits} bits, {step}: {step_bits} bits, unsigned, units of 2^-24
module {name} (
    input  logic [{index_bits - 1}:0] index,
    output logic [{value_bits - 1}:0] {value},
    output logic [{step_bits - 1}:0] {step}
);
  always_comb begin
    case (index)
{rows}      default: {{{value}, {step}}} = '0;
    endcase
  end
endmodule
"""


def move_table(patterns: Sequence[Sequence[int]]) -> str:
    """Text of the table of moves: by pattern the lane that each lane takes, -1 for none."""
    width, bits = len(patterns[0]), ceil_log2(len(patterns))
    lane_bits = ceil_log2(width)
    rows = ""
    for place, pattern in enumerate(patterns):
        sources = ", ".join(f"{lane_bits}'d{max(0, lane)}" for lane in reversed(pattern))
        taken = sum(1 << n for n, lane in enumerate(pattern) if lane >= 0)
        rows += (
            f"      {bits}'d{place}: {{taken, sources}} = "
            f"{{{width}'h{taken:0{-(-width // 4)}x}, {sources}}};\n"
        )
    return f"""\
// Table: which lane each lane takes in a move, {len(patterns)} patterns.
//
// Latency  combinational
// Numbers  index: {bits} bits; sources: lanes' numbers
module hnlpu_move_table (
    input  logic [{bits - 1}:0] index,
    output logic [{width - 1}:0][{lane_bits - 1}:0] sources,
    output logic [{width - 1}:0] taken
);
  always_comb begin
    case (index)
{rows}      default: {{taken, sources}} = '0;
    endcase
  end
endmodule
"""


def program(found: Program) -> str:
    """Text of the program's module."""
    bits = place_bits(found)
    rows = "".join(
        f"      {bits}'d{place}: word = {WORD_BITS}'h{one.word():0{-(-WORD_BITS // 4)}x};"
        f"  // {describe(one)}\n"
        for place, one in enumerate(found.instructions)
    )
    return f"""\
// Program of a chip: what every token goes through, {len(found.instructions)} instructions.
//
// Latency  combinational
// Numbers  place: {bits} bits; an instruction: {WORD_BITS} bits, see hnlpu_chip_pkg.sv
module hnlpu_program
  import hnlpu_chip_pkg::*;
(
    input  logic [{bits - 1}:0] place,
    output instruction_t instruction
);
  logic [{WORD_BITS - 1}:0] word;
  always_comb begin
    case (place)
{rows}      default: word = '0;
    endcase
  end
  assign instruction = instruction_t'(word);
endmodule
"""


def describe(one: Instruction) -> str:
    """An instruction as a comment: its fields that are not zero."""
    parts = []
    for part in FIELDS:
        name, value = part.name, getattr(one, part.name)
        if name == "op":
            parts.append(Op(value).name)
        elif name == "operand" and value:
            parts.append(Operand(value).name.lower())
        elif value is True:
            parts.append(name)
        elif value and name != "operand":
            parts.append(f"{name} {value}")
    return " ".join(parts)


def place_bits(found: Program) -> int:
    """Bits of an instruction's place."""
    return ceil_log2(len(found.instructions) + 1)
