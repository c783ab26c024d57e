"""What a simulation of a whole chip takes for adders and connections: the same, by the word.

    tree of full adders          total = a + b + ...
    p[0][31:0] = {x31_p2, ...}   p[0][31:0] = trunk[2][31:0] & 32'h... | ...

A tree of adders is the silicon; adding with `+` is what it computes, and a simulator does it tens
of times faster.  A connection a weight is the metal; 32 of them are as many bits of at most 14
words.  Ports are the same.  `tests/silicon/rtl/test_chip_models.py` has Yosys prove adders equal, and holds
the words to what the wiring's text says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.rtl._metal import read_metal

_PASSING = (
    "  logic unused;\n  assign unused = &{1'b0, trunk};  // where no via is, a trunk passes by\n"
)
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


def wiring_model(text: str) -> str:
    """A tile's wiring with its ports joined by the word; columns stay connections.

    Raises InvalidInput for text that is no wiring.
    """
    metal = read_metal(text)
    ports = text[text.index("module ") : text.index(");\n") + 3]
    columns = "".join(re.findall(r"^  assign q.*\n", text, re.MULTILINE))
    ground = "  localparam logic [LANES-1:0] GND = '0;\n" if "GND" in columns else ""
    first, (_, inputs) = metal.word("trunk"), metal.inputs["trunk"]
    joined = metal.joins["p"] - first
    assert (joined[joined >= 0] % inputs == np.nonzero(joined >= 0)[1]).all()
    rows = "".join(_masked(np.where(joined < 0, -1, joined // inputs)))
    return (
        "// Model of the module of this name in wiring, for LANES = 1.\n//\n"
        f"// Latency  none\n// Numbers  as there\n{ports}{ground}{_PASSING}{columns}{rows}endmodule\n"
    )


def _masked(trunks: np.ndarray) -> Iterator[str]:
    """Ports [rows, inputs] by the word: the bits of every trunk that they are joined to."""
    powers = 1 << np.arange(BLOCK, dtype=np.int64)
    for row, columns in enumerate(trunks):
        for block, part in enumerate(columns.reshape(-1, BLOCK)):
            bits = f"[{BLOCK * block + BLOCK - 1}:{BLOCK * block}]"
            terms = [
                f"(trunk[{trunk}]{bits} & 32'h{int(powers[part == trunk].sum()):08x})"
                for trunk in np.unique(part[part >= 0]).tolist()
            ]
            yield f"  assign p[{row}]{bits} = {' | '.join(terms) or chr(39) + '0'};\n"


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
    parameter int STEPS = 12,
    parameter bit FIRST_TWICE = 0
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
  logic [HIGH_BITS-1:0] wide;
  logic [HIGH_BITS-1:0] kept;
  logic [HIGH_BITS-1:0] addend;

  assign wide = HIGH_BITS'(sum);
  assign kept = !first ? high >> 1 : (FIRST_TWICE ? wide : '0);
  assign addend = last ? ~wide : wide;
  always_ff @(posedge clk) begin
    if (step) begin
      high <= kept + addend + HIGH_BITS'(last);
      low  <= {high[0], low[STEPS-2:1]};
    end
  end
  assign total = {high, low};
endmodule
"""
