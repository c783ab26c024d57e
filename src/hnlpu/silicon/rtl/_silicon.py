"""`ArrayShape` -> SystemVerilog of a taps array's silicon: files by name, the same for any weights.

    array ─┬─ control, bank register
           ├─ a tap generator per input       ──► trunk ──► metal ──► p
           └─ a neuron: bank selection ── counts of 32 ──► c ──► metal ──► q
                        ── second tree ── accumulator ──► y

Parts with parameters lie in `silicon/` of this package; counters and trees, whose adders depend
on how many bits they add, are written here.
"""

from __future__ import annotations

from hnlpu.arithmetic.mx import BLOCK
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
from hnlpu.silicon.rtl._shape import COUNT_BITS, ArrayShape
from hnlpu.silicon.rtl._tap_generator import tap_generator, tap_generator_name

TRUNKS = 14
"""Products that an input offers of E2M1, in the order of its codes."""


def taps_silicon(shape: ArrayShape) -> dict[str, str]:
    """Text of every module of an array by file name, each file after those that it needs."""
    parts = ["full_adder", "half_adder", "tap_generator", "accumulator", "control"]
    if shape.kind.bank > 1:
        parts += ["bank_select", "bank_register"]
    texts = {f"hnlpu_{name}.sv": part(f"hnlpu_{name}") for name in parts if name != "tap_generator"}
    texts = {
        **{name: text for name, text in texts.items() if "adder" in name},
        f"{tap_generator_name(shape)}.sv": tap_generator(shape),
        **{name: text for name, text in texts.items() if "adder" not in name},
    }
    tree = _tree(shape) if shape.column_bits else None
    for name, text in (
        count_module(counted(shape)),
        *([(tree.name, tree.text)] if tree else []),
        _neuron(shape, tree),
        (array_name(shape), _array(shape)),
    ):
        texts[f"{name}.sv"] = text
    return texts


def taps_buses(shape: ArrayShape) -> tuple[Bus, ...]:
    """Counts and columns where blocks have scales, trunks, ports."""
    rows = shape.rows
    scales = (
        Bus("c", True, rows, True, lambda blocks: blocks, COUNT_BITS),
        Bus("q", False, rows, True, lambda blocks: blocks, shape.column_bits),
    )
    return (
        *(scales if shape.column_bits else ()),
        Bus("trunk", True, shape.trunks, False, lambda blocks: BLOCK * blocks),
        Bus("p", False, rows, True, lambda blocks: BLOCK * blocks),
    )


def counted(shape: ArrayShape) -> int:
    """Ports that are counted together: of a block, or all where blocks have no scales."""
    return BLOCK if shape.column_bits else BLOCK * shape.entries


def tree_name(shape: ArrayShape) -> str:
    """Module that adds the counts of a neuron's blocks."""
    return f"hnlpu_tree_{shape.entries}x{shape.column_bits}_{shape.sum_bits}"


def _tree(shape: ArrayShape) -> Tree:
    return tree_module(
        tree_name(shape), shape.entries, shape.column_bits, shape.sum_bits, shape.largest_sum,
        f"Second tree: the sum of {shape.entries} counts, each at the column of its block's exponent.",
        f"a count of at most {BLOCK} times 2^shift",
    )  # fmt: skip


def _neuron(shape: ArrayShape, tree: Tree | None) -> tuple[str, str]:
    kind, tiles = shape.kind, (shape.blocks,)
    pins = ",\n".join(
        bus.port(kind.rows_per_neuron, tiles, silicon=True)
        for bus in taps_buses(shape)
        if bus.by_row
    )
    header = f"""\
// Neuron: {kind.digits} digit(s) a weight, {kind.bank} member(s), {shape.blocks} blocks of {BLOCK} inputs.
//
//     p -> active member -> count of every {BLOCK} ports -> c -> metal -> q -> active member
//       -> second tree -> accumulator -> y
//
// Latency  y is complete after the step with `last`: {shape.steps} steps a product
// Numbers  p: one bit of a product each; c: counts, {COUNT_BITS} bits, unsigned
//          q: counts times 2^shift, {shape.column_bits} bits, unsigned (none: blocks have no scales)
//          y: {shape.total_bits} bits, two's complement, in units of the row
// Rows of metal are member * {kind.digits} + digit."""
    body = selected("port", "p", kind, shape.blocks, BLOCK)
    body += _scaled_sum(shape, tree) if tree else _plain_sum(shape)
    body += accumulator(
        {"SUM_BITS": shape.sum_bits, "HIGH_BITS": shape.high_bits, "STEPS": shape.steps}
    )
    return neuron_module(shape, header, f"{pins},\n", body)


def _plain_sum(shape: ArrayShape) -> str:
    """One count over all ports."""
    ports = ", ".join(f"port_{digit}" for digit in reversed(range(shape.kind.digits)))
    return f"""
  logic [{shape.sum_bits - 1}:0][LANES-1:0] sum;
  hnlpu_count_{counted(shape)} #(.LANES(LANES)) count (.ports({{{ports}}}), .total(sum));
"""


def _scaled_sum(shape: ArrayShape, tree: Tree) -> str:
    """Counts of blocks out to the scale cells; what comes back goes into the second tree."""
    kind, blocks = shape.kind, shape.blocks
    text = (
        f"\n  logic [{kind.digits - 1}:0][{blocks - 1}:0][{COUNT_BITS - 1}:0][LANES-1:0] counts;\n"
    )
    for digit in range(kind.digits):
        text += f"""\
  for (genvar block = 0; block < {blocks}; block++) begin : g_count_{digit}
    hnlpu_count_{counted(shape)} #(.LANES(LANES)) count (
        .ports(port_{digit}[{lanes_of("block", BLOCK)}]),
        .total(counts[{digit}][block])
    );
  end
"""
    text += f"  assign c = {{{kind.bank}{{counts}}}};\n\n"
    text += selected("column", "q", kind, blocks, shape.column_bits)
    entries = ", ".join(f"column_{digit}" for digit in reversed(range(kind.digits)))
    text += f"\n  logic [{shape.sum_bits - 1}:0][LANES-1:0] sum;\n"
    return text + tree.instance(f"{{{entries}}}")


_SPLIT = """\
  // neighbours share a port: the even inputs and the odd ones
  logic [{last_bit}:0][{last_port}:0][LANES-1:0] x_even;
  logic [{last_bit}:0][{last_port}:0][LANES-1:0] x_odd;
  for (genvar place = 0; place < {bits}; place++) begin : g_place
    for (genvar port = 0; port < {ports}; port++) begin : g_port
      assign x_even[place][port] = x[place][2*port];
      assign x_odd[place][port] = x[place][2*port+1];
    end
  end

"""


def _array(shape: ArrayShape) -> str:
    kind = shape.kind
    notes = f"""\
//          trunk: {shape.trunks} product{"s" * (shape.trunks != 1)}, by product, then input; see {tap_generator_name(shape)}.sv
//          p, c, q: by row of metal, (neuron * {kind.bank} + member) * {kind.digits} + digit"""
    split, x = ("", "x") if kind.inputs_per_port == 1 else (_SPLIT.format(
        bits=shape.activation_bits, last_bit=shape.activation_bits - 1, ports=shape.ports,
        last_port=shape.ports - 1), "x_even),\n      .x_odd(x_odd")  # fmt: skip
    pin = "x" if kind.inputs_per_port == 1 else "x_even"
    stage = f"""\
{split}  // one generator an input: each has lanes of its own
  {tap_generator_name(shape)} #(
      .LANES({shape.ports} * LANES),
      .ACTIVATION_BITS({shape.activation_bits})
  ) tap_generators (
      .clk(clk),
      .load(load),
      .step(step),
      .{pin}({x}),
      .tap(trunk)
  );
"""
    return array_module(
        array_name(shape), shape, (shape.blocks,), taps_buses(shape), notes, stage,
        control_of("hnlpu_control", {"STEPS": shape.steps}, {}),
    )  # fmt: skip
