"""Masks and RTL of all chips are one set: a chip of another build, a swapped pair, a stale file is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hnlpu
from helpers import run_cli, write_checkpoint
from hnlpu.insight.verify import verify
from hnlpu.insight.verify._chips import check_chips, check_set, set_digest
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.place import find_tiles, make_target
from hnlpu.silicon.rtl.chip import chip_shape, read_chip_record, write_chip
from hnlpu.silicon.rtl.chip._record import _encoded, seal


def made(folder: Path, seed: int) -> Build:
    """A small model on two chips, its RTL in `chips` and the masks of all its tiles in `masks`."""
    checkpoint = write_checkpoint(
        folder / "checkpoint", seed=seed, layers=1, hidden=64, intermediate=32, heads=2, kv_heads=2,
        head_dim=16, experts=2, active=1, vocab=64,
    )  # fmt: skip
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(checkpoint, folder / "build", policy, make_target(chips=2)))
    write_chip(build, folder / "chips", chip_shape(build, lanes=32, context=8, sequences=2))
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array)
    write_masks(build, folder / "masks", tiles, ["oasis"], open_workers(1))
    return build


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Build, Path, Build]:
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    return one, made(one, 1), other, made(other, 2)


@pytest.fixture
def chips(sets: tuple[Path, Build, Path, Build], tmp_path: Path) -> Path:
    shutil.copytree(sets[0] / "chips", tmp_path / "chips")
    return tmp_path / "chips"


def test_what_was_written_is_one_set(
    sets: tuple[Path, Build, Path, Build], chips: Path, tmp_path: Path
) -> None:
    folder, build, other, _ = sets
    (chips / "obj_chip").mkdir()  # what compiling and simulating leave is no part of the set
    (chips / "obj_chip" / "chip").write_text("compiled")
    (chips / "bench" / "requests.txt").write_text("0 0 0 1 1 5\n")
    found = verify(build.directory, chips_from=chips)
    assert found.passed
    assert found.set_digest is None
    [check] = [check for check in found.checks if check.name == "chip files"]
    assert check.covered == len(read_chip_record(chips)["files"]) > 40
    masks = folder / "masks"
    whole = check_set(build, masks, chips)
    assert (whole.outcome, whole.covered) == ("passed", 2)
    assert set_digest(build, masks, chips) == set_digest(build, masks, folder / "chips")
    other_build = open_build(other / "build")
    assert set_digest(build, masks, chips) != set_digest(
        other_build, other / "masks", other / "chips"
    )
    # masks of the first chip alone are no set
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array, [0])
    write_masks(build, tmp_path / "first", tiles, ["oasis"], open_workers(1))
    assert "has no masks of chip 1" in check_set(build, tmp_path / "first", chips).problems[0]


def test_a_chip_of_another_build_is_found(
    sets: tuple[Path, Build, Path, Build], chips: Path
) -> None:
    _, build, other, other_build = sets
    assert "of another build" in check_chips(build, other / "chips").problems[0]
    assert "of another build" in check_set(other_build, other / "masks", chips).problems[0]
    tile = next((chips / "wiring").glob("wiring_chip1_*"))
    shutil.copy(other / "chips" / "wiring" / tile.name, tile)
    [problem] = check_chips(build, chips).problems
    assert f"{tile}: altered" in problem


def test_a_swapped_pair_is_found(sets: tuple[Path, Build, Path, Build], chips: Path) -> None:
    _, build, _, _ = sets
    first, second = chips / "top" / "chip_0.sv", chips / "top" / "chip_1.sv"
    texts = first.read_text(), second.read_text()
    first.write_text(texts[1])
    second.write_text(texts[0])
    problems = check_chips(build, chips).problems
    assert problems == (
        f"{first}: altered (it is top/chip_1.sv)", f"{second}: altered (it is top/chip_0.sv)",
    )  # fmt: skip
    # sealed anew, it is still not what the build gives
    record = read_chip_record(chips)
    (chips / "design.json").unlink()
    seal(chips, {name: told for name, told in record.items() if name != "files"})
    assert [p.split(": is not")[0] for p in check_chips(build, chips).problems] == [
        str(first), str(second),
    ]  # fmt: skip


def test_a_stale_file_is_found(sets: tuple[Path, Build, Path, Build], chips: Path) -> None:
    _, build, _, _ = sets
    (chips / "wiring" / "wiring_old.sv").write_text("module old; endmodule\n")
    assert check_chips(build, chips).problems == (
        f"{chips / 'wiring' / 'wiring_old.sv'}: is not part of the chips",
    )
    (chips / "wiring" / "wiring_old.sv").unlink()
    (chips / "top" / "machine.sv").unlink()
    assert check_chips(build, chips).problems == (f"{chips / 'top' / 'machine.sv'}: is missing",)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"build": 1}', '{"sha256": "", "files": {}}'])
def test_a_record_that_was_altered_is_refused(
    sets: tuple[Path, Build, Path, Build], chips: Path, text: str
) -> None:
    (chips / "design.json").write_text(text)
    assert "does not match its own digest" in check_chips(sets[1], chips).problems[0]


@pytest.mark.parametrize("files", [["chip.f"], {"chip.f": 1}, None])
def test_a_record_without_digests_of_files_is_refused(
    sets: tuple[Path, Build, Path, Build], chips: Path, files: object
) -> None:
    record = read_chip_record(chips) | {"files": files}
    (chips / "design.json").write_bytes(_encoded(record))
    assert "does not match its own digest" in check_chips(sets[1], chips).problems[0]


def test_on_the_command_line(sets: tuple[Path, Build, Path, Build], tmp_path: Path) -> None:
    folder, build, _, _ = sets
    code, told, _ = run_cli("verify", build.directory, "--chips-from", folder / "chips", "--json")
    facts = json.loads(told)
    assert (code, facts["passed"], facts["set"]) == (0, True, None)
    code, _, told = run_cli("verify", build.directory, "--chips-from", tmp_path)
    assert code == 2
    assert "no folder that 'hnlpu chip' wrote" in told
