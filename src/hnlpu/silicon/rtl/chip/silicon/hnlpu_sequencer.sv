// Sequencer: runs the chip's program for every sequence, one instruction a cycle.
//
// Latency  an instruction is executed in the cycle in which it is offered; changing the sequence
//          takes one cycle
// Numbers  resources are numbered by the program
//
// A sequence runs until it has to wait for a resource; then the next one that can go on runs.
module hnlpu_sequencer
  import hnlpu_chip_pkg::*;
#(
    parameter int SEQUENCES = 4,
    parameter int RESOURCES = 15,
    parameter int PLACE_BITS = 9,
    localparam int SequenceBits = SEQUENCES > 1 ? $clog2(SEQUENCES) : 1,
    localparam int ResourceBits = $clog2(RESOURCES)
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic [SEQUENCES-1:0]    active,     // has a token to work on
    input  logic                    prompt,     // the running sequence has more of its prompt to come
    input  logic [RESOURCES-1:0]    done,
    input  logic [SEQUENCES-1:0]    arrived,    // all chips' parts of the sequence's exchange are here
    input  logic                    follows,    // this chip is not the first
    input  logic                    has,        // the expert of the instruction's rank is on this chip
    output logic [PLACE_BITS-1:0]   place,      // of the instruction in the program
    input  opcode_t                 op,         // of the instruction there
    input  logic [ResourceBits-1:0] index,
    input  logic [PLACE_BITS-1:0]   target,
    output logic [SequenceBits-1:0] sequence_id,
    output logic                    execute,    // the instruction acts
    output logic [RESOURCES-1:0]    busy
);
  logic running;
  logic [SEQUENCES-1:0][PLACE_BITS-1:0] places;
  logic [SEQUENCES-1:0] waiting;
  logic [SEQUENCES-1:0] for_done;   // else for a free resource
  logic [SEQUENCES-1:0] for_peers;  // or for other chips
  logic [SEQUENCES-1:0][ResourceBits-1:0] awaited;
  logic [SEQUENCES-1:0] ready;
  logic [SequenceBits-1:0] next;
  logic any;
  logic blocked;

  assign place = places[sequence_id];

  always_comb begin
    for (int n = 0; n < SEQUENCES; n++) begin
      ready[n] = active[n] &&
          (!waiting[n] || (for_peers[n] ? arrived[n] : for_done[n] ? done[awaited[n]] : !busy[awaited[n]]));
    end
  end

  // the one behind the running one comes first
  always_comb begin
    next = sequence_id;
    any  = 1'b0;
    for (int n = SEQUENCES; n >= 1; n--) begin
      if (ready[(int'(sequence_id)+n)%SEQUENCES]) begin
        next = SequenceBits'((int'(sequence_id) + n) % SEQUENCES);
        any  = 1'b1;
      end
    end
  end

  always_comb begin
    blocked = 1'b0;
    case (op)
      ACQUIRE: blocked = busy[index];
      AWAIT: blocked = !done[index];
      MEET: blocked = !arrived[sequence_id];
      default: ;
    endcase
  end
  assign execute = running && !blocked;

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 1'b0;
      waiting <= '0;
      busy <= '0;
      places <= '0;
      sequence_id <= '0;
    end else if (!running) begin
      sequence_id <= next;
      running <= any;
      if (any) waiting[next] <= 1'b0;
    end else if (blocked) begin
      running <= 1'b0;
      waiting[sequence_id] <= 1'b1;
    end else if (execute) begin
      places[sequence_id] <= place + 1'b1;
      case (op)
        ACQUIRE: busy[index] <= 1'b1;
        RELEASE: busy[index] <= 1'b0;
        SKIP: if (prompt) places[sequence_id] <= target;
        LEAVE: if (follows) places[sequence_id] <= target;
        HAVE: if (!has) places[sequence_id] <= target;
        FINISH: begin
          places[sequence_id] <= '0;
          running <= 1'b0;
        end
        default: ;
      endcase
    end
  end

  always_ff @(posedge clk) begin
    if (running && blocked) begin
      for_done[sequence_id] <= op == AWAIT;
      for_peers[sequence_id] <= op == MEET;
      awaited[sequence_id]  <= index;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst && execute && op == RELEASE) begin
      assert (busy[index]) else $error("resource %0d is freed twice", index);
    end
    if (!rst && execute && op == ISSUE) begin
      assert (busy[index]) else $error("resource %0d is used unasked", index);
    end
  end
`endif
endmodule
