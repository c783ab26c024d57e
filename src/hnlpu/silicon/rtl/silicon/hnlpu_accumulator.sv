// Shift and accumulate: total = sum over steps t of sigma(t) * 2^t * sum(t), sigma = -1 in the last.
//
// Latency  `total` is complete after the step with `last`, and stays until the next step
// Numbers  sum: SUM_BITS bits, unsigned, at most LARGEST
//          total: HIGH_BITS + STEPS - 1 bits, two's complement
//
// Before the last step high = floor(high / 2) + sum is at most 2 * LARGEST - 1 and never negative;
// the last one leaves -LARGEST to LARGEST - 1.  HIGH_BITS = bits of (2 * LARGEST - 1) hold both.
// A bit that is shifted out of `high` is final.  With FIRST_TWICE the first sum counts twice, which is at
// most 2 * LARGEST, too, and takes one bit more.
module hnlpu_accumulator #(
    parameter int LANES = 1,
    parameter int SUM_BITS = 7,
    parameter int HIGH_BITS = 7,
    parameter int STEPS = 12,
    parameter bit FIRST_TWICE = 0
) (
    input  logic                                  clk,
    input  logic                                  step,
    input  logic                                  first,
    input  logic                                  last,
    input  logic [SUM_BITS-1:0][LANES-1:0]        sum,
    output logic [HIGH_BITS+STEPS-2:0][LANES-1:0] total
);
  logic [HIGH_BITS-1:0][LANES-1:0] high;
  logic [STEPS-2:0][LANES-1:0] low;
  logic [HIGH_BITS-1:0][LANES-1:0] result;
  logic [LANES-1:0] overflow;

  // high / 2 + (sum ^ last) + last: the last sum is subtracted
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
    if (n < HIGH_BITS - 1) begin : g_add
      logic [LANES-1:0] kept;
      if (FIRST_TWICE && n < SUM_BITS) begin : g_kept
        assign kept = (high[n+1] & {LANES{!first}}) | (sum[n] & {LANES{first}});
      end else begin : g_kept
        assign kept = high[n+1] & {LANES{!first}};
      end
      hnlpu_full_adder #(
          .LANES(LANES)
      ) add (
          .a(kept),
          .b(addend),
          .c(carry_in),
          .sum(result[n]),
          .carry(carry)
      );
    end else begin : g_add
      hnlpu_half_adder #(
          .LANES(LANES)
      ) add (
          .a(addend),
          .b(carry_in),
          .sum(result[n]),
          .carry(carry)
      );
    end
  end

  always_ff @(posedge clk) begin
    if (step) begin
      high <= result;
      low  <= {high[0], low[STEPS-2:1]};
    end
  end

  assign total = {high, low};

  // a carry out of an unsigned sum, or a sign that is not the borrow of the last one
  assign overflow = g_bit[HIGH_BITS-1].carry ^ ({LANES{last}} & ~result[HIGH_BITS-1]);

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (step) assert (overflow == '0) else $error("an accumulator overflows");
  end
`endif
endmodule
