"""`RegionsShape` -> SystemVerilog of a regions array's silicon: files by name, the same for any weights.

    array ─┬─ control, bank register
           ├─ a serial input each               ──► trunk ──► metal ──► p;  metal ──► t
           └─ a neuron: bank selection ── groups ── tree ── accumulator ──► y

    group      p ──► count of g ──► times 1 or 3 ──► sign ──► shift ──► entry
               t ──────────────────────┴──────────────┴─────────┘

A negative entry is the complement of all its bits: 2^W - 1 - v for v.  With n negative groups a step's
sum is n (2^W - 1) too large, in every step alike, and the weights of the steps, 1, 2, 4 ... and
-2^A for the last, have the sum -1.  So one more n (2^W - 1) corrects a product.  It is what the groups
give where all trunks are zero: a first step of zeros, whose sum the accumulator takes twice, leaves
two times the product, and costs one cycle and no adder.
"""

from __future__ import annotations

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.rtl._adders import add_columns
from hnlpu.silicon.rtl._modules import (
    Bus,
    Tree,
    accumulator,
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
from hnlpu.silicon.rtl._regions_shape import RegionsShape


def regions_silicon(shape: RegionsShape) -> dict[str, str]:
    """Text of every module of an array by file name, each file after those that it needs."""
    parts = ["full_adder", "half_adder", "serial_input", "accumulator", "control"]
    if shape.kind.bank > 1:
        parts += ["bank_select", "bank_register"]
    texts = {f"hnlpu_{name}.sv": part(f"hnlpu_{name}") for name in parts}
    tree = _tree(shape)
    for name, text in (
        count_module(shape.kind.group),
        (group_name(shape), _group(shape)),
        (tree.name, tree.text),
        _neuron(shape, tree),
        (array_name(shape), _array(shape)),
    ):
        texts[f"{name}.sv"] = text
    return texts


def regions_buses(shape: RegionsShape) -> tuple[Bus, ...]:
    """Trunks, ports and ties by group."""
    kind, rows = shape.kind, shape.rows
    return (
        Bus("trunk", True, 0, False, lambda blocks: BLOCK * blocks),
        Bus("p", False, rows, True, shape.groups_in, kind.group),
        Bus("t", False, rows, True, shape.groups_in, shape.ties),
    )


def group_name(shape: RegionsShape) -> str:
    """Module of a group of ports."""
    return f"hnlpu_group_{shape.kind.group}_r{shape.kind.scale_range}"


def regions_tree_name(shape: RegionsShape) -> str:
    """Module that adds the entries of a neuron's groups."""
    return f"hnlpu_group_tree_{shape.entries}x{shape.entry_bits}_{shape.sum_bits}"


def _tree(shape: RegionsShape) -> Tree:
    return tree_module(
        regions_tree_name(shape), shape.entries, shape.entry_bits, shape.sum_bits,
        shape.largest_sum, f"Tree: the sum of {shape.entries} entries of groups.",
        "a value or its complement",
    )  # fmt: skip


def _group(shape: RegionsShape) -> str:
    """A group: whatever value metal gives it."""
    group, ties, width = shape.kind.group, shape.ties, shape.entry_bits
    count_bits, bits = group.bit_length(), shape.largest_multiple.bit_length()
    columns = [
        [f"count[{j}]"] * (j < count_bits) + [f"doubled[{j - 1}]"] * (j > 0)
        for j in range(count_bits + 1)
    ]
    adders = add_columns(columns, bits - 1)
    # no multiple has a carry out of the top column, so at most one of its bits is one
    multiple = [" | ".join(adders.spilled), *reversed(adders.sum)]
    lines, before = "", [f"signed_multiple[{j}]" for j in range(bits)]
    for stage in range(ties - 2):
        tie, step = stage + 2, 1 << stage
        size = min(len(before) + step, width)
        lines += f"\n  logic [{size - 1}:0][LANES-1:0] shifted_{stage};\n"
        for j in range(size):
            kept = before[j] if j < len(before) else "ties[0]"
            moved = before[j - step] if step <= j < len(before) + step else "ties[0]"
            lines += f"  assign shifted_{stage}[{j}] = ({moved} & ties[{tie}]) | ({kept} & ~ties[{tie}]);\n"
        before = [f"shifted_{stage}[{j}]" for j in range(size)]
    return f"""\
// Group: the count of {group} ports times the value that its ties spell.
// {adders.full} full and {adders.half} half adders beside those of the count.
//
//     ties[0]      sign: the entry is the complement of all its bits
//     ties[1]      odd part: three times the count
//     ties[2..{ties - 1}]   shift, at most {shape.kind.scale_range + 3}, of an odd part of 3 at most {shape.kind.scale_range + 2}
//
// Latency  combinational
// Numbers  ports: one bit each; ties: constants
//          entry: {width} bits, unsigned, v or {(1 << width) - 1} - v for v = odd * count * 2^shift
module {group_name(shape)} #(
    parameter int LANES = 1
) (
    input  logic [{group - 1}:0][LANES-1:0] ports,
    input  logic [{ties - 1}:0][LANES-1:0] ties,
    output logic [{width - 1}:0][LANES-1:0] entry
);
  logic [{count_bits - 1}:0][LANES-1:0] count;
  logic [{count_bits - 1}:0][LANES-1:0] doubled;
  logic [{bits - 1}:0][LANES-1:0] multiple;
  logic [{bits - 1}:0][LANES-1:0] signed_multiple;

  hnlpu_count_{group} #(.LANES(LANES)) of_ports (.ports(ports), .total(count));
  assign doubled = count & {{{count_bits}{{ties[1]}}}};
{adders.text}
  assign multiple = {{{", ".join(multiple)}}};
  assign signed_multiple = multiple ^ {{{bits}{{ties[0]}}}};
{lines}
  assign entry = {{{", ".join(reversed(before))}}};
endmodule
"""


def _neuron(shape: RegionsShape, tree: Tree) -> tuple[str, str]:
    kind, groups = shape.kind, shape.groups
    pins = ",\n".join(
        bus.port(kind.rows_per_neuron, shape.tiles, silicon=True)
        for bus in regions_buses(shape)
        if bus.by_row
    )
    header = f"""\
// Neuron: {kind.digits} digit(s) a weight, {kind.bank} member(s), {groups} groups of {kind.group} ports a row of metal.
//
//     p, t -> active member -> groups -> tree -> accumulator -> y
//
// Latency  y is complete after the step with `last`: {shape.steps} steps a product, the first with all p zero
// Numbers  p: one bit of an activation each; t: constants of the metal, see {group_name(shape)}.sv
//          y: {shape.total_bits} bits, two's complement, in units of the row
// Rows of metal are member * {kind.digits} + digit."""
    body = selected("port", "p", kind, groups, kind.group)
    body += selected("tie", "t", kind, groups, shape.ties)
    body += (
        f"\n  logic [{shape.entries - 1}:0][{shape.entry_bits - 1}:0][LANES-1:0] entries;\n"
        f"  logic [{shape.sum_bits - 1}:0][LANES-1:0] sum;\n"
    )
    for digit in range(kind.digits):
        body += f"""\
  for (genvar group = 0; group < {groups}; group++) begin : g_group_{digit}
    {group_name(shape)} #(
        .LANES(LANES)
    ) one (
        .ports(port_{digit}[{lanes_of("group", kind.group)}]),
        .ties(tie_{digit}[{lanes_of("group", shape.ties)}]),
        .entry(entries[{digit * groups}+group])
    );
  end
"""
    body += tree.instance("entries")
    # the bit that the first step leaves is always zero, and falls out
    body += accumulator(accumulator_widths(shape))
    return neuron_module(shape, header, f"{pins},\n", body)


def accumulator_widths(shape: RegionsShape) -> dict[str, int]:
    """Parameters of a neuron's accumulator."""
    return {
        "SUM_BITS": shape.sum_bits, "HIGH_BITS": shape.high_bits,
        "STEPS": shape.activation_bits, "FIRST_TWICE": 1,
    }  # fmt: skip


def _array(shape: RegionsShape) -> str:
    kind = shape.kind
    notes = f"""\
//          trunk: one bit of an input, see hnlpu_serial_input.sv
//          p, t: by row of metal, (neuron * {kind.bank} + member) * {kind.digits} + digit, then group"""
    stage = f"""\
  // one an input: each has lanes of its own
  hnlpu_serial_input #(
      .LANES({shape.inputs} * LANES),
      .ACTIVATION_BITS({shape.activation_bits})
  ) serial_inputs (
      .clk(clk),
      .load(load),
      .step(step),
      .first(first),
      .x(x),
      .trunk(trunk)
  );
"""
    return array_module(
        array_name(shape), shape, shape.tiles, regions_buses(shape), notes, stage,
        control_of("hnlpu_control", {"STEPS": shape.steps}, {}),
    )  # fmt: skip
