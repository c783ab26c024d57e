// Shift and accumulate over phases: total = sum over steps t of sigma(t) * 2^t * (sums of all phases of t),
// sigma = -1 in the last step.
//
// Latency  `total` is complete after the last phase with `last`, and stays until the next step
// Numbers  sum: SUM_BITS bits, unsigned; all phases of a step together at most LARGEST
//          total: HIGH_BITS + STEPS - 1 bits, two's complement
//
// Before the last step high, which `fresh` halves, is at most 2 * LARGEST - 1 and never negative; the
// phases of the last one leave -LARGEST to LARGEST - 1.  HIGH_BITS = bits of (2 * LARGEST - 1) hold both.
module hnlpu_folded_accumulator #(
    parameter int LANES = 1,
    parameter int SUM_BITS = 7,
    parameter int HIGH_BITS = 7,
    parameter int STEPS = 12
) (
    input  logic                                  clk,
    input  logic                                  step,
    input  logic                                  fresh,
    input  logic                                  first,
    input  logic                                  last,
    input  logic [SUM_BITS-1:0][LANES-1:0]        sum,
    output logic [HIGH_BITS+STEPS-2:0][LANES-1:0] total
);
  logic [HIGH_BITS-1:0][LANES-1:0] high;
  logic [STEPS-2:0][LANES-1:0] low;
  logic [HIGH_BITS-1:0][LANES-1:0] kept;
  logic [HIGH_BITS-1:0][LANES-1:0] result;
  logic [LANES-1:0] overflow;
  logic halve;
  logic keep;

  assign halve = fresh && !first;
  assign keep = !fresh;

  // kept + (sum ^ last) + last: sums of the last step are subtracted
  for (genvar n = 0; n < HIGH_BITS; n++) begin : g_bit
    logic [LANES-1:0] carry_in;
    logic [LANES-1:0] carry;
    logic [LANES-1:0] addend;
    if (n == 0) begin : g_carry
      assign carry_in = {LANES{last}};
    end else begin : g_carry
      assign carry_in = g_bit[n-1].carry;
    end
    if (n < SUM_BITS) begin : g_addend
      assign addend = sum[n] ^ {LANES{last}};
    end else begin : g_addend
      assign addend = {LANES{last}};
    end
    if (n < HIGH_BITS - 1) begin : g_kept
      assign kept[n] = (high[n] & {LANES{keep}}) | (high[n+1] & {LANES{halve}});
    end else begin : g_kept
      assign kept[n] = high[n] & {LANES{keep}};
    end
    hnlpu_full_adder #(
        .LANES(LANES)
    ) add (
        .a(kept[n]),
        .b(addend),
        .c(carry_in),
        .sum(result[n]),
        .carry(carry)
    );
  end

  always_ff @(posedge clk) begin
    if (step) high <= result;
    if (step && fresh) low <= {high[0], low[STEPS-2:1]};
  end

  assign total = {high, low};

  // a carry out of an unsigned sum, or a negative number that a subtraction makes positive
  assign overflow = (g_bit[HIGH_BITS-1].carry & ~{LANES{last}})
      | (kept[HIGH_BITS-1] & ~result[HIGH_BITS-1] & {LANES{last}});

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (step) assert (overflow == '0) else $error("an accumulator overflows");
  end
`endif
endmodule
