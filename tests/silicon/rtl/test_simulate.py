"""Verilator's word on small arrays: every product right, wrong metal and hangs told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from rtl_arrays import needs

from decoys import BROKEN, write_decoys
from hnlpu._compilers import Compiler, CompilerSearch
from hnlpu.errors import ToolMissing
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import _compiler, find_units, simulate, write_rtl


@needs("verilator", "make")
@needs("verilator", "c++")
@pytest.mark.parametrize("name", ["*gate_up_proj", "*router"])
def test_products_are_the_golden_integers(name: str, small: Build, tmp_path: Path) -> None:
    unit = find_units(small, matrices=[name], neurons=2)[0]
    write_rtl(small, tmp_path / "out", [unit], vectors=640)
    found = simulate(tmp_path / "out", unit)
    assert found.fault == ""
    assert found.vectors >= 640
    assert not list((tmp_path / "out").glob("obj_*"))


@needs("verilator", "make")
@needs("verilator", "c++")
def test_one_wrong_connection_is_found(small: Build, tmp_path: Path) -> None:
    unit = find_units(small, matrices=["*down_proj"], neurons=2)[0]
    write_rtl(small, tmp_path / "out", [unit], vectors=192)
    [file] = (tmp_path / "out" / "wiring").iterdir()
    text = file.read_text()
    at = text.index("assign p[3][31:0] = {") + len("assign p[3][31:0] = {")
    names = [name.strip() for name in text[at : text.index("}", at)].split(",")]
    # one that another port hangs on too, or Verilator already calls the trunk unused
    name = next(n for n in names if n != "GND" and text.count(f"{n},") > 1)
    file.write_text(text[:at] + text[at:].replace(f"{name},", "GND,", 1))
    found = simulate(tmp_path / "out", unit)
    assert "differ from the golden integers, the first in neuron 1" in found.fault


@needs("verilator", "make")
@needs("verilator", "c++")
def test_a_simulation_without_end_tells_its_handshakes(small: Build, tmp_path: Path) -> None:
    unit = find_units(small, matrices=["*k_proj"], neurons=1)[0]
    write_rtl(small, tmp_path / "out", [unit], vectors=192)
    found = simulate(tmp_path / "out", unit, cycle_limit=20)
    assert "no end after 21 cycles: in_valid" in found.fault
    assert "results given of 3" in found.fault


@needs("verilator", "make")
@needs("verilator", "c++")
def test_a_control_that_hangs_is_ended(small: Build, tmp_path: Path) -> None:
    unit = find_units(small, matrices=["*router"], neurons=1)[0]
    write_rtl(small, tmp_path / "out", [unit], vectors=64)
    control = tmp_path / "out" / "silicon" / "hnlpu_control.sv"
    text = control.read_text()
    # a result that is never offered
    wrong = text.replace("out_valid <= 1'b1;", "out_valid <= 1'b0;")
    assert wrong != text
    control.write_text(wrong)
    found = simulate(tmp_path / "out", unit)
    assert found.fault.startswith("with 0 % stalls: no end after")
    for state in ("in_valid 0 in_ready 1", "out_valid 0 out_ready 1", "1 vectors taken, 0 results"):
        assert state in found.fault


@needs("verilator", "make")
@needs("ziglang")
def test_zig_compiles_where_the_system_has_no_compiler(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = write_decoys(
        tmp_path / "bin", f'#!/bin/sh\nexec {shutil.which("make")} "$@"\n', "make"
    )
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(making))
    assert _compiler.compiler().is_zig
    unit = find_units(small, matrices=["*router"], neurons=1)[0]
    write_rtl(small, tmp_path / "out", [unit], vectors=64)
    assert simulate(tmp_path / "out", unit).fault == ""


def test_the_compiler_is_told_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*command: str) -> list[str]:
        return _compiler.make_options(Compiler(command, "", {}))

    assert told("/opt/clang++") == ['CXX="/opt/clang++" LINK="/opt/clang++"']
    named = ['CXX="/usr/bin/g++" LINK="/usr/bin/g++"']
    monkeypatch.setattr(
        _compiler, "_can_leave_out_combining", lambda _: False
    )  # clang by that name
    assert told("/usr/bin/g++") == named
    monkeypatch.setattr(_compiler, "_can_leave_out_combining", lambda _: True)
    assert told("/usr/bin/g++") == [*named, "OPT=-fdisable-rtl-combine"]
    assert told("/my tools/zig", "c++") == [
        """CXX="'/my tools/zig' c++" LINK="'/my tools/zig' c++\"""", """AR="'/my tools/zig' ar\"""",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_gcc_leaves_out_its_slowest_pass_and_another_compiler_is_not_asked_to(
    tmp_path: Path,
) -> None:
    told = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    assert _compiler._can_leave_out_combining(("g++",)) == ("Free Software" in told)
    other = write_decoys(tmp_path, BROKEN, "g++") / "g++"
    assert not _compiler._can_leave_out_combining((str(other),))


def test_no_compiler_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compiler, "find_compiler", lambda _: CompilerSearch(None, ()))
    with pytest.raises(ToolMissing, match=r"^c\+\+ is not installed; pip install ziglang"):
        _compiler.compiler()
