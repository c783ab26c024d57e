// Exchange: parts of sums to the other chips, theirs to this one, and their total in the order of places.
//
//     arrays ─► own parts ─► a queue a link ─► links
//     links ──► inboxes: a place, a sequence, one exchange or the next ──► total ──► values of sums
//
// Latency  a part is offered to the links the cycle after its SEND; `total` is combinational
// Numbers  a part: WIDTH sums of SUM_BITS bits, two's complement; places: 0 is the chip that has the requests
//
// A sequence's exchanges follow each other, and each chip sends something to each other in every one of them
// (where the program says so, to the first alone).  Before a chip sends its part of one it has all parts of
// the one before.  So two inboxes a sequence and place are enough, and nobody who sends ever waits.
//
// The first chip tells the others which token a sequence begins; they keep that of one token and the next.
module hnlpu_exchange #(
    parameter int CHIPS = 2,
    parameter int SEQUENCES = 4,
    parameter int WIDTH = 64,
    parameter int SUM_BITS = 24,
    parameter int BEATS = 4,  // of one exchange, at most
    parameter int TOKEN_BITS = 8,
    parameter int CONTEXT_BITS = 8,
    localparam int Ports = CHIPS - 1,
    localparam int PlaceBits = CHIPS > 1 ? $clog2(CHIPS) : 1,
    localparam int SequenceBits = SEQUENCES > 1 ? $clog2(SEQUENCES) : 1,
    localparam int BeatBits = BEATS > 1 ? $clog2(BEATS) : 1,
    localparam int DataBits = WIDTH * SUM_BITS,
    localparam int WordBits = DataBits + BeatBits + SequenceBits + 4
) (
    input  logic                           clk,
    input  logic                           rst,
    input  logic [PlaceBits-1:0]           here,

    input  logic [SequenceBits-1:0]        sequence_id,
    input  logic                           send,
    input  logic                           to_first,  // to the first chip alone
    input  logic                           last,      // of the sequence's exchange
    input  logic [BeatBits-1:0]            beat,
    input  logic [CHIPS-1:0]               holders,   // places that have a part of the beat
    input  logic [WIDTH-1:0][SUM_BITS-1:0] sums,
    input  logic                           part,      // the sequence's exchange is over
    output logic [SEQUENCES-1:0]           arrived,
    output logic [WIDTH-1:0][SUM_BITS-1:0] total,

    input  logic                           begins,
    input  logic                           finishes,
    input  logic [TOKEN_BITS-1:0]          token,
    input  logic [CONTEXT_BITS-1:0]        position,
    input  logic                           prompt,
    output logic [SEQUENCES-1:0]           has_token,  // on a chip that follows
    output logic [TOKEN_BITS-1:0]          start_token,
    output logic [CONTEXT_BITS-1:0]        start_position,
    output logic                           start_prompt,

    output logic [Ports-1:0]               send_valid,
    input  logic [Ports-1:0]               send_ready,
    output logic [Ports-1:0][WordBits-1:0] send_word,
    input  logic [Ports-1:0]               take_valid,
    input  logic [Ports-1:0][WordBits-1:0] take_word
);
  localparam int StartBits = TOKEN_BITS + CONTEXT_BITS + 1;
  // parts that may wait for a link: two exchanges and the start of a token, of every sequence
  localparam int Waiting = SEQUENCES * (2 * BEATS + 2);
  localparam int QueueBits = $clog2(Waiting);

  typedef struct packed {
    logic                    start;
    logic                    last;
    logic                    empty;
    logic                    odd;
    logic [SequenceBits-1:0] sequence_id;
    logic [BeatBits-1:0]     beat;
  } tag_t;

  function automatic int place_of(input int id, input logic second, input int at);
    return (id * 2 + int'(second)) * BEATS + at;
  endfunction

  logic [SEQUENCES-1:0] odd;  // of the sequence's exchange
  logic [SEQUENCES-1:0] odd_token;
  logic held;
  logic first;
  assign held  = holders[here];
  assign first = here == '0;

  // own parts, and what a token begins with
  logic [DataBits-1:0] own[SEQUENCES*2*BEATS];
  logic [StartBits-1:0] starts[SEQUENCES];
  always_ff @(posedge clk) begin
    if (send && held) own[place_of(int'(sequence_id), odd[sequence_id], int'(beat))] <= sums;
    if (begins && first) starts[sequence_id] <= {prompt, position, token};
  end

  tag_t pushed;
  logic pushes;
  assign pushed.start = begins;
  assign pushed.last = last && !begins;
  assign pushed.empty = !held && !begins;
  assign pushed.odd = begins ? odd_token[sequence_id] : odd[sequence_id];
  assign pushed.sequence_id = sequence_id;
  assign pushed.beat = begins ? '0 : beat;
  // a chip without a part of the last beat says that there is no more
  assign pushes = begins ? first : send && (held || last);

  for (genvar n = 0; n < Ports; n++) begin : g_port
    logic to_peer;
    tag_t queue[Waiting];
    logic [QueueBits-1:0] front;
    logic [QueueBits-1:0] back;
    logic [QueueBits:0] count;
    logic push;
    logic pop;
    tag_t next;
    logic [DataBits-1:0] data;

    // port n leads to place n, or behind the own one to n + 1: the first chip is at port 0 of all others
    assign to_peer = !to_first || (n == 0 && !first);
    assign push = pushes && (begins || to_peer);
    assign pop = send_valid[n] && send_ready[n];
    assign next = queue[front];
    assign data = next.start ? DataBits'(starts[next.sequence_id])
        : own[place_of(int'(next.sequence_id), next.odd, int'(next.beat))];
    assign send_valid[n] = count != '0;
    assign send_word[n] = {next, next.empty ? '0 : data};

    always_ff @(posedge clk) begin
      if (push) queue[back] <= pushed;
      if (rst) begin
        front <= '0;
        back  <= '0;
        count <= '0;
      end else begin
        if (push) back <= int'(back) == Waiting - 1 ? '0 : back + 1'b1;
        if (pop) front <= int'(front) == Waiting - 1 ? '0 : front + 1'b1;
        count <= count + (QueueBits + 1)'(push) - (QueueBits + 1)'(pop);
      end
    end

`ifndef SYNTHESIS
    always_ff @(posedge clk) begin
      if (!rst && push) assert (int'(count) < Waiting) else $error("more parts wait than can");
    end
`endif
  end

  // what the others say
  tag_t [Ports-1:0] came;
  logic [DataBits-1:0] inbox[Ports*SEQUENCES*2*BEATS];
  logic [Ports-1:0][SEQUENCES-1:0][1:0] complete;
  logic [SEQUENCES-1:0][1:0] told;
  logic [StartBits-1:0] tokens[SEQUENCES*2];
  for (genvar n = 0; n < Ports; n++) begin : g_came
    assign came[n] = take_word[n][WordBits-1:DataBits];
  end

  always_ff @(posedge clk) begin
    for (int n = 0; n < Ports; n++) begin
      if (take_valid[n] && !came[n].start && !came[n].empty) begin
        inbox[n*SEQUENCES*2*BEATS+
            place_of(int'(came[n].sequence_id), came[n].odd, int'(came[n].beat))]
            <= take_word[n][DataBits-1:0];
      end
      if (take_valid[n] && came[n].start) begin
        tokens[2*int'(came[n].sequence_id)+int'(came[n].odd)] <= take_word[n][StartBits-1:0];
      end
    end
    if (rst) begin
      odd <= '0;
      odd_token <= '0;
      complete <= '0;
      told <= '0;
    end else begin
      if (part) begin
        odd[sequence_id] <= !odd[sequence_id];
        for (int n = 0; n < Ports; n++) complete[n][sequence_id][odd[sequence_id]] <= 1'b0;
      end
      if (finishes) begin
        odd_token[sequence_id] <= !odd_token[sequence_id];
        told[sequence_id][odd_token[sequence_id]] <= 1'b0;
      end
      for (int n = 0; n < Ports; n++) begin
        if (take_valid[n] && came[n].last) complete[n][came[n].sequence_id][came[n].odd] <= 1'b1;
        if (take_valid[n] && came[n].start) told[came[n].sequence_id][came[n].odd] <= 1'b1;
      end
    end
  end

  always_comb begin
    for (int s = 0; s < SEQUENCES; s++) begin
      arrived[s] = 1'b1;
      for (int n = 0; n < Ports; n++) arrived[s] = arrived[s] && complete[n][s][odd[s]];
      has_token[s] = told[s][odd_token[s]];
    end
  end
  assign {start_prompt, start_position, start_token} =
      tokens[2*int'(sequence_id)+int'(odd_token[sequence_id])];

  // places from 0 on; sums are whole numbers
  always_comb begin
    total = '0;
    for (int p = 0; p < CHIPS; p++) begin
      int at;
      logic [WIDTH-1:0][SUM_BITS-1:0] given;
      at = place_of(int'(sequence_id), odd[sequence_id], int'(beat));
      given = p == int'(here) ? own[at]
          : inbox[(p<int'(here)?p : p==0?0 : p-1)*SEQUENCES*2*BEATS+at];
      if (holders[p]) begin
        for (int i = 0; i < WIDTH; i++) total[i] = total[i] + given[i];
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    for (int n = 0; n < Ports; n++) begin
      if (!rst && take_valid[n] && came[n].last) begin
        assert (!complete[n][came[n].sequence_id][came[n].odd])
        else $error("a part came before the one that lies in its inbox was taken");
      end
      if (!rst && take_valid[n] && came[n].start) begin
        assert (!told[came[n].sequence_id][came[n].odd])
        else $error("a token came before the one that lies in its place was done");
      end
    end
  end
`endif
endmodule
