"""A build stands complete at its path or not at all, whatever happens to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import hnlpu
from helpers import (
    SINGLE,
    bfloat16,
    run_cli,
    snapshot,
    write_checkpoint,
)
from hnlpu.errors import BuildInProgress, HnlpuError, NotFinite, OutputExists, OutputFailed
from hnlpu.silicon.hardwire import _staging
from hnlpu.silicon.hardwire._staging import staging


def test_two_builds_of_the_same_input_are_byte_identical(tmp_path, tiny_checkpoint, tiny_build):
    moved = shutil.copytree(tiny_checkpoint, tmp_path / "else/where")
    other = hnlpu.build(moved, tmp_path / "deep/er/build", workers=1)
    assert snapshot(other) == snapshot(tiny_build)


def test_a_second_build_into_one_directory_is_refused(tmp_path, tiny_checkpoint, tiny_build, cli):
    out = tmp_path / "b"
    refusals = []

    def meddle(name: str, done: int, total: int) -> None:
        refusals.append(cli("build", tiny_checkpoint, "-o", out))
        with pytest.raises(BuildInProgress):
            hnlpu.build(tiny_checkpoint, out)

    hnlpu.build(tiny_checkpoint, out, workers=1, progress=meddle)
    assert len(refusals) == 4
    for code, printed, line in refusals:
        assert (code, printed) == (2, "")
        assert line == f"hnlpu: {out}: another process is building it; wait for it to end\n"
    assert snapshot(out) == snapshot(tiny_build)


def test_another_process_is_refused_too(tmp_path, tiny_checkpoint):
    with staging(tmp_path / "b") as stage:
        stage.resume_or_clear({})
        before = snapshot(tmp_path)
        code, _, line = run_cli("build", tiny_checkpoint, "-o", tmp_path / "b")
        assert code == 2
        assert "another process is building it" in line
        assert snapshot(tmp_path) == before


def test_many_processes_that_build_one_directory_leave_one_whole_build(
    tmp_path, tiny_checkpoint, tiny_build
):
    command = [sys.executable, "-m", "hnlpu", "build", tiny_checkpoint, "-o", tmp_path / "b"]
    runs = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(4)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode in (0, 2)
        assert run.returncode == 0 or "another process" in errors
    assert any(run.returncode == 0 for run in runs)
    assert snapshot(tmp_path / "b") == snapshot(tiny_build)
    assert not (tmp_path / "b.partial").exists()


def test_an_existing_build_is_replaced_by_another_policy(tmp_path, tiny_checkpoint, tiny_build):
    out = hnlpu.build(tiny_checkpoint, tmp_path / "b", hnlpu.make_policy("paper"))
    assert snapshot(out) != snapshot(tiny_build)
    hnlpu.build(tiny_checkpoint, out)
    assert snapshot(out) == snapshot(tiny_build)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "b.log.json"]


def test_a_refused_build_leaves_the_one_that_stood_there(tmp_path, tiny_checkpoint, tiny_build):
    out = tmp_path / "b"
    hnlpu.build(tiny_checkpoint, out)
    before = snapshot(tmp_path)
    nan = bfloat16(np.full((97, 64), np.nan))
    bad = write_checkpoint(tmp_path / "bad", tensors={"lm_head.weight": nan})
    with pytest.raises(NotFinite):
        hnlpu.build(bad, out)
    shutil.rmtree(bad)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("what", ["file", "notes", "extra", "broken manifest", "dangling link"])
def test_an_output_that_is_not_just_a_build_is_refused_untouched(
    tmp_path, tiny_checkpoint, tiny_build, cli, what
):
    out = tmp_path / "b"
    if what == "file":
        out.write_text("mine")
    elif what == "notes":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        shutil.copytree(tiny_build, out)
        if what == "extra":
            (out / "weights/mine.txt").write_text("mine")
        elif what == "dangling link":
            (out / "link").symlink_to("nowhere")
        else:
            (out / "manifest.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    code, printed, line = cli("build", tiny_checkpoint, "-o", out)
    assert (code, printed, line.count("\n")) == (2, "", 1)
    assert str(out) in line
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_a_place_to_build(tmp_path, tiny_checkpoint, tiny_build):
    (tmp_path / "b").mkdir()
    assert snapshot(hnlpu.build(tiny_checkpoint, tmp_path / "b")) == snapshot(tiny_build)


@pytest.mark.parametrize("suffix", [".partial", ".replaced"])
def test_folders_of_the_user_beside_the_build_are_left_alone(tmp_path, tiny_checkpoint, suffix):
    mine = tmp_path / f"b{suffix}"
    mine.mkdir()
    (mine / "thesis.txt").write_text("the only copy")
    for _ in range(2):
        try:
            hnlpu.build(tiny_checkpoint, tmp_path / "b")
        except OutputExists as error:
            assert str(mine) in str(error)  # noqa: PT017  either outcome keeps the file
    assert (mine / "thesis.txt").read_text() == "the only copy"


def test_the_checkpoints_own_folder_is_no_place_for_its_build(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "c")
    before = snapshot(tmp_path)
    for out in (checkpoint, tmp_path):
        with pytest.raises(OutputExists):
            hnlpu.build(checkpoint, out)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("out", ["/dev/null/b", "/proc/b", "/dev/full/x"])
def test_places_that_cannot_be_written(tiny_checkpoint, cli, out):
    code, printed, line = cli("build", tiny_checkpoint, "-o", out)
    assert (code, printed, line.count("\n")) == (2, "", 1)
    assert out in line


@pytest.mark.parametrize("name", ["x" * 300, "x" * 250])
def test_an_output_whose_name_is_too_long_leaves_no_parents(tmp_path, tiny_checkpoint, cli, name):
    """250 characters are a fine name, but `.partial` makes them too many."""
    code, _, line = cli("build", tiny_checkpoint, "-o", tmp_path / "a" / name)
    assert code == 2
    assert line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there(tiny_checkpoint, cli):
    code, _, line = cli("build", tiny_checkpoint, "-o", "~nosuchuser0/b")
    assert code == 2
    assert "~nosuchuser0" in line


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    # refuses while a file of the disk is still open: a build must close what it opened
    left_open = subprocess.run(["umount", folder], check=False).returncode
    if left_open:
        subprocess.run(["umount", "--lazy", folder], check=True)
    assert not left_open


def test_a_disk_that_is_too_small_is_refused_at_once(small_disk, tiny_checkpoint, cli):
    (small_disk / "mine").write_bytes(bytes(150_000))
    code, printed, line = cli("build", tiny_checkpoint, "-o", small_disk / "a/b")
    assert (code, printed, line.count("\n")) == (2, "", 1)
    assert "free" in line
    assert [p.name for p in small_disk.iterdir()] == ["mine"]


@pytest.mark.parametrize("free", [8, 16, 24, 60, 100, 140])
def test_a_disk_that_fills_up_on_the_way(small_disk, tiny_checkpoint, cli, monkeypatch, free):
    monkeypatch.setattr("hnlpu.silicon.hardwire._build._check_space", lambda *_: None)
    (small_disk / "mine").write_bytes(bytes((256 - free) * 1000))
    code, printed, line = cli("build", tiny_checkpoint, "-o", small_disk / "a/b")
    assert (code, printed, line.count("\n")) == (2, "", 1)
    assert "No space left on device" in line
    assert str(small_disk / "a/b") in line
    assert [p.name for p in small_disk.iterdir()] == ["mine"]


def test_a_file_size_limit_is_a_full_disk_without_privileges(tmp_path, tiny_checkpoint):
    command = 'ulimit -f 16; exec "$0" -m hnlpu build "$1" -o "$2"'
    result = subprocess.run(
        ["bash", "-c", command, sys.executable, tiny_checkpoint, tmp_path / "a/b"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "File too large" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk(small_disk, tiny_checkpoint, cli):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, _, line = cli("build", tiny_checkpoint, "-o", small_disk / "b")
    assert code == 2
    assert "Read-only file system" in line
    assert line.count("\n") == 1


def test_a_log_that_cannot_be_written_is_no_failure(tmp_path, tiny_checkpoint, tiny_build):
    (tmp_path / "b.log.json").mkdir()
    assert snapshot(hnlpu.build(tiny_checkpoint, tmp_path / "b")) == snapshot(tiny_build)


def test_other_errors_of_a_worker_stop_the_build(tmp_path, tiny_checkpoint, monkeypatch):
    def broken(self, name, records):
        raise OSError(5, "Input/output error", "some/file")

    monkeypatch.setattr(_staging.Staging, "finish", broken)
    with pytest.raises(OutputFailed, match="some/file: Input/output error"):
        hnlpu.build(tiny_checkpoint, tmp_path / "x/b")
    assert list(tmp_path.iterdir()) == []


def test_the_log_tells_how_the_build_went(tmp_path, tiny_checkpoint):
    out = hnlpu.build(tiny_checkpoint, tmp_path / "b", workers=2)
    log = json.loads((tmp_path / "b.log.json").read_text())
    assert log["checkpoint"] == str(tiny_checkpoint)
    assert log["workers"] == 2
    assert log["weights"] == sum(
        m.weights for m in hnlpu.silicon.hardwire.open_build(out).manifest.matrices.values()
    )


def test_workers_change_nothing(tmp_path, tiny_checkpoint, tiny_build):
    for workers in (1, 3, 16):
        out = hnlpu.build(tiny_checkpoint, tmp_path / "b", workers=workers)
        assert snapshot(out) == snapshot(tiny_build)
    with pytest.raises(HnlpuError, match="workers 0"):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", workers=0)


# works once, so that every import is done, and goes on as a user without rights
AS_NOBODY = """
import contextlib, json, os, sys
from hnlpu.cli import main
def run(*arguments):
    sys.argv = ["hnlpu", *arguments]
    try:
        main()
    except SystemExit as error:
        print("ended", error.code, file=sys.stderr, flush=True)
checkpoint, warm, commands = sys.argv[1:]
for first in (["build", checkpoint, "-o", warm], ["verify", warm], ["verify", warm + "/none"]):
    run(*first)
print("as nobody", file=sys.stderr, flush=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for command in json.loads(commands):
    run(*command)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_folders_and_files_that_are_closed_to_us():
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        folder.chmod(0o777)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "fixed").mkdir(mode=0o755)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        checkpoint = write_checkpoint(folder / "c")
        unreadable = write_checkpoint(folder / "unreadable")
        (unreadable / SINGLE).chmod(0)
        hidden = write_checkpoint(folder / "hidden")
        (hidden / "config.json").chmod(0)
        commands = [
            ["build", checkpoint, "-o", folder / "fixed/a/b"],
            ["build", checkpoint, "-o", folder / "closed/b"],
            ["build", checkpoint, "-o", folder / "closed"],
            ["build", folder / "closed/c", "-o", folder / "open/a/b"],
            ["build", unreadable, "-o", folder / "open/a/b"],
            ["build", hidden, "-o", folder / "open/a/b"],
            ["verify", folder / "closed/b"],
            ["verify", folder / "closed"],
        ]
        result = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, checkpoint, folder / "warm",
             json.dumps(commands, default=str)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = result.stderr.partition("as nobody\n")[2].splitlines()
        assert lines[1::2] == ["ended 2"] * len(commands), result.stderr
        for line in lines[::2]:
            assert line.startswith("hnlpu: ")
            assert str(folder) in line
        assert snapshot(folder / "open") == snapshot(folder / "fixed") == {}
    finally:
        shutil.rmtree(folder)


def test_an_open_model_outlives_its_replaced_build(tmp_path, tiny_checkpoint):
    out = hnlpu.build(tiny_checkpoint, tmp_path / "out")
    expected = hnlpu.open(out).score([1, 2, 3, 4]).logprobs
    model = hnlpu.open(out)
    hnlpu.build(write_checkpoint(tmp_path / "other", seed=9), out)
    assert model.score([1, 2, 3, 4]).logprobs == expected
    assert hnlpu.open(out).score([1, 2, 3, 4]).logprobs != expected
