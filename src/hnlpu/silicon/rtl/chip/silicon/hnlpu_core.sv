// Core of a chip: everything but its arrays, its stored parameters and its program.
//
//     requests ──► sequencer ──► registers ──► lanes ──► registers
//                      │            ├──► quantizer ──► activations ──► arrays
//     tokens ◄─────────┤            ├──► squares, router, attention unit
//                      │  arrays ──► sums ──► values ──┴──► sampler
//
// Latency  an instruction a cycle; see hnlpu_sequencer.sv and hnlpu_requests.sv
// Numbers  values: 32 bits, two's complement, units of 2^-16; activations: ACTIVATION_BITS bits
//          sums: SUM_BITS bits, two's complement, in units of their row
//
// Resources: the groups of arrays from 0 on, then attention unit, sampler, root, router, and dividers of
// lanes where there are some.  Units that the program does not use are left out; nobody waits for them.
module hnlpu_core
  import hnlpu_chip_pkg::*;
#(
    parameter int WIDTH = 64,
    parameter int BEATS = 16,  // registers of a sequence
    parameter int HEAD_DIM = 16,
    parameter bit SIGMOIDS = 1'b1,
    parameter bit POWERS = 1'b0,
    parameter bit SOFTPLUS = 1'b0,
    parameter bit NORMALS = 1'b0,
    parameter bit COMPARES = 1'b0,
    parameter bit MOVES = 1'b0,
    parameter int MOVE_BITS = 1,  // of a pattern's number
    parameter int LANE_SUM_BITS = 64,
    parameter bit NORM = 1'b1,  // of whole vectors, of heads
    parameter bit HEAD_NORM = 1'b0,
    parameter bit MEAN = 1'b0,
    parameter bit QUOTIENTS = 1'b0,
    parameter int LONGEST = 64,  // numbers of a vector that is normed
    parameter int EPSILONS = 1,
    parameter logic [EPSILONS-1:0][63:0] EPSILON = 64'd1,
    parameter bit ROPE = 1'b1,
    parameter bit ATTENTION = 1'b1,
    parameter int HEADS = 4,
    parameter int KEY_HEADS = 2,
    parameter bit SINKS = 1'b1,
    parameter int HEAD_PARTS = 1,  // chips that have the heads together
    parameter int LAYERS = 2,  // of attention
    parameter bit ROUTER = 1'b1,
    parameter int EXPERTS = 4,
    parameter int RANKS = 2,
    parameter int SHARING = RANKS,  // experts that shares are divided among
    parameter int VOCABULARY = 256,
    parameter int CONTEXT = 256,
    parameter int SEQUENCES = 4,
    parameter int TAG_BITS = 8,
    parameter int ENDS = 1,
    parameter logic [ENDS-1:0][31:0] END_TOKENS = '0,
    parameter bit SIGNALS = 1'b0,  // numbers in, a class or numbers out
    parameter bit STREAM = 1'b0,
    parameter bit CLASSES = 1'b1,
    parameter int IN_BITS = $clog2(VOCABULARY),
    parameter int OUT_BITS = $clog2(VOCABULARY),
    parameter int ACTIVATION_BITS = 8,
    parameter int ACTIVATION_BEATS = 1,
    parameter int SUM_BITS = 24,
    parameter int GROUPS = 11,
    parameter bit EXCHANGES = 1'b0,  // with other chips
    parameter int HERE_BITS = 1,
    parameter int PLACE_BITS = 9,
    parameter int EMBEDDING_BITS = 1,  // of a beat's number: embedding, parameters, rows, sums
    parameter int PARAMETER_BITS = 3,
    parameter int ROW_BITS = 6,
    parameter int SUM_BEAT_BITS = 5,
    localparam int Attention = GROUPS,
    localparam int Sampler = GROUPS + 1,
    localparam int Root = GROUPS + 2,
    localparam int Shares = GROUPS + 3,
    localparam int Quotients = GROUPS + 4,
    localparam int Resources = GROUPS + (QUOTIENTS ? 5 : 4),
    localparam int ContextBits = $clog2(CONTEXT),
    localparam int TokenBits = $clog2(VOCABULARY),
    localparam int ExpertBits = EXPERTS > 1 ? $clog2(EXPERTS) : 1,
    localparam int LayerBits = LAYERS > 1 ? $clog2(LAYERS) : 1,
    localparam int SequenceBits = SEQUENCES > 1 ? $clog2(SEQUENCES) : 1
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
    input  logic [ContextBits:0] in_most,
    output logic                 out_valid,
    input  logic                 out_ready,
    output logic [ OUT_BITS-1:0] out_token,
    output logic [ TAG_BITS-1:0] out_tag,
    output logic                 out_last,
    output logic                 out_refused,

    output logic [PLACE_BITS-1:0]    place,
    input  instruction_t             instruction,
    output logic [IN_BITS-1:0]       token,
    output logic [EMBEDDING_BITS-1:0] embedding_beat,
    input  logic [WIDTH-1:0][31:0]   embedding,
    output logic [PARAMETER_BITS-1:0] parameter_beat,
    input  logic [WIDTH-1:0][31:0]   parameters,
    output logic [LayerBits-1:0]     layer,
    input  logic [HEADS-1:0][31:0]   sinks,
    output logic [ROW_BITS-1:0]      row_beat,
    input  logic [WIDTH-1:0][8:0]    row_shifts,
    input  logic [WIDTH-1:0][31:0]   row_biases,

    output logic [ACTIVATION_BEATS-1:0][WIDTH-1:0][ACTIVATION_BITS-1:0] activations,
    output logic [GROUPS-1:0]                  issue,
    output logic [ExpertBits-1:0]              member,
    input  logic [GROUPS-1:0]                  done,
    output logic [GROUPS-1:0]                  free,
    output logic [SUM_BEAT_BITS-1:0]           sum_beat,
    input  logic [WIDTH-1:0][SUM_BITS-1:0]     sums,

    // other chips; see hnlpu_exchange.sv
    input  logic [HERE_BITS-1:0]               here,
    input  logic                               follows,    // this chip is not the first
    input  logic                               has_member, // the chosen expert is on this chip
    output logic [WIDTH-1:0][SUM_BITS-1:0]     sent,
    output logic [SequenceBits-1:0]            sequence_id,
    output logic                               begins,     // the sequence's token
    output logic                               finishes,
    output logic [ContextBits-1:0]             position,
    output logic                               prompt,     // more of the prompt is to come
    output logic                               sends,
    output logic                               parts,
    input  logic [SEQUENCES-1:0]               arrived,
    input  logic [WIDTH-1:0][SUM_BITS-1:0]     total,
    input  logic [SEQUENCES-1:0]               has_token,  // on a chip that follows
    input  logic [IN_BITS-1:0]                 start_token,
    input  logic [ContextBits-1:0]             start_position,
    input  logic                               start_prompt
);
  localparam int LogitLanes = (VOCABULARY + WIDTH - 1) / WIDTH * WIDTH;
  localparam int Half = HEAD_DIM / 2;
  localparam int QueryBeats = (HEADS / HEAD_PARTS * HEAD_DIM + WIDTH - 1) / WIDTH;
  localparam int RowBits = $clog2(SEQUENCES * LAYERS * CONTEXT);
  localparam int BeatHeads = WIDTH / HEAD_DIM;
  localparam int EpsilonBits = EPSILONS > 1 ? $clog2(EPSILONS) : 1;

  logic execute;
  logic [Resources-1:0] started;
  logic [SequenceBits-1:0] id;
  logic [SEQUENCES-1:0] active;
  logic [Resources-1:0] finished;
  logic [Resources-1:0] unused_busy;
  logic second;
  logic [SEQUENCES-1:0] requested;
  logic [IN_BITS-1:0] own_token;
  logic [ContextBits-1:0] own_position;
  logic own_prompt;
  logic [30:0] inverse_temperature;
  logic [31:0] number;
  logic [TokenBits-1:0] sampled;
  logic [LogitLanes-1:0][31:0] given;
  logic [OUT_BITS-1:0] answer;
  if (CLASSES) begin : g_classes
    logic unused;
    assign answer = sampled;
    assign unused = &{1'b0, given};
  end else begin : g_numbers
    logic unused;
    assign answer = given[OUT_BITS/32-1:0];
    assign unused = &{1'b0, sampled, given};
  end

  hnlpu_requests #(
      .SEQUENCES(SEQUENCES),
      .CONTEXT(CONTEXT),
      .VOCABULARY(VOCABULARY),
      .TAG_BITS(TAG_BITS),
      .ENDS(ENDS),
      .END_TOKENS(END_TOKENS),
      .SIGNALS(SIGNALS),
      .STREAM(STREAM),
      .IN_BITS(IN_BITS),
      .OUT_BITS(OUT_BITS)
  ) requests (
      .clk(clk),
      .rst(rst),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_token(in_token),
      .in_last(in_last),
      .in_tag(in_tag),
      .in_seed(in_seed),
      .in_inverse(in_inverse),
      .in_most(in_most),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_token(out_token),
      .out_tag(out_tag),
      .out_last(out_last),
      .out_refused(out_refused),
      .active(requested),
      .sequence_id(id),
      .token(own_token),
      .position(own_position),
      .prompt(own_prompt),
      .inverse(inverse_temperature),
      .number(number),
      .take(execute && instruction.op == TAKE && !second),
      .sampled(answer),
      .finish(finishes && !second)
  );

  // what the own requests say, or what the first chip says
  assign second = EXCHANGES && follows;
  assign active = second ? has_token : requested;
  assign token = second ? start_token : own_token;
  assign position = second ? start_position : own_position;
  assign prompt = second ? start_prompt : own_prompt;
  assign sequence_id = id;
  assign begins = execute && place == '0;
  assign finishes = execute && instruction.op == FINISH;
  assign sends = execute && instruction.op == SEND;
  assign parts = execute && instruction.op == PART;

  hnlpu_sequencer #(
      .SEQUENCES(SEQUENCES),
      .RESOURCES(Resources),
      .PLACE_BITS(PLACE_BITS)
  ) sequencer (
      .clk(clk),
      .rst(rst),
      .active(active),
      .prompt(prompt),
      .done(finished),
      .arrived(EXCHANGES ? arrived : '1),
      .follows(second),
      .has(has_member),
      .place(place),
      .op(instruction.op),
      .index(instruction.index[$clog2(Resources)-1:0]),
      .target(instruction.immediate[PLACE_BITS-1:0]),
      .sequence_id(id),
      .execute(execute),
      .busy(unused_busy)
  );

  // registers: two beats are read and one is written a cycle
  logic [WIDTH-1:0][31:0] registers[SEQUENCES*BEATS];
  logic [WIDTH-1:0][31:0] a;
  logic [WIDTH-1:0][31:0] b;
  logic [WIDTH-1:0][31:0] result;
  logic write;

  assign a = registers[int'(id)*BEATS+int'(instruction.a)];
  assign b = registers[int'(id)*BEATS+int'(instruction.b)];
  always_ff @(posedge clk) begin
    if (write) registers[int'(id)*BEATS+int'(instruction.dst)] <= result;
  end

  // what a sequence keeps beside its registers
  logic [SEQUENCES-1:0][4:0] scales;
  logic [SEQUENCES-1:0][RANKS-1:0][ExpertBits-1:0] experts;
  logic [SEQUENCES-1:0][RANKS-1:0][24:0] shares;
  logic [SEQUENCES-1:0][Half-1:0][31:0] cosines;
  logic [SEQUENCES-1:0][Half-1:0][31:0] sines;

  logic [24:0] share;
  always_comb begin
    member = '0;
    share  = '0;
    for (int n = 0; n < RANKS; n++) begin
      if (instruction.rank == 4'(n)) begin
        member = experts[id][n];
        share  = shares[id][n];
      end
    end
  end

  // lanes of a register in other lanes
  logic [WIDTH-1:0][31:0] moved;
  logic [WIDTH-1:0][31:0] merged;
  if (MOVES) begin : g_moves
    localparam int LaneBits = $clog2(WIDTH);
    logic [WIDTH-1:0][LaneBits-1:0] sources;
    logic [WIDTH-1:0] taken;
    hnlpu_move_table patterns (
        .index(MOVE_BITS'(instruction.index)),
        .sources(sources),
        .taken(taken)
    );
    hnlpu_mover #(
        .WIDTH(WIDTH)
    ) mover (
        .b(b),
        .sources(sources),
        .taken(taken),
        .moved(moved)
    );
    for (genvar n = 0; n < WIDTH; n++) begin : g_merged
      assign merged[n] = taken[n] || instruction.first ? moved[n] : a[n];
    end
  end else begin : g_no_moves
    logic unused;
    assign unused = &MOVE_BITS;
    assign moved  = '0;
    assign merged = '0;
  end

  // mean of a vector, and quotients of lanes
  logic [31:0] mean;
  logic mean_done;
  logic of_mean;
  logic [WIDTH-1:0][31:0] operands;
  logic [WIDTH-1:0][31:0] quotients;
  logic rooted;
  assign rooted = started[Root] && !(MEAN && instruction.both);
  if (MEAN) begin : g_mean
    hnlpu_mean #(
        .WIDTH(WIDTH),
        .LONGEST(LONGEST)
    ) mean_of_values (
        .clk(clk),
        .take(execute && instruction.op == SUM),
        .first(instruction.first),
        .values(a),
        .start(started[Root] && instruction.both),
        .count(instruction.immediate[$clog2(LONGEST+1)-1:0]),
        .done(mean_done),
        .mean(mean)
    );
    always_ff @(posedge clk) begin
      if (started[Root]) of_mean <= instruction.both;
    end
  end else begin : g_no_mean
    assign mean = '0;
    assign mean_done = 1'b1;
    assign of_mean = 1'b0;
  end
  if (QUOTIENTS) begin : g_quotients
    logic [WIDTH-1:0] divided;
    for (genvar n = 0; n < WIDTH; n++) begin : g_divider
      hnlpu_quotient of_lane (
          .clk(clk),
          .start(started[Quotients]),
          .a(a[n]),
          .b(operands[n]),
          .fraction(instruction.shift[4:0]),
          .done(divided[n]),
          .y(quotients[n])
      );
    end
    assign finished[Quotients] = &divided;
  end else begin : g_no_quotients
    logic unused;
    assign quotients = '0;
    assign unused = &{1'b0, operands, Quotients};
  end

  // lanes
  logic [BeatHeads-1:0][24:0] inverse_roots;
  logic [BeatHeads-1:0][5:0] root_shifts;
  logic [WIDTH-1:0][63:0] products;
  logic [WIDTH-1:0][31:0] lanes;
  logic multiply;
  logic squaring;

  assign squaring = instruction.op == SQUARES;
  assign multiply = execute && instruction.op == MULTIPLY;
  for (genvar n = 0; n < WIDTH; n++) begin : g_lane
    localparam int Pair = n % Half;
    localparam bit Second = n % HEAD_DIM >= Half;
    localparam int Partner = Second ? n - Half : n + Half;
    localparam int Head = n / HEAD_DIM;
    logic [31:0] operand;

    always_comb begin
      case (instruction.operand)
        IMMEDIATE: operand = instruction.immediate;
        REGISTER: operand = b[n];
        PARAMETER: operand = parameters[n];
        INVERSE: operand = MEAN && instruction.op == SUBTRACT ? mean : {7'd0, inverse_roots[Head]};
        COSINE: operand = cosines[id][Pair];
        SINE: operand = Second ? sines[id][Pair] : -sines[id][Pair];
        MOVED: operand = moved[n];
        default: operand = {7'd0, share};
      endcase
    end

    assign operands[n] = operand;
    hnlpu_lane #(
        .SIGMOIDS(SIGMOIDS),
        .POWERS(POWERS),
        .SOFTPLUS(SOFTPLUS),
        .NORMALS(NORMALS),
        .COMPARES(COMPARES),
        .SUM_BITS(LANE_SUM_BITS)
    ) lane (
        .clk(clk),
        .multiply(multiply),
        .first(instruction.first),
        .op(instruction.op),
        .both(instruction.both),
        .kind(instruction.rank),
        .shift(instruction.root ? root_shifts[Head] : instruction.shift),
        .a(a[n]),
        .swapped(instruction.swap ? a[Partner] : a[n]),
        .operand(squaring ? a[n] : operand),
        .immediate(instruction.immediate),
        .product(products[n]),
        .y(lanes[n])
    );
  end

  // roots: of a whole vector, or of every head of a beat
  logic [63:0] epsilon;
  logic [24:0] inverse_root;
  logic [5:0] root_shift;
  logic root_done;
  assign epsilon = EPSILON[EpsilonBits'(instruction.index)];
  if (NORM) begin : g_norm
    localparam int SquareBits = (64 + $clog2(LONGEST) + 1) / 2 * 2;
    hnlpu_squares #(
        .WIDTH(WIDTH),
        .SUM_BITS(SquareBits)
    ) sum_of_squares (
        .clk(clk),
        .take(execute && squaring && !instruction.banked),
        .first(instruction.first),
        .epsilon(epsilon),
        .squares(products),
        .start(rooted && !instruction.banked),
        .done(root_done),
        .inverse(inverse_root),
        .shift(root_shift)
    );
  end else begin : g_no_norm
    logic unused;
    assign unused = &LONGEST;
    assign root_done = 1'b1;
    assign inverse_root = '0;
    assign root_shift = '0;
  end
  if (HEAD_NORM) begin : g_head_norm
    localparam int SquareBits = (64 + $clog2(HEAD_DIM) + 1) / 2 * 2;
    logic of_heads;
    logic [BeatHeads-1:0] heads_done;
    logic [BeatHeads-1:0][24:0] head_inverses;
    logic [BeatHeads-1:0][5:0] head_shifts;
    for (genvar n = 0; n < BeatHeads; n++) begin : g_head
      hnlpu_squares #(
          .WIDTH(HEAD_DIM),
          .SUM_BITS(SquareBits)
      ) sum_of_squares (
          .clk(clk),
          .take(execute && squaring && instruction.banked),
          .first(instruction.first),
          .epsilon(epsilon),
          .squares(products[n*HEAD_DIM+:HEAD_DIM]),
          .start(rooted && instruction.banked),
          .done(heads_done[n]),
          .inverse(head_inverses[n]),
          .shift(head_shifts[n])
      );
    end
    always_ff @(posedge clk) begin
      if (started[Root]) of_heads <= instruction.banked;
    end
    assign finished[Root] = of_mean ? mean_done : of_heads ? &heads_done : root_done;
    assign inverse_roots = instruction.banked ? head_inverses : {BeatHeads{inverse_root}};
    assign root_shifts = instruction.banked ? head_shifts : {BeatHeads{root_shift}};
  end else begin : g_no_head_norm
    assign finished[Root] = of_mean ? mean_done : root_done;
    assign inverse_roots = {BeatHeads{inverse_root}};
    assign root_shifts = {BeatHeads{root_shift}};
  end
  if (!EXCHANGES) begin : g_alone
    logic unused;
    assign unused = &{1'b0, here, follows, has_member, arrived, total, has_token, start_token,
        start_position, start_prompt};
  end
  if (!NORM) begin : g_unrooted
    logic unused;
    assign unused = &{1'b0, products, epsilon, squaring, rooted};
  end

  // values of sums
  logic [WIDTH-1:0][31:0] read;
  assign sum_beat = SUM_BEAT_BITS'(instruction.index);
  assign row_beat = ROW_BITS'(instruction.immediate[15:0] +
      (instruction.banked ? 16'(member) * instruction.immediate[31:16] : 16'd0));
  for (genvar n = 0; n < WIDTH; n++) begin : g_sum
    hnlpu_from_sums #(
        .SUM_BITS(SUM_BITS)
    ) from_sums (
        .sum(EXCHANGES && instruction.both ? total[n] : sums[n]),
        .shift(row_shifts[n]),
        .exponent(scales[id]),
        .bias(row_biases[n]),
        .value(read[n])
    );
  end

  // values go to other chips in halves
  logic [WIDTH-1:0][31:0] joined;
  if (EXCHANGES) begin : g_sent
    for (genvar n = 0; n < WIDTH; n++) begin : g_half
      logic [15:0] half;
      assign half = instruction.index[0] ? a[n][31:16] : a[n][15:0];
      assign sent[n] = instruction.operand == REGISTER ? SUM_BITS'(half) : sums[n];
      assign joined[n] = {total[n][15:0], a[n][15:0]} >> (instruction.index[0] ? 0 : 16);
    end
  end else begin : g_nothing_sent
    assign sent = '0;
    assign joined = '0;
  end

  // activations
  logic [4:0] exponent;
  logic [WIDTH-1:0][ACTIVATION_BITS-1:0] quantized;
  hnlpu_quantizer #(
      .WIDTH(WIDTH),
      .ACTIVATION_BITS(ACTIVATION_BITS)
  ) quantizer (
      .clk(clk),
      .take(execute && instruction.op == PEAK),
      .first(instruction.first),
      .values(a),
      .exponent(exponent),
      .chosen(scales[id]),
      .activations(quantized)
  );

  // angles of the position
  if (ROPE) begin : g_rope
    logic [31:0] angle;
    logic [31:0] cosine;
    logic [31:0] sine;
    assign angle = 32'(position) * instruction.immediate;
    hnlpu_sine of_cosine (
        .angle(angle + 32'h4000_0000),
        .y(cosine)
    );
    hnlpu_sine of_sine (
        .angle(angle),
        .y(sine)
    );
    always_ff @(posedge clk) begin
      for (int n = 0; n < Half; n++) begin
        if (execute && instruction.op == ANGLE && instruction.index == 16'(n)) begin
          cosines[id][n] <= cosine;
          sines[id][n]   <= sine;
        end
      end
    end
  end else begin : g_no_rope
    assign cosines = '0;
    assign sines = '0;
  end

  // experts
  if (ROUTER) begin : g_router
    logic [ExpertBits-1:0] expert;
    logic [RANKS-1:0][24:0] found_shares;
    hnlpu_router #(
        .EXPERTS(EXPERTS),
        .RANKS(RANKS),
        .SHARING(SHARING)
    ) router (
        .clk(clk),
        .take(execute && instruction.op == TOP),
        .first(instruction.first),
        .rank(instruction.rank),
        .logits(a[EXPERTS-1:0]),
        .expert(expert),
        .divide(started[Shares]),
        .done(finished[Shares]),
        .shares(found_shares)
    );
    always_ff @(posedge clk) begin
      for (int n = 0; n < RANKS; n++) begin
        if (execute && instruction.op == TOP && instruction.rank == 4'(n)) experts[id][n] <= expert;
      end
      if (execute && instruction.op == SHARES) shares[id] <= found_shares;
    end
  end else begin : g_no_router
    logic unused;
    assign unused = &SHARING;
    assign finished[Shares] = 1'b1;
    assign experts = '0;
    assign shares = '0;
  end

  // attention
  logic [QueryBeats-1:0][WIDTH-1:0][31:0] mixed;
  if (ATTENTION) begin : g_attention
    logic [WIDTH-1:0][23:0] stored;
    logic [RowBits-1:0] base;
    logic [ContextBits-1:0] seen;
    logic [23:0] window;
    for (genvar n = 0; n < WIDTH; n++) begin : g_stored
      hnlpu_saturate #(
          .FROM(32),
          .TO(24)
      ) saturate (
          .wide(a[n]),
          .near(stored[n])
      );
    end
    assign window = instruction.immediate[23:0];
    assign layer = instruction.immediate[24+:LayerBits];
    assign base = RowBits'((int'(id) * LAYERS + int'(layer)) * CONTEXT);
    assign seen = window == '0 || 24'(position) < window ? '0
        : ContextBits'(24'(position) - window + 24'd1);
    if (HEAD_PARTS > 1) begin : g_part
      hnlpu_heads #(
          .WIDTH(WIDTH),
          .HEAD_DIM(HEAD_DIM),
          .HEADS(HEADS),
          .KEY_HEADS(KEY_HEADS),
          .PARTS(HEAD_PARTS),
          .LAYERS(LAYERS),
          .CONTEXT(CONTEXT),
          .SEQUENCES(SEQUENCES),
          .SINKS(SINKS)
      ) heads (
          .clk(clk),
          .rst(rst),
          .here(here),
          .store_key(execute && instruction.op == KEYS),
          .store_value(execute && instruction.op == VALUES),
          .store_query(execute && instruction.op == QUERY),
          .beat(instruction.index),
          .row(base + RowBits'(position)),
          .stored(stored),
          .start(started[Attention]),
          .base(base),
          .first(seen),
          .last(position),
          .sinks(sinks),
          .done(finished[Attention]),
          .mixed(mixed)
      );
    end else begin : g_whole
      localparam int KeyBeats = (KEY_HEADS * HEAD_DIM + WIDTH - 1) / WIDTH;
      logic [QueryBeats*WIDTH/HEAD_DIM-1:0][31:0] all_sinks;
      logic unused;
      for (genvar n = 0; n < QueryBeats * WIDTH / HEAD_DIM; n++) begin : g_sink
        if (n < HEADS) begin : g_head
          assign all_sinks[n] = sinks[n];
        end else begin : g_none
          assign all_sinks[n] = '0;
        end
      end
      assign unused = &{1'b0, here};
      hnlpu_attention #(
          .WIDTH(WIDTH),
          .HEAD_DIM(HEAD_DIM),
          .GROUP(HEADS / KEY_HEADS),
          .QUERY_BEATS(QueryBeats),
          .KEY_BEATS(KeyBeats),
          .LAYERS(LAYERS),
          .CONTEXT(CONTEXT),
          .SEQUENCES(SEQUENCES),
          .SINKS(SINKS)
      ) attention (
          .clk(clk),
          .rst(rst),
          .store_key(execute && instruction.op == KEYS),
          .store_value(execute && instruction.op == VALUES),
          .store_query(execute && instruction.op == QUERY),
          .beat(instruction.index),
          .row(base + RowBits'(position)),
          .stored(stored),
          .start(started[Attention]),
          .base(base),
          .first(seen),
          .last(position),
          .sinks(all_sinks),
          .done(finished[Attention]),
          .mixed(mixed)
      );
    end
  end else begin : g_no_attention
    logic unused;
    assign finished[Attention] = 1'b1;
    assign mixed = '0;
    assign layer = '0;
    assign unused = &{1'b0, here, sinks, SINKS, KEY_HEADS, HEAD_PARTS};
  end

  hnlpu_sampler #(
      .WIDTH(WIDTH),
      .VOCABULARY(VOCABULARY)
  ) sampler (
      .clk(clk),
      .rst(rst),
      .store(execute && instruction.op == LOGITS),
      .beat(instruction.dst),
      .logits(instruction.first ? a : read),
      .start(started[Sampler]),
      .inverse(inverse_temperature),
      .number(number),
      .done(finished[Sampler]),
      .token(sampled),
      .values(given)
  );

  // arrays
  assign finished[GROUPS-1:0] = done;
  assign issue = started[GROUPS-1:0];
  always_comb begin
    for (int n = 0; n < Resources; n++) begin
      started[n] = execute && instruction.op == ISSUE && int'(instruction.index) == n;
    end
    for (int n = 0; n < GROUPS; n++) begin
      free[n] = execute && instruction.op == RELEASE && int'(instruction.index) == n;
    end
  end

  assign embedding_beat = EMBEDDING_BITS'(instruction.index);
  assign parameter_beat = PARAMETER_BITS'(instruction.index);
  always_comb begin
    case (instruction.op)
      MULTIPLY: write = execute && instruction.write;
      ADD, SUBTRACT, CLAMP, SIGMOID, EMBED, READ, MIXED, RECALL, CURVE, MOVE, COMPARE, QUOTIENT, JOIN:
      write = execute;
      default: write = 1'b0;
    endcase
    case (instruction.op)
      EMBED: result = embedding;
      READ: result = read;
      MIXED: result = mixed[int'(instruction.index)%QueryBeats];
      MOVE: result = merged;
      JOIN: result = joined;
      QUOTIENT: result = quotients;
      RECALL: result = position == '0 ? {WIDTH{instruction.immediate}} : a;
      default: result = lanes;
    endcase
  end

  always_ff @(posedge clk) begin
    if (execute) begin
      case (instruction.op)
        SETTLE: scales[id] <= exponent;
        QUANTIZE: begin
          for (int n = 0; n < ACTIVATION_BEATS; n++) begin
            if (instruction.index == 16'(n)) activations[n] <= quantized;
          end
        end
        default: ;
      endcase
    end
  end
endmodule
