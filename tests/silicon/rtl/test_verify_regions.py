"""`hnlpu verify --rtl-all` of a build of the regions scheme: all its checks, on its smallest arrays."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rtl_arrays import build_small, needs

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import ArrayUnit, Programs, Written, find_units, write_rtl

Cli = Callable[..., tuple[int, str, str]]
pytestmark = [needs("verilator", "make"), needs("verilator", "c++")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"), "-O0")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build_small(tmp_path_factory.mktemp("regions"), 0, "regions")


@pytest.mark.parametrize("wrong", [False, True])
def test_every_neuron_of_a_regions_build(
    wrong: bool, build: Build, programs: Programs, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def smallest(build: Build) -> list[ArrayUnit]:
        units = find_units(build, matrices=["*mlp.experts.down_proj"])
        return [unit for unit in units if unit.shape.kind.bank == 1]

    def write(build: Build, folder: Path, units: Sequence[ArrayUnit], vectors: int) -> Written:
        written = write_rtl(build, folder, units, vectors)
        if wrong:
            file = next((folder / "wiring").iterdir())
            text = file.read_text()
            found = re.search(r"assign t\[9\][^;]*PWR", text)
            assert found is not None
            file.write_text(text[: found.end() - 3] + "GND" + text[found.end() :])
        return written

    module = importlib.import_module("hnlpu.insight.verify._rtl")
    monkeypatch.setattr(module, "find_units", smallest)
    monkeypatch.setattr(module, "write_rtl", write)
    monkeypatch.setattr(module, "Programs", lambda folder: programs)
    monkeypatch.setattr(module, "VECTORS", 640)
    code, said, _ = cli("verify", build.directory, "--rtl-all")
    told = next(line for line in said.splitlines() if "rtl all" in line)
    if wrong:
        assert code == 1
        assert "down_proj, chip 0: with" in said
        assert "the first in neuron 9, vector" in said
    else:
        assert code == 0, said
        # random ones in whole batches, and those of the run
        count = re.search(r"[\d,]{4,}", told)
        assert count is not None
        products = int(count[0].replace(",", ""))
        assert products % 64 == 0
        assert products >= 64 * 640
