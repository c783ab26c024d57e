"""A small array with fixed weights -> a proof by SAT that it computes its integers for any inputs.

    vector ──┬──► silicon with its metal ──► y ─────┐
             └──► held ──► sum of w * x ──► expected ─┴──► equal

Yosys unrolls the array from reset through one product.  The specification knows the integer
weights and multiplication, nothing of taps, counts or shifts.  Sums in two orders are hard to compare:
arrays with up to four or five weights other than zero a neuron are proved within a minute.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hnlpu.errors import ToolFailed
from hnlpu.silicon.embed import ROUTED, TileDigits, tracks_needed
from hnlpu.silicon.place import Array, Tile
from hnlpu.silicon.rtl._design import ArrayUnit, identifier, top
from hnlpu.silicon.rtl._scheme import silicon, tile_wiring
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._tools import call_yosys, yosys
from hnlpu.silicon.technology import Technology, load_technology

Verdict = Literal["proved", "refuted", "no time"]


def prove(
    shape: ArrayShape,
    digits: TileDigits,
    timeout_s: float = 300,
    technology: Technology | None = None,
) -> Verdict:
    """Whether an array of `shape` with the metal of `digits` equals its integers for all inputs.

    `digits` has the rows of the whole array, by neuron, member and digit.  `technology` decides where
    wires of regions go (n5 unless given).  Raises ToolMissing without Yosys, ToolFailed where it ends
    with an error.
    """
    yosys()
    technology = technology or load_technology("n5")
    kind = shape.kind
    if kind.scheme in ROUTED:
        kind = dataclasses.replace(kind, tracks=tracks_needed(technology, kind, digits))
    spans = (0, kind.bank), (0, shape.neurons), (0, shape.blocks * kind.inputs_per_port)
    tile = Tile(0, "proof", kind, *spans)
    name = f"wiring_{identifier(tile)}"
    texts = silicon(shape)
    texts["wiring.sv"] = b"".join(tile_wiring(name, digits, kind, technology)).decode()
    texts["top.sv"] = top(ArrayUnit(Array(0, "proof", kind, *spans), shape, (tile,)))
    texts["proof.sv"] = _specification(shape, digits, f"top_{identifier(tile)}")
    with tempfile.TemporaryDirectory() as folder:
        for file, text in texts.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        (Path(folder) / "prove.ys").write_text(_script(shape, list(texts)), encoding="utf-8")
        ran = call_yosys(["-q", "prove.ys"], Path(folder), timeout_s, "sat.log")
        log = Path(folder) / "sat.log"
        said = log.read_text(encoding="utf-8") if log.exists() else ""
    if ran is None:
        return "no time"
    # Yosys in WebAssembly may end early with exit code 0: only its own words count
    if ran.returncode == 0 and "SAT proof finished - no model found: SUCCESS!" in said:
        return "proved"
    if ran.returncode == 0 and "SAT proof finished - model found: FAIL!" in said:
        return "refuted"
    raise ToolFailed(f"Yosys: {(ran.stderr.strip().splitlines() or ['it ended early'])[-1]}")


def _integers(shape: ArrayShape, digits: TileDigits) -> npt.NDArray[np.int64]:
    """Integer weights [neurons, members, inputs]: the sum of each weight's digits."""
    of_rows = shape.kind.values.by_input(digits.integers())
    kind = shape.kind
    weights: npt.NDArray[np.int64] = of_rows.reshape(
        shape.neurons, kind.bank, kind.digits, shape.inputs
    ).sum(2)
    return weights


def _specification(shape: ArrayShape, digits: TileDigits, name: str) -> str:
    """Module `proof`: `equal` is one where a result is offered and every product is right."""
    bits, total = shape.activation_bits, shape.total_bits
    inputs = shape.inputs
    member = shape.member_bits
    port = f"    input logic [{member - 1}:0] member,\n" if member else ""
    held = f"  logic [{member - 1}:0] held_member;\n" if member else ""
    hold = "      held_member <= member;\n" if member else ""
    pin = ", .member(member)" if member else ""
    activations = ""
    for n in range(inputs):
        word = ", ".join(f"held[{bit}][{n}]" for bit in reversed(range(bits)))
        activations += f"  wire signed [{total - 1}:0] x{n} = $signed({{{word}}});\n"
    lines = []
    for neuron, of_neuron in enumerate(_integers(shape, digits).tolist()):
        sums = []
        for weights in of_neuron:
            terms = [f"{total}'sd{abs(w)} * x{n}" for n, w in enumerate(weights) if w]
            signs = ["-" if w < 0 else "+" for w in weights if w]
            sums.append(" ".join(f"{s} {t}" for s, t in zip(signs, terms, strict=True)))
        if not member:
            chosen = f"{total}'sd0 {sums[0]}"
        else:
            chosen = f"{total}'sd0"  # where there is no such member
            for number, terms_of in enumerate(sums):
                chosen = f"held_member == {number} ? {total}'sd0 {terms_of} : ({chosen})"
        lines.append(f"  wire signed [{total - 1}:0] expected{neuron} = {chosen};\n")
    equal = " && ".join(f"y[{n}] == expected{n}" for n in range(shape.neurons))
    return f"""\
module proof (
    input logic clk,
    input logic rst,
    input logic in_valid,
{port}    input logic [{bits - 1}:0][{inputs - 1}:0] x,
    output logic equal
);
  logic in_ready, out_valid;
  logic [{shape.neurons - 1}:0][{total - 1}:0] y;
  logic [{bits - 1}:0][{inputs - 1}:0] held;
{held}  {name} #(.LANES(1)) dut (
      .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready){pin}, .x(x),
      .out_valid(out_valid), .out_ready(1'b0), .y(y)
  );
  always_ff @(posedge clk)
    if (in_valid && in_ready) begin
      held <= x;
{hold}    end
{activations}{"".join(lines)}  assign equal = out_valid && {equal};
endmodule
"""


def _script(shape: ArrayShape, files: list[str]) -> str:
    """Yosys commands: reset in step 1, the vector in step 2, then a product and its offer."""
    last = 2 + shape.steps + 1
    quiet = "".join(f" -set-at {n} rst 0 -set-at {n} in_valid 0" for n in range(3, last + 1))
    return f"""\
read_verilog -sv -D SYNTHESIS {" ".join(files)}
hierarchy -top proof
proc; flatten; opt; memory; alumacc; techmap; opt -full
tee -q -o sat.log sat -seq {last} -prove-skip {last - 1} -prove equal 1 -set-at 1 rst 1 -set-at 2 rst 0 -set-at 2 in_valid 1{quiet}
"""
