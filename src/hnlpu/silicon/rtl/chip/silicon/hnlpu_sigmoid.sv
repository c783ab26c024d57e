// Sigmoid: 1 / (1 + exp(-z)).
//
// Latency  combinational
// Numbers  z: 32 bits, two's complement, units of 2^-16; y: 25 bits, unsigned, units of 2^-24
//
// Straight lines between entries 1/32 apart, up to 16 from zero.
module hnlpu_sigmoid (
    input  logic [31:0] z,
    output logic [24:0] y
);
  logic [31:0] size;
  logic [19:0] bounded;
  logic [24:0] low;
  logic [17:0] rise;
  logic [28:0] step;
  logic [24:0] share;

  assign size = z[31] ? -z : z;
  assign bounded = |size[31:20] ? 20'hf_ffff : size[19:0];

  hnlpu_sigmoid_table entries (
      .index(bounded[19:11]),
      .value(low),
      .rise (rise)
  );

  assign step = rise * {18'd0, bounded[10:0]} + 29'd1024;
  assign share = low + {7'd0, step[28:11]};
  assign y = z[31] ? 25'h100_0000 - share : share;

  logic unused;
  assign unused = &step[10:0];
endmodule
