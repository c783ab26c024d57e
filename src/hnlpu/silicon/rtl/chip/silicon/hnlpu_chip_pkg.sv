// Instructions of a chip's vector unit.  All act on beats: as many values as the unit has lanes.
package hnlpu_chip_pkg;
  typedef enum logic [5:0] {
    MULTIPLY    = 6'd0,   // sums (or 0) + a * operand, rounded by shift, saturated, to dst
    ADD         = 6'd1,   // a + operand, saturated, to dst
    CLAMP       = 6'd2,   // a, at most immediate, with `both` at least its negative, to dst
    SIGMOID     = 6'd3,   // sigmoid(a) to dst
    EMBED       = 6'd4,   // beat `index` of the token's embedding, or of the position's numbers, to dst
    READ        = 6'd5,   // values of beat `index` of the arrays' sums to dst
    SQUARES     = 6'd6,   // sum of squares (or epsilon `index`) + squares of a
    PEAK        = 6'd7,   // largest and smallest value so far (or 0) and of a
    SETTLE      = 6'd8,   // the scale that they ask for becomes the sequence's
    QUANTIZE    = 6'd9,   // a at the sequence's scale to beat `index` of activations
    ACQUIRE     = 6'd10,  // waits until the resource is free, and takes it
    ISSUE       = 6'd11,  // starts the resource
    AWAIT       = 6'd12,  // waits until the resource is done
    RELEASE     = 6'd13,  // frees the resource
    ANGLE       = 6'd14,  // cosine and sine `index` of the token's position
    KEYS        = 6'd15,  // a, as keys, to beat `index` of the position's
    VALUES      = 6'd16,  // a, as values, to beat `index` of the position's
    QUERY       = 6'd17,  // a, as queries, to beat `index` of the attention unit
    MIXED       = 6'd18,  // beat `index` of the attention unit's result to dst
    TOP         = 6'd19,  // next expert among logits a, of rank `rank` if there is such a rank
    SHARES      = 6'd20,  // the experts' shares become the sequence's
    LOGITS      = 6'd21,  // like READ, to beat `dst` of the sampler
    SKIP        = 6'd22,  // goes to instruction `immediate` if more of the prompt follows
    TAKE        = 6'd23,  // the sampler's token becomes the sequence's next
    FINISH      = 6'd24,  // the token is done
    SUBTRACT    = 6'd25,  // a - operand, with `both` operand - a, saturated, to dst
    RECALL      = 6'd26,  // a, or the immediate at a sequence's first position, to dst
    CURVE       = 6'd27,  // of a by `rank`: 0 power, 1 softplus, 2 normal, to dst
    MOVE        = 6'd28,  // lanes of b by pattern `index`, others of a (or 0), to dst
    COMPARE     = 6'd29,  // by `rank`: 0 larger, 1 smaller, whether a 2 <, 3 <=, 4 = operand, to dst
    SUM         = 6'd30,  // the mean's sum (or 0) + lanes of a
    QUOTIENT    = 6'd31,  // the dividers' quotients to dst
    SEND        = 6'd32,  // this chip's part of beat `index` of sums to the others, as beat b of the exchange
    MEET        = 6'd33,  // waits until the others' parts of the exchange have come
    PART        = 6'd34,  // the exchange is over
    LEAVE       = 6'd35,  // goes to instruction `immediate` on all chips but the first
    HAVE        = 6'd36,  // goes to instruction `immediate` unless the expert of rank `rank` is on this chip
    JOIN        = 6'd37   // half `index` of beat b of the exchange to dst: 0 the lower, 1 the upper beside the lower of a
  } opcode_t;

  typedef enum logic [2:0] {
    IMMEDIATE = 3'd0,
    REGISTER  = 3'd1,   // beat b
    PARAMETER = 3'd2,   // beat `index` of the parameters
    INVERSE   = 3'd3,   // the inverse root; of SUBTRACT the mean
    COSINE    = 3'd4,   // of the lane's pair
    SINE      = 3'd5,   // of the lane's pair, negative in the first half of a head
    SHARE     = 3'd6,   // of the expert of rank `rank`
    MOVED     = 3'd7    // lanes of b by pattern `index`, 0 where it takes none
  } operand_t;

  typedef struct packed {
    opcode_t     op;
    operand_t    operand;  // SEND: of a register, half `index` of a
    logic        first;    // MULTIPLY, SQUARES, SUM, PEAK, TOP, MOVE: begins anew; SEND: to the first chip alone; LOGITS: of a
    logic        write;    // MULTIPLY: to dst
    logic        swap;     // MULTIPLY: a with the halves of every head swapped
    logic        root;     // MULTIPLY: rounds by what the root says
    logic        both;     // CLAMP, SUBTRACT; ISSUE of the root: a mean; SEND: the last; READ, LOGITS: of all chips
    logic        banked;   // READ, LOGITS, ISSUE, SEND, JOIN: of the member of rank `rank`; SQUARES, root: head by head
    logic [5:0]  shift;
    logic [3:0]  rank;
    logic [9:0]  dst;
    logic [9:0]  a;
    logic [9:0]  b;
    logic [15:0] index;
    logic [31:0] immediate;
  } instruction_t;
endpackage
