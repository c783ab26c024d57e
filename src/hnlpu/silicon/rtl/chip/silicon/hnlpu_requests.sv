// Requests: prompts in, tokens out, and what each sequence in flight is about.
//
// Latency  a prompt token a cycle while a sequence is free; a token of output is offered the cycle
//          after it is known, if no other waits
// Numbers  tokens and positions: unsigned; inverse: 1 / temperature, 31 bits in units of 2^-16
//          seed and state: 64 bits
//
// A request is its prompt, token by token, the last one marked; what stands beside its first token
// counts: tag, seed, inverse temperature, most tokens (0: as many as there is room for).  It ends
// with the token that is marked `out_last`: an end of text, the last one asked for, or the last one
// that there is room for.  A prompt that is longer than the room is read, and answered by one token 0
// with `out_refused`.
//
// Of SIGNALS, a position's numbers stand where a token does, and no answer is taken in again: a request ends
// with the answer to its last position, or of a STREAM gives one to every position.
module hnlpu_requests #(
    parameter int SEQUENCES = 4,
    parameter int CONTEXT = 256,
    parameter int VOCABULARY = 256,
    parameter int TAG_BITS = 8,
    parameter int ENDS = 1,
    parameter logic [ENDS-1:0][31:0] END_TOKENS = '0,
    parameter bit SIGNALS = 1'b0,
    parameter bit STREAM = 1'b0,
    parameter int IN_BITS = $clog2(VOCABULARY),   // of a token, or of a position's numbers
    parameter int OUT_BITS = $clog2(VOCABULARY),  // of a token, a class, or an answer's numbers
    localparam int SequenceBits = SEQUENCES > 1 ? $clog2(SEQUENCES) : 1,
    localparam int PlaceBits = $clog2(CONTEXT)
) (
    input logic clk,
    input logic rst,

    input  logic                 in_valid,
    output logic                 in_ready,
    input  logic [  IN_BITS-1:0] in_token,
    input  logic                 in_last,
    input  logic [ TAG_BITS-1:0] in_tag,
    input  logic [         63:0] in_seed,
    input  logic [         30:0] in_inverse,
    input  logic [  PlaceBits:0] in_most,

    output logic                 out_valid,
    input  logic                 out_ready,
    output logic [ OUT_BITS-1:0] out_token,
    output logic [ TAG_BITS-1:0] out_tag,
    output logic                 out_last,
    output logic                 out_refused,

    output logic [SEQUENCES-1:0]    active,
    input  logic [SequenceBits-1:0] sequence_id,
    output logic [IN_BITS-1:0]      token,
    output logic [PlaceBits-1:0]    position,
    output logic                    prompt,
    output logic [30:0]             inverse,
    output logic [31:0]             number,
    input  logic                    take,      // `sampled` is the next token of sequence_id
    input  logic [OUT_BITS-1:0]     sampled,
    input  logic                    finish     // sequence_id is done with its token
);
  localparam logic [63:0] Stir = 64'h9e37_79b9_7f4a_7c15;

  typedef enum logic [2:0] {
    FREE,
    LOAD,
    STIR,
    WORK,
    OFFER
  } state_t;

  function automatic logic [63:0] stirred(input logic [63:0] x);
    logic [63:0] once;
    logic [63:0] twice;
    once  = x ^ (x << 13);
    twice = once ^ (once >> 7);
    return twice ^ (twice << 17);
  endfunction

  logic [IN_BITS-1:0] prompts[SEQUENCES*CONTEXT];
  state_t state[SEQUENCES];
  logic [SEQUENCES-1:0][PlaceBits:0] length;  // tokens of the prompt
  logic [SEQUENCES-1:0][PlaceBits-1:0] positions;
  logic [SEQUENCES-1:0][PlaceBits:0] left;  // tokens to make, 0: no bound
  logic [SEQUENCES-1:0][IN_BITS-1:0] tokens;
  logic [SEQUENCES-1:0][TAG_BITS-1:0] tags;
  logic [SEQUENCES-1:0][30:0] inverses;
  logic [SEQUENCES-1:0][63:0] states;
  logic [SEQUENCES-1:0] refused;

  // loading: one prompt at a time
  logic loading;
  logic [SequenceBits-1:0] loaded;
  logic [SequenceBits-1:0] free;
  logic any_free;
  logic [SequenceBits-1:0] target;
  logic [3:0] stirs;
  logic stirring;
  logic [PlaceBits:0] count;
  logic in_taken;

  always_comb begin
    free = '0;
    any_free = 1'b0;
    for (int n = SEQUENCES - 1; n >= 0; n--) begin
      if (state[n] == FREE) begin
        free = SequenceBits'(n);
        any_free = 1'b1;
      end
    end
  end
  assign target = loading ? loaded : free;
  assign in_ready = !stirring && (loading || any_free);
  assign in_taken = in_valid && in_ready;
  assign count = loading ? length[loaded] : '0;

  // output: one token at a time
  logic offered;
  logic [SequenceBits-1:0] offering;
  logic end_of_text;
  always_comb begin
    offering = '0;
    offered  = 1'b0;
    for (int n = SEQUENCES - 1; n >= 0; n--) begin
      if (state[n] == OFFER) begin
        offering = SequenceBits'(n);
        offered  = 1'b1;
      end
    end
  end
  always_comb begin
    end_of_text = 1'b0;
    for (int n = 0; n < ENDS; n++) begin
      if (32'(tokens[offering]) == END_TOKENS[n]) end_of_text = 1'b1;
    end
  end

  logic more;  // positions of a stream to come
  logic [OUT_BITS-1:0] answer;
  logic [IN_BITS-1:0] next_token;
  assign more = STREAM && {1'b0, positions[offering]} + 1'b1 < length[offering];
  if (SIGNALS) begin : g_signals
    logic [SEQUENCES-1:0][OUT_BITS-1:0] answers;
    always_ff @(posedge clk) if (take) answers[sequence_id] <= sampled;
    assign answer = refused[offering] ? '0 : answers[offering];
    assign next_token = '0;
  end else begin : g_tokens
    assign answer = tokens[offering];
    assign next_token = sampled;
  end

  logic passed;
  logic ended;
  assign passed = offered && (!out_valid || out_ready);
  assign ended = SIGNALS ? !more || refused[offering] : end_of_text || left[offering] == (PlaceBits + 1)'(1) || refused[offering] ||
      int'(positions[offering]) == CONTEXT - 1;

  always_comb begin
    for (int n = 0; n < SEQUENCES; n++) active[n] = state[n] == WORK;
  end
  assign token = tokens[sequence_id];
  assign position = positions[sequence_id];
  assign prompt = !STREAM && {1'b0, position} + 1'b1 < length[sequence_id];
  assign inverse = inverses[sequence_id];
  assign number = 32'(stirred(states[sequence_id]) >> 32);

  always_ff @(posedge clk) begin
    if (rst) begin
      for (int n = 0; n < SEQUENCES; n++) state[n] <= FREE;
      loading <= 1'b0;
      stirring <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (in_taken) begin
        loading <= !in_last;
        stirring <= in_last;
        state[target] <= in_last ? STIR : LOAD;
      end
      if (stirring && stirs == '1) begin
        stirring <= 1'b0;
        state[loaded] <= refused[loaded] ? OFFER : WORK;
      end
      if (finish) state[sequence_id] <= prompt ? WORK : OFFER;
      if (passed) state[offering] <= ended ? FREE : WORK;
      if (passed) out_valid <= 1'b1;
      else if (out_ready) out_valid <= 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    if (in_taken) begin
      if (int'(count) < CONTEXT) prompts[int'(target)*CONTEXT+int'(count)] <= in_token;
      if (int'(count) < CONTEXT) length[target] <= count + 1'b1;
      refused[target] <= int'(count) >= CONTEXT;
      stirs <= '0;
      loaded <= target;
      if (!loading) begin
        positions[target] <= '0;
        tokens[target] <= in_token;
        tags[target] <= in_tag;
        inverses[target] <= in_inverse;
        left[target] <= in_most;
        states[target] <= (in_seed ^ Stir) == '0 ? Stir : in_seed ^ Stir;
      end
    end
    if (stirring) begin
      stirs <= stirs + 1'b1;
      states[loaded] <= stirred(states[loaded]);
      if (refused[loaded]) tokens[loaded] <= '0;
    end
    if (take) begin
      if (!SIGNALS) tokens[sequence_id] <= next_token;
      if (inverse != '0) states[sequence_id] <= stirred(states[sequence_id]);
    end
    if (finish && prompt) begin
      tokens[sequence_id] <= prompts[int'(sequence_id)*CONTEXT+int'(position)+1];
      positions[sequence_id] <= position + 1'b1;
    end
    if (passed) begin
      out_token <= answer;
      out_tag <= tags[offering];
      out_last <= ended;
      out_refused <= refused[offering];
      if (!ended) positions[offering] <= positions[offering] + 1'b1;
      if (more) tokens[offering] <= prompts[int'(offering)*CONTEXT+int'(positions[offering])+1];
      if (left[offering] != '0) left[offering] <= left[offering] - 1'b1;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && finish) begin
      assert (state[sequence_id] == WORK) else $error("a sequence that rests has finished");
    end
  end
`endif
endmodule
