// Sender of a link: frames as symbols, and silence before frames are sent anew.
//
//     start (ones) │ header, 32 bits │ payload, if it has one │ CRC, 32 bits │ start or zeros ...
//
// Latency  a symbol is offered every cycle; it stays while it is not taken
// Numbers  symbols: LANES bits, the lowest first
module hnlpu_link_sender #(
    parameter int LANES = 4,
    parameter int PAYLOAD_SYMBOLS = 16
) (
    input  logic                             clk,
    input  logic                             rst,
    input  logic                             offers_data,  // a frame with a payload
    input  logic                             offers,       // one without
    input  logic                             replay,
    output logic                             rewinds,      // silence has begun: what follows is sent anew
    input  logic [30:0]                      header,       // without its lowest bit
    input  logic [PAYLOAD_SYMBOLS*LANES-1:0] payload,
    output logic                             begins,       // header and payload are taken
    output logic                             begins_data,
    input  logic                             out_ready,
    output logic [LANES-1:0]                 out_lanes
);
  localparam int HeaderSymbols = 32 / LANES;
  localparam int LongestSymbols = 1 + 2 * HeaderSymbols + PAYLOAD_SYMBOLS;
  localparam int CountBits = $clog2(LongestSymbols + 1);
  localparam int HeldBits = 32 + PAYLOAD_SYMBOLS * LANES;

  typedef enum logic [2:0] {
    REST,
    START,
    BODY,
    CHECK,
    SILENCE
  } state_t;

  state_t state;
  logic [CountBits-1:0] left;  // symbols of the state that follow the one on the lanes
  logic [HeldBits-1:0] held;
  logic [31:0] crc;
  logic [31:0] next_crc;
  logic ready;

  hnlpu_crc #(
      .LANES(LANES)
  ) of_body (
      .crc(crc),
      .symbol(held[LANES-1:0]),
      .next(next_crc)
  );

  // the next frame begins with the symbol behind this one
  assign ready = out_ready && left == '0 && (state == REST || state == CHECK || state == SILENCE);
  assign rewinds = ready && replay;
  assign begins_data = ready && !replay && offers_data;
  assign begins = ready && !replay && (offers_data || offers);

  always_comb begin
    case (state)
      START: out_lanes = '1;
      BODY: out_lanes = held[LANES-1:0];
      CHECK: out_lanes = ~crc[LANES-1:0];
      default: out_lanes = '0;
    endcase
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= REST;
      left <= '0;
    end else if (out_ready) begin
      if (left != '0) left <= left - 1'b1;
      case (state)
        START: begin
          state <= BODY;
          left <= CountBits'(HeaderSymbols - 1 + (held[0] ? PAYLOAD_SYMBOLS : 0));
        end
        BODY:
        if (left == '0) begin
          state <= CHECK;
          left <= CountBits'(HeaderSymbols - 1);
        end
        default:
        if (left == '0) begin
          state <= rewinds ? SILENCE : begins ? START : REST;
          left <= rewinds ? CountBits'(LongestSymbols - 1) : '0;
        end
      endcase
    end
  end

  always_ff @(posedge clk) begin
    if (begins) begin
      held <= {payload, header, begins_data};
      crc <= '1;
    end else if (out_ready && state == BODY) begin
      held <= held >> LANES;
      crc <= next_crc;
    end else if (out_ready && state == CHECK) begin
      crc <= crc >> LANES;
    end
  end
endmodule
