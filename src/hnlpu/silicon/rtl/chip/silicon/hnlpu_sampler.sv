// Sampler: a token of the logits of a vocabulary, the largest or drawn.
//
// Latency  from `start` 1 cycle for the largest, 2 * VOCABULARY + 2 or less to draw
// Numbers  logits: 32 bits, two's complement, units of 2^-16
//          inverse: 31 bits, unsigned, 1 / temperature in units of 2^-16, 0 for the largest logit
//          number: 32 bits, unsigned, drawn evenly
//
// Drawn is the first token whose cumulative exponential passes number * total / 2^32.  Of equal
// logits the lowest token is the largest.
module hnlpu_sampler #(
    parameter int WIDTH = 64,
    parameter int VOCABULARY = 256,
    localparam int Beats = (VOCABULARY + WIDTH - 1) / WIDTH,
    localparam int TokenBits = $clog2(VOCABULARY)
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic                   store,
    input  logic [9:0]             beat,
    input  logic [WIDTH-1:0][31:0] logits,
    input  logic                   start,
    input  logic [30:0]            inverse,
    input  logic [31:0]            number,
    output logic                   done,
    output logic [TokenBits-1:0]   token,
    output logic [Beats*WIDTH-1:0][31:0] values  // all that was stored
);
  localparam int TotalBits = 26 + TokenBits;
  localparam int LaneBits = $clog2(WIDTH);

  typedef enum logic [1:0] {
    IDLE,
    ADD_UP,
    DRAW
  } state_t;

  logic [WIDTH-1:0][31:0] memory[Beats];
  for (genvar n = 0; n < Beats; n++) begin : g_values
    assign values[n*WIDTH+:WIDTH] = memory[n];
  end
  state_t state;
  logic [31:0] best;
  logic [TokenBits-1:0] best_token;
  logic [31:0] beat_best;
  logic [LaneBits-1:0] beat_lane;
  logic better;
  logic [TokenBits-1:0] place;
  logic [TotalBits-1:0] total;
  logic [TotalBits-1:0] reached;
  logic [31:0] drawn;
  logic [30:0] scale;

  always_comb begin
    beat_best = logits[0];
    beat_lane = '0;
    for (int i = 1; i < WIDTH; i++) begin
      if ($signed(logits[i]) > $signed(beat_best) && int'(beat) * WIDTH + i < VOCABULARY) begin
        beat_best = logits[i];
        beat_lane = LaneBits'(i);
      end
    end
  end
  assign better = beat == '0 || $signed(beat_best) > $signed(best);

  always_ff @(posedge clk) begin
    if (store) begin
      for (int n = 0; n < Beats; n++) if (beat == 10'(n)) memory[n] <= logits;
      if (better) begin
        best <= beat_best;
        best_token <= TokenBits'(int'(beat) * WIDTH + int'(beat_lane));
      end
    end
  end

  logic [WIDTH-1:0][31:0] of_place;
  logic [31:0] below;
  logic [30:0] distance;
  logic [61:0] scaled;
  logic [45:0] u;
  logic [24:0] part;
  logic [TotalBits-1:0] next;
  logic [TotalBits+31:0] threshold;

  assign of_place = memory[int'(place)/WIDTH];
  assign below = best - of_place[LaneBits'(place)];
  assign distance = below[31] ? 31'h7fff_ffff : below[30:0];
  assign scaled = distance * {31'd0, scale} + 62'h8000;
  assign u = scaled[61:16];

  hnlpu_exponential exponential (
      .distance(|u[45:32] ? 32'hffff_ffff : u[31:0]),
      .y(part)
  );

  assign next = reached + TotalBits'(part);
  assign threshold = drawn * {32'd0, total};

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      done  <= 1'b0;
    end else begin
      case (state)
        IDLE: begin
          if (start) begin
            state <= inverse == '0 ? IDLE : ADD_UP;
            done  <= inverse == '0;
          end
        end
        ADD_UP: if (int'(place) == VOCABULARY - 1) state <= DRAW;
        DRAW: begin
          if (next > threshold[TotalBits+31:32]) begin
            state <= IDLE;
            done  <= 1'b1;
          end
        end
        default: state <= IDLE;
      endcase
    end
  end

  always_ff @(posedge clk) begin
    case (state)
      IDLE: begin
        if (start) begin
          place <= '0;
          total <= '0;
          reached <= '0;
          drawn <= number;
          scale <= inverse;
          token <= best_token;
        end
      end
      ADD_UP: begin
        total <= total + TotalBits'(part);
        place <= int'(place) == VOCABULARY - 1 ? '0 : place + 1'b1;
      end
      DRAW: begin
        reached <= next;
        place <= place + 1'b1;
        if (next > threshold[TotalBits+31:32]) token <= place;
      end
      default: ;
    endcase
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && state == DRAW && int'(place) == VOCABULARY - 1) begin
      assert (next > threshold[TotalBits+31:32]) else $error("no token was drawn");
    end
  end
`endif

  logic unused;
  assign unused = &{scaled[15:0], threshold[31:0]};
endmodule
