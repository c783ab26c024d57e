"""Text that joins a chip's core to other chips through exchange and links, or ties it off where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape, ceil_log2
from hnlpu.silicon.rtl.links import LinkShape

PLACE_BITS = 4
"""Of a place in a message of a fault: a full grid of 16 chips."""
MOST_CHIPS = 1 << PLACE_BITS

CORE_PINS = (
    "here", "follows", "has_member", "sent", "sequence_id", "begins", "finishes", "position", "prompt", "sends", "parts", "arrived",
    "total", "has_token", "start_token", "start_position", "start_prompt",
)  # fmt: skip


@dataclass(frozen=True)
class Joined:
    """Ports of a chip's module, and the part of its body that stands around the core."""

    ports: str
    body: str


def word_bits(shape: ChipShape, program: Program) -> int:
    """Bits of a word that a link carries: a beat of sums and what it is.

    Raises DoesNotFit where the start of a token, which lies in the same bits, is longer than a beat.
    """
    start = shape.in_bits + ceil_log2(shape.context) + 1
    if start > shape.width * shape.sum_bits:
        raise DoesNotFit(
            f"the start of a token has {start} bits, a beat of sums that links carry "
            f"{shape.width * shape.sum_bits}; give more `lanes`"
        )
    tags = _bits(program.exchange_beats) + _bits(shape.sequences) + 4
    return shape.width * shape.sum_bits + tags


def _bits(n: int) -> int:
    return ceil_log2(n) if n > 1 else 1


def _wires(shape: ChipShape) -> str:
    token, place = shape.in_bits, ceil_log2(shape.context)
    return f"""
  logic follows;
  logic has_member;
  logic [{shape.width - 1}:0][{shape.sum_bits - 1}:0] sent;
  logic [{_bits(shape.sequences) - 1}:0] sequence_id;
  logic begins;
  logic finishes;
  logic [{place - 1}:0] position;
  logic prompt;
  logic sends;
  logic parts;
  logic [{shape.sequences - 1}:0] arrived;
  logic [{shape.width - 1}:0][{shape.sum_bits - 1}:0] total;
  logic [{shape.sequences - 1}:0] has_token;
  logic [{token - 1}:0] start_token;
  logic [{place - 1}:0] start_position;
  logic start_prompt;
"""


def alone(shape: ChipShape) -> Joined:
    """A chip without others."""
    return Joined(
        "",
        f"""{_wires(shape)}
  // no other chips
  logic unused_others;
  logic [0:0] here;
  assign here = '0;
  assign follows = 1'b0;
  assign has_member = 1'b1;
  assign arrived = '1;
  assign total = '0;
  assign has_token = '0;
  assign start_token = '0;
  assign start_position = '0;
  assign start_prompt = 1'b0;
  assign unused_others = &{{1'b0, sequence_id, begins, finishes, position, prompt, sends, parts, sent}};
""",
    )


def joined(shape: ChipShape, program: Program, link: LinkShape) -> Joined:
    """A chip of several, with a link to each other."""
    chips, ports, bits = shape.chips, shape.chips - 1, ceil_log2(shape.chips)
    beat = _bits(program.exchange_beats)
    token, place = shape.in_bits, ceil_log2(shape.context)
    exchange = {
        "CHIPS": chips, "SEQUENCES": shape.sequences, "WIDTH": shape.width,
        "SUM_BITS": shape.sum_bits, "BEATS": program.exchange_beats, "TOKEN_BITS": token,
        "CONTEXT_BITS": place,
    }  # fmt: skip
    return Joined(
        f""",
    input  logic [{bits - 1}:0] here,
    output logic [1:0] fault,  // of a link between chips; see hnlpu_link.sv
    output logic [{PLACE_BITS - 1}:0] fault_from,
    output logic [{PLACE_BITS - 1}:0] fault_to,
    output logic [31:0] frames_again,  // times that frames were sent anew
    input  logic [{ports - 1}:0] lanes_ready,
    output logic [{ports - 1}:0][{link.lanes - 1}:0] lanes_out,
    input  logic [{ports - 1}:0] lanes_valid,
    input  logic [{ports - 1}:0][{link.lanes - 1}:0] lanes_in""",
        f"""{_wires(shape)}
  // other chips
  localparam int WordBits = {link.bits};
  logic [{chips - 1}:0] of_rows;
  logic [{chips - 1}:0] of_heads;
  logic [{chips - 1}:0] of_experts;
  logic [{chips - 1}:0] holders;
  logic [{beat - 1}:0] beat;
  logic of_values;
  logic unused_sums;
  logic [{ports - 1}:0] send_valid;
  logic [{ports - 1}:0] send_ready;
  logic [{ports - 1}:0][WordBits-1:0] send_word;
  logic [{ports - 1}:0] take_valid;
  logic [{ports - 1}:0][WordBits-1:0] take_word;
  assign follows = here != '0;
  hnlpu_holders holders_of_rows (
      .row(row_beat),
      .holders(of_rows)
  );
  hnlpu_owners owners_of_values (
      .beat(beat),
      .member(member),
      .of_heads(of_heads),
      .of_experts(of_experts)
  );
  assign of_values = instruction.operand == hnlpu_chip_pkg::REGISTER;
  assign holders = !of_values ? of_rows : instruction.banked ? of_experts : of_heads;
  assign has_member = of_experts[here];
  // a place's heads have their beats of the exchange
  assign beat = {beat}'(instruction.b){_own_beats(shape, program, beat)};
  assign unused_sums = &sums;
  hnlpu_exchange #(
{_given(exchange)}
  ) exchange (
      .clk(clk),
      .rst(rst),
      .here(here),
      .send(sends),
      .to_first(instruction.first),
      .last(instruction.both),
      .beat(beat),
      .holders(holders),
      .sums(sent),
      .part(parts),
      .token(token),
{
            _same(
                (
                    "sequence_id",
                    "arrived",
                    "total",
                    "begins",
                    "finishes",
                    "position",
                    "prompt",
                    "has_token",
                    "start_token",
                    "start_position",
                    "start_prompt",
                    "send_valid",
                    "send_ready",
                    "send_word",
                    "take_valid",
                    "take_word",
                )
            )
        }
  );

  // links, and what they and the other chips say of them
  logic [{ports - 1}:0][1:0] faults;
  logic [{ports - 1}:0][6:0] peers_status;
  logic [{ports - 1}:0] again;
  logic [{ports - 1}:0] unused_discarded;
  logic [6:0] own_fault;  // kind, and the place that the link leads to
  logic unused_status;
  assign unused_status = &{{1'b0, peers_status, unused_discarded}};
  for (genvar n = 0; n < {ports}; n++) begin : g_link
    hnlpu_link #(
{_given(link.parameters(), "        ")}
    ) between (
        .clk(clk),
        .rst(rst),
        .send_valid(send_valid[n]),
        .send_ready(send_ready[n]),
        .send_data(send_word[n]),
        .take_valid(take_valid[n]),
        .take_ready(1'b1),
        .take_data(take_word[n]),
        .status(own_fault),
        .peer_status(peers_status[n]),
        .fault(faults[n]),
        .replayed(again[n]),
        .discarded(unused_discarded[n]),
        .out_ready(lanes_ready[n]),
        .out_lanes(lanes_out[n]),
        .in_valid(lanes_valid[n]),
        .in_lanes(lanes_in[n])
    );
  end

  always_comb begin
    own_fault = '0;
    for (int n = {ports - 1}; n >= 0; n--) begin
      if (faults[n] != '0) own_fault = {{1'b0, {
            PLACE_BITS
        }'(n < int'(here) ? n : n + 1), faults[n]}};
    end
    fault = own_fault[1:0];
    fault_from = {PLACE_BITS}'(here);
    fault_to = own_fault[2+:{PLACE_BITS}];
    for (int n = {ports - 1}; n >= 0; n--) begin
      if (own_fault[1:0] == '0 && peers_status[n][1:0] != '0) begin
        fault = peers_status[n][1:0];
        fault_from = {PLACE_BITS}'(n < int'(here) ? n : n + 1);
        fault_to = peers_status[n][2+:{PLACE_BITS}];
      end
    end
  end
  always_ff @(posedge clk) begin
    if (rst) frames_again <= '0;
    else frames_again <= frames_again + $countones(again);
  end
""",
    )


def _own_beats(shape: ChipShape, program: Program, bits: int) -> str:
    """What a chip adds to the beat of a half of its heads' outputs, by its place."""
    heads = program.attention
    if heads is None or heads.parts == 1:
        return ""
    firsts = [2 * heads.first_beat(place, shape.width) for place in range(shape.chips)]
    here = ceil_log2(shape.chips)
    chosen = "".join(f"here == {here}'d{p} ? {bits}'d{n} : " for p, n in enumerate(firsts[:-1]))
    sends = "of_values && sends && !instruction.banked"
    return f"\n      + ({sends} ? {chosen}{bits}'d{firsts[-1]} : {bits}'d0)"


def _given(parameters: dict[str, int], indent: str = "      ") -> str:
    return ",\n".join(f"{indent}.{name}({value})" for name, value in parameters.items())


def _same(pins: Sequence[str]) -> str:
    return ",\n".join(f"      .{pin}({pin})" for pin in pins)


def core_pins() -> str:
    """Pins of the core that have nets of their names."""
    return _same(CORE_PINS)


def machine_top(shape: ChipShape, link: LinkShape) -> str:
    """Text of module `machine`: all chips side by side, requests to the first, and every end of a lane a port."""
    token, place, bits = (
        ceil_log2(shape.vocabulary), ceil_log2(shape.context), ceil_log2(shape.chips),
    )  # fmt: skip
    chips, ports = shape.chips, shape.chips - 1
    text = f"""\
// Machine: {chips} chips side by side.  Requests go to the first, which tells the tokens; lanes are the wires' to join.
//
// Latency  see hnlpu_core.sv
// Numbers  port n of chip p leads to place n, or to n + 1 where n is not below p
module machine (
    input  logic clk,
    input  logic rst,
    input  logic in_valid,
    output logic in_ready,
    input  logic [{token - 1}:0] in_token,
    input  logic in_last,
    input  logic [7:0] in_tag,
    input  logic [63:0] in_seed,
    input  logic [30:0] in_inverse,
    input  logic [{place}:0] in_most,
    output logic out_valid,
    input  logic out_ready,
    output logic [{token - 1}:0] out_token,
    output logic [7:0] out_tag,
    output logic out_last,
    output logic out_refused,
    output logic [1:0] fault,
    output logic [{PLACE_BITS - 1}:0] fault_from,
    output logic [{PLACE_BITS - 1}:0] fault_to,
    output logic [31:0] frames_again,
    input  logic lanes_ready[{chips * ports}],
    output logic [{link.lanes - 1}:0] lanes_out[{chips * ports}],
    input  logic lanes_valid[{chips * ports}],
    input  logic [{link.lanes - 1}:0] lanes_in[{chips * ports}]
);
  logic [{chips - 1}:0][31:0] again;
  always_comb begin
    frames_again = '0;
    for (int n = 0; n < {chips}; n++) frames_again = frames_again + again[n];
  end
"""
    for p in range(chips):
        lanes = "".join(
            f"""
  assign ready_{p}[{n}] = lanes_ready[{p * ports + n}];
  assign valid_{p}[{n}] = lanes_valid[{p * ports + n}];
  assign lanes_in_{p}[{n}] = lanes_in[{p * ports + n}];
  assign lanes_out[{p * ports + n}] = lanes_out_{p}[{n}];"""
            for n in range(ports)
        )
        pins = {
            "clk": "clk", "rst": "rst",
            **{name: name if p == 0 else "'0" for name in (
                "in_valid", "in_token", "in_last", "in_tag", "in_seed", "in_inverse", "in_most",
                "out_ready")},
            **{name: name if p == 0 else f"unused_{name}_{p}" for name in _OUTPUTS},
            "here": f"{bits}'d{p}", "frames_again": f"again[{p}]", "lanes_ready": f"ready_{p}",
            "lanes_out": f"lanes_out_{p}", "lanes_valid": f"valid_{p}", "lanes_in": f"lanes_in_{p}",
        }  # fmt: skip
        text += f"""
  logic [{ports - 1}:0] ready_{p};
  logic [{ports - 1}:0] valid_{p};
  logic [{ports - 1}:0][{link.lanes - 1}:0] lanes_in_{p};
  logic [{ports - 1}:0][{link.lanes - 1}:0] lanes_out_{p};{lanes}
"""
        if p:
            sizes = {"out_token": token, "out_tag": 8, "fault": 2, "fault_from": PLACE_BITS,
                     "fault_to": PLACE_BITS}  # fmt: skip
            text += "".join(
                f"  logic [{sizes.get(name, 1) - 1}:0] unused_{name}_{p};\n" for name in _OUTPUTS
            )
        given = ",\n".join(f"      .{pin}({net})" for pin, net in pins.items())
        text += f"  chip_{p} at_{p} (\n{given}\n  );\n"
    return f"{text}endmodule\n"


_OUTPUTS = (
    "in_ready", "out_valid", "out_token", "out_tag", "out_last", "out_refused", "fault", "fault_from",
    "fault_to",
)  # fmt: skip


def machine_header(shape: ChipShape, link: LinkShape) -> str:
    """Text of the header that tells the bench what it drives."""
    return f"""\
// What the bench of a machine drives.
#pragma once
constexpr int kChips = {shape.chips};
constexpr int kLanes = {link.lanes};
"""
