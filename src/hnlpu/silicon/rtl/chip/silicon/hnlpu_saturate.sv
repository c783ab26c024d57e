// Saturation: the number of TO bits nearest to one of FROM bits.
//
// Latency  combinational
// Numbers  two's complement
module hnlpu_saturate #(
    parameter int FROM = 33,
    parameter int TO   = 32
) (
    input  logic [FROM-1:0] wide,
    output logic [  TO-1:0] near
);
  logic fits;
  assign fits = &wide[FROM-1:TO-1] || !(|wide[FROM-1:TO-1]);
  assign near = fits ? wide[TO-1:0] : {wide[FROM-1], {TO - 1{!wide[FROM-1]}}};
endmodule
