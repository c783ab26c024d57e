// Normal: the integral of the normal distribution up to x.
//
// Latency  combinational
// Numbers  x: 32 bits, two's complement, units of 2^-16; y: 25 bits, unsigned, units of 2^-24
//
// Straight lines between entries 1/64 apart, up to 8 from zero.
module hnlpu_normal (
    input  logic [31:0] x,
    output logic [24:0] y
);
  logic [31:0] size;
  logic [18:0] bounded;
  logic [24:0] low;
  logic [17:0] rise;
  logic [27:0] step;
  logic [24:0] share;

  assign size = x[31] ? -x : x;
  assign bounded = |size[31:19] ? 19'h7_ffff : size[18:0];

  hnlpu_normal_table entries (
      .index(bounded[18:10]),
      .value(low),
      .rise (rise)
  );

  assign step = rise * {18'd0, bounded[9:0]} + 28'd512;
  assign share = low + {7'd0, step[27:10]};
  assign y = x[31] ? 25'h100_0000 - share : share;

  logic unused;
  assign unused = &step[9:0];
endmodule
