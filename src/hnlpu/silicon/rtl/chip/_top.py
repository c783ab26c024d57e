"""The chip's top module: core, program, stored parameters, and every array with its metal."""

from __future__ import annotations

from collections.abc import Mapping

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.rtl._design import ArrayUnit
from hnlpu.silicon.rtl.chip._instructions import NORMAL, POWER, SOFTPLUS, Op
from hnlpu.silicon.rtl.chip._joined import Joined, alone, core_pins
from hnlpu.silicon.rtl.chip._places import activations_of, member_of, rows_among_all
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape, ceil_log2
from hnlpu.silicon.rtl.chip._stored import SHIFT_BITS, VALUE_BITS, word_bits
from hnlpu.silicon.rtl.chip._tables import place_bits

TAG_BITS = 8


def chip_top(
    shape: ChipShape,
    program: Program,
    units: Mapping[str, ArrayUnit],
    name: str = "chip",
    others: Joined | None = None,
) -> str:
    """Text of a chip's module; `units` has its array of every matrix, `others` what joins it to other chips."""
    around = others or alone(shape)
    token, place = shape.in_bits, ceil_log2(shape.context)
    groups, bits, width = len(program.groups), word_bits(shape, program), shape.width
    member, layers = member_bits(program), program.attention.layers if program.attention else 1
    hidden_beats = _embedding_beats(shape, program)
    beat_bits = {
        "embedding": ceil_log2(hidden_beats), "parameter": ceil_log2(len(program.parameters)),
        "row": ceil_log2(len(program.row_places)), "sum": ceil_log2(len(program.reads)),
    }  # fmt: skip
    parameters = _parameters(shape, program, beat_bits)
    given = ",\n".join(f"      .{name}({value})" for name, value in parameters.items())
    sinks = len(program.attention.sinks) if program.attention else 0
    words = shape.vocabulary * hidden_beats if program.embedding is not None else 0
    stores = "".join(
        _store(name, words, bits[name], at) if words else _nothing(name, bits[name], at)
        for name, words, at in (
            ("embedding", words, _embedding_place(shape, hidden_beats)),
            ("parameters", len(program.parameters), "parameter_beat"),
            ("rows", len(program.row_places), "row_beat"),
            ("sinks", sinks, "layer"),
        )
        if name != "embedding" or words
    )
    stores = stores if words else _numbers(shape, hidden_beats) + stores
    layer = ceil_log2(layers)
    text = f"{shape.layers} layers, {sum(u.shape.weights for u in units.values()):,} weights"
    return f"""\
// Chip: {_what(shape)}.  {text} in metal.
//
// Latency  see hnlpu_core.sv
// Numbers  see hnlpu_requests.sv
module {name} (
    input  logic clk,
    input  logic rst,
    input  logic in_valid,
    output logic in_ready,
    input  logic [{token - 1}:0] in_token,
    input  logic in_last,
    input  logic [{TAG_BITS - 1}:0] in_tag,
    input  logic [63:0] in_seed,
    input  logic [30:0] in_inverse,
    input  logic [{place}:0] in_most,
    output logic out_valid,
    input  logic out_ready,
    output logic [{shape.out_bits - 1}:0] out_token,
    output logic [{TAG_BITS - 1}:0] out_tag,
    output logic out_last,
    output logic out_refused{around.ports}
);
  logic [{place_bits(program) - 1}:0] place;
  hnlpu_chip_pkg::instruction_t instruction;
  logic [{token - 1}:0] token;
  logic [{beat_bits["embedding"] - 1}:0] embedding_beat;
  logic [{beat_bits["parameter"] - 1}:0] parameter_beat;
  logic [{beat_bits["row"] - 1}:0] row_beat;
  logic [{layer - 1}:0] layer;
  logic [{beat_bits["sum"] - 1}:0] sum_beat;
  logic [{shape.activation_beats - 1}:0][{width - 1}:0][{shape.activation_bits - 1}:0] activations;
  logic [{groups - 1}:0] issue;
  logic [{groups - 1}:0] done;
  logic [{groups - 1}:0] free;
  logic [{member - 1}:0] member;
  logic [{width - 1}:0][{shape.sum_bits - 1}:0] sums;
{stores}{around.body}
  hnlpu_program stored_program (
      .place(place),
      .instruction(instruction)
  );

  hnlpu_core #(
{given}
  ) core (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_token(in_token),
      .in_last(in_last),
      .in_tag(in_tag),
      .in_seed(in_seed),
      .in_inverse(in_inverse),
      .in_most(in_most),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_token(out_token),
      .out_tag(out_tag),
      .out_last(out_last),
      .out_refused(out_refused),
      .place(place),
      .instruction(instruction),
      .token(token),
      .embedding_beat(embedding_beat),
      .embedding(embedding_word),
      .parameter_beat(parameter_beat),
      .parameters(parameters_word),
      .layer(layer),
      .sinks(sinks_word),
      .row_beat(row_beat),
      .row_shifts(rows_word[{width * SHIFT_BITS - 1}:0]),
      .row_biases(rows_word[{width * (SHIFT_BITS + VALUE_BITS) - 1}:{width * SHIFT_BITS}]),
      .activations(activations),
      .issue(issue),
      .member(member),
      .done(done),
      .free(free),
      .sum_beat(sum_beat),
      .sums(sums),
{core_pins()}
  );
{_arrays(shape, program, units)}{_sums(shape, program, units)}endmodule
"""


def _parameters(
    shape: ChipShape, program: Program, beat_bits: Mapping[str, int]
) -> dict[str, int | str]:
    """Parameters of the core; units that the program does not use are left out of it."""
    ends = shape.ends or (0xFFFFFFFF,)
    end_words = ", ".join(f"32'd{end}" for end in reversed(ends))
    attention, experts, norms = program.attention, program.experts, program.norms
    epsilons = ", ".join(f"64'd{epsilon}" for epsilon in reversed(norms.epsilons or (1,)))
    return {
        "WIDTH": shape.width, "BEATS": program.registers, "HEAD_DIM": program.head_dim or 2,
        "SIGMOIDS": int(program.uses(Op.SIGMOID)),
        "POWERS": int(program.uses_curve(POWER)), "SOFTPLUS": int(program.uses_curve(SOFTPLUS)),
        "NORMALS": int(program.uses_curve(NORMAL)),
        "COMPARES": int(program.uses(Op.COMPARE)), "MOVES": int(bool(program.moves)),
        "MOVE_BITS": ceil_log2(max(1, len(program.moves))), "LANE_SUM_BITS": program.lane_sum_bits,
        "NORM": int(program.uses(Op.SQUARES, banked=False)),
        "HEAD_NORM": int(program.uses(Op.SQUARES, banked=True)),
        "MEAN": int(program.uses(Op.SUM)), "QUOTIENTS": int(program.uses(Op.QUOTIENT)),
        "LONGEST": max(1, norms.longest), "EPSILONS": max(1, len(norms.epsilons)),
        "EPSILON": f"{{{epsilons}}}", "ROPE": int(program.rope is not None),
        "ATTENTION": int(attention is not None), "HEADS": attention.heads if attention else 1,
        "KEY_HEADS": attention.key_heads if attention else 1,
        "HEAD_PARTS": attention.parts if attention else 1,
        "SINKS": int(bool(attention and attention.sinks)),
        "LAYERS": attention.layers if attention else 1,
        "ROUTER": int(experts is not None), "EXPERTS": experts.experts if experts else 1,
        "RANKS": experts.ranks if experts else 1,
        "SHARING": experts.sharing if experts else 1, "VOCABULARY": max(2, shape.vocabulary),
        "CONTEXT": shape.context, "SEQUENCES": shape.sequences, "TAG_BITS": TAG_BITS,
        "SIGNALS": int(shape.task is not None), "STREAM": int(shape.task == "stream"),
        "CLASSES": int(shape.task in (None, "classify")), "IN_BITS": shape.in_bits,
        "OUT_BITS": shape.out_bits, "ENDS": len(ends), "END_TOKENS": f"{{{end_words}}}",
        "ACTIVATION_BITS": shape.activation_bits, "ACTIVATION_BEATS": shape.activation_beats,
        "SUM_BITS": shape.sum_bits, "GROUPS": len(program.groups),
        "EXCHANGES": int(shape.chips > 1), "HERE_BITS": ceil_log2(shape.chips),
        "PLACE_BITS": place_bits(program), "EMBEDDING_BITS": beat_bits["embedding"],
        "PARAMETER_BITS": beat_bits["parameter"], "ROW_BITS": beat_bits["row"],
        "SUM_BEAT_BITS": beat_bits["sum"],
    }  # fmt: skip


def member_bits(program: Program) -> int:
    """Bits of an expert's number."""
    return ceil_log2(program.experts.experts) if program.experts else 1


def _embedding_beats(shape: ChipShape, program: Program) -> int:
    """Beats of a token's embedding, or of a position's numbers."""
    if program.embedding is None:
        return shape.beats(shape.inputs)
    [table] = [p for p in shape.network.parameters if p.name == program.embedding]
    return shape.beats(table.shape[1])


def _what(shape: ChipShape) -> str:
    match shape.task:
        case None:
            return "token ids in, token ids out"
        case "classify":
            return f"{shape.inputs} numbers a position in, a class out"
        case "regress" | "stream":
            return f"{shape.inputs} numbers a position in, {shape.vocabulary} out"


def _numbers(shape: ChipShape, beats: int) -> str:
    """A position's numbers where a token's embedding would be, zeros behind the last."""
    lanes = beats * shape.width
    pad = 32 * (lanes - shape.inputs)
    zeros = f"{{{pad}'d0, token}}" if pad else "token"
    return f"""
  logic [{beats - 1}:0][{32 * shape.width - 1}:0] numbers;
  logic [{32 * shape.width - 1}:0] embedding_word;
  assign numbers = {zeros};
  assign embedding_word = numbers[{"embedding_beat" if beats > 1 else "0"}];
""" + (
        ""
        if beats > 1
        else """  logic unused_embedding;
  assign unused_embedding = &embedding_beat;
"""
    )


def _embedding_place(shape: ChipShape, beats: int) -> str:
    bits = ceil_log2(shape.vocabulary * beats)
    return f"{bits}'(token) * {bits}'d{beats} + {bits}'(embedding_beat)"


def _nothing(name: str, bits: int, place: str) -> str:
    """Zeros where the program takes no word."""
    return f"""
  logic [{bits - 1}:0] {name}_word;
  logic unused_{name};
  assign {name}_word = '0;
  assign unused_{name} = &{place};
"""


def _store(name: str, words: int, bits: int, place: str) -> str:
    return f"""
  logic [{words - 1}:0][{bits - 1}:0] {name}_words;
  logic [{bits - 1}:0] {name}_word;
  stored_{name} stored_{name} (.words({name}_words));
  hnlpu_store #(
      .WORDS({words}),
      .BITS({bits})
  ) {name}_store (
      .place({place}),
      .words({name}_words),
      .word({name}_word)
  );
"""


def _arrays(shape: ChipShape, program: Program, units: Mapping[str, ArrayUnit]) -> str:
    """Every array: its activations by bit, then input, and its sums."""
    bits, inputs = shape.activation_bits, shape.activation_beats * shape.width
    bits_of_member = member_bits(program)
    ends = [one.blocks[1] * BLOCK for slices in shape.slices.values() for one in slices]
    longest = max(inputs, *ends, *(unit.shape.inputs for unit in units.values()))
    text = f"""
  // activations by bit, then input
  logic [{bits - 1}:0][{longest - 1}:0] planes;
  for (genvar n = 0; n < {bits}; n++) begin : g_plane
    for (genvar input_n = 0; input_n < {inputs}; input_n++) begin : g_input
      assign planes[n][input_n] = activations[input_n/{shape.width}][input_n%{shape.width}][n];
    end
"""
    if longest > inputs:  # blocks of 32 may end behind the last beat
        text += f"    assign planes[n][{longest - 1}:{inputs}] = '0;\n"
    text += "  end\n"
    if all(unit.shape.kind.bank <= 1 for unit in units.values()):
        text += "  logic unused_member;\n  assign unused_member = &member;\n"
    for group, matrices in enumerate(program.groups):
        valid = []
        for matrix in matrices:
            unit = units[matrix]
            one, name = unit.shape, unit.name
            x, y = f"x_{name}", f"y_{name}"
            chosen = member_of(shape, matrix, bits_of_member, one.member_bits)
            member = f"\n      .member({chosen})," if one.kind.bank > 1 else ""
            text += f"""
  logic [{one.activation_bits - 1}:0][{one.inputs - 1}:0] {x};
  logic [{one.neurons - 1}:0][{one.total_bits - 1}:0] {y};
  logic ready_{name};
  logic valid_{name};
  for (genvar n = 0; n < {one.activation_bits}; n++) begin : g_{x}
    assign {x}[n] = {activations_of(shape, matrix, one.inputs)};
  end
  top_{name} array_{name} (
      .clk(clk),
      .rst(rst),
      .in_valid(issue[{group}]),
      .in_ready(ready_{name}),{member}
      .x({x}),
      .out_valid(valid_{name}),
      .out_ready(free[{group}]),
      .y({y})
  );
`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && issue[{group}]) assert (ready_{name}) else $error("an array is asked too early");
  end
`endif
"""
            valid.append(f"valid_{name}")
        text += f"  assign done[{group}] = {' && '.join(valid)};\n"
    return text


def _sums(shape: ChipShape, program: Program, units: Mapping[str, ArrayUnit]) -> str:
    """Beats of sums: lanes without a row are zero."""
    text = f"\n  logic [{len(program.reads) - 1}:0][{shape.width - 1}:0][{shape.sum_bits - 1}:0] beats;\n"
    rows = {matrix.name: matrix.rows for matrix in shape.network.matrices}
    for matrix in sorted(shape.exchanged):
        unit = units[matrix]
        bits, name = unit.shape.total_bits, unit.name
        among = rows_among_all(shape, matrix, rows[matrix], bits, f"y_{name}")
        text += f"  logic [{rows[matrix] - 1}:0][{bits - 1}:0] all_{name};\n"
        text += f"  assign all_{name} = {among};\n"
    for place, read in enumerate(program.reads):
        unit = units[read.matrix]
        among = "all" if read.matrix in shape.exchanged else "y"
        row = f"{among}_{unit.name}[{read.first}+{read.step}*n]"
        wide = _cast(f"$signed({row})", unit.shape.total_bits, shape.sum_bits)
        text += f"""\
  for (genvar n = 0; n < {shape.width}; n++) begin : g_beat_{place}
    if (n < {read.count}) begin : g_row
      assign beats[{place}][n] = {wide};
    end else begin : g_none
      assign beats[{place}][n] = '0;
    end
  end
"""
    return f"{text}  assign sums = beats[sum_beat];\n"


def _cast(text: str, bits: int, to: int) -> str:
    """An expression of `bits` bits as one of `to` bits."""
    return text if bits == to else f"{to}'({text})"
