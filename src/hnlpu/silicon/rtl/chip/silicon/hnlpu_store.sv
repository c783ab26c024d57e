// Store: the word at a place, of words that metal ties.
//
// Latency  combinational
// Numbers  place: unsigned, below WORDS; other places give the word 0
module hnlpu_store #(
    parameter int WORDS = 2,
    parameter int BITS = 32,
    localparam int PlaceBits = WORDS > 1 ? $clog2(WORDS) : 1
) (
    input  logic [PlaceBits-1:0]       place,
    input  logic [WORDS-1:0][BITS-1:0] words,
    output logic [BITS-1:0]            word
);
  assign word = int'(place) < WORDS ? words[place] : words[0];
endmodule
