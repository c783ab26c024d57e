// Phase merge: the ports of all phases as one; those out of turn are zero.
//
// Latency  combinational
// Numbers  WIDTH bits a phase
module hnlpu_phase_merge #(
    parameter int LANES = 1,
    parameter int FOLD  = 2,
    parameter int WIDTH = 32
) (
    input  logic [FOLD-1:0][WIDTH-1:0][LANES-1:0] offered,
    output logic [WIDTH-1:0][LANES-1:0]           merged
);
  always_comb begin
    merged = '0;
    for (int phase = 0; phase < FOLD; phase++) begin
      merged |= offered[phase];
    end
  end
endmodule
