// Bank register: which member of a bank a product is for, one bit a member.
//
// Latency  1 cycle from `load`
// Numbers  member: unsigned, below BANK
module hnlpu_bank_register #(
    parameter int BANK = 2
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic                    load,
    input  logic [$clog2(BANK)-1:0] member,
    output logic [BANK-1:0]         active
);
  logic [BANK-1:0] chosen;

  always_comb begin
    for (int n = 0; n < BANK; n++) begin
      chosen[n] = member == $clog2(BANK)'(n);
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      active <= '0;
    end else if (load) begin
      active <= chosen;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && load) assert (chosen != '0) else $error("member %0d is not of this bank", member);
  end
`endif
endmodule
