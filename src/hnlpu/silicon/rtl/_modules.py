"""What arrays of every scheme have in common, as SystemVerilog.

    array ─┬─ control, bank register
           ├─ a stage that makes inputs serial ──► trunk ──► metal ──► buses of rows
           └─ neurons

Between silicon and metal run buses: [rows of metal, or products][places along the inputs][bits].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.rtl._adders import add_columns
from hnlpu.silicon.rtl._shape import ArrayShape


@dataclass(frozen=True)
class Bus:
    """Wires between silicon and metal.

    `rows` is the first dimension: rows of metal where `by_row`, else something that all tiles have
    (0: there is no such dimension).  `places` says how many places along the inputs a tile of so
    many blocks has.  `bits` of a place are 0 for a single one.
    """

    name: str
    to_metal: bool
    rows: int
    by_row: bool
    places: Callable[[int], int]
    bits: int = 0

    def row_bits(self, tiles: Sequence[int]) -> int:
        """Bits of a row, or of a product, over tiles of so many blocks."""
        return sum(map(self.places, tiles)) * max(self.bits, 1)

    def size(self, rows: int, tiles: Sequence[int]) -> str:
        """Dimensions over `rows` and tiles of so many blocks, as in a declaration."""
        first = f"[{rows - 1}:0]" if self.rows else ""
        bits = f"[{self.bits - 1}:0]" if self.bits else ""
        return f"{first}[{sum(map(self.places, tiles)) - 1}:0]{bits}[LANES-1:0]"

    def port(self, rows: int, tiles: Sequence[int], *, silicon: bool) -> str:
        """A port's declaration, of silicon or of metal."""
        direction = "output" if self.to_metal is silicon else "input "
        return f"    {direction} logic {self.size(rows, tiles)} {self.name}"


def part(name: str) -> str:
    """Text of a module that has parameters only."""
    return (files("hnlpu.silicon.rtl") / "silicon" / f"{name}.sv").read_text(encoding="utf-8")


def count_module(inputs: int) -> tuple[str, str]:
    """Name and text of a module that counts `inputs` ports."""
    bits = inputs.bit_length()
    adders = add_columns([[f"ports[{n}]" for n in range(inputs)]], bits)
    assert not adders.spilled
    name = f"hnlpu_count_{inputs}"
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


@dataclass(frozen=True)
class Tree:
    """A module that adds entries of `width` bits; `clocked` where an assertion needs a clock."""

    name: str
    text: str
    clocked: bool

    def instance(self, entries: str) -> str:
        """The tree of a neuron."""
        clock = ".clk(clk), .step(step), " if self.clocked else ""
        return f"  {self.name} #(.LANES(LANES)) tree ({clock}.entries({entries}), .total(sum));\n"


def tree_module(
    name: str, entries: int, width: int, bits: int, largest: int, what: str, of: str
) -> Tree:
    """The tree `name`; `what` it adds and what an entry is `of` are for its header."""
    adders = add_columns(
        [[f"entries[{n}][{j}]" for n in range(entries)] for j in range(width)], bits
    )
    clock, check = "", ""
    if adders.spilled:
        # entries are settled while a step is taken
        clock = "    input  logic clk,\n    input  logic step,\n"
        check = f"""
`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (step) assert (({" | ".join(adders.spilled)}) == '0) else $error("a tree overflows");
  end
`endif
"""
    text = f"""\
// {what}
// {adders.full} full and {adders.half} half adders.
//
// Latency  combinational
// Numbers  entries: {width} bits, unsigned, {of}
//          total: {bits} bits, unsigned, at most {largest}
module {name} #(
    parameter int LANES = 1
) (
{clock}    input  logic [{entries - 1}:0][{width - 1}:0][LANES-1:0] entries,
    output logic [{bits - 1}:0][LANES-1:0] total
);
{adders.text}
  assign total = {{{", ".join(reversed(adders.sum))}}};
{check}endmodule
"""
    return Tree(name, text, bool(adders.spilled))


def selected(name: str, pins: str, kind: ArrayKind, places: int, width: int) -> str:
    """Per digit `NAME_d`: of every place, the `width` bits of the active member's row of `pins`.

    What comes out has one dimension, of which parts are joined to ports (see `_flat`).
    """
    text, rows = "", f"{name}_rows"
    if kind.bank > 1:
        bits = kind.rows_per_neuron * places * width
        text = f"  logic [{bits}*LANES-1:0] {rows};\n  assign {rows} = {pins};\n"
    for digit in range(kind.digits):
        text += f"  logic [{places * width}*LANES-1:0] {name}_{digit};\n"
        if kind.bank == 1:
            text += f"  assign {name}_{digit} = {pins}[{digit}];\n"
            continue
        of_member = lanes_of(f"((member*{kind.digits}+{digit})*{places}+place)", width)
        text += f"""\
  for (genvar place = 0; place < {places}; place++) begin : g_{name}_{digit}
    logic [{kind.bank * width}*LANES-1:0] offered;
    for (genvar member = 0; member < {kind.bank}; member++) begin : g_member
      assign offered[{lanes_of("member", width)}] = {rows}[{of_member}];
    end
    hnlpu_bank_select #(
        .LANES(LANES),
        .BANK({kind.bank}),
        .WIDTH({width})
    ) select (
        .active(active),
        .offered(offered),
        .selected({name}_{digit}[{lanes_of("place", width)}])
    );
  end
"""
    return text


def lanes_of(place: str, width: int) -> str:
    """Indices of a place's `width` bits, each of LANES lanes, in a vector of all places."""
    return f"{place}*{width}*LANES+:{width}*LANES"


def accumulator(parameters: dict[str, int]) -> str:
    """The accumulator of a neuron, from `sum` to `y`."""
    given = "".join(f",\n      .{name}({value})" for name, value in parameters.items())
    return f"""
  hnlpu_accumulator #(
      .LANES(LANES){given}
  ) accumulator (
      .clk(clk),
      .step(step),
      .first(first),
      .last(last),
      .sum(sum),
      .total(y)
  );
"""


@dataclass(frozen=True)
class Control:
    """The control of an array: its instance, and what it tells neurons beside step, first and last."""

    text: str
    of_neurons: tuple[str, ...] = ()


def control_of(
    module: str, parameters: dict[str, int], outputs: dict[str, str], of_neurons: Sequence[str] = ()
) -> Control:
    """An instance of `module` with load, step, first, last and further `outputs` by size."""
    signals = {"load": "", "step": "", "first": "", "last": "", **outputs}
    declared = "".join(f"  logic {size and size + ' '}{name};\n" for name, size in signals.items())
    given = ",\n".join(f"      .{name}({value})" for name, value in parameters.items())
    pins = ["clk", "rst", "in_valid", "in_ready", "out_valid", "out_ready", *signals]
    joined = ",\n".join(f"      .{pin}({pin})" for pin in pins)
    text = f"{declared}\n  {module} #(\n{given}\n  ) control (\n{joined}\n  );\n"
    return Control(text, tuple(of_neurons))


def array_module(
    name: str,
    shape: ArrayShape,
    tiles: Sequence[int],
    buses: Sequence[Bus],
    notes: str,
    stage: str,
    control: Control,
) -> str:
    """Text of an array: control, bank register, the `stage` that makes inputs serial, neurons.

    `notes` are the header's lines about the buses.
    """
    kind = shape.kind
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
    extra = "".join(f"        .{n}({n}),\n" for n in control.of_neurons)
    names = [bus.name for bus in buses]
    listed = f"{', '.join(f'`{n}`' for n in names[:-1])} and `{names[-1]}`"
    ports = ",\n".join(bus.port(bus.rows, tiles, silicon=True) for bus in buses)
    by_row = [bus for bus in buses if bus.by_row]
    flat = "".join(_flat(bus, bus.rows * bus.row_bits(tiles)) for bus in by_row)
    pins = "".join(
        f"        .{bus.name}({bus.name}_flat["
        f"{lanes_of('neuron', kind.rows_per_neuron * bus.row_bits(tiles))}]),\n"
        for bus in by_row
    )
    return f"""\
// Array: {shape.neurons} neurons over {shape.inputs} activations of {shape.activation_bits} bits.
// The silicon ends at {listed}: metal (wiring/) joins them, and is the weights.
//
// Latency  y is offered {shape.steps + 1} cycles after its vector was taken; a vector every {shape.steps} cycles
// Numbers  x: by bit, then input, two's complement; y: {shape.total_bits} bits, two's complement, in units of the row
{notes}
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
{ports}
);
{control.text}
{register}{stage}{flat}
  for (genvar neuron = 0; neuron < {shape.neurons}; neuron++) begin : g_neuron
    hnlpu_neuron_{shape.neuron_name} #(
        .LANES(LANES)
    ) one (
        .clk(clk),
        .step(step),
        .first(first),
        .last(last),
{extra}{active}{pins}        .y(y[neuron])
    );
  end
endmodule
"""


def _flat(bus: Bus, bits: int) -> str:
    """A bus as one vector: Icarus cannot join several elements of a packed array to a port."""
    own = f"{bus.name}_flat"
    to, of = (bus.name, own) if bus.to_metal else (own, bus.name)
    return f"  logic [{bits}*LANES-1:0] {own};\n  assign {to} = {of};\n"


def neuron_module(shape: ArrayShape, header: str, pins: str, body: str) -> tuple[str, str]:
    """Name and text of a neuron with `header`, the `pins` to metal and its `body`."""
    name = f"hnlpu_neuron_{shape.neuron_name}"
    active = f"    input  logic [{shape.kind.bank - 1}:0] active,\n" if shape.kind.bank > 1 else ""
    return (
        name,
        f"""\
{header}
module {name} #(
    parameter int LANES = 1
) (
    input  logic clk,
    input  logic step,
    input  logic first,
    input  logic last,
{active}{pins}    output logic [{shape.total_bits - 1}:0][LANES-1:0] y
);
{body}endmodule
""",
    )


def array_name(shape: ArrayShape) -> str:
    """Module of the whole array."""
    return f"hnlpu_array_{shape.name}"
