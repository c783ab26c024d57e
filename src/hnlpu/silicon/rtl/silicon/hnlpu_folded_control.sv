// Control of a folded array: takes a vector, counts phases and the steps of its product, offers the result.
//
// Latency  a product takes FOLD * STEPS cycles behind the one that took the vector; the next vector is
//          taken in the last of them.  A result that nobody takes holds the next product's first
//          cycle, not its vector.
// Numbers  count: unsigned, 0 to STEPS - 1; phase: one bit set, the lowest first
module hnlpu_folded_control #(
    parameter int STEPS = 12,
    parameter int FOLD  = 2
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            in_valid,
    output logic            in_ready,
    output logic            out_valid,
    input  logic            out_ready,
    output logic            load,
    output logic            step,
    output logic            fresh,
    output logic            advance,
    output logic            first,
    output logic            last,
    output logic [FOLD-1:0] phase
);
  localparam int CountBits = $clog2(STEPS);
  localparam logic [CountBits-1:0] Last = CountBits'(STEPS - 1);

  logic busy;
  logic done;
  logic [CountBits-1:0] count;

  assign fresh = phase[0];
  assign first = count == '0 && fresh;
  assign last = count == Last;
  assign done = last && phase[FOLD-1];
  assign step = busy && !(first && out_valid && !out_ready);
  assign advance = step && phase[FOLD-1];
  assign in_ready = !busy || done;
  assign load = in_valid && in_ready;

  always_ff @(posedge clk) begin
    if (rst) begin
      busy <= 1'b0;
      count <= '0;
      phase <= FOLD'(1);
      out_valid <= 1'b0;
    end else begin
      if (load) busy <= 1'b1;
      else if (done) busy <= 1'b0;
      if (step) phase <= {phase[FOLD-2:0], phase[FOLD-1]};
      if (advance) count <= last ? '0 : count + 1'b1;
      if (step && done) out_valid <= 1'b1;
      else if (out_ready) out_valid <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && step && done) assert (!out_valid) else $error("a result was lost");
    if (!rst && step) assert ($onehot(phase)) else $error("phase is %b", phase);
  end
`endif
endmodule
