// Divider: numerator * 2^FRACTION / denominator, rounded down, a bit of the quotient a cycle.
//
// Latency  `done` is one in the (QUOTIENT_BITS + 1)th cycle after `start`, until the next `start`
// Numbers  all unsigned; the quotient has to fit
module hnlpu_divider #(
    parameter int NUMERATOR_BITS = 25,
    parameter int DENOMINATOR_BITS = 26,
    parameter int FRACTION = 24,
    parameter int QUOTIENT_BITS = 25
) (
    input  logic                        clk,
    input  logic                        start,
    input  logic [  NUMERATOR_BITS-1:0] numerator,
    input  logic [DENOMINATOR_BITS-1:0] denominator,
    output logic                        done,
    output logic [   QUOTIENT_BITS-1:0] quotient
);
  localparam int HighBits = NUMERATOR_BITS + FRACTION - QUOTIENT_BITS;
  localparam int RestBits = DENOMINATOR_BITS + 1;
  localparam int CountBits = $clog2(QUOTIENT_BITS + 1);

  logic [NUMERATOR_BITS+FRACTION-1:0] scaled;
  logic [CountBits-1:0] left;
  logic [DENOMINATOR_BITS-1:0] divisor;
  logic [DENOMINATOR_BITS-1:0] rest;
  logic [RestBits-1:0] next;
  logic [RestBits-1:0] less;
  logic fits;

  assign scaled = {numerator, {FRACTION{1'b0}}};
  assign next = {rest, quotient[QUOTIENT_BITS-1]};
  assign less = next - {1'b0, divisor};
  assign fits = !less[RestBits-1];
  assign done = left == '0;

  always_ff @(posedge clk) begin
    if (start) begin
      left <= CountBits'(QUOTIENT_BITS);
      divisor <= denominator;
      rest <= DENOMINATOR_BITS'(scaled[NUMERATOR_BITS+FRACTION-1:QUOTIENT_BITS]);
      quotient <= scaled[QUOTIENT_BITS-1:0];
    end else if (!done) begin
      left <= left - 1'b1;
      rest <= fits ? less[DENOMINATOR_BITS-1:0] : next[DENOMINATOR_BITS-1:0];
      quotient <= {quotient[QUOTIENT_BITS-2:0], fits};
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (start) begin
      assert ({{DENOMINATOR_BITS{1'b0}}, scaled[NUMERATOR_BITS+FRACTION-1:QUOTIENT_BITS]} <
          {{HighBits{1'b0}}, denominator})
      else $error("a quotient does not fit");
    end
  end
`endif
endmodule
