// Lane of the vector unit: one value a cycle.
//
// Latency  combinational, but for `sums`, which takes a product a cycle
// Numbers  a, operand, y: 32 bits, two's complement; sums: 64 bits, two's complement
//
// Products are at most 2^62.  Those that are added to others stay below 2^61, so that 64 bits hold
// their sums; see docs/vector-unit.md.
module hnlpu_lane
  import hnlpu_chip_pkg::*;
#(
    parameter bit SIGMOIDS = 1'b1
) (
    input  logic        clk,
    input  logic        multiply,
    input  logic        first,
    input  opcode_t     op,
    input  logic        both,
    input  logic [ 5:0] shift,
    input  logic [31:0] a,
    input  logic [31:0] swapped,
    input  logic [31:0] operand,
    input  logic [31:0] immediate,
    output logic [63:0] product,
    output logic [31:0] y
);
  logic signed [63:0] sums;
  logic signed [63:0] total;
  logic signed [64:0] halves;
  logic signed [64:0] rounded;
  logic signed [32:0] left;
  logic signed [32:0] right;
  logic signed [32:0] added;
  logic [31:0] of_product;
  logic [31:0] of_sum;
  logic [31:0] clamped;
  logic [24:0] share;

  assign product = 64'($signed(swapped)) * 64'($signed(operand));
  assign total = (first ? 64'sd0 : sums) + $signed(product);
  assign halves = $signed({total, 1'b0}) >>> shift;
  assign rounded = (halves >>> 1) + $signed({64'd0, halves[0]});
  assign left = $signed({a[31], a});
  assign right = $signed({operand[31], operand});
  always_comb begin
    if (op != SUBTRACT) added = left + right;
    else if (both) added = right - left;
    else added = left - right;
  end

  hnlpu_saturate #(
      .FROM(65),
      .TO(32)
  ) of_products (
      .wide(rounded),
      .near(of_product)
  );

  hnlpu_saturate #(
      .FROM(33),
      .TO(32)
  ) of_sums (
      .wide(added),
      .near(of_sum)
  );

  if (SIGMOIDS) begin : g_sigmoid
    hnlpu_sigmoid of_a (
        .z(a),
        .y(share)
    );
  end else begin : g_no_sigmoid
    assign share = '0;
  end

  always_comb begin
    clamped = a;
    if ($signed(a) > $signed(immediate)) clamped = immediate;
    else if (both && $signed(a) < -$signed(immediate)) clamped = -immediate;
  end

  always_comb begin
    case (op)
      ADD, SUBTRACT: y = of_sum;
      CLAMP: y = clamped;
      SIGMOID: y = {7'd0, share};
      default: y = of_product;
    endcase
  end

  always_ff @(posedge clk) begin
    if (multiply) sums <= total;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (multiply && !first) begin
      assert (sums[63] != product[63] || total[63] == sums[63])
      else $error("a lane's sum overflows");
    end
  end
`endif
endmodule
