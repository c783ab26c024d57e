// Heads of a place: the attention unit for a chip's part of the heads, with their keys and values alone.
//
//     beats of all heads ──► the place's lanes ──► hnlpu_attention ──► the same lanes, zeros in the others
//
// Latency  see hnlpu_attention.sv
// Numbers  as there; place p has query heads p * HEADS / PARTS on, and the key heads that these take
//
// A chip's lanes are whole beats, or a beat has the lanes of several whole chips.  Key heads go to each chip
// that has one of their query heads.
module hnlpu_heads #(
    parameter int WIDTH = 64,
    parameter int HEAD_DIM = 16,
    parameter int HEADS = 4,
    parameter int KEY_HEADS = 2,
    parameter int PARTS = 2,        // chips
    parameter int LAYERS = 2,
    parameter int CONTEXT = 256,
    parameter int SEQUENCES = 4,
    parameter int KEY_BITS = 24,
    parameter bit SINKS = 1'b1,
    localparam int Group = HEADS / KEY_HEADS,
    localparam int OwnHeads = HEADS / PARTS,
    localparam int OwnGroup = OwnHeads < Group ? OwnHeads : Group,
    localparam int Sharing = Group / OwnGroup,  // chips that have one key head
    localparam int Lanes = OwnHeads * HEAD_DIM,
    localparam int KeyLanes = OwnHeads / OwnGroup * HEAD_DIM,
    localparam int Narrow = Lanes < WIDTH ? Lanes : WIDTH,  // lanes of the unit
    localparam int NarrowKeys = KeyLanes < Narrow ? KeyLanes : Narrow,
    localparam int QueryBeats = Lanes / Narrow,
    localparam int KeyBeats = (KeyLanes + Narrow - 1) / Narrow,
    localparam int RowBits = $clog2(SEQUENCES * LAYERS * CONTEXT),
    localparam int PlaceBits = $clog2(CONTEXT),
    localparam int HereBits = $clog2(PARTS)
) (
    input  logic                clk,
    input  logic                rst,
    input  logic [HereBits-1:0] here,

    input  logic                           store_key,
    input  logic                           store_value,
    input  logic                           store_query,
    input  logic [15:0]                    beat,    // of all heads
    input  logic [RowBits-1:0]             row,
    input  logic [WIDTH-1:0][KEY_BITS-1:0] stored,

    input  logic                 start,
    input  logic [RowBits-1:0]   base,
    input  logic [PlaceBits-1:0] first,
    input  logic [PlaceBits-1:0] last,
    input  logic [HEADS-1:0][31:0] sinks,
    output logic                 done,
    output logic [QueryBeats-1:0][WIDTH-1:0][31:0] mixed  // of the place, from its first beat on
);
  int query_lane;  // the place's first among those of all heads
  int key_lane;
  logic [15:0] own_beat;
  logic [Narrow-1:0][KEY_BITS-1:0] own;
  logic [OwnHeads-1:0][31:0] own_sinks;
  logic [QueryBeats-1:0][Narrow-1:0][31:0] own_mixed;

  assign query_lane = int'(here) * Lanes;
  assign key_lane = int'(here) / Sharing * KeyLanes;
  assign own_beat = beat - 16'((store_query ? query_lane : key_lane) / WIDTH);
  always_comb begin
    for (int n = 0; n < Narrow; n++) begin
      own[n] = '0;
      if (store_query) own[n] = stored[query_lane%WIDTH+n];
      else if (n < NarrowKeys) own[n] = stored[key_lane%WIDTH+n];
    end
    for (int n = 0; n < OwnHeads; n++) own_sinks[n] = sinks[int'(here)*OwnHeads+n];
    mixed = '0;
    for (int n = 0; n < QueryBeats; n++) begin
      for (int lane = 0; lane < Narrow; lane++) begin
        mixed[n][query_lane%WIDTH+lane] = own_mixed[n][lane];
      end
    end
  end

  hnlpu_attention #(
      .WIDTH(Narrow),
      .HEAD_DIM(HEAD_DIM),
      .GROUP(OwnGroup),
      .QUERY_BEATS(QueryBeats),
      .KEY_BEATS(KeyBeats),
      .LAYERS(LAYERS),
      .CONTEXT(CONTEXT),
      .SEQUENCES(SEQUENCES),
      .KEY_BITS(KEY_BITS),
      .SINKS(SINKS)
  ) attention (
      .clk(clk),
      .rst(rst),
      .store_key(store_key),
      .store_value(store_value),
      .store_query(store_query),
      .beat(own_beat),
      .row(row),
      .stored(own),
      .start(start),
      .base(base),
      .first(first),
      .last(last),
      .sinks(own_sinks),
      .done(done),
      .mixed(own_mixed)
  );
endmodule
