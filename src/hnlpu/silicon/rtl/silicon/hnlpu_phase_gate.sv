// Phase gate: a product of an input while it is its turn, and zero otherwise.
//
// Latency  combinational
// Numbers  as of hnlpu_tap_generator.sv
module hnlpu_phase_gate #(
    parameter int LANES = 1
) (
    input  logic             turn,
    input  logic [LANES-1:0] tap,
    output logic [LANES-1:0] trunk
);
  assign trunk = turn ? tap : '0;
endmodule
