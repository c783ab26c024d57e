"""Masks, placement and their options on the command line: what they print, and bad input refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import snapshot

Cli = Callable[..., tuple[int, str, str]]
Bad = Callable[..., str]


@pytest.fixture
def bad(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bad:
    """Run a command that must be refused, in an empty folder; returns its one line."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments: str | Path) -> str:
        before = snapshot(tmp_path)
        code, printed, line = cli(*arguments)
        assert code == 2, (printed, line)
        assert printed == ""
        assert line.startswith("hnlpu: ")
        assert line.count("\n") == 1
        assert "Traceback" not in line
        assert snapshot(tmp_path) == before, "something was written"
        return line

    return check


@pytest.mark.parametrize("command", ["masks", "place"])
def test_a_directory_that_is_none(bad: Bad, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file", "empty", "file/below", "x" * 300):
        assert name in bad(command, name)


@pytest.mark.parametrize("command", ["masks", "place"])
def test_a_damaged_build_is_named(bad: Bad, tmp_path: Path, tiny_build: Path, command: str) -> None:
    build = shutil.copytree(tiny_build, tmp_path / "b")
    (build / "weights/layer-001.safetensors").write_bytes(b"short")
    assert "layer-001.safetensors" in bad(command, build)
    (build / "manifest.json").write_text("{}")
    assert "manifest.json" in bad(command, build)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--chip", "1"], "chip 1: there are chips 0 to 0"),
        (["--chip", "-1"], "chip -1"),
        (["--chip", "x"], "--chip"),
        (["--tile", "nothing"], "no tile is named 'nothing'; names are such as"),
        (["--tile", ""], "no tile is named ''"),
        (["--format", "dxf"], "format 'dxf' is unknown; choose from oasis, gds, via-map"),
        (["--format", "def"], "format 'def' is unknown"),
        (["--format", "oasis", "--format", "OASIS"], "format 'OASIS' is unknown"),
        (["--workers", "0"], "workers 0: must be at least 1"),
        (["--workers", "many"], "--workers"),
        (["--ray", "127.0.0.1:1"], "Ray at '127.0.0.1:1': cannot be reached"),
        (["--ray", "nowhere"], "Ray at 'nowhere': give HOST:PORT"),
        (["--nonsense"], "--nonsense"),
        (["extra"], "extra"),
        (["-o", "/proc/nowhere/out"], "/proc/nowhere/out: cannot be created"),
        (["-o", "x" * 300], "x" * 300),
        (["--png", "--tile", "nothing"], "no tile is named"),
        (["--def", "--chip", "7"], "chip 7"),
    ],
)
def test_masks_options_that_make_no_sense(
    bad: Bad, tiny_build: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    where = [] if "-o" in options else ["-o", str(tmp_path / "out")]
    assert expected in bad("masks", tiny_build, *where, *options)


@pytest.mark.parametrize("options", [[], ["--png", "--format", "gds"], ["--def"]])
def test_masks_do_not_overwrite(
    bad: Bad, tiny_build: Path, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    assert "out: exists already" in bad(
        "masks", tiny_build, "-o", "out", "--tile", "*router*", "--workers", "1", *options
    )
    assert "is in the build's own folder" in bad(
        "masks",
        tiny_build,
        "-o",
        tiny_build / "m",
        "--tile",
        "*router*",
        "--workers",
        "1",
        *options,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--scheme", "cells"], "scheme 'cells' is unknown; choose from taps, regions"),
        (["--technology", "n4"], "technology 'n4' is unknown; there are"),
        (["--technology", "nowhere.toml"], "nowhere.toml"),
        (["--chips", "0"], "chips 0: must be from 1 to"),
        (["--chips", "-4"], "chips -4"),
        (["--chips", "70000"], "chips 70000"),
        (["--chips", "3"], "3 chips make no grid"),
        (["--chips", "two"], "--chips"),
        (["--bank", "0"], "bank 0: must be from 1 to 64"),
        (["--bank", "65"], "bank 65"),
        (["--group", "0"], "group 0"),
        (["--technology", "asap7", "--scheme", "regions"], "asap7"),
    ],
)
def test_build_targets_that_make_no_sense(
    bad: Bad, tiny_checkpoint: Path, options: list[str], expected: str
) -> None:
    assert expected in bad("build", tiny_checkpoint, "-o", "out", *options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--masks-from", "nowhere"], "nowhere: no folder that 'hnlpu masks' wrote"),
        (["--masks-from", "empty"], "empty: no folder that 'hnlpu masks' wrote"),
        (["--masks", "--workers", "0"], "workers 0: must be at least 1"),
        (["--masks", "--workers", "x"], "--workers"),
        (["--ray", "local"], "ray 'local': a cluster only checks the metal; add --masks"),
        (["--masks", "--ray", "127.0.0.1:1"], "Ray at '127.0.0.1:1': cannot be reached"),
    ],
)
def test_verify_options_that_make_no_sense(
    bad: Bad, tiny_build: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert expected in bad("verify", tiny_build, *options)


def test_masks_tell_what_they_wrote(cli: Cli, tiny_build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, errors = cli(
        "masks", tiny_build, "-o", out, "--tile", "*router*", "--format", "gds", "--format", "via-map",
        "--format", "gds", "--tcl", "--workers", "1", "--json",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    facts = json.loads(printed)
    assert facts["formats"] == ["gds", "via-map", "tcl"]
    assert (facts["tiles"], facts["chips"], facts["directory"]) == (2, 1, str(out))
    sizes = {path.name: path.stat().st_size for path in out.iterdir() if path.name != "masks.json"}
    assert facts["files"] == sorted(sizes)
    assert facts["bytes"] == sum(sizes.values())
    assert facts["bytes_per_digit"] == pytest.approx(facts["bytes"] / facts["digits"])


def test_place_tells_where_all_lies(cli: Cli, tiny_build: Path) -> None:
    code, printed, errors = cli("place", tiny_build, "--json", "--tiles")
    assert (code, errors) == (0, "")
    facts = json.loads(printed)
    assert (facts["scheme"], facts["technology"], facts["chips"]) == ("taps", "n5", 1)
    assert facts["fits"]
    assert sum(tile["name"].startswith("lm_head") for tile in facts["tiles"]) == 1
    for kind, needs in facts["needs"].items():
        assert kind.startswith("taps-")
        assert needs["programmable_masks"] == ["VIA8 A", "VIA8 B", "VIA9"]
        assert needs["ports_per_weight"] == 1
        assert set(needs["tracks"]) == {"M8", "M9", "M10"}
        assert needs["transistors_per_digit"] > 20
    masks = facts["masks"]
    assert masks["programmable_masks"] == ["VIA8 A", "VIA8 B", "VIA9"]
    assert (masks["stated"], masks["low"], masks["high"]) == (["VIA8", "VIA9"], 3, 3)
    assert [layer["layer"] for layer in masks["layers"]] == ["VIA8", "VIA9"]
    for layer in masks["layers"]:
        assert {way["scanner"] for way in layer["ways"]} == {"ArF dry", "ArF immersion", "EUV"}
        costs = [way["programmable"] for way in layer["ways"] if way["scanner"] != "EUV"]
        assert costs == sorted(costs)
    code, printed, errors = cli("place", tiny_build)
    assert (code, errors) == (0, "")
    assert "3 differ between models: VIA8 A, VIA8 B, VIA9\n" in printed
    assert "technology         n5, scheme taps" in printed
    assert "verdict            fits: " in printed
    code, printed, errors = cli("place", tiny_build, "--tiles")
    lines = printed.splitlines()
    assert (code, errors) == (0, "")
    assert len(lines) == len(facts["tiles"])
    assert all(line.startswith("chip 0  taps-") for line in lines)
