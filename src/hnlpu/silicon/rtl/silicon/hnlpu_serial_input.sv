// Serial input: one activation bit by bit, behind a step of zero.
//
// Latency  after `load`, trunk is zero until the first `step`, then bit t of x until the (t+2)-th
// Numbers  x: ACTIVATION_BITS bits, two's complement; trunk: least significant bit first, over
//          ACTIVATION_BITS + 1 steps, the last of which is the sign
module hnlpu_serial_input #(
    parameter int LANES = 1,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                                  clk,
    input  logic                                  load,
    input  logic                                  step,
    input  logic                                  first,
    input  logic [ACTIVATION_BITS-1:0][LANES-1:0] x,
    output logic [LANES-1:0]                      trunk
);
  logic [ACTIVATION_BITS-1:0][LANES-1:0] rest;  // bits to come

  always_ff @(posedge clk) begin
    if (load) begin
      rest <= x;
    end else if (step && !first) begin
      rest <= {rest[ACTIVATION_BITS-1], rest[ACTIVATION_BITS-1:1]};
    end
  end

  assign trunk = first ? '0 : rest[0];
endmodule
