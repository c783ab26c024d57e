// Softplus: ln(1 + exp(x)).
//
// Latency  combinational
// Numbers  x: 32 bits, two's complement, units of 2^-16; y: 32 bits, units of 2^-24, at most 2^31 - 1
//
// What it has beyond max(x, 0): straight lines between entries 1/32 apart, up to 16 from zero.
module hnlpu_softplus (
    input  logic [31:0] x,
    output logic [31:0] y
);
  logic [31:0] size;
  logic [19:0] bounded;
  logic [24:0] high;
  logic [17:0] fall;
  logic [28:0] step;
  logic [24:0] beyond;
  logic [40:0] sum;

  assign size = x[31] ? -x : x;
  assign bounded = |size[31:20] ? 20'hf_ffff : size[19:0];

  hnlpu_softplus_table entries (
      .index(bounded[19:11]),
      .value(high),
      .fall (fall)
  );

  // minus the nearest of the fall, halves up: minus what is rounded with halves down
  assign step = fall * {18'd0, bounded[10:0]} + 29'd1023;
  assign beyond = high - {7'd0, step[28:11]};
  assign sum = {16'd0, beyond} + (x[31] ? 41'd0 : {1'b0, x, 8'd0});
  assign y = |sum[40:31] ? 32'h7fff_ffff : sum[31:0];

  logic unused;
  assign unused = &step[10:0];
endmodule
