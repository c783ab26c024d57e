"""A codebook -> SystemVerilog of its tap generator: one activation, and its product with every value.

    x ──► x, 0 to n steps late ──┬──► +1, +2, +4 ..
                                 └─ + ──► 3x, 0 to m steps late ──► +3, +6 ..   and the negatives

That of E2M1 is a file of this package; this module writes those of other codebooks, in its manner.
"""

from __future__ import annotations

from hnlpu.arithmetic.codebooks import E2M1, Codebook
from hnlpu.silicon.rtl._modules import part
from hnlpu.silicon.rtl._shape import ArrayShape

_E2M1_NAME = "hnlpu_tap_generator"


def tap_generator_name(shape: ArrayShape) -> str:
    """Module that makes the products of an input."""
    book = shape.kind.codebook
    return _E2M1_NAME if book == E2M1 else f"{_E2M1_NAME}_{book}"


def tap_generator(shape: ArrayShape) -> str:
    """Text of that module."""
    book = shape.kind.values
    return part(_E2M1_NAME) if book.name == E2M1 else _text(tap_generator_name(shape), book)


def _text(name: str, book: Codebook) -> str:
    found = book.odd_and_shift
    latest = {odd: max((s for o, s in found if o == odd), default=-1) for odd in (1, 3)}
    if latest[3] >= 0:
        latest[1] = max(latest[1], 1)  # 3x adds x to x one step late
    words = {1: "one", 3: "three"}
    chains = [_chain(words[odd], latest[odd]) for odd in (1, 3) if latest[odd] >= 0]
    signs = [("", "+"), ("minus_", "-")]
    taps = [f"{sign}{words[odd]}[{shift}]" for sign, _ in signs for odd, shift in found]
    values = [f"{mark}{odd << shift}" for _, mark in signs for odd, shift in found]
    three = _THREE if latest[3] >= 0 else ("", "", "", "")
    declared = "".join(chain[0] for chain in chains)
    assigned = "".join(chain[1] for chain in chains)
    reset = "".join(chain[2] for chain in chains)
    advance = "".join(chain[3] for chain in chains)
    ordered = ", ".join(reversed(taps))
    return f"""\
// Tap generator of {book.title}: one activation -> its {len(taps)} serial products, shared by all neurons of an array.
//
// Latency  after `load`, bit t of every product stands on `tap` until the (t+1)-th `step`
// Numbers  x: ACTIVATION_BITS bits, two's complement
//          tap: value times x, two's complement, least significant bit first, over
//               ACTIVATION_BITS + {book.product_bits} steps, the last of which is the sign
//          tap[0..{len(taps) - 1}]: {", ".join(values)} half units
//
// A product with 2^k is another, k steps late.  Negation inverts every bit behind the first one.
module {name} #(
    parameter int LANES = 1,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                                       clk,
    input  logic                                       load,
    input  logic                                       step,
    input  logic [ACTIVATION_BITS-1:0][LANES-1:0]      x,
    output logic [{len(taps) - 1}:0][LANES-1:0]                      tap
);
  logic [ACTIVATION_BITS-1:0][LANES-1:0] rest;  // bits to come; the sign stays
{declared}{three[0]}
{_first(latest[1])}{three[1]}{assigned}
  always_ff @(posedge clk) begin
    if (load) begin
      rest <= x;
{reset}{three[2]}    end else if (step) begin
      rest <= {{rest[ACTIVATION_BITS-1], rest[ACTIVATION_BITS-1:1]}};
{advance}{three[3]}    end
  end

  assign tap = {{{ordered}}};
endmodule
"""


def _first(latest: int) -> str:
    """What `one` is made of."""
    return f"  assign one = {'{late_one, rest[0]}' if latest else 'rest[0]'};\n"


_THREE = (
    "  logic [LANES-1:0] carry;\n  logic [LANES-1:0] next_carry;\n",
    """\
  hnlpu_full_adder #(
      .LANES(LANES)
  ) times_three (
      .a(one[0]),
      .b(one[1]),
      .c(carry),
      .sum(three[0]),
      .carry(next_carry)
  );
""",
    "      carry <= '0;\n",
    "      carry <= next_carry;\n",
)
"""Declarations, logic, reset and advance of the adder that makes 3x."""


def _chain(word: str, latest: int) -> tuple[str, str, str, str]:
    """The same of x or 3x `latest` steps late and of its negatives."""
    declared = (
        f"  logic [{latest}:0][LANES-1:0] {word};  // 0 to {latest} steps late\n"
        f"  logic [{latest}:0][LANES-1:0] minus_{word};\n"
        f"  logic [{latest}:0][LANES-1:0] behind_{word};  // a one is among the bits that are older\n"
        f"  logic [LANES-1:0] seen_{word};\n"
    )
    assigned = ""
    reset, advance = (
        f"      seen_{word} <= '0;\n",
        f"      seen_{word} <= seen_{word} | {word}[{latest}];\n",
    )
    if latest:
        declared += f"  logic [{latest - 1}:0][LANES-1:0] late_{word};\n"
        reset += f"      late_{word} <= '0;\n"
        advance += f"      late_{word} <= {word}[{latest - 1}:0];\n"
        if word == "three":
            assigned += f"  assign three[{latest}:1] = late_three;\n"
    assigned += f"  assign behind_{word}[{latest}] = seen_{word};\n"
    for k in reversed(range(latest)):
        assigned += f"  assign behind_{word}[{k}] = behind_{word}[{k + 1}] | {word}[{k + 1}];\n"
    assigned += f"  assign minus_{word} = {word} ^ behind_{word};\n"
    return declared, assigned, reset, advance
