// Mover: lanes of a beat in other lanes.
//
// Latency  combinational
// Numbers  b, moved: 32 bits; a lane that takes none is 0
module hnlpu_mover #(
    parameter int WIDTH = 64,
    localparam int LaneBits = $clog2(WIDTH)
) (
    input  logic [WIDTH-1:0][31:0]         b,
    input  logic [WIDTH-1:0][LaneBits-1:0] sources,
    input  logic [WIDTH-1:0]               taken,
    output logic [WIDTH-1:0][31:0]         moved
);
  for (genvar n = 0; n < WIDTH; n++) begin : g_lane
    assign moved[n] = taken[n] ? b[sources[n]] : '0;
  end
endmodule
