// Sine of an angle, times the factor that the table holds.
//
// Latency  combinational
// Numbers  angle: 32 bits, unsigned, units of 2^-32 turns; y: 32 bits, two's complement, units of 2^-24
//
// Straight lines between 256 entries of a quarter turn.
module hnlpu_sine (
    input  logic [31:0] angle,
    output logic [31:0] y
);
  logic [30:0] bounded;
  logic [25:0] value;
  logic [17:0] rise;
  logic [33:0] step;
  logic [26:0] size;

  assign bounded = angle[30] ? 31'h4000_0000 - {1'b0, angle[29:0]} : {1'b0, angle[29:0]};

  hnlpu_sine_table entries (
      .index(bounded[30:22]),
      .value(value),
      .rise (rise)
  );

  assign step = rise * {18'd0, bounded[21:6]} + 34'h8000;
  assign size = {1'b0, value} + {9'd0, step[33:16]};
  assign y = angle[31] ? -{5'd0, size} : {5'd0, size};

  logic unused;
  assign unused = &{bounded[5:0], step[15:0]};
endmodule
