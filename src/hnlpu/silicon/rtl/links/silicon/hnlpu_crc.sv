// CRC: the 32 bit CRC of IEEE 802.3, LANES bits further.
//
// Latency  combinational
// Numbers  polynomial 04C11DB7 (hexadecimal), bits of a byte lowest first, register shifted to the right
//          the register begins with ones and is sent inverted, lowest bit first
module hnlpu_crc #(
    parameter int LANES = 4
) (
    input  logic [31:0]      crc,
    input  logic [LANES-1:0] symbol,  // bit 0 first
    output logic [31:0]      next
);
  localparam logic [31:0] Reversed = 32'hedb8_8320;

  always_comb begin
    next = crc;
    for (int n = 0; n < LANES; n++) begin
      next = (next >> 1) ^ (next[0] != symbol[n] ? Reversed : '0);
    end
  end
endmodule
