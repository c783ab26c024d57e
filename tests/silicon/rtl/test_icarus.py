"""Icarus Verilog reads arrays as they are written, and has the golden products of their benches."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import build_small

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import LANES, ArrayUnit, find_units, write_rtl

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="iverilog (Debian's package) is not installed"
)
VECTORS = 24
"""Of those of a bench: Icarus takes a hundredth of a second a cycle."""
CYCLES = 2000
CASES = {
    "two digits": ("taps", "*q_proj", 1),
    "a bank": ("taps", "*gate_up_proj", 1),
    "folded": ("taps", "*gate_up_proj", 4),
    "folded, two digits": ("taps", "*q_proj", 2),
    "regions, two digits": ("regions", "*q_proj", 1),
    "regions, a bank": ("regions", "*gate_up_proj", 1),
}


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Build]:
    return {
        scheme: build_small(tmp_path_factory.mktemp(scheme), 0, scheme)
        for scheme in ("taps", "regions")
    }


def hexadecimal(bits: np.ndarray) -> str:
    """Lines for $readmemh of bits [n, width], the lowest first."""
    packed = np.packbits(bits, axis=1, bitorder="little")[:, ::-1]
    digits = -(-bits.shape[1] // 4)
    return "".join(f"{row.tobytes().hex()[-digits:]}\n" for row in packed)


def write_bench(folder: Path, unit: ArrayUnit) -> None:
    """What the bench of C++ does, with one lane: vectors in, results against the file's products."""
    shape = unit.shape
    words = np.fromfile(folder / "bench" / f"{unit.name}.bin", "<u8")
    inputs, outputs = shape.activation_bits * shape.inputs, shape.total_bits * shape.neurons
    batches = words.reshape(-1, 1 + inputs + outputs)
    lanes = batches[:, None, 1:] >> np.arange(LANES, dtype=np.uint64)[:, None] & np.uint64(1)
    bits = lanes.reshape(-1, inputs + outputs).astype(np.uint8)
    members = np.repeat(batches[:, 0], LANES)
    chosen = np.arange(VECTORS) * len(bits) // VECTORS
    bits, members = bits[chosen], members[chosen]
    (folder / "x.hex").write_text(hexadecimal(bits[:, :inputs]))
    (folder / "y.hex").write_text(hexadecimal(bits[:, inputs:]))
    (folder / "member.hex").write_text("".join(f"{member:x}\n" for member in members.tolist()))
    member = shape.kind.bank > 1
    (folder / "bench.sv").write_text(f"""\
module bench;
  logic clk = 0, rst = 1, in_valid = 0, in_ready, out_valid;
  logic [{inputs - 1}:0] x, xs [0:{len(bits) - 1}];
  logic [{outputs - 1}:0] y, ys [0:{len(bits) - 1}];
  logic [{shape.member_bits - 1 if member else 0}:0] member, members [0:{len(bits) - 1}];
  int taken = 0, given = 0, wrong = 0;
  top_{unit.name} #(.LANES(1)) top (
    .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .x(x),
    {".member(member), " if member else ""}.out_valid(out_valid), .out_ready(1'b1), .y(y)
  );
  always #1 clk = !clk;
  initial begin
    $readmemh("x.hex", xs); $readmemh("y.hex", ys); $readmemh("member.hex", members);
    #5 rst = 0;
    #{2 * CYCLES} $display("no end after {CYCLES} cycles"); $finish;
  end
  always @(negedge clk) begin
    in_valid <= !rst && taken < {len(bits)};
    x <= xs[taken % {len(bits)}];
    member <= members[taken % {len(bits)}];
  end
  always @(posedge clk) if (!rst) begin
    if (in_valid && in_ready) taken <= taken + 1;
    if (out_valid) begin
      if (y !== ys[given]) wrong = wrong + 1;
      given = given + 1;
      if (given == {len(bits)}) begin $display("%0d vectors, %0d wrong", given, wrong); $finish; end
    end
  end
endmodule
""")


def simulated(folder: Path, unit: ArrayUnit) -> str:
    """The last line that Icarus prints."""
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", "-f", f"{unit.name}.f", "bench.sv"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = ["vvp", "bench.vvp"]
    return subprocess.run(
        run, cwd=folder, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


@needs_icarus
@pytest.mark.parametrize("case", CASES)
def test_products_in_icarus_are_golden(case: str, builds: dict[str, Build], tmp_path: Path) -> None:
    scheme, matrix, fold = CASES[case]
    build, folder = builds[scheme], tmp_path / "rtl"
    neurons = 2 if scheme == "taps" else 1  # a row of regions has ports for any value
    (unit, *_) = find_units(build, matrices=[matrix], neurons=neurons, fold=fold)
    write_rtl(build, folder, [unit], vectors=64)
    write_bench(folder, unit)
    assert simulated(folder, unit) == f"{VECTORS} vectors, 0 wrong"


@needs_icarus
def test_wrong_metal_gives_wrong_products_in_icarus(
    builds: dict[str, Build], tmp_path: Path
) -> None:
    folder = tmp_path / "rtl"
    (unit, *_) = find_units(builds["taps"], matrices=["*q_proj"], neurons=2)
    write_rtl(builds["taps"], folder, [unit], vectors=64)
    write_bench(folder, unit)
    (wiring,) = (folder / "wiring").iterdir()
    text = wiring.read_text()
    cut = re.sub(r"(assign x\d+_[mp]\d+ =) trunk\[\d+\]\[\d+\];", r"\1 GND;", text, count=1)
    assert cut != text
    wiring.write_text(cut)
    vectors, wrong = simulated(folder, unit).split(", ")
    assert vectors == f"{VECTORS} vectors"
    assert int(wrong.split()[0]) > 0
