// Inverse square root: the largest r with r * r * m <= 2^78, bit by bit.
//
// Latency  `done` is one in the 26th cycle after `start`, until the next `start`
// Numbers  m: 32 bits, unsigned, 2^30 <= m < 2^32; r: 25 bits, unsigned
//
// square = r^2 m, mixed = r m 2^(b+1) and power = m 2^(2b) at bit b: a bit stays if their sum does
// not pass 2^78.
module hnlpu_inverse_root (
    input  logic        clk,
    input  logic        start,
    input  logic [31:0] m,
    output logic        done,
    output logic [24:0] r
);
  logic [4:0] left;
  logic [83:0] square;
  logic [83:0] mixed;
  logic [83:0] power;
  logic [83:0] sum;
  logic fits;

  assign sum = square + mixed + power;
  assign fits = sum <= (84'd1 << 78);
  assign done = left == '0;

  always_ff @(posedge clk) begin
    if (start) begin
      left   <= 5'd25;
      square <= '0;
      mixed  <= '0;
      power  <= {4'd0, m, 48'd0};
      r      <= '0;
    end else if (!done) begin
      left   <= left - 1'b1;
      square <= fits ? sum : square;
      mixed  <= (mixed >> 1) + (fits ? power : 84'd0);
      power  <= power >> 2;
      r      <= {r[23:0], fits};
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (start) assert (m[31:30] != 2'b00) else $error("a root of less than 2^30");
  end
`endif
endmodule
