// Link: one end of a pair of serial wires between two chips; words go in and come out in order, once each.
//
//     send ──► replay buffer ──► hnlpu_link_sender ───► lanes out
//                 │ acknowledged      ▲ what is acknowledged, how much there is room for
//     take ◄── queue ◄────────── hnlpu_link_receiver ◄─ lanes in
//
// Latency  a word is offered to `take` the cycle after the last symbol of its frame came
// Numbers  a word: BITS bits; sequence numbers: 8 bits, modulo 256; see docs/link.md for frames
//
// `fault` stays once it is raised: 1 silent, no good frame came for LIMIT cycles; 2 stuck, good frames
// come, but for LIMIT cycles nothing in flight was acknowledged.
module hnlpu_link #(
    parameter int BITS = 64,
    parameter int LANES = 4,    // 1, 2, 4, 8, 16 or 32
    parameter int WINDOW = 4,   // frames in flight: a power of two, at most 32
    parameter int DEPTH = 4,    // words that wait to be taken: a power of two, at most 32
    parameter int REPLAY = 256,  // cycles until frames are sent anew
    parameter int PULSE = 64,   // cycles from one frame to the next where there is nothing to send
    parameter int LIMIT = 8192
) (
    input logic clk,
    input logic rst,

    input  logic             send_valid,
    output logic             send_ready,
    input  logic [BITS-1:0]  send_data,
    output logic             take_valid,
    input  logic             take_ready,
    output logic [BITS-1:0]  take_data,

    input  logic [6:0]       status,       // told to the peer with every frame
    output logic [6:0]       peer_status,
    output logic [1:0]       fault,
    output logic             replayed,     // frames are sent anew, for one cycle
    output logic             discarded,    // a frame came damaged, for one cycle

    input  logic             out_ready,    // the symbol is taken from the lanes
    output logic [LANES-1:0] out_lanes,
    input  logic             in_valid,
    input  logic [LANES-1:0] in_lanes
);
  localparam int PayloadSymbols = (BITS + 31) / 32 * 32 / LANES;
  localparam int PayloadBits = PayloadSymbols * LANES;
  localparam int WindowBits = WINDOW > 1 ? $clog2(WINDOW) : 1;
  localparam int DepthBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int TimerBits = $clog2(LIMIT + 1);

  // what came from the peer in a good frame
  logic good;
  logic good_data;
  logic [31:0] header;
  logic [PayloadBits-1:0] payload;
  logic [7:0] acknowledged;
  logic [7:0] limit;
  assign peer_status = header[7:1];

  // sending: frames from `base` on are in flight or still to be sent, `fresh` is the next to be sent first
  logic [BITS-1:0] kept[WINDOW];
  logic [7:0] base;
  logic [7:0] next;
  logic [7:0] behind;
  logic [7:0] fresh;
  logic [7:0] gained;
  logic [7:0] room;
  logic begins;
  logic begins_data;
  logic rewinds;

  assign send_ready = behind - base < 8'(WINDOW);
  assign gained = acknowledged - base;
  assign room = limit - next;

  always_ff @(posedge clk) begin
    if (send_valid && send_ready) kept[WindowBits'(behind)] <= send_data;
    if (rst) begin
      base <= '0;
      next <= '0;
      fresh <= '0;
      behind <= '0;
    end else begin
      if (send_valid && send_ready) behind <= behind + 1'b1;
      if (begins_data) next <= next + 1'b1;
      if (begins_data && next == fresh) fresh <= fresh + 1'b1;
      if (rewinds) next <= base;
      // an acknowledgement beyond what was sent says nothing
      if (good && gained <= fresh - base) begin
        base <= acknowledged;
        if (next - base < gained || rewinds) next <= acknowledged;
      end
    end
  end

  // receiving: words from `taken` to `expected` wait
  logic [BITS-1:0] queue[DEPTH];
  logic [7:0] expected;
  logic [7:0] taken;
  logic full;
  logic accepts;
  logic takes;
  assign take_valid = expected != taken;
  assign take_data = queue[DepthBits'(taken)];
  assign takes = take_valid && take_ready;
  assign full = expected - taken >= 8'(DEPTH);
  assign accepts = good_data && header[15:8] == expected && !full;

  always_ff @(posedge clk) begin
    if (accepts) queue[DepthBits'(expected)] <= payload[BITS-1:0];
    if (rst) begin
      expected <= '0;
      taken <= '0;
    end else begin
      if (accepts) expected <= expected + 1'b1;
      if (takes) taken <= taken + 1'b1;
    end
  end

  // what the peer must be told: that its frames came, that there is room again, that this end lives
  logic due;
  logic [$clog2(PULSE+1)-1:0] since_frame;
  logic [$clog2(REPLAY+1)-1:0] waited;
  logic [TimerBits-1:0] since_good;
  logic [TimerBits-1:0] since_gain;
  logic in_flight;
  logic owed;
  assign in_flight = fresh != base;
  assign due = owed || since_frame == ($clog2(PULSE + 1))'(PULSE);

  always_ff @(posedge clk) begin
    if (rst) begin
      owed <= 1'b0;
      since_frame <= '0;
      waited <= '0;
      since_good <= '0;
      since_gain <= '0;
      fault <= '0;
    end else begin
      if (good_data || takes) owed <= 1'b1;
      else if (begins) owed <= 1'b0;
      if (begins) since_frame <= '0;
      else if (since_frame != ($clog2(PULSE + 1))'(PULSE)) since_frame <= since_frame + 1'b1;
      if (!in_flight || rewinds || (good && gained != '0)) waited <= '0;
      else if (waited != ($clog2(REPLAY + 1))'(REPLAY)) waited <= waited + 1'b1;
      since_good <= good ? '0 : since_good + TimerBits'(since_good != TimerBits'(LIMIT));
      since_gain <= !in_flight || (good && gained != '0) ? '0
          : since_gain + TimerBits'(since_gain != TimerBits'(LIMIT));
      if (fault == '0) begin
        if (since_good == TimerBits'(LIMIT)) fault <= 2'd1;
        // of a peer that is gone, the last acknowledgement may be older than its last frame
        else if (since_gain == TimerBits'(LIMIT) && since_good < TimerBits'(LIMIT / 2)) fault <= 2'd2;
      end
    end
  end
  assign replayed = rewinds;

  logic [PayloadBits-1:0] padded;
  always_comb begin
    padded = '0;
    padded[BITS-1:0] = kept[WindowBits'(next)];
  end

  hnlpu_link_sender #(
      .LANES(LANES),
      .PAYLOAD_SYMBOLS(PayloadSymbols)
  ) sender (
      .clk(clk),
      .rst(rst),
      .offers_data(next != behind && room != '0 && !room[7]),
      .offers(due),
      .replay(in_flight && waited == ($clog2(REPLAY + 1))'(REPLAY)),
      .rewinds(rewinds),
      .header({taken + 8'(DEPTH), expected, next, status}),
      .payload(padded),
      .begins(begins),
      .begins_data(begins_data),
      .out_ready(out_ready),
      .out_lanes(out_lanes)
  );

  hnlpu_link_receiver #(
      .LANES(LANES),
      .PAYLOAD_SYMBOLS(PayloadSymbols)
  ) receiver (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_lanes(in_lanes),
      .good(good),
      .bad(discarded),
      .header(header),
      .payload(payload)
  );
  assign good_data = good && header[0];
  assign acknowledged = header[23:16];
  // the first number that the peer has no room for; before its first frame, none
  always_ff @(posedge clk) begin
    if (rst) limit <= '0;
    else if (good) limit <= header[31:24];
  end

  if (PayloadBits > BITS) begin : g_unused
    logic unused;
    assign unused = &payload[PayloadBits-1:BITS];
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && good_data && header[15:8] == expected) begin
      assert (!full) else $error("a word came that there is no room for");
    end
  end
`endif
endmodule
