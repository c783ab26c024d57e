// Control of an array: takes a vector, counts the steps of its product, offers the result.
//
// Latency  a product takes STEPS steps behind the cycle that took the vector; the next vector is
//          taken in the last of them.  A result that nobody takes holds the next product's first
//          step, not its vector.
// Numbers  count: unsigned, 0 to STEPS - 1
module hnlpu_control #(
    parameter int STEPS = 12
) (
    input  logic clk,
    input  logic rst,
    input  logic in_valid,
    output logic in_ready,
    output logic out_valid,
    input  logic out_ready,
    output logic load,
    output logic step,
    output logic first,
    output logic last
);
  localparam int CountBits = $clog2(STEPS);
  localparam logic [CountBits-1:0] Last = CountBits'(STEPS - 1);

  logic busy;
  logic [CountBits-1:0] count;

  assign first = count == '0;
  assign last = count == Last;
  assign step = busy && !(first && out_valid && !out_ready);
  assign in_ready = !busy || last;
  assign load = in_valid && in_ready;

  always_ff @(posedge clk) begin
    if (rst) begin
      busy <= 1'b0;
      count <= '0;
      out_valid <= 1'b0;
    end else begin
      if (load) busy <= 1'b1;
      else if (last) busy <= 1'b0;
      if (step) count <= last ? '0 : count + 1'b1;
      if (step && last) out_valid <= 1'b1;
      else if (out_ready) out_valid <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && step && last) assert (!out_valid) else $error("a result was lost");
  end
`endif
endmodule
