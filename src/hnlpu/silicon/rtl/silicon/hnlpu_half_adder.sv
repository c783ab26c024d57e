// Half adder: sum + 2 * carry = a + b, in every lane.
//
// Latency  combinational
// Numbers  one bit a lane, unsigned
module hnlpu_half_adder #(
    parameter int LANES = 1
) (
    input  logic [LANES-1:0] a,
    input  logic [LANES-1:0] b,
    output logic [LANES-1:0] sum,
    output logic [LANES-1:0] carry
);
  assign sum   = a ^ b;
  assign carry = a & b;
endmodule
