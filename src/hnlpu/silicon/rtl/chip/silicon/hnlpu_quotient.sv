// Quotient of two numbers: a * 2^fraction / b towards zero, saturated; by 0 an end, as a's sign is.
//
// Latency  `done` is one in the 58th cycle after `start`, until the next `start`
// Numbers  a, b, y: 32 bits, two's complement; fraction: at most 24
module hnlpu_quotient (
    input  logic        clk,
    input  logic        start,
    input  logic [31:0] a,
    input  logic [31:0] b,
    input  logic [ 4:0] fraction,
    output logic        done,
    output logic [31:0] y
);
  logic [31:0] size;
  logic [31:0] divisor;
  logic [56:0] scaled;
  logic [56:0] quotient;
  logic negative;
  logic by_zero;
  logic nothing;
  logic fits;

  assign size = a[31] ? -a : a;
  assign divisor = b == '0 ? 32'd1 : b[31] ? -b : b;
  assign scaled = {25'd0, size} << fraction;

  hnlpu_divider #(
      .NUMERATOR_BITS(58),
      .DENOMINATOR_BITS(32),
      .FRACTION(0),
      .QUOTIENT_BITS(57)
  ) divider (
      .clk(clk),
      .start(start),
      .numerator({1'b0, scaled}),
      .denominator(divisor),
      .done(done),
      .quotient(quotient)
  );

  always_ff @(posedge clk) begin
    if (start) begin
      negative <= a[31] != (b[31] && b != '0);
      by_zero <= b == '0;
      nothing <= a == '0;
    end
  end

  // 2^31 fits below zero alone
  assign fits = quotient[56:31] == '0 || (negative && quotient == 57'h8000_0000);
  always_comb begin
    if (nothing) y = '0;
    else if (by_zero || !fits) y = negative ? 32'h8000_0000 : 32'h7fff_ffff;
    else y = negative ? -quotient[31:0] : quotient[31:0];
  end
endmodule
