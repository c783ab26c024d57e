"""Counts, trees and accumulators as sums: what a simulation of a whole chip takes for their adders.

A tree of full adders is the silicon; adding with `+` is what it computes, and a simulator does it
tens of times faster.  Ports are the same; `tests/rtl/test_chip_models.py` has Yosys prove them equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_ENTRIES = re.compile(r"\[(\d+):0\]\[\d+:0\]\[LANES-1:0\] entries")
_TOTAL = re.compile(r"output logic \[(\d+):0\]\[LANES-1:0\] total")


def models(silicon: Mapping[str, str]) -> dict[str, str]:
    """Text of the modules that stand in for those of the same file names in silicon."""
    found = {}
    for name, text in silicon.items():
        if name.startswith("hnlpu_count_"):
            found[name] = _summed(text, "$countones(ports)")
        elif name.startswith("hnlpu_tree_"):
            entries = _ENTRIES.search(text)
            assert entries
            bits = _bits(text)
            terms = (f"{bits}'(entries[{n}])" for n in range(int(entries[1]) + 1))
            found[name] = _summed(text, " + ".join(terms))
        elif name == "hnlpu_accumulator.sv":
            found[name] = _ACCUMULATOR
    return found


def _bits(text: str) -> int:
    total = _TOTAL.search(text)
    assert total
    return int(total[1]) + 1


def _summed(text: str, sum_of: str) -> str:
    """A module of adders with `total` as a sum in their place, for LANES = 1."""
    ports = text[text.index("module ") : text.index(");\n") + 3]
    clocked = "input  logic clk" in ports
    unused = "  logic unused;\n  assign unused = &{clk, step};\n" if clocked else ""
    return (
        "// Model of the module of this name in silicon, for LANES = 1.\n//\n"
        "// Latency  combinational\n// Numbers  as there\n"
        f"{ports}  assign total = {_bits(text)}'({sum_of});\n{unused}endmodule\n"
    )


_ACCUMULATOR = """\
// Model of an accumulator, for LANES = 1; see hnlpu_accumulator.sv of silicon.
//
// Latency  `total` is complete after the step with `last`, and stays until the next step
// Numbers  sum: SUM_BITS bits, unsigned; total: HIGH_BITS + STEPS - 1 bits, two's complement
module hnlpu_accumulator #(
    parameter int LANES = 1,
    parameter int SUM_BITS = 7,
    parameter int HIGH_BITS = 7,
    parameter int STEPS = 12
) (
    input  logic                                  clk,
    input  logic                                  step,
    input  logic                                  first,
    input  logic                                  last,
    input  logic [SUM_BITS-1:0][LANES-1:0]        sum,
    output logic [HIGH_BITS+STEPS-2:0][LANES-1:0] total
);
  logic [HIGH_BITS-1:0] high;
  logic [STEPS-2:0] low;
  logic [HIGH_BITS-1:0] addend;

  assign addend = last ? ~HIGH_BITS'(sum) : HIGH_BITS'(sum);
  always_ff @(posedge clk) begin
    if (step) begin
      high <= (first ? '0 : high >> 1) + addend + HIGH_BITS'(last);
      low  <= {high[0], low[STEPS-2:1]};
    end
  end
  assign total = {high, low};
endmodule
"""
