// Multiply-accumulate of an int8 activation and an FP4 (E2M1) weight: total += 2 w x.
//
// Latency  1 cycle
// Numbers  x: 8 bits, two's complement; code: sign, two bits of exponent, one of mantissa
//          total: 22 bits, two's complement
module mac (
    input  logic        clk,
    input  logic        first,
    input  logic [7:0]  x,
    input  logic [3:0]  code,
    output logic [21:0] total
);
  logic [9:0] three;
  logic [9:0] odd;
  logic [10:0] by_two;
  logic [12:0] shifted;
  logic [21:0] product;
  logic [21:0] kept;
  logic [21:0] result;
  logic [1:0] shift;
  logic is_three;
  logic is_zero;

  assign is_zero = code[2:0] == 3'd0;
  assign is_three = code[0] && code[2:1] != 2'd0;
  assign shift = {code[2] & (code[1] | ~code[0]), code[1] ^ (code[0] & (code[2] | code[1]))};

  // x + 2x
  assign three[0] = x[0];
  for (genvar n = 1; n < 10; n++) begin : g_three
    logic carry;
    if (n == 1) begin : g_add
      hnlpu_half_adder add (.a(x[1]), .b(x[0]), .sum(three[1]), .carry(carry));
    end else begin : g_add
      hnlpu_full_adder add (
          .a(x[n < 8 ? n : 7]), .b(x[n < 9 ? n - 1 : 7]), .c(g_three[n-1].carry),
          .sum(three[n]), .carry(carry)
      );
    end
  end
  assign odd = is_zero ? 10'd0 : is_three ? three : {{2{x[7]}}, x};
  assign by_two = shift[0] ? {odd, 1'b0} : {odd[9], odd};
  assign shifted = shift[1] ? {by_two, 2'b0} : {{2{by_two[10]}}, by_two};
  assign product = {{9{shifted[12]}}, shifted} ^ {22{code[3]}};
  assign kept = total & {22{!first}};
  for (genvar n = 0; n < 22; n++) begin : g_total
    logic carry;
    if (n == 0) begin : g_add
      hnlpu_full_adder add (.a(kept[0]), .b(product[0]), .c(code[3]), .sum(result[0]), .carry(carry));
    end else begin : g_add
      hnlpu_full_adder add (
          .a(kept[n]), .b(product[n]), .c(g_total[n-1].carry), .sum(result[n]), .carry(carry)
      );
    end
  end

  always_ff @(posedge clk) total <= result;
endmodule
