// Tap generator: one activation -> its 14 serial products, shared by all neurons of an array.
//
// Latency  after `load`, bit t of every product stands on `tap` until the (t+1)-th `step`
// Numbers  x: ACTIVATION_BITS bits, two's complement
//          tap: value times x, two's complement, least significant bit first, over
//               ACTIVATION_BITS + 4 steps, the last of which is the sign
//          tap[0..13]: +1, +2, +3, +4, +6, +8, +12, -1, -2, -3, -4, -6, -8, -12 half units
//
// Three adders make 3x, -x and -3x bit by bit; a product with 2^k is another, k steps late.
// Negation inverts every bit behind the first one.
module hnlpu_tap_generator #(
    parameter int LANES = 1,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                                       clk,
    input  logic                                       load,
    input  logic                                       step,
    input  logic [ACTIVATION_BITS-1:0][LANES-1:0]      x,
    output logic [13:0][LANES-1:0]                     tap
);
  logic [ACTIVATION_BITS-1:0][LANES-1:0] rest;  // bits to come; the sign stays
  logic [2:0][LANES-1:0] plus_one;  // the bits of x before this one
  logic [2:0][LANES-1:0] minus_one;
  logic [1:0][LANES-1:0] plus_three;
  logic [1:0][LANES-1:0] minus_three;
  logic [LANES-1:0] carry;
  logic [LANES-1:0] seen_one;  // a one has been among the bits of x
  logic [LANES-1:0] seen_three;
  logic [LANES-1:0] bit_one;
  logic [LANES-1:0] bit_three;
  logic [LANES-1:0] bit_minus_one;
  logic [LANES-1:0] bit_minus_three;
  logic [LANES-1:0] carry_out;

  assign bit_one = rest[0];
  assign bit_minus_one = bit_one ^ seen_one;
  assign bit_minus_three = bit_three ^ seen_three;

  hnlpu_full_adder #(
      .LANES(LANES)
  ) three (
      .a(bit_one),
      .b(plus_one[0]),
      .c(carry),
      .sum(bit_three),
      .carry(carry_out)
  );

  always_ff @(posedge clk) begin
    if (load) begin
      rest <= x;
      plus_one <= '0;
      minus_one <= '0;
      plus_three <= '0;
      minus_three <= '0;
      carry <= '0;
      seen_one <= '0;
      seen_three <= '0;
    end else if (step) begin
      rest <= {rest[ACTIVATION_BITS-1], rest[ACTIVATION_BITS-1:1]};
      plus_one <= {plus_one[1:0], bit_one};
      minus_one <= {minus_one[1:0], bit_minus_one};
      plus_three <= {plus_three[0], bit_three};
      minus_three <= {minus_three[0], bit_minus_three};
      carry <= carry_out;
      seen_one <= seen_one | bit_one;
      seen_three <= seen_three | bit_three;
    end
  end

  assign tap = {
    minus_three[1], minus_one[2], minus_three[0], minus_one[1], bit_minus_three, minus_one[0],
    bit_minus_one,
    plus_three[1], plus_one[2], plus_three[0], plus_one[1], bit_three, plus_one[0], bit_one
  };
endmodule
