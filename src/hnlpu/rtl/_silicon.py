"""`ArrayShape` -> SystemVerilog of its silicon: files by name, the same for any weights.

    array ─┬─ control, bank register
           ├─ a tap generator per input       ──► trunk ──► metal ──► p
           └─ a neuron: bank selection ── counts of 32 ──► c ──► metal ──► q
                        ── second tree ── accumulator ──► y

Parts with parameters lie in `silicon/` of this package; counters and trees, whose adders depend
on how many bits they add, are written here.
"""

from __future__ import annotations

from importlib.resources import files

from hnlpu.embed import BLOCK
from hnlpu.rtl._adders import Adders, add_columns
from hnlpu.rtl._shape import COUNT_BITS, ArrayShape

TRUNKS = 14
"""Products that an input offers, in the order of codes 1 to 7 and 9 to 15."""


def silicon(shape: ArrayShape) -> dict[str, str]:
    """Text of every module of an array by file name, each file after those that it needs."""
    parts = ["full_adder", "half_adder", "tap_generator", "accumulator", "control"]
    if shape.kind.bank > 1:
        parts += ["bank_select", "bank_register"]
    texts = {f"hnlpu_{name}.sv": part(f"hnlpu_{name}") for name in parts}
    for name, text in (
        _count(shape),
        *([_tree(shape)] if shape.column_bits else []),
        _neuron(shape),
        _array(shape),
    ):
        texts[f"{name}.sv"] = text
    return texts


def part(name: str) -> str:
    """Text of a module that has parameters only."""
    return (files("hnlpu.rtl") / "silicon" / f"{name}.sv").read_text(encoding="utf-8")


def count_name(shape: ArrayShape) -> str:
    """Module that counts ports: of a block, or of all where blocks have no scales."""
    return f"hnlpu_count_{BLOCK if shape.column_bits else BLOCK * shape.entries}"


def tree_name(shape: ArrayShape) -> str:
    """Module that adds the counts of a neuron's blocks."""
    return f"hnlpu_tree_{shape.entries}x{shape.column_bits}_{shape.sum_bits}"


def array_name(shape: ArrayShape) -> str:
    """Module of the whole array."""
    return f"hnlpu_array_{shape.name}"


def _count(shape: ArrayShape) -> tuple[str, str]:
    inputs = BLOCK if shape.column_bits else BLOCK * shape.entries
    bits = inputs.bit_length()
    adders = add_columns([[f"ports[{n}]" for n in range(inputs)]], bits)
    assert not adders.spilled
    name = count_name(shape)
    return (
        name,
        f"""\
// Count of {inputs} ports: {adders.full} full and {adders.half} half adders.
//
// Latency  combinational
// Numbers  ports: one bit each; total: {bits} bits, unsigned, 0 to {inputs}
module {name} #(
    parameter int LANES = 1
) (
    input  logic [{inputs - 1}:0][LANES-1:0] ports,
    output logic [{bits - 1}:0][LANES-1:0] total
);
{adders.text}
  assign total = {{{", ".join(reversed(adders.sum))}}};
endmodule
""",
    )


def _tree(shape: ArrayShape) -> tuple[str, str]:
    entries, width, bits = shape.entries, shape.column_bits, shape.sum_bits
    adders = add_columns(
        [[f"entries[{n}][{j}]" for n in range(entries)] for j in range(width)], bits
    )
    name = tree_name(shape)
    return (
        name,
        f"""\
// Second tree: the sum of {entries} counts, each at the column of its block's exponent.
// {adders.full} full and {adders.half} half adders.
//
// Latency  combinational
// Numbers  entries: {width} bits, unsigned, a count of at most {BLOCK} times 2^shift
//          total: {bits} bits, unsigned, at most {shape.largest_sum}
module {name} #(
    parameter int LANES = 1
) (
{_clock_of(adders)}    input  logic [{entries - 1}:0][{width - 1}:0][LANES-1:0] entries,
    output logic [{bits - 1}:0][LANES-1:0] total
);
{adders.text}
  assign total = {{{", ".join(reversed(adders.sum))}}};
{_no_spill(adders)}endmodule
""",
    )


def _clock_of(adders: Adders) -> str:
    """Ports that the assertion needs: counts are settled while a step is taken."""
    if not adders.spilled:
        return ""
    return "    input  logic clk,\n    input  logic step,\n"


def _no_spill(adders: Adders) -> str:
    if not adders.spilled:
        return ""
    return f"""
`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (step) assert (({" | ".join(adders.spilled)}) == '0) else $error("a tree overflows");
  end
`endif
"""


def _neuron(shape: ArrayShape) -> tuple[str, str]:
    kind, inputs, rows = shape.kind, shape.inputs, shape.kind.rows_per_neuron
    name = f"hnlpu_neuron_{shape.neuron_name}"
    active = f"    input  logic [{kind.bank - 1}:0] active,\n" if kind.bank > 1 else ""
    scales = _scale_ports(rows, shape, "    ") if shape.column_bits else ""
    body = _selected("port", "p", shape, BLOCK)
    body += _scaled_sum(shape) if shape.column_bits else _plain_sum(shape)
    return (
        name,
        f"""\
// Neuron: {kind.digits} digit(s) a weight, {kind.bank} member(s), {shape.blocks} blocks of {BLOCK} inputs.
//
//     p -> active member -> count of every {BLOCK} ports -> c -> metal -> q -> active member
//       -> second tree -> accumulator -> y
//
// Latency  y is complete after the step with `last`: {shape.steps} steps a product
// Numbers  p: one bit of a product each; c: counts, {COUNT_BITS} bits, unsigned
//          q: counts times 2^shift, {shape.column_bits} bits, unsigned (none: blocks have no scales)
//          y: {shape.total_bits} bits, two's complement, in units of the row
// Rows of metal are member * {kind.digits} + digit.
module {name} #(
    parameter int LANES = 1
) (
    input  logic clk,
    input  logic step,
    input  logic first,
    input  logic last,
{active}    input  logic [{rows - 1}:0][{inputs - 1}:0][LANES-1:0] p,
{scales}    output logic [{shape.total_bits - 1}:0][LANES-1:0] y
);
{body}
  hnlpu_accumulator #(
      .LANES(LANES),
      .SUM_BITS({shape.sum_bits}),
      .HIGH_BITS({shape.high_bits}),
      .STEPS({shape.steps})
  ) accumulator (
      .clk(clk),
      .step(step),
      .first(first),
      .last(last),
      .sum(sum),
      .total(y)
  );
endmodule
""",
    )


def _scale_ports(rows: int, shape: ArrayShape, indent: str) -> str:
    """Ports to and from scale cells of `rows` rows."""
    of_rows = f"[{rows - 1}:0][{shape.blocks - 1}:0]"
    return (
        f"{indent}output logic {of_rows}[{COUNT_BITS - 1}:0][LANES-1:0] c,\n"
        f"{indent}input  logic {of_rows}[{shape.column_bits - 1}:0][LANES-1:0] q,\n"
    )


def _selected(name: str, pins: str, shape: ArrayShape, width: int) -> str:
    """Per digit `NAME_d`: of every block, the `width` bits of the active member's row of `pins`."""
    kind, text = shape.kind, ""
    total = shape.blocks * width
    of_block = f"[block*{BLOCK}+:{BLOCK}]" if pins == "p" else "[block]"
    for digit in range(kind.digits):
        text += f"  logic [{total - 1}:0][LANES-1:0] {name}_{digit};\n"
        if kind.bank == 1:
            text += f"  assign {name}_{digit} = {pins}[{digit}];\n"
            continue
        text += f"""\
  for (genvar block = 0; block < {shape.blocks}; block++) begin : g_{name}_{digit}
    logic [{kind.bank * width}*LANES-1:0] offered;
    for (genvar member = 0; member < {kind.bank}; member++) begin : g_member
      assign offered[member*{width}*LANES+:{width}*LANES] = {pins}[member*{kind.digits}+{digit}]{of_block};
    end
    hnlpu_bank_select #(
        .LANES(LANES),
        .BANK({kind.bank}),
        .WIDTH({width})
    ) select (
        .active(active),
        .offered(offered),
        .selected({name}_{digit}[block*{width}+:{width}])
    );
  end
"""
    return text


def _plain_sum(shape: ArrayShape) -> str:
    """One count over all ports."""
    ports = ", ".join(f"port_{digit}" for digit in reversed(range(shape.kind.digits)))
    return f"""
  logic [{shape.sum_bits - 1}:0][LANES-1:0] sum;
  {count_name(shape)} #(.LANES(LANES)) count (.ports({{{ports}}}), .total(sum));
"""


def _scaled_sum(shape: ArrayShape) -> str:
    """Counts of blocks out to the scale cells; what comes back goes into the second tree."""
    kind, blocks = shape.kind, shape.blocks
    text = (
        f"\n  logic [{kind.digits - 1}:0][{blocks - 1}:0][{COUNT_BITS - 1}:0][LANES-1:0] counts;\n"
    )
    for digit in range(kind.digits):
        text += f"""\
  for (genvar block = 0; block < {blocks}; block++) begin : g_count_{digit}
    {count_name(shape)} #(.LANES(LANES)) count (
        .ports(port_{digit}[block*{BLOCK}+:{BLOCK}]),
        .total(counts[{digit}][block])
    );
  end
"""
    text += f"  assign c = {{{kind.bank}{{counts}}}};\n\n"
    text += _selected("column", "q", shape, shape.column_bits)
    entries = ", ".join(f"column_{digit}" for digit in reversed(range(kind.digits)))
    clock = ".clk(clk), .step(step), " if "input  logic clk" in _tree(shape)[1] else ""
    return (
        text
        + f"""
  logic [{shape.sum_bits - 1}:0][LANES-1:0] sum;
  {tree_name(shape)} #(.LANES(LANES)) tree ({clock}.entries({{{entries}}}), .total(sum));
"""
    )


def _array(shape: ArrayShape) -> tuple[str, str]:
    kind, rows, name = shape.kind, shape.rows, array_name(shape)
    member, register, active = "", "", ""
    if kind.bank > 1:
        member = f"    input  logic [{shape.member_bits - 1}:0] member,\n"
        active = "        .active(active),\n"
        register = f"""\
  logic [{kind.bank - 1}:0] active;
  hnlpu_bank_register #(
      .BANK({kind.bank})
  ) bank_register (
      .clk(clk),
      .rst(rst),
      .load(load),
      .member(member),
      .active(active)
  );

"""
    scales = _scale_ports(rows, shape, "    ") if shape.column_bits else ""
    of_neuron = f"neuron*{kind.rows_per_neuron}+:{kind.rows_per_neuron}"
    scale_pins = f"        .c(c[{of_neuron}]),\n        .q(q[{of_neuron}]),\n" if scales else ""
    return (
        name,
        f"""\
// Array: {shape.neurons} neurons over {shape.inputs} activations of {shape.activation_bits} bits.
// The silicon ends at `trunk`, `p`, `c` and `q`: metal (wiring/) joins them, and is the weights.
//
// Latency  y is offered {shape.steps + 1} cycles after its vector was taken; a vector every {shape.steps} cycles
// Numbers  x: by bit, then input, two's complement; y: {shape.total_bits} bits, two's complement, in units of the row
//          trunk: 14 products, by product, then input; see hnlpu_tap_generator.sv
//          p, c, q: by row of metal, (neuron * {kind.bank} + member) * {kind.digits} + digit
// Handshakes: a vector is taken where in_valid and in_ready are one, y where out_valid and out_ready are.
module {name} #(
    parameter int LANES = 1
) (
    input  logic clk,
    input  logic rst,
    input  logic in_valid,
    output logic in_ready,
{member}    input  logic [{shape.activation_bits - 1}:0][{shape.inputs - 1}:0][LANES-1:0] x,
    output logic out_valid,
    input  logic out_ready,
    output logic [{shape.neurons - 1}:0][{shape.total_bits - 1}:0][LANES-1:0] y,
{scales}    output logic [{TRUNKS - 1}:0][{shape.inputs - 1}:0][LANES-1:0] trunk,
    input  logic [{rows - 1}:0][{shape.inputs - 1}:0][LANES-1:0] p
);
  logic load;
  logic step;
  logic first;
  logic last;

  hnlpu_control #(
      .STEPS({shape.steps})
  ) control (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .load(load),
      .step(step),
      .first(first),
      .last(last)
  );

{register}  // one generator an input: each has lanes of its own
  hnlpu_tap_generator #(
      .LANES({shape.inputs} * LANES),
      .ACTIVATION_BITS({shape.activation_bits})
  ) tap_generators (
      .clk(clk),
      .load(load),
      .step(step),
      .x(x),
      .tap(trunk)
  );

  for (genvar neuron = 0; neuron < {shape.neurons}; neuron++) begin : g_neuron
    hnlpu_neuron_{shape.neuron_name} #(
        .LANES(LANES)
    ) one (
        .clk(clk),
        .step(step),
        .first(first),
        .last(last),
{active}        .p(p[{of_neuron}]),
{scale_pins}        .y(y[neuron])
    );
  end
endmodule
""",
    )
