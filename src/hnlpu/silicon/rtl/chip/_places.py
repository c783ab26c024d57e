"""What a chip does by its place among several: its slice of every matrix, and who has parts of a beat.

    activations ─► those of the place's blocks ─► array ─► sums ─► the place's rows among all rows

The silicon is the same at every place; `here`, an input, says which one it is.
"""

from __future__ import annotations

from collections.abc import Callable

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.place import StackSlice
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape, ceil_log2


def by_place(shape: ChipShape, matrix: str, text: Callable[[StackSlice], str]) -> str:
    """An expression of each place's slice of a matrix, chosen by `here` where they differ."""
    texts = [text(one) for one in shape.slices[matrix]]
    if len(set(texts)) == 1:
        return texts[0]
    bits = ceil_log2(shape.chips)
    chosen = (f"here == {bits}'d{place} ? {one} : " for place, one in enumerate(texts[:-1]))
    return f"{''.join(chosen)}{texts[-1]}"


def activations_of(shape: ChipShape, matrix: str, inputs: int) -> str:
    """Bits of the activations that an array of `inputs` takes, of bit n."""
    if not shape.slices:
        return f"planes[n][{inputs - 1}:0]"
    return by_place(shape, matrix, lambda one: f"planes[n][{one.blocks[0] * BLOCK}+:{inputs}]")


def member_of(shape: ChipShape, matrix: str, bits: int, own_bits: int) -> str:
    """The number of the chosen member among those of the place; any where it has not got it."""
    if not shape.slices:
        return "member" if bits == own_bits else f"{own_bits}'(member)"
    firsts = by_place(shape, matrix, lambda one: f"{bits}'d{one.members[0]}")
    return f"{own_bits}'(member - ({firsts}))"


def rows_among_all(shape: ChipShape, matrix: str, rows: int, bits: int, sums: str) -> str:
    """An array's sums at the places of their rows among `rows` rows, zeros elsewhere."""

    def padded(one: StackSlice) -> str:
        first, last = one.neurons
        above = [f"{{{rows - last}{{{bits}'d0}}}}"] if last < rows else []
        below = [f"{{{first}{{{bits}'d0}}}}"] if first else []
        parts = [*above, sums, *below]
        return f"{{{', '.join(parts)}}}" if len(parts) > 1 else sums

    return by_place(shape, matrix, padded)


def owner_table(shape: ChipShape, program: Program, member_bits: int) -> str:
    """Text of the table that says who has heads, by the beat of the exchange, and who has an expert."""
    beats, chips = ceil_log2(program.exchange_beats), shape.chips
    heads = program.attention
    of_heads, of_experts = "", ""
    if heads is not None and heads.parts > 1:
        for beat in range(-(-heads.heads * heads.head_dim // shape.width)):
            bits = sum(1 << place for place in heads.places(beat, shape.width))
            for half in (0, 1):
                of_heads += (
                    f"      {beats}'d{2 * beat + half}: of_heads = {chips}'b{bits:0{chips}b};\n"
                )
    for member, place in enumerate(shape.expert_places):
        of_experts += (
            f"      {member_bits}'d{member}: of_experts = {chips}'b{1 << place:0{chips}b};\n"
        )
    unused = [name for name, rows in (("beat", of_heads), ("member", of_experts)) if not rows]
    return f"""\
// Table: which places have values that are told.
//
// Latency  combinational
// Numbers  beat: {beats} bits, of an exchange of heads; member: {member_bits} bits; places: a bit each, place 0 lowest
module hnlpu_owners (
    input  logic [{beats - 1}:0] beat,
    input  logic [{member_bits - 1}:0] member,
    output logic [{chips - 1}:0] of_heads,
    output logic [{chips - 1}:0] of_experts
);
{_table("beat", of_heads, "of_heads")}{_table("member", of_experts, "of_experts")}\
{"".join(f"  logic unused_{name};{chr(10)}  assign unused_{name} = &{name};{chr(10)}" for name in unused)}\
endmodule
"""


def _table(of: str, rows: str, name: str) -> str:
    if not rows:
        return f"  assign {name} = '0;\n"
    return f"""\
  always_comb begin
    case ({of})
{rows}      default: {name} = '0;
    endcase
  end
"""


def holder_table(shape: ChipShape, program: Program) -> str:
    """Text of the table that says which places have a part of a beat of sums, by the place of its row."""
    bits, chips = ceil_log2(len(program.row_places)), shape.chips
    rows = ""
    for place, (read, member) in enumerate(program.row_places):
        one = program.reads[read]
        holders = shape.holders(one.matrix, one.rows(), member)
        rows += f"      {bits}'d{place}: holders = {chips}'b{holders:0{chips}b};\n"
    return f"""\
// Table: which places have a part of a beat of sums.
//
// Latency  combinational
// Numbers  row: {bits} bits, as of stored rows; holders: a bit a place, place 0 lowest
module hnlpu_holders (
    input  logic [{bits - 1}:0] row,
    output logic [{chips - 1}:0] holders
);
  always_comb begin
    case (row)
{rows}      default: holders = '0;
    endcase
  end
endmodule
"""
