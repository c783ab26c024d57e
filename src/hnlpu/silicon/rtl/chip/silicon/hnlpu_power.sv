// Power: exp(u), the largest number where it does not fit.
//
// Latency  combinational
// Numbers  u, y: 32 bits, two's complement, units of 2^-24
//
// 2^-t with t = -u * log2(e): a straight line between entries of 2^-(k/256), shifted by the whole part
// of t, down or up.
module hnlpu_power (
    input  logic [31:0] u,
    output logic [31:0] y
);
  localparam logic signed [21:0] Log2E = 22'sd1512775;  // units of 2^-20

  logic signed [53:0] product;
  logic signed [53:0] t;
  logic [24:0] high;
  logic [15:0] fall;
  logic [31:0] drop;
  logic [24:0] part;
  logic [ 9:0] whole;
  logic [ 9:0] up;
  logic [25:0] lowered;
  logic [31:0] raised;
  logic [24:0] downward;

  assign product = -(54'($signed(u)) * 54'(Log2E));
  assign t = (product + 54'sd524288) >>> 20;
  assign whole = t[33:24];
  assign up = -whole;

  hnlpu_exp_table entries (
      .index(t[23:16]),
      .value(high),
      .fall (fall)
  );

  assign drop = fall * {16'd0, t[15:0]} + 32'h8000;
  assign part = high - {9'd0, drop[31:16]};
  assign lowered = {part, 1'b0} >> whole;
  assign downward = lowered[25:1] + {24'd0, lowered[0]};
  assign raised = {7'd0, part} << up[2:0];

  always_comb begin
    if (!whole[9]) y = {7'd0, downward};
    else if (up[8:3] != '0 || raised[31]) y = 32'h7fff_ffff;
    else y = raised;
  end

  logic unused;
  assign unused = &{t[53:34], drop[15:0], up[9]};
endmodule
