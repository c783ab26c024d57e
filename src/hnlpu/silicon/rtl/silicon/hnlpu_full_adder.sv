// Full adder: sum + 2 * carry = a + b + c, in every lane.
//
// Latency  combinational
// Numbers  one bit a lane, unsigned
// LANES    independent bits side by side: 1 in hardware, as many as a word holds in simulation
module hnlpu_full_adder #(
    parameter int LANES = 1
) (
    input  logic [LANES-1:0] a,
    input  logic [LANES-1:0] b,
    input  logic [LANES-1:0] c,
    output logic [LANES-1:0] sum,
    output logic [LANES-1:0] carry
);
  assign sum   = a ^ b ^ c;
  assign carry = (a & b) | (c & (a ^ b));
endmodule
