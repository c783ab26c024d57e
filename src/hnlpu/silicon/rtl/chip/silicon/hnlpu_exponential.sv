// Exponential: exp(-distance).
//
// Latency  combinational
// Numbers  distance: 32 bits, unsigned, units of 2^-16; y: 25 bits, unsigned, units of 2^-24, at most 2^24
//
// 2^-t with t = distance * log2(e): a straight line between entries of 2^-(k/256), shifted by the
// whole part of t.
module hnlpu_exponential (
    input  logic [31:0] distance,
    output logic [24:0] y
);
  localparam logic [20:0] Log2E = 21'd1512775;  // units of 2^-20

  logic [22:0] u;
  logic [43:0] t;
  logic [24:0] high;
  logic [15:0] fall;
  logic [23:0] drop;
  logic [24:0] power;
  logic [25:0] shifted;

  assign u = distance > 32'h0040_0000 ? 23'h40_0000 : distance[22:0];
  assign t = u * Log2E + 44'h8_0000;

  hnlpu_exp_table entries (
      .index(t[35:28]),
      .value(high),
      .fall (fall)
  );

  assign drop = fall * {8'd0, t[27:20]} + 24'd128;
  assign power = high - {9'd0, drop[23:8]};
  assign shifted = {power, 1'b0} >> t[42:36];
  assign y = shifted[25:1] + {24'd0, shifted[0]};

  logic unused;
  assign unused = &{t[43], t[19:0], drop[7:0]};
endmodule
