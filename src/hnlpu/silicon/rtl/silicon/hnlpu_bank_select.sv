// Bank selection: the bits of the active member out of those that every member offers.
//
// Latency  combinational
// Numbers  WIDTH bits a member; `active` has one bit set
module hnlpu_bank_select #(
    parameter int LANES = 1,
    parameter int BANK  = 2,
    parameter int WIDTH = 32
) (
    input  logic [BANK-1:0]                       active,
    input  logic [BANK-1:0][WIDTH-1:0][LANES-1:0] offered,
    output logic [WIDTH-1:0][LANES-1:0]           selected
);
  always_comb begin
    selected = '0;
    for (int member = 0; member < BANK; member++) begin
      selected |= offered[member] & {WIDTH * LANES{active[member]}};
    end
  end
endmodule
