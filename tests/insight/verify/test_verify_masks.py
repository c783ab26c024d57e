"""`verify --masks`: sound metal passes every check, on builds of both schemes and without KLayout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

import hnlpu
from helpers import snapshot, write_checkpoint
from hnlpu.insight.verify._masks import check_masks
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.masks import _check, tiles_to_extract
from hnlpu.silicon.place import find_tiles, make_target

NAMES = [
    "masks", "mask nets", "mask chip", "mask rules", "mask borders", "mask proof", "mask pairs",
]  # fmt: skip
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A build of a scheme: attention of two digits a weight, experts of one, banks of three and one."""
    folder = tmp_path_factory.mktemp("small")
    checkpoint = write_checkpoint(
        folder / "checkpoint", layers=1, hidden=32, intermediate=32, heads=1, kv_heads=1, vocab=8
    )
    made: dict[str, Path] = {}

    def build(scheme: str) -> Path:
        if scheme not in made:
            target = make_target(scheme=scheme, bank=3)
            made[scheme] = hnlpu.build(checkpoint, folder / scheme, target=target)
        return made[scheme]

    return build


def digits_of(build: Build) -> int:
    records = build.manifest.matrices.values()
    return sum(record.weights * len(record.digits) for record in records)


@pytest.mark.parametrize("scheme", ["taps", "regions"])
def test_sound_builds_pass(scheme: str, small: Callable[[str], Path], cli: Cli) -> None:
    directory = small(scheme)
    build, before = open_build(directory), snapshot(directory)
    kinds = {(kind.digits, kind.bank) for kind in build.manifest.placement.kinds()}
    assert {(2, 1), (1, 3), (1, 1)} <= kinds, "one and two digits, banks"
    code, printed, errors = cli("verify", directory, "--masks", "--workers", "1", "--json")
    assert (code, errors) == (0, "")
    facts = json.loads(printed)
    assert facts["passed"]
    checks = {check["name"]: check for check in facts["checks"]}
    assert list(checks)[-len(NAMES) :] == NAMES
    for name in NAMES:
        assert checks[name]["passed"]
        assert checks[name]["problems"] == []
        assert checks[name]["skipped"] is None
        units = {"mask chip": "tiles", "mask borders": "shapes", "mask pairs": "shapes"}
        assert checks[name]["unit"] == units.get(name, "digits")
    for name in NAMES[:2]:
        assert checks[name]["covered"] == digits_of(build)
    assert checks["mask chip"]["covered"] == len(find_tiles(
        build.manifest.placement, build.manifest.technology.array
    ))  # fmt: skip
    assert min(checks[name]["covered"] for name in ("mask borders", "mask pairs")) > 1000
    assert checks["mask rules"]["covered"] > 32 * len(kinds)
    assert checks["mask proof"]["covered"] > 1000
    assert snapshot(directory) == before


def test_masks_from_files_are_checked_and_damage_ends_with_1(
    small: Callable[[str], Path], cli: Cli, tmp_path: Path
) -> None:
    directory, out = small("taps"), tmp_path / "out"
    assert cli("masks", directory, "-o", out, "--workers", "1")[0] == 0
    options = ("verify", directory, "--masks-from", out, "--workers", "1")
    code, printed, errors = cli(*options)
    assert (code, errors) == (0, "")
    assert "masks files   passed  5 files" in printed
    assert printed.endswith(": sound\n")
    path = out / "chip-00.oas"
    whole = path.read_bytes()
    for raw in (whole[: len(whole) // 2], whole[:700] + b"\x00" + whole[701:], b""):
        path.write_bytes(raw)
        code, printed, errors = cli(*options)
        assert (code, errors) == (1, "")
        assert f"{path}: altered (its digest is not that of masks.json)" in printed
        assert printed.endswith(": NOT sound\n")
    path.unlink()
    code, printed, errors = cli(*options, "--json")
    assert (code, errors) == (1, "")
    facts = json.loads(printed)
    assert not facts["passed"]
    assert any(str(path) in problem for check in facts["checks"] for problem in check["problems"])


def test_a_part_of_the_tiles_is_checked_as_such(
    small: Callable[[str], Path], cli: Cli, tmp_path: Path
) -> None:
    directory, out = small("taps"), tmp_path / "out"
    assert cli("masks", directory, "-o", out, "--tile", "*k_proj*", "--workers", "1")[0] == 0
    _, printed, _ = cli("verify", directory, "--masks-from", out, "--workers", "1", "--json")
    checks = {check["name"]: check for check in json.loads(printed)["checks"]}
    assert checks["masks"]["covered"] == checks["mask nets"]["covered"] == 32 * 32 * 2
    assert all(check["passed"] for check in checks.values())


def test_of_a_large_model_a_sample_is_extracted(
    small: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = open_build(small("taps"))
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array)
    everything = {(tile.chip, tile.name) for tile in tiles}
    assert tiles_to_extract(tiles) == everything
    total = sum(tile.shape.weights for tile in tiles)
    monkeypatch.setattr(_check, "EXTRACTED_WHOLE", total - 1)
    samples = {seed: tiles_to_extract(tiles, seed) for seed in range(5)}
    assert samples[3] == tiles_to_extract(tiles, 3)
    assert len(set(samples.values())) > 1, "other seeds, other tiles"
    for sample in samples.values():
        kinds = {tile.kind for tile in tiles if (tile.chip, tile.name) in sample}
        assert kinds == {tile.kind for tile in tiles}
        assert sample < everything
    done = {check.name: check for check in islice(check_masks(build, None, 0, 1, None, None), 2)}
    sample = samples[0]
    digits = sum(tile.shape.weights for tile in tiles if (tile.chip, tile.name) in sample)
    assert done["masks"].covered == total
    assert done["mask nets"].covered == digits
    assert done["mask nets"].skipped == f"a sample: {len(sample)} of {len(tiles)} tiles"


@pytest.mark.parametrize("scheme", ["taps", "regions"])
def test_without_klayout_the_rest_is_checked(
    scheme: str, small: Callable[[str], Path], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "klayout"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "klayout", None)
    monkeypatch.setitem(sys.modules, "klayout.db", None)
    code, printed, errors = cli("verify", small(scheme), "--masks", "--workers", "1", "--json")
    assert (code, errors) == (0, "")
    told = json.loads(printed)
    checks = {check["name"]: check for check in told["checks"]}
    assert told["skipped"] == NAMES[3:]
    for name in NAMES[3:]:
        assert checks[name]["outcome"] == "skipped"
        assert checks[name]["passed"] is False
        assert checks[name]["covered"] == 0
        assert "klayout" in checks[name]["skipped"].lower()
    for name in NAMES[:2]:
        assert checks[name]["outcome"] == "passed"
        assert checks[name]["covered"] == digits_of(open_build(small(scheme)))
        assert checks[name]["skipped"] is None
    _, printed, _ = cli("verify", small(scheme), "--masks", "--workers", "1")
    lines = printed.splitlines()
    for name in NAMES[3:]:
        [line] = [line for line in lines if line.startswith(name)]
        assert line.split()[2] == "skipped"
    assert lines[-1].endswith("sound; skipped: " + ", ".join(NAMES[3:]))
