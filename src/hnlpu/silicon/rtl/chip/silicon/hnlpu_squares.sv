// Sum of squares and its inverse root, for a norm.
//
// Latency  a beat of squares a cycle; `done` is one 26 cycles after `start`, until the next `start`
// Numbers  squares: 64 bits, unsigned, at most 2^62; epsilon: 64 bits, unsigned, units of 2^-32
//          inverse: 25 bits, unsigned; shift: what rounds value * inverse to units of 2^-24
//
// The sum is m * 2^t, t even and 2^30 <= m < 2^32, rounded down; inverse is that of m's root.
module hnlpu_squares #(
    parameter int WIDTH = 64,
    parameter int SUM_BITS = 80
) (
    input  logic                   clk,
    input  logic                   take,
    input  logic                   first,
    input  logic [63:0]            epsilon,
    input  logic [WIDTH-1:0][63:0] squares,
    input  logic                   start,
    output logic                   done,
    output logic [24:0]            inverse,
    output logic [ 5:0]            shift
);
  localparam int Places = SUM_BITS / 2 + 1;

  logic [SUM_BITS-1:0] sum;
  logic [SUM_BITS-1:0] total;
  logic [63:0] low;
  logic [63:0] high;

  // halves of the squares are added apart: sums of 64 bits are cheap in a simulator
  always_comb begin
    low  = '0;
    high = '0;
    for (int i = 0; i < WIDTH; i++) begin
      low += {32'd0, squares[i][31:0]};
      high += {32'd0, squares[i][63:32]};
    end
  end
  assign total = (first ? SUM_BITS'(epsilon) : sum) + SUM_BITS'(low) + (SUM_BITS'(high) << 32);

  logic [SUM_BITS+31:0] raised;
  logic [31:0] m;
  logic [5:0] place;

  // the highest pair of bits that is not zero comes to the top of m
  assign raised = {sum, 32'd0};
  always_comb begin
    place = '0;
    for (int pair = 0; pair < Places - 1; pair++) begin
      if (sum[2*pair+:2] != 2'b00) place = 6'(pair);
    end
  end
  assign m = 32'(raised >> {place + 6'd1, 1'b0});

  hnlpu_inverse_root root (
      .clk(clk),
      .start(start),
      .m(m),
      .done(done),
      .r(inverse)
  );

  always_ff @(posedge clk) begin
    if (take) sum <= total;
    if (start) shift <= place;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (take && !first) assert (total >= sum) else $error("a sum of squares overflows");
  end
`endif
endmodule
