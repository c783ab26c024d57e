// Attention unit: the memory of keys and values, and grouped-query attention over it, with sinks or without.
//
//     queries ──► scores of a position a cycle ──► score memory, largest
//                 exp(largest - score), times the position's values ──► sums, total ──► quotients
//
// Latency  QUERY_BEATS * (2 * positions + 32) cycles, about, from `start` to `done`
// Numbers  queries, keys, values: KEY_BITS bits, two's complement, units of 2^-12
//          scores and sinks: 32 bits, units of 2^-16; exponentials: 25 bits, units of 2^-24
//          sums: units of 2^-28; mixed: 32 bits, two's complement, units of 2^-16
//
// A query beat holds WIDTH / HEAD_DIM heads.  Sequence s, layer l and position p have row
// (s * LAYERS + l) * CONTEXT + p of the memories.  `first` is the first position that is seen.
module hnlpu_attention #(
    parameter int WIDTH = 64,
    parameter int HEAD_DIM = 16,
    parameter int GROUP = 2,        // query heads of a key head
    parameter int QUERY_BEATS = 1,
    parameter int KEY_BEATS = 1,
    parameter int LAYERS = 2,
    parameter int CONTEXT = 256,
    parameter int SEQUENCES = 4,
    parameter int KEY_BITS = 24,
    parameter bit SINKS = 1'b1,
    localparam int Heads = WIDTH / HEAD_DIM,
    localparam int Rows = SEQUENCES * LAYERS * CONTEXT,
    localparam int RowBits = $clog2(Rows),
    localparam int PlaceBits = $clog2(CONTEXT)
) (
    input  logic clk,
    input  logic rst,

    input  logic                             store_key,
    input  logic                             store_value,
    input  logic                             store_query,
    input  logic [15:0]                      beat,
    input  logic [RowBits-1:0]               row,
    input  logic [WIDTH-1:0][KEY_BITS-1:0]   stored,

    input  logic                             start,
    input  logic [RowBits-1:0]               base,      // row of position 0
    input  logic [PlaceBits-1:0]             first,
    input  logic [PlaceBits-1:0]             last,
    input  logic [QUERY_BEATS*Heads-1:0][31:0] sinks,
    output logic                             done,
    output logic [QUERY_BEATS-1:0][WIDTH-1:0][31:0] mixed
);
  localparam int TotalBits = 26 + PlaceBits;
  localparam int SizeBits = 41 + PlaceBits;   // of a sum's magnitude
  localparam int QuotientBits = 28;
  localparam int BeatBits = QUERY_BEATS > 1 ? $clog2(QUERY_BEATS) : 1;

  typedef enum logic [2:0] {
    IDLE,
    SCORE,
    BEGIN,
    MIX,
    DIVIDE,
    QUOTIENT
  } state_t;

  logic [WIDTH-1:0][KEY_BITS-1:0] keys  [KEY_BEATS*Rows];
  logic [WIDTH-1:0][KEY_BITS-1:0] values[KEY_BEATS*Rows];
  logic [QUERY_BEATS-1:0][WIDTH-1:0][KEY_BITS-1:0] queries;
  logic [Heads-1:0][31:0] scores[CONTEXT];

  state_t state;
  logic [BeatBits-1:0] query;
  logic [RowBits-1:0] origin;
  logic [PlaceBits-1:0] lowest;
  logic [PlaceBits-1:0] highest;
  logic [PlaceBits-1:0] place;
  logic [QUERY_BEATS*Heads-1:0][31:0] kept_sinks;
  logic [Heads-1:0][31:0] largest;
  logic [Heads-1:0][TotalBits-1:0] totals;
  logic [WIDTH-1:0][SizeBits:0] sums;

  // a position's keys and values, every lane those of its head
  logic [RowBits-1:0] at;
  logic [KEY_BEATS-1:0][WIDTH-1:0][KEY_BITS-1:0] key_row;
  logic [KEY_BEATS-1:0][WIDTH-1:0][KEY_BITS-1:0] value_row;
  logic [QUERY_BEATS-1:0][WIDTH-1:0][KEY_BITS-1:0] keys_of;
  logic [QUERY_BEATS-1:0][WIDTH-1:0][KEY_BITS-1:0] values_of;

  assign at = origin + RowBits'(place);
  for (genvar part = 0; part < KEY_BEATS; part++) begin : g_row
    assign key_row[part] = keys[part*Rows+int'(at)];
    assign value_row[part] = values[part*Rows+int'(at)];
  end
  for (genvar n = 0; n < QUERY_BEATS; n++) begin : g_beat
    for (genvar lane = 0; lane < WIDTH; lane++) begin : g_lane
      localparam int Element = (n * Heads + lane / HEAD_DIM) / GROUP * HEAD_DIM + lane % HEAD_DIM;
      assign keys_of[n][lane] = key_row[Element/WIDTH][Element%WIDTH];
      assign values_of[n][lane] = value_row[Element/WIDTH][Element%WIDTH];
    end
  end

  logic [Heads-1:0][31:0] score;
  logic [Heads-1:0][31:0] sink;
  logic [Heads-1:0][31:0] looked_up;
  logic [Heads-1:0][24:0] share;

  assign looked_up = scores[place];
  for (genvar head = 0; head < Heads; head++) begin : g_head
    logic signed [63:0] dot;
    logic signed [63:0] near;
    logic [31:0] distance;

    always_comb begin
      dot = '0;
      for (int i = 0; i < HEAD_DIM; i++) begin
        dot += 64'($signed(queries[query][head*HEAD_DIM+i])) *
            64'($signed(keys_of[query][head*HEAD_DIM+i]));
      end
    end
    assign near = (dot + 64'sd128) >>> 8;
    hnlpu_saturate #(
        .FROM(64),
        .TO(32)
    ) of_dot (
        .wide(near),
        .near(score[head])
    );

    assign sink[head] = kept_sinks[int'(query)*Heads+head];
    assign distance = largest[head] - (state == BEGIN ? sink[head] : looked_up[head]);
    hnlpu_exponential exponential (
        .distance(distance),
        .y(share[head])
    );
  end

  logic [WIDTH-1:0] divided;
  logic [WIDTH-1:0][31:0] quotient;
  for (genvar lane = 0; lane < WIDTH; lane++) begin : g_quotient
    logic negative;
    logic [SizeBits-1:0] size;
    logic [QuotientBits-1:0] found;

    assign negative = sums[lane][SizeBits];
    assign size = SizeBits'(negative ? -sums[lane] : sums[lane]);
    hnlpu_divider #(
        .NUMERATOR_BITS(SizeBits),
        .DENOMINATOR_BITS(TotalBits),
        .FRACTION(12),
        .QUOTIENT_BITS(QuotientBits)
    ) divider (
        .clk(clk),
        .start(state == DIVIDE),
        .numerator(size),
        .denominator(totals[lane/HEAD_DIM]),
        .done(divided[lane]),
        .quotient(found)
    );
    assign quotient[lane] = negative ? -{4'd0, found} : {4'd0, found};
  end

  always_ff @(posedge clk) begin
    for (int part = 0; part < KEY_BEATS; part++) begin
      if (store_key && beat == 16'(part)) keys[part*Rows+int'(row)] <= stored;
      if (store_value && beat == 16'(part)) values[part*Rows+int'(row)] <= stored;
    end
    for (int n = 0; n < QUERY_BEATS; n++) begin
      if (store_query && beat == 16'(n)) queries[n] <= stored;
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      done  <= 1'b0;
    end else begin
      case (state)
        IDLE: begin
          if (start) begin
            state <= SCORE;
            done <= 1'b0;
          end
        end
        SCORE: if (place == highest) state <= BEGIN;
        BEGIN: state <= MIX;
        MIX: if (place == highest) state <= DIVIDE;
        DIVIDE: state <= QUOTIENT;
        QUOTIENT: begin
          if (&divided) begin
            state <= int'(query) == QUERY_BEATS - 1 ? IDLE : SCORE;
            done  <= int'(query) == QUERY_BEATS - 1;
          end
        end
        default: state <= IDLE;
      endcase
    end
  end

  always_ff @(posedge clk) begin
    case (state)
      IDLE: begin
        query <= '0;
        origin <= base;
        lowest <= first;
        highest <= last;
        place <= first;
        kept_sinks <= sinks;
        largest <= SINKS ? sinks[0+:Heads] : {Heads{32'h8000_0000}};
      end
      SCORE: begin
        scores[place] <= score;
        for (int head = 0; head < Heads; head++) begin
          if ($signed(score[head]) > $signed(largest[head])) largest[head] <= score[head];
        end
        place <= place == highest ? lowest : place + 1'b1;
      end
      BEGIN: begin
        for (int head = 0; head < Heads; head++) begin
          totals[head] <= SINKS ? TotalBits'(share[head]) : '0;
        end
        sums <= '0;
      end
      MIX: begin
        for (int head = 0; head < Heads; head++) begin
          totals[head] <= totals[head] + TotalBits'(share[head]);
        end
        for (int lane = 0; lane < WIDTH; lane++) begin
          logic signed [63:0] part;
          part = 64'($signed({1'b0, share[lane/HEAD_DIM]})) *
              64'($signed(values_of[query][lane])) + 64'sd128;
          sums[lane] <= sums[lane] + (SizeBits + 1)'(part >>> 8);
        end
        place <= place == highest ? lowest : place + 1'b1;
      end
      DIVIDE: ;
      QUOTIENT: begin
        if (&divided) begin
          mixed[query] <= quotient;
          query <= query + 1'b1;
          if (int'(query) < QUERY_BEATS - 1) begin
            largest <= SINKS ? kept_sinks[(int'(query)+1)*Heads+:Heads] : {Heads{32'h8000_0000}};
          end
        end
      end
      default: ;
    endcase
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && start) assert (state == IDLE) else $error("the attention unit is started twice");
    if (!rst && start) assert (first <= last) else $error("no position is seen");
  end
`endif
endmodule
