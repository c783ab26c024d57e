// Quantizer: values to activations of ACTIVATION_BITS bits with one power-of-two scale a vector.
//
// Latency  1 cycle from the last beat taken to `exponent`; activations are combinational
// Numbers  values: 32 bits, two's complement; exponent: 0 to 31
//          activations: value / 2^chosen to the nearest, halves to even
//
// `exponent` is the smallest for which neither end of the vector clips.
module hnlpu_quantizer #(
    parameter int WIDTH = 64,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                                  clk,
    input  logic                                  take,
    input  logic                                  first,
    input  logic [WIDTH-1:0][31:0]                values,
    output logic [4:0]                            exponent,
    input  logic [4:0]                            chosen,
    output logic [WIDTH-1:0][ACTIVATION_BITS-1:0] activations
);
  logic [31:0] highest;
  logic [31:0] lowest;
  logic [31:0] next_highest;
  logic [31:0] next_lowest;

  always_comb begin
    next_highest = first ? '0 : highest;
    next_lowest  = first ? '0 : lowest;
    for (int i = 0; i < WIDTH; i++) begin
      if ($signed(values[i]) > $signed(next_highest)) next_highest = values[i];
      if ($signed(values[i]) < $signed(next_lowest)) next_lowest = values[i];
    end
  end

  always_ff @(posedge clk) begin
    if (take) begin
      highest <= next_highest;
      lowest  <= next_lowest;
    end
  end

  // twice the ends against (2^A - 1) 2^s and (2^A + 1) 2^s: a half above the largest rounds up and
  // clips, a half below the smallest rounds to it
  logic [63:0] twice_high;
  logic [63:0] twice_low;
  assign twice_high = {31'd0, highest, 1'b0};
  assign twice_low  = {31'd0, -lowest, 1'b0};

  always_comb begin
    exponent = 5'd31;
    for (int s = 30; s >= 0; s--) begin
      if (twice_high < ((64'd1 << ACTIVATION_BITS) - 64'd1) << s &&
          twice_low <= ((64'd1 << ACTIVATION_BITS) + 64'd1) << s)
        exponent = 5'(s);
    end
  end

  always_comb begin
    for (int i = 0; i < WIDTH; i++) begin
      logic signed [32:0] wide;
      logic signed [32:0] half;
      logic odd;
      wide = $signed({values[i][31], values[i]});
      odd = values[i][chosen];
      half = $signed((33'd1 << chosen) >> 1);
      if (chosen != '0) wide = wide + half - 33'sd1 + $signed({32'd0, odd});
      activations[i] = ACTIVATION_BITS'(wide >>> chosen);
    end
  end
endmodule
