// Router: the experts with the largest logits, and their shares by softmax, among these or more experts.
//
// Latency  an expert a cycle; `done` is one 26 cycles after `divide`, until the next one
// Numbers  logits: 32 bits, two's complement, units of 2^-16; shares: 25 bits, unsigned, units of 2^-24
//
// Of equal logits the lowest expert comes first.  Experts that are taken with a rank of RANKS or more have
// a part of the total, and no share.
module hnlpu_router #(
    parameter int EXPERTS = 4,
    parameter int RANKS = 2,
    parameter int SHARING = RANKS,  // experts that are taken in all
    localparam int ExpertBits = EXPERTS > 1 ? $clog2(EXPERTS) : 1
) (
    input  logic                            clk,
    input  logic                            take,
    input  logic                            first,
    input  logic [3:0]                      rank,
    input  logic [EXPERTS-1:0][31:0]        logits,
    output logic [ExpertBits-1:0]           expert,
    input  logic                            divide,
    output logic                            done,
    output logic [RANKS-1:0][24:0]          shares
);
  localparam int TotalBits = 25 + $clog2(SHARING + 1);

  logic [EXPERTS-1:0] taken;
  logic [EXPERTS-1:0] out;
  logic [31:0] best;
  logic found;
  logic [31:0] largest;
  logic [31:0] distance;
  logic [24:0] part;
  logic [RANKS-1:0][24:0] parts;
  logic [TotalBits-1:0] total;
  logic [RANKS-1:0] finished;

  assign out = first ? '0 : taken;
  always_comb begin
    expert = '0;
    best = '0;
    found = 1'b0;
    for (int n = 0; n < EXPERTS; n++) begin
      if (!out[n] && (!found || $signed(logits[n]) > $signed(best))) begin
        expert = ExpertBits'(n);
        best = logits[n];
        found = 1'b1;
      end
    end
  end
  assign distance = (first ? best : largest) - best;

  hnlpu_exponential exponential (
      .distance(distance),
      .y(part)
  );

  always_ff @(posedge clk) begin
    if (take) begin
      taken <= out;
      taken[expert] <= 1'b1;
      if (first) largest <= best;
      for (int n = 0; n < RANKS; n++) if (rank == 4'(n)) parts[n] <= part;
      total <= (first ? '0 : total) + TotalBits'(part);
    end
  end

  for (genvar n = 0; n < RANKS; n++) begin : g_share
    hnlpu_divider #(
        .NUMERATOR_BITS(25),
        .DENOMINATOR_BITS(TotalBits),
        .FRACTION(24),
        .QUOTIENT_BITS(25)
    ) divider (
        .clk(clk),
        .start(divide),
        .numerator(parts[n]),
        .denominator(total),
        .done(finished[n]),
        .quotient(shares[n])
    );
  end
  assign done = &finished;
endmodule
