"""Coverage of silicon by the bench: read from Verilator's counters, complete for lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rtl_arrays import needs

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import Coverage, merge_coverage, read_coverage

Cli = Callable[..., tuple[int, str, str]]

COUNTED = """# SystemC::Coverage-3
C '\1f\2silicon/a.sv\1l\2{line}\1n\0027\1t\2branch\1page\2v_branch/a\1o\2if\1h\2top.x' {count}
C '\1f\2silicon/a.sv\1l\2{line}\1n\0027\1t\2branch\1page\2v_branch/a\1o\2if\1h\2top.y' 0
C '\1f\2silicon/a.sv\1l\0029\1n\0021\1t\2line\1page\2v_line/a\1o\2block\1h\2top.x' 1
C '\1f\2wiring/w.sv\1l\0021\1n\0021\1t\2toggle\1page\2v_toggle/w\1o\2p[0]:0->1\1h\2top.w' 5
"""


def test_a_point_is_covered_where_any_instance_is() -> None:
    covered = read_coverage(COUNTED.format(line=4, count=3))
    assert covered.counts("branch") == (1, 1)
    assert covered.counts("line", "a.sv") == (1, 1)
    assert covered.counts("toggle") == (0, 0)
    missed = read_coverage(COUNTED.format(line=5, count=0))
    assert missed.missed("branch") == ["a.sv:5:7 if"]
    both = merge_coverage([covered, missed])
    assert both.counts("branch") == (1, 2)
    assert both.files == ["a.sv"]
    assert merge_coverage([]) == Coverage({})


@needs("verilator", "make")
@needs("verilator", "c++")
def test_benches_cover_silicon(small: Build, tmp_path: Path, cli: Cli) -> None:
    code, said, _ = cli(
        "rtl", small.directory, "-o", tmp_path / "out", "--matrix", "*experts.down_proj",
        "--neurons", "1", "--vectors", "640", "--coverage", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(said)["coverage"]
    for kind, least in (("line", 0.95), ("branch", 0.95), ("toggle", 0.9)):
        assert found[kind]["covered"] >= least * found[kind]["points"] > 0
        assert len(found[kind]["missed"]) == found[kind]["points"] - found[kind]["covered"]
    assert not list((tmp_path / "out").glob("coverage.dat"))


def test_coverage_needs_vectors(small: Build, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    code, _, error = cli("rtl", small.directory, "-o", out, "--coverage", "--vectors", "0")
    assert (code, out.exists()) == (2, False)
    assert "give --vectors" in error


@pytest.mark.parametrize("page", ["v_user/a", "v_expr/a"])
def test_other_counters_are_left_out(page: str) -> None:
    text = COUNTED.format(line=4, count=1).replace("v_branch/a", page)
    assert read_coverage(text).counts("branch") == (0, 0)
