// Receiver of a link: symbols to frames whose CRC is right.
//
// Latency  `good` or `bad` is raised for the cycle after the frame's last symbol
// Numbers  as the sender's; header and payload keep what the last good frame brought until the next comes
//
// It looks for a symbol of ones.  What follows is as long as its header says; where that was damaged, or
// the ones were none of a start, the CRC is wrong and it looks on from there.
module hnlpu_link_receiver #(
    parameter int LANES = 4,
    parameter int PAYLOAD_SYMBOLS = 16
) (
    input  logic                             clk,
    input  logic                             rst,
    input  logic                             in_valid,
    input  logic [LANES-1:0]                 in_lanes,
    output logic                             good,
    output logic                             bad,
    output logic [31:0]                      header,
    output logic [PAYLOAD_SYMBOLS*LANES-1:0] payload
);
  localparam int HeaderSymbols = 32 / LANES;
  localparam int PayloadBits = PAYLOAD_SYMBOLS * LANES;
  localparam int CountBits = $clog2(2 * HeaderSymbols + PAYLOAD_SYMBOLS + 1);

  typedef enum logic [1:0] {
    LOOK,
    HEADER,
    PAYLOAD,
    CHECK
  } state_t;

  state_t state;
  logic [CountBits-1:0] left;
  logic [31:0] head;
  logic [31:0] next_head;
  logic [PAYLOAD_SYMBOLS*LANES-1:0] body;
  logic [31:0] crc;
  logic [31:0] next_crc;
  logic wrong;

  hnlpu_crc #(
      .LANES(LANES)
  ) of_body (
      .crc(crc),
      .symbol(in_lanes),
      .next(next_crc)
  );

  if (LANES == 32) begin : g_one_symbol
    assign next_head = in_lanes;
  end else begin : g_symbols
    assign next_head = {in_lanes, head[31:LANES]};
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= LOOK;
      left <= '0;
      good <= 1'b0;
      bad <= 1'b0;
      header <= '0;
    end else begin
      good <= 1'b0;
      bad <= 1'b0;
      if (in_valid) begin
        if (left != '0) left <= left - 1'b1;
        case (state)
          LOOK:
          if (&in_lanes) begin
            state <= HEADER;
            left <= CountBits'(HeaderSymbols - 1);
          end
          HEADER:
          if (left == '0) begin
            state <= next_head[0] ? PAYLOAD : CHECK;
            left <= CountBits'((next_head[0] ? PAYLOAD_SYMBOLS : HeaderSymbols) - 1);
          end
          PAYLOAD:
          if (left == '0) begin
            state <= CHECK;
            left <= CountBits'(HeaderSymbols - 1);
          end
          CHECK:
          if (left == '0) begin
            state <= LOOK;
            good <= !wrong && in_lanes == ~crc[LANES-1:0];
            bad <= wrong || in_lanes != ~crc[LANES-1:0];
            if (!wrong && in_lanes == ~crc[LANES-1:0]) begin
              header <= head;
              payload <= body;
            end
          end
          default: ;
        endcase
      end
    end
  end

  always_ff @(posedge clk) begin
    if (in_valid) begin
      case (state)
        LOOK: begin
          crc <= '1;
          wrong <= 1'b0;
        end
        HEADER: begin
          head <= next_head;
          crc <= next_crc;
        end
        PAYLOAD: begin
          body <= PayloadBits'({in_lanes, body} >> LANES);
          crc <= next_crc;
        end
        CHECK: begin
          crc <= crc >> LANES;
          wrong <= wrong || in_lanes != ~crc[LANES-1:0];
        end
        default: ;
      endcase
    end
  end
endmodule
