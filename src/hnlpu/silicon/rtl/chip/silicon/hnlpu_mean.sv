// Mean of a vector: floor(sum / count + 1/2).
//
// Latency  a beat a cycle; `done` is one in the 33rd cycle after `start`, until the next `start`
// Numbers  values, mean: 32 bits, two's complement; count: numbers of the vector, 1 to LONGEST
//
// (2 sum + count) / (2 count), rounded down: of a negative one the size is rounded up.
module hnlpu_mean #(
    parameter int WIDTH = 64,
    parameter int LONGEST = 64,
    localparam int CountBits = $clog2(LONGEST + 1)
) (
    input  logic                   clk,
    input  logic                   take,
    input  logic                   first,
    input  logic [WIDTH-1:0][31:0] values,
    input  logic                   start,
    input  logic [CountBits-1:0]   count,
    output logic                   done,
    output logic [31:0]            mean
);
  localparam int SumBits = 33 + CountBits + $clog2(WIDTH);
  localparam int WideBits = SumBits + 2;

  logic signed [SumBits-1:0] sum;
  logic signed [SumBits-1:0] beat;
  logic signed [WideBits-1:0] numerator;
  logic signed [WideBits-1:0] size;
  logic negative;
  logic [31:0] quotient;

  always_comb begin
    beat = '0;
    for (int i = 0; i < WIDTH; i++) beat += SumBits'($signed(values[i]));
  end
  assign numerator = (WideBits'(sum) <<< 1) + $signed({{WideBits - CountBits{1'b0}}, count});
  assign size = numerator[WideBits-1]
      ? $signed({{WideBits - CountBits - 1{1'b0}}, count, 1'b0}) - WideBits'(1) - numerator
      : numerator;

  hnlpu_divider #(
      .NUMERATOR_BITS(WideBits),
      .DENOMINATOR_BITS(CountBits + 1),
      .FRACTION(0),
      .QUOTIENT_BITS(32)
  ) divider (
      .clk(clk),
      .start(start),
      .numerator(size),
      .denominator({count, 1'b0}),
      .done(done),
      .quotient(quotient)
  );
  assign mean = negative ? -quotient : quotient;

  always_ff @(posedge clk) begin
    if (take) sum <= (first ? SumBits'(0) : sum) + beat;
    if (start) negative <= numerator[WideBits-1];
  end
endmodule
