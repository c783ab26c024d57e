"""A codebook -> SystemVerilog of its tap generator: one activation, and its product with every value.

    x ──► x, 0 to n steps late ──┬──► +1, +2, +4 ..
                                 ├─ + ──► 3x, 0 to m steps late ──► +3, +6 ..   and the negatives
                                 └─ + ──► 5x ..      each odd multiple is the sum of two that there are

That of E2M1 is a file of this package; this module writes those of other codebooks, in its manner.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.codebooks import E2M1, Codebook
from hnlpu.silicon.rtl._modules import part
from hnlpu.silicon.rtl._shape import ArrayShape

_E2M1_NAME = "hnlpu_tap_generator"
_WORDS = {1: "one", 3: "three", 5: "five", 7: "seven", 9: "nine", 11: "eleven", 13: "thirteen",
          15: "fifteen", 17: "seventeen", 19: "nineteen", 21: "twentyone", 23: "twentythree"}  # fmt: skip
"""Names of x times an odd number."""


def tap_generator_name(shape: ArrayShape) -> str:
    """Module that makes the products of an input."""
    book = shape.kind.codebook
    return _E2M1_NAME if book == E2M1 else f"{_E2M1_NAME}_{book}"


def tap_generator(shape: ArrayShape) -> str:
    """Text of that module."""
    book = shape.kind.values
    if book.inputs > 1:
        return _of_two(tap_generator_name(shape), book)
    return part(_E2M1_NAME) if book.name == E2M1 else _text(tap_generator_name(shape), book)


def odd_multiples(book: Codebook) -> dict[int, tuple[int, int, int]]:
    """Adders of a codebook: odd multiple n -> (a, b, k) with n = a + b * 2^k, in an order to build them.

    Multiples that no value has are among them where another needs them.
    """
    found: dict[int, tuple[int, int, int]] = {}
    for wanted in sorted({odd for _, odd, _ in book.products} - {1}):
        _build(wanted, found)
    return found


def _build(wanted: int, found: dict[int, tuple[int, int, int]]) -> None:
    """Enter `wanted` and what it needs."""
    if wanted == 1 or wanted in found:
        return
    known = [1, *found]
    sums = [
        (a, rest >> k, k)
        for a in known
        if (rest := wanted - a) > 0
        for k in [(rest & -rest).bit_length() - 1]
        if rest >> k in known
    ]
    if not sums:  # without its highest one it has fewer ones, and in the end but one
        top = wanted.bit_length() - 1
        _build(wanted - (1 << top), found)
        sums = [(wanted - (1 << top), 1, top)]
    found[wanted] = min(sums, key=lambda s: (s[2], s))


@dataclass(frozen=True)
class _Chain:
    """x times an odd number and how late, in steps, it is needed; `negative` are the lates of negatives."""

    odd: int
    latest: int
    negative: tuple[int, ...]

    @property
    def word(self) -> str:
        return _WORDS[self.odd]

    @property
    def first(self) -> int:
        """The least late negative."""
        return min(self.negative)

    def declared(self) -> str:
        """Signals."""
        word, latest = self.word, self.latest
        text = f"  logic [{latest}:0][LANES-1:0] {word};  // 0 to {latest} steps late\n"
        if latest:
            text += f"  logic [{latest - 1}:0][LANES-1:0] late_{word};\n"
        if self.negative:
            text += (
                f"  logic [{latest}:{self.first}][LANES-1:0] behind_{word};"
                "  // a one is among the bits that are older\n"
                f"  logic [LANES-1:0] seen_{word};\n"
            )
        return text

    def assigned(self) -> str:
        """Logic but that of `word[0]`."""
        word, latest = self.word, self.latest
        text = f"  assign {word}[{latest}:1] = late_{word};\n" if latest else ""
        if self.negative:
            text += f"  assign behind_{word}[{latest}] = seen_{word};\n"
            for k in reversed(range(self.first, latest)):
                text += f"  assign behind_{word}[{k}] = behind_{word}[{k + 1}] | {word}[{k + 1}];\n"
        return text

    def reset(self) -> str:
        """What a load does."""
        seen = f"      seen_{self.word} <= '0;\n" if self.negative else ""
        return seen + (f"      late_{self.word} <= '0;\n" if self.latest else "")

    def advance(self) -> str:
        """What a step does."""
        word, latest = self.word, self.latest
        seen = f"      seen_{word} <= seen_{word} | {word}[{latest}];\n" if self.negative else ""
        return seen + (f"      late_{word} <= {word}[{latest - 1}:0];\n" if latest else "")

    def tap(self, sign: int, late: int) -> str:
        """A product."""
        plain = f"{self.word}[{late}]"
        return plain if sign > 0 else f"{plain} ^ behind_{self.word}[{late}]"


def _chains(book: Codebook, adders: dict[int, tuple[int, int, int]]) -> dict[int, _Chain]:
    chains = {}
    for odd in (1, *adders):
        lates = [k for _, of, k in book.products if of == odd]
        lates += [k for _, b, k in adders.values() if b == odd]
        negative = tuple(k for sign, of, k in book.products if of == odd and sign < 0)
        chains[odd] = _Chain(odd, max(lates, default=0), negative)
    return chains


def _adder(odd: int, a: int, b: int, k: int) -> str:
    word = _WORDS[odd]
    return f"""\
  hnlpu_full_adder #(
      .LANES(LANES)
  ) times_{word} (
      .a({_WORDS[a]}[0]),
      .b({_WORDS[b]}[{k}]),
      .c(carry_{word}),
      .sum({word}[0]),
      .carry(next_carry_{word})
  );
"""


def _text(name: str, book: Codebook) -> str:
    adders = odd_multiples(book)
    chains = _chains(book, adders)
    words = [_WORDS[odd] for odd in adders]
    taps = [chains[odd].tap(sign, late) for sign, odd, late in book.products]
    values = [f"{sign * (odd << late):+d}" for sign, odd, late in book.products]
    declared = "".join(chain.declared() for chain in chains.values())
    declared += "".join(
        f"  logic [LANES-1:0] carry_{word};\n  logic [LANES-1:0] next_carry_{word};\n"
        for word in words
    )
    assigned = "".join(chain.assigned() for chain in chains.values())
    sums = "".join(_adder(odd, *adder) for odd, adder in adders.items())
    reset = "".join(chain.reset() for chain in chains.values())
    reset += "".join(f"      carry_{word} <= '0;\n" for word in words)
    advance = "".join(chain.advance() for chain in chains.values())
    advance += "".join(f"      carry_{word} <= next_carry_{word};\n" for word in words)
    ordered = ",\n    ".join(reversed(taps))
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
{declared}
  assign one[0] = rest[0];
{sums}{assigned}
  always_ff @(posedge clk) begin
    if (load) begin
      rest <= x;
{reset}    end else if (step) begin
      rest <= {{rest[ACTIVATION_BITS-1], rest[ACTIVATION_BITS-1:1]}};
{advance}    end
  end

  assign tap = {{
    {ordered}
  }};
endmodule
"""


_SUMS = {(1, 0): "x_even", (0, 1): "x_odd", (1, 1): "both", (-1, 1): "apart"}
"""Signal of each sum of two inputs; the others are negatives of these."""


def _of_two(name: str, book: Codebook) -> str:
    """Of a codebook of two inputs a port: their signed sums, each made once."""
    pairs = [book.both_of(book.table[code]) for code in book.codes[1:]]
    taps, values = [], []
    for first, second in pairs:
        negative = (first, second) not in _SUMS
        word = _SUMS[(-first, -second) if negative else (first, second)]
        taps.append(f"{word}_now ^ seen_{word}" if negative else f"{word}_now")
        values.append(f"{first:+d}{second:+d}")
    words = list(_SUMS.values())
    declared = "".join(
        f"  logic [LANES-1:0] {word}_now;\n  logic [LANES-1:0] seen_{word};"
        "  // a one has been among the bits that are older\n"
        for word in words
    )
    reset = "".join(f"      seen_{word} <= '0;\n" for word in words)
    advance = "".join(f"      seen_{word} <= seen_{word} | {word}_now;\n" for word in words)
    ordered = ",\n    ".join(reversed(taps))
    return f"""\
// Tap generator of {book.title}: two activations -> their {len(taps)} signed sums, bit by bit, shared by all neurons.
//
// Latency  after `load`, bit t of every sum stands on `tap` until the (t+1)-th `step`
// Numbers  x_even, x_odd: ACTIVATION_BITS bits, two's complement
//          tap: a sum, two's complement, least significant bit first, over
//               ACTIVATION_BITS + {book.product_bits} steps, the last of which is the sign
//          tap[0..{len(taps) - 1}]: {", ".join(values)} times x_even and x_odd, in half units
//
// Negation inverts every bit behind the first one; a difference is a sum with the inverse and a carry.
module {name} #(
    parameter int LANES = 1,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                                       clk,
    input  logic                                       load,
    input  logic                                       step,
    input  logic [ACTIVATION_BITS-1:0][LANES-1:0]      x_even,
    input  logic [ACTIVATION_BITS-1:0][LANES-1:0]      x_odd,
    output logic [{len(taps) - 1}:0][LANES-1:0]                       tap
);
  logic [ACTIVATION_BITS-1:0][LANES-1:0] rest_even;  // bits to come; the sign stays
  logic [ACTIVATION_BITS-1:0][LANES-1:0] rest_odd;
{declared}  logic [LANES-1:0] carry_both;
  logic [LANES-1:0] next_carry_both;
  logic [LANES-1:0] carry_apart;
  logic [LANES-1:0] next_carry_apart;

  assign x_even_now = rest_even[0];
  assign x_odd_now = rest_odd[0];
  hnlpu_full_adder #(
      .LANES(LANES)
  ) add (
      .a(x_even_now),
      .b(x_odd_now),
      .c(carry_both),
      .sum(both_now),
      .carry(next_carry_both)
  );
  hnlpu_full_adder #(
      .LANES(LANES)
  ) subtract (
      .a(~x_even_now),
      .b(x_odd_now),
      .c(carry_apart),
      .sum(apart_now),
      .carry(next_carry_apart)
  );

  always_ff @(posedge clk) begin
    if (load) begin
      rest_even <= x_even;
      rest_odd <= x_odd;
      carry_both <= '0;
      carry_apart <= '1;
{reset}    end else if (step) begin
      rest_even <= {{rest_even[ACTIVATION_BITS-1], rest_even[ACTIVATION_BITS-1:1]}};
      rest_odd <= {{rest_odd[ACTIVATION_BITS-1], rest_odd[ACTIVATION_BITS-1:1]}};
      carry_both <= next_carry_both;
      carry_apart <= next_carry_apart;
{advance}    end
  end

  assign tap = {{
    {ordered}
  }};
endmodule
"""
