// Tap generator: one activation -> its 14 serial products, shared by all neurons of an array.
//
// Latency  after `load`, bit t of every product stands on `tap` until the (t+1)-th `step`
// Numbers  x: ACTIVATION_BITS bits, two's complement
//          tap: value times x, two's complement, least significant bit first, over
//               ACTIVATION_BITS + 4 steps, the last of which is the sign
//          tap[0..13]: +1, +2, +3, +4, +6, +8, +12, -1, -2, -3, -4, -6, -8, -12 half units
//
// An adder makes 3x bit by bit; a product with 2^k is another, k steps late.  Negation inverts every bit
// behind the first one: k steps late, every bit with a one among those that are older.
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
  logic [3:0][LANES-1:0] one;  // x, 0 to 3 steps late
  logic [2:0][LANES-1:0] three;  // 3x, 0 to 2 steps late
  logic [2:0][LANES-1:0] late_one;
  logic [1:0][LANES-1:0] late_three;
  logic [LANES-1:0] seen_one;  // a one has been among the bits of x that are older
  logic [LANES-1:0] seen_three;
  logic [LANES-1:0] carry;
  logic [LANES-1:0] next_carry;
  logic [LANES-1:0] behind_one_2;  // there is a one behind that bit of `one`
  logic [LANES-1:0] behind_one_1;
  logic [LANES-1:0] behind_one_0;
  logic [LANES-1:0] behind_three_1;
  logic [LANES-1:0] behind_three_0;
  logic [3:0][LANES-1:0] minus_one;
  logic [2:0][LANES-1:0] minus_three;

  assign one = {late_one, rest[0]};
  assign three[2:1] = late_three;

  hnlpu_full_adder #(
      .LANES(LANES)
  ) times_three (
      .a(one[0]),
      .b(one[1]),
      .c(carry),
      .sum(three[0]),
      .carry(next_carry)
  );

  assign behind_one_2 = seen_one | one[3];
  assign behind_one_1 = behind_one_2 | one[2];
  assign behind_one_0 = behind_one_1 | one[1];
  assign behind_three_1 = seen_three | three[2];
  assign behind_three_0 = behind_three_1 | three[1];
  assign minus_one = one ^ {seen_one, behind_one_2, behind_one_1, behind_one_0};
  assign minus_three = three ^ {seen_three, behind_three_1, behind_three_0};

  always_ff @(posedge clk) begin
    if (load) begin
      rest <= x;
      late_one <= '0;
      late_three <= '0;
      carry <= '0;
      seen_one <= '0;
      seen_three <= '0;
    end else if (step) begin
      rest <= {rest[ACTIVATION_BITS-1], rest[ACTIVATION_BITS-1:1]};
      late_one <= one[2:0];
      late_three <= three[1:0];
      carry <= next_carry;
      seen_one <= behind_one_2;
      seen_three <= behind_three_1;
    end
  end

  assign tap = {
    minus_three[2], minus_one[3], minus_three[1], minus_one[2], minus_three[0], minus_one[1],
    minus_one[0],
    three[2], one[3], three[1], one[2], three[0], one[1], one[0]
  };
endmodule
