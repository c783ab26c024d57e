// Lane of the vector unit: one value a cycle.
//
// Latency  combinational, but for `sums`, which takes a product a cycle
// Numbers  a, operand, y: 32 bits, two's complement; sums: SUM_BITS bits, two's complement
//
// Products are at most 2^62.  Where few are added to others they stay below 2^61, so that 64 bits hold
// their sums; see docs/vector-unit.md.  Sums of n products of any size take 63 bits and those of n.
module hnlpu_lane
  import hnlpu_chip_pkg::*;
#(
    parameter bit SIGMOIDS = 1'b1,
    parameter bit POWERS = 1'b0,
    parameter bit SOFTPLUS = 1'b0,
    parameter bit NORMALS = 1'b0,
    parameter bit COMPARES = 1'b0,
    parameter int SUM_BITS = 64
) (
    input  logic        clk,
    input  logic        multiply,
    input  logic        first,
    input  opcode_t     op,
    input  logic        both,
    input  logic [ 3:0] kind,       // of CURVE and COMPARE
    input  logic [ 5:0] shift,
    input  logic [31:0] a,
    input  logic [31:0] swapped,
    input  logic [31:0] operand,
    input  logic [31:0] immediate,
    output logic [63:0] product,
    output logic [31:0] y
);
  logic signed [SUM_BITS-1:0] sums;
  logic signed [SUM_BITS-1:0] addend;
  logic signed [SUM_BITS-1:0] total;
  logic signed [SUM_BITS:0] halves;
  logic signed [SUM_BITS:0] rounded;
  logic signed [32:0] left;
  logic signed [32:0] right;
  logic signed [32:0] added;
  logic [31:0] of_product;
  logic [31:0] of_sum;
  logic [31:0] clamped;
  logic [24:0] share;

  assign product = 64'($signed(swapped)) * 64'($signed(operand));
  if (SUM_BITS > 64) begin : g_wide
    assign addend = SUM_BITS'($signed(product));
  end else begin : g_narrow
    assign addend = $signed(product);
  end
  assign total = (first ? SUM_BITS'(0) : sums) + addend;
  assign halves = $signed({total, 1'b0}) >>> shift;
  assign rounded = (halves >>> 1) + $signed({{SUM_BITS{1'b0}}, halves[0]});
  assign left = $signed({a[31], a});
  assign right = $signed({operand[31], operand});
  always_comb begin
    if (op != SUBTRACT) added = left + right;
    else if (both) added = right - left;
    else added = left - right;
  end

  hnlpu_saturate #(
      .FROM(SUM_BITS + 1),
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

  logic [31:0] powered;
  logic [31:0] softened;
  logic [24:0] normal;
  logic [31:0] curved;
  logic [31:0] compared;
  if (POWERS) begin : g_power
    hnlpu_power of_a (
        .u(a),
        .y(powered)
    );
  end else begin : g_no_power
    assign powered = '0;
  end
  if (SOFTPLUS) begin : g_softplus
    hnlpu_softplus of_a (
        .x(a),
        .y(softened)
    );
  end else begin : g_no_softplus
    assign softened = '0;
  end
  if (NORMALS) begin : g_normal
    hnlpu_normal of_a (
        .x(a),
        .y(normal)
    );
  end else begin : g_no_normal
    assign normal = '0;
  end
  if (COMPARES) begin : g_compare
    logic less;
    logic equal;
    assign less  = $signed(a) < $signed(operand);
    assign equal = a == operand;
    always_comb begin
      case (kind)
        4'd0: compared = less ? operand : a;
        4'd1: compared = less ? a : operand;
        4'd2: compared = {31'd0, less};
        4'd3: compared = {31'd0, less || equal};
        default: compared = {31'd0, equal};
      endcase
    end
  end else begin : g_no_compare
    assign compared = '0;
  end
  logic unused;
  assign unused = &kind;

  always_comb begin
    case (kind)
      4'd0: curved = powered;
      4'd1: curved = softened;
      default: curved = {7'd0, normal};
    endcase
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
      CURVE: y = curved;
      COMPARE: y = compared;
      default: y = of_product;
    endcase
  end

  always_ff @(posedge clk) begin
    if (multiply) sums <= total;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (multiply && !first) begin
      assert (sums[SUM_BITS-1] != product[63] || total[SUM_BITS-1] == sums[SUM_BITS-1])
      else $error("a lane's sum overflows");
    end
  end
`endif
endmodule
