"""`FoldedShape` -> SystemVerilog of a folded taps array's silicon; metal is that of the array unfolded.

    array ─┬─ control with phases, bank register
           ├─ a tap generator and a gate per input, open in its phase  ──► trunk ──► metal ──► p
           └─ a neuron: ports of all phases as one ── bank selection ── counts ──► c ──► metal ──► q
                        ── phase and bank selection ── second tree ── accumulator ──► y

Trunks out of turn are zero, so the ports of all phases meet in an OR: no port has an enable.
"""

from __future__ import annotations

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.rtl._folded_shape import FoldedShape
from hnlpu.silicon.rtl._modules import (
    Tree,
    array_module,
    array_name,
    control_of,
    count_module,
    lanes_of,
    neuron_module,
    part,
    selected,
    tree_module,
)
from hnlpu.silicon.rtl._shape import COUNT_BITS
from hnlpu.silicon.rtl._silicon import TRUNKS, taps_buses


def folded_silicon(shape: FoldedShape) -> dict[str, str]:
    """Text of every module of an array by file name, each file after those that it needs."""
    parts = ["full_adder", "half_adder", "tap_generator", "phase_gate", "phase_merge",
             "folded_accumulator", "folded_control"]  # fmt: skip
    if shape.kind.bank > 1 or shape.column_bits:
        parts.append("bank_select")
    if shape.kind.bank > 1:
        parts.append("bank_register")
    texts = {f"hnlpu_{name}.sv": part(f"hnlpu_{name}") for name in parts}
    tree = _tree(shape) if shape.column_bits else None
    for name, text in (
        count_module(counted(shape)),
        *([(tree.name, tree.text)] if tree else []),
        _neuron(shape, tree),
        (array_name(shape), _array(shape)),
    ):
        texts[f"{name}.sv"] = text
    return texts


def counted(shape: FoldedShape) -> int:
    """Ports that are counted together in a phase."""
    alone = shape.places * shape.kind.digits
    return shape.width if shape.column_bits else shape.width * alone


def folded_tree_name(shape: FoldedShape) -> str:
    """Module that adds the counts of a phase."""
    return f"hnlpu_tree_{_entries(shape)}x{shape.column_bits}_{shape.phase_sum_bits}_{shape.width}"


def _entries(shape: FoldedShape) -> int:
    return shape.places * shape.kind.digits


def _tree(shape: FoldedShape) -> Tree:
    return tree_module(
        folded_tree_name(shape), _entries(shape), shape.column_bits, shape.phase_sum_bits,
        _entries(shape) * shape.width << shape.kind.scale_range,
        f"Second tree: the sum of {_entries(shape)} counts, each at the column of its block's exponent.",
        f"a count of at most {shape.width} times 2^shift",
    )  # fmt: skip


def _neuron(shape: FoldedShape, tree: Tree | None) -> tuple[str, str]:
    kind = shape.kind
    ports = ",\n".join(
        bus.port(kind.rows_per_neuron, (shape.blocks,), silicon=True)
        for bus in taps_buses(shape)
        if bus.by_row
    )
    turns = f"    input  logic [{shape.turns - 1}:0] turn,\n" if tree else ""
    header = f"""\
// Neuron: {kind.digits} digit(s) a weight, {kind.bank} member(s), {shape.blocks} blocks of {BLOCK} inputs in {shape.fold} phases.
//
//     p -> all phases as one -> active member -> count of every {shape.width} ports -> c -> metal -> q
//       -> this phase's -> active member -> second tree -> accumulator -> y
//
// Latency  y is complete after the last phase with `last`: {shape.steps} cycles a product
// Numbers  p: one bit of a product each, zero out of turn; c: counts, {COUNT_BITS} bits, unsigned
//          q: counts times 2^shift, {shape.column_bits} bits, unsigned (none: blocks have no scales)
//          y: {shape.total_bits} bits, two's complement, in units of the row
// Rows of metal are member * {kind.digits} + digit."""
    body = _merged(shape)
    body += selected("port", "merged", kind, shape.places, shape.width)
    body += _scaled_sum(shape, tree) if tree else _plain_sum(shape)
    body += f"""
  hnlpu_folded_accumulator #(
      .LANES(LANES),
      .SUM_BITS({shape.phase_sum_bits}),
      .HIGH_BITS({shape.high_bits}),
      .STEPS({shape.bits_a_product})
  ) accumulator (
      .clk(clk),
      .step(step),
      .fresh(fresh),
      .first(first),
      .last(last),
      .sum(sum),
      .total(y)
  );
"""
    return neuron_module(shape, header, f"    input  logic fresh,\n{turns}{ports},\n", body)


def _merged(shape: FoldedShape) -> str:
    """`merged` [rows][ports of a phase]: what any phase has."""
    rows, ports = shape.kind.rows_per_neuron, shape.places * shape.width
    unused = shape.fold * ports - shape.inputs
    behind = f"{{{unused}*LANES{{1'b0}}}}, " if unused else ""
    return f"""\
  logic [{rows - 1}:0][{ports - 1}:0][LANES-1:0] merged;
  for (genvar row = 0; row < {rows}; row++) begin : g_merged
    logic [{shape.fold * ports}*LANES-1:0] offered;
    assign offered = {{{behind}p[row]}};
    hnlpu_phase_merge #(
        .LANES(LANES),
        .FOLD({shape.fold}),
        .WIDTH({ports})
    ) merge (
        .offered(offered),
        .merged(merged[row])
    );
  end
"""


def _plain_sum(shape: FoldedShape) -> str:
    """One count over the ports of a phase."""
    ports = ", ".join(f"port_{digit}" for digit in reversed(range(shape.kind.digits)))
    bits = counted(shape).bit_length()
    return f"""
  logic [{bits - 1}:0][LANES-1:0] sum;
  hnlpu_count_{counted(shape)} #(.LANES(LANES)) count (.ports({{{ports}}}), .total(sum));
"""


def _scaled_sum(shape: FoldedShape, tree: Tree) -> str:
    """Counts out to the scale cells of their block in each phase; its columns come back."""
    kind, places, width = shape.kind, shape.places, shape.width
    rows, bits, columns = kind.rows_per_neuron, width.bit_length(), shape.column_bits
    text = (
        f"\n  logic [{kind.digits - 1}:0][{places - 1}:0][{COUNT_BITS - 1}:0][LANES-1:0] counts;\n"
    )
    for digit in range(kind.digits):
        above = f"{{{COUNT_BITS - bits}*LANES{{1'b0}}}}, " if bits < COUNT_BITS else ""
        text += f"""\
  for (genvar place = 0; place < {places}; place++) begin : g_count_{digit}
    logic [{bits}*LANES-1:0] total;
    assign counts[{digit}][place] = {{{above}total}};
    hnlpu_count_{counted(shape)} #(.LANES(LANES)) count (
        .ports(port_{digit}[{lanes_of("place", width)}]),
        .total(total)
    );
  end
"""
    text += f"""\
  logic [{rows - 1}:0][{places - 1}:0][{columns - 1}:0][LANES-1:0] columns;
  for (genvar row = 0; row < {rows}; row++) begin : g_columns
    for (genvar block = 0; block < {shape.blocks}; block++) begin : g_block
      assign c[row][block] = counts[row%{kind.digits}][block%{places}];
    end
    for (genvar place = 0; place < {places}; place++) begin : g_place
      logic [{shape.turns * columns}*LANES-1:0] offered;
      for (genvar n = 0; n < {shape.turns}; n++) begin : g_turn
        if (n * {places} + place < {shape.blocks}) begin : g_there
          assign offered[n*{columns}*LANES+:{columns}*LANES] = q[row][n*{places}+place];
        end else begin : g_none
          assign offered[n*{columns}*LANES+:{columns}*LANES] = '0;
        end
      end
      hnlpu_bank_select #(
          .LANES(LANES),
          .BANK({shape.turns}),
          .WIDTH({columns})
      ) select (
          .active(turn),
          .offered(offered),
          .selected(columns[row][place])
      );
    end
  end

"""
    text += selected("column", "columns", kind, places, columns)
    entries = ", ".join(f"column_{digit}" for digit in reversed(range(kind.digits)))
    text += f"\n  logic [{shape.phase_sum_bits - 1}:0][LANES-1:0] sum;\n"
    return text + tree.instance(f"{{{entries}}}")


def _array(shape: FoldedShape) -> str:
    kind = shape.kind
    notes = f"""\
//          trunk: 14 products, by product, then input, zero but in the phase of the input;
//                 see hnlpu_tap_generator.sv
//          p, c, q: by row of metal, (neuron * {kind.bank} + member) * {kind.digits} + digit"""
    ports = shape.places * shape.width
    of_slice = f"(n*{shape.inputs}+slice*{ports})*LANES+:Inputs*LANES"
    stage = f"""\
  logic [{TRUNKS * shape.inputs}*LANES-1:0] tap, trunks;
  assign trunk = trunks;
  // one generator an input: each has lanes of its own
  hnlpu_tap_generator #(
      .LANES({shape.inputs} * LANES),
      .ACTIVATION_BITS({shape.activation_bits})
  ) tap_generators (
      .clk(clk),
      .load(load),
      .step(advance),
      .x(x),
      .tap(tap)
  );
  for (genvar slice = 0; slice < {-(-shape.inputs // ports)}; slice++) begin : g_slice
    localparam int Inputs = slice * {ports} + {ports} < {shape.inputs} ? {ports} : {shape.inputs} - slice * {ports};
    for (genvar n = 0; n < {TRUNKS}; n++) begin : g_trunk
      hnlpu_phase_gate #(
          .LANES(Inputs * LANES)
      ) gate (
          .turn(phase[slice]),
          .tap(tap[{of_slice}]),
          .trunk(trunks[{of_slice}])
      );
    end
  end
"""
    turns: tuple[str, ...] = ()
    if shape.column_bits:
        turns, parts = ("turn",), BLOCK // shape.width
        stage += f"""\
  logic [{shape.turns - 1}:0] turn;
  for (genvar n = 0; n < {shape.turns}; n++) begin : g_block
    assign turn[n] = |phase[n*{parts}+:{parts}];
  end
"""
    return array_module(
        array_name(shape), shape, (shape.blocks,), taps_buses(shape), notes, stage,
        control_of(
            "hnlpu_folded_control", {"STEPS": shape.bits_a_product, "FOLD": shape.fold},
            {"fresh": "", "advance": "", "phase": f"[{shape.fold - 1}:0]"}, ("fresh", *turns),
        ),
    )  # fmt: skip
