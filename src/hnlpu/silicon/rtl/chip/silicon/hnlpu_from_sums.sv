// Values of an array's sums: sum / 2^(shift - exponent), rounded, plus bias; both steps saturate.
//
// Latency  combinational
// Numbers  sum: SUM_BITS bits, two's complement, at most 62; shift: 9 bits, two's complement, 128 - b
//          exponent: of the activations' scale; bias and value: 32 bits, two's complement
module hnlpu_from_sums #(
    parameter int SUM_BITS = 24
) (
    input  logic [SUM_BITS-1:0] sum,
    input  logic [8:0]          shift,
    input  logic [4:0]          exponent,
    input  logic [31:0]         bias,
    output logic [31:0]         value
);
  localparam int WideBits = SUM_BITS + 31;

  logic [9:0] right;
  logic [9:0] left;
  logic [5:0] down;
  logic [4:0] up;
  logic signed [SUM_BITS:0] halves;
  logic signed [WideBits-1:0] raised;
  logic signed [WideBits-1:0] wide;
  logic signed [31:0] near;
  logic signed [32:0] biased;

  assign right = {shift[8], shift} - {5'd0, exponent};
  assign left = -right;
  assign down = right[9] ? 6'd0 : (|right[8:6] ? 6'd63 : right[5:0]);
  assign up = !right[9] ? 5'd0 : (|left[8:5] ? 5'd31 : left[4:0]);
  assign halves = $signed({sum, 1'b0}) >>> down;
  assign raised = WideBits'($signed(sum)) << up;
  assign wide = right[9] ? raised
      : WideBits'($signed(halves[SUM_BITS:1])) + $signed({{WideBits - 1{1'b0}}, halves[0]});

  hnlpu_saturate #(
      .FROM(WideBits),
      .TO(32)
  ) of_sum (
      .wide(wide),
      .near(near)
  );

  assign biased = $signed({near[31], near}) + $signed({bias[31], bias});

  hnlpu_saturate #(
      .FROM(33),
      .TO(32)
  ) of_biased (
      .wide(biased),
      .near(value)
  );

  logic unused;
  assign unused = &left[9];
endmodule
