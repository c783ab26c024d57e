"""A build stands complete at its path or not at all, whatever happens to it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
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
    environment,
    make_config,
    random_tensors,
    run_cli,
    snapshot,
    write_checkpoint,
    write_tensors,
)
from hnlpu.errors import BuildInProgress, HnlpuError, NotFinite, OutputExists, OutputFailed
from hnlpu.hardwire import _staging
from hnlpu.hardwire._staging import staging

KILLS = 50

# A long-lived parent that has imported everything forks a child per build, so that a kill
# lands in the build and not in Python's start.  It prints how long each child lived.
FORKING_BUILDER = """
import os, signal, sys, time
import hnlpu
checkpoint = sys.argv[1]
hnlpu.build(checkpoint, sys.argv[2] + "/warm", workers=1)
print("ready", flush=True)
for line in sys.stdin:
    out, delay = line.split()
    child = os.fork()
    if child == 0:
        try:
            hnlpu.build(checkpoint, out, workers=2)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    began = time.monotonic()
    if float(delay) >= 0:
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(time.monotonic() - began, os.waitstatus_to_exitcode(status), flush=True)
"""


class Builder:
    """Builds `checkpoint` in forked processes that can be killed after a while."""

    def __init__(self, checkpoint: Path, folder: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING_BUILDER, checkpoint, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(OMP_NUM_THREADS="1"),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def build(self, out: Path, kill_after: float = -1) -> tuple[float, int]:
        """Seconds that the process lived, and its exit code (-9 when killed)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{out} {kill_after}\n")
        self._process.stdin.flush()
        seconds, code = self._process.stdout.readline().split()
        return float(seconds), int(code)

    def close(self) -> None:
        self._process.communicate()


def finished_files(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every finished file of an interrupted build."""
    folder = out.with_name(out.name + ".partial") / "build"
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*.safetensors")
    }


def test_a_build_killed_at_random_moments_is_absent_or_whole_and_resumes(tmp_path):
    checkpoint = write_checkpoint(
        tmp_path / "checkpoint", layers=8, hidden=128, intermediate=128, vocab=999
    )
    clean = hnlpu.build(checkpoint, tmp_path / "clean")
    whole = snapshot(clean)
    builder = Builder(checkpoint, tmp_path)
    duration = min(builder.build(tmp_path / f"timed{i}")[0] for i in range(3))
    rng = random.Random(50)
    killed = reused = 0
    for case in range(4 * KILLS):
        out = tmp_path / f"case{case}"
        _, code = builder.build(out, kill_after=rng.random() * duration)
        assert code in (0, -signal.SIGKILL)
        killed += code == -signal.SIGKILL
        if out.exists():
            assert snapshot(out) == whole
        before = finished_files(out)
        if code:
            assert builder.build(out)[1] == 0
            assert snapshot(out) == whole
            assert not out.with_name(out.name + ".partial").exists()
        reused += any(
            ((out / name).stat().st_ino, (out / name).stat().st_mtime_ns) == before[name]
            for name in before
        )
        shutil.rmtree(out)
        if killed == KILLS:
            break
    builder.close()
    assert killed == KILLS
    assert reused > 0


def test_a_build_killed_while_it_replaces_another_leaves_either_whole(tmp_path):
    """Both builds are sound, so at every moment the folder is one of them or is absent."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", layers=4)
    old = snapshot(hnlpu.build(checkpoint, tmp_path / "old", hnlpu.make_policy("paper")))
    new = snapshot(hnlpu.build(checkpoint, tmp_path / "new"))
    builder = Builder(checkpoint, tmp_path)
    duration = max(builder.build(tmp_path / "timed")[0] for _ in range(2))
    rng = random.Random(7)
    for _ in range(10):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(tmp_path / "old", tmp_path / "out")
        builder.build(tmp_path / "out", kill_after=rng.uniform(0.5, 1.0) * duration)
        assert not (tmp_path / "out").exists() or snapshot(tmp_path / "out") in (old, new)
        assert builder.build(tmp_path / "out")[1] == 0
        assert snapshot(tmp_path / "out") == new
    builder.close()


STEPS = ("replace", "rename", "unlink", "rmdir", "mkdir")


@pytest.mark.parametrize("step", range(0, 60, 2))
def test_a_build_that_dies_at_any_change_of_the_folder_resumes(tmp_path, step, monkeypatch):
    """Deterministic companion of the kills: the process stops before its n-th change of a name."""
    checkpoint = write_checkpoint(tmp_path / "c", layers=1)
    hnlpu.build(checkpoint, tmp_path / "out", hnlpu.make_policy("paper"), workers=1)
    whole = snapshot(hnlpu.build(checkpoint, tmp_path / "clean", workers=1))
    old = snapshot(tmp_path / "out")
    child = os.fork()
    if child == 0:
        changes = 0

        def dying(call):
            def wrapper(*args, **kwargs):
                nonlocal changes
                changes += 1
                if changes > step:
                    os._exit(9)
                return call(*args, **kwargs)

            return wrapper

        for name in STEPS:
            monkeypatch.setattr(os, name, dying(getattr(os, name)))
        hnlpu.build(checkpoint, tmp_path / "out", workers=1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    if (tmp_path / "out").exists():
        assert snapshot(tmp_path / "out") in (old, whole)
    hnlpu.build(checkpoint, tmp_path / "out", workers=1)
    assert snapshot(tmp_path / "out") == whole
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".partial") == []


def test_two_builds_of_the_same_input_are_byte_identical(tmp_path, tiny_checkpoint, tiny_build):
    moved = shutil.copytree(tiny_checkpoint, tmp_path / "else/where")
    other = hnlpu.build(moved, tmp_path / "deep/er/build", workers=1)
    assert snapshot(other) == snapshot(tiny_build)


def test_a_finished_file_that_was_altered_is_made_again(tmp_path, tiny_checkpoint, tiny_build):
    out = tmp_path / "b"

    def stop_late(name: str, done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hnlpu.build(tiny_checkpoint, out, workers=1, progress=stop_late)
    assert not out.exists()
    victim = tmp_path / "b.partial/build/weights/layer-000.safetensors"
    raw = bytearray(victim.read_bytes())
    raw[-1] ^= 1
    victim.write_bytes(raw)
    hnlpu.build(tiny_checkpoint, out)
    assert snapshot(out) == snapshot(tiny_build)


def test_an_interrupted_build_of_another_policy_is_not_reused(
    tmp_path, tiny_checkpoint, tiny_build
):
    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", hnlpu.make_policy("paper"), progress=stop)
    hnlpu.build(tiny_checkpoint, tmp_path / "b")
    assert snapshot(tmp_path / "b") == snapshot(tiny_build)


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
    monkeypatch.setattr("hnlpu.hardwire._build._check_space", lambda *_: None)
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


def test_a_checkpoint_that_changes_between_runs_is_built_afresh(tmp_path, tiny_build):
    checkpoint = write_checkpoint(tmp_path / "c", seed=1)

    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hnlpu.build(checkpoint, tmp_path / "b", progress=stop)
    write_checkpoint(checkpoint, seed=0)
    assert snapshot(hnlpu.build(checkpoint, tmp_path / "b")) == snapshot(tiny_build)


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
        m.weights for m in hnlpu.hardwire.open_build(out).manifest.matrices.values()
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


@pytest.mark.parametrize("second", ["refused", "another policy", "same policy"])
def test_a_build_that_was_being_replaced_is_put_back(tmp_path, tiny_checkpoint, second):
    """Killed between moving the old build aside and the new one in: the old one is not lost."""
    out = hnlpu.build(tiny_checkpoint, tmp_path / "out")
    before = snapshot(out)
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "lock").touch()
    out.rename(partial / "replaced")
    if second == "refused":
        broken = write_checkpoint(tmp_path / "broken")
        (broken / "config.json").write_text("{}")
        with pytest.raises(HnlpuError):
            hnlpu.build(broken, out)
        tensors = random_tensors(make_config())
        tensors["model.norm.weight"][0] = np.uint16(0x7FC0)
        write_tensors(broken, tensors)
        (broken / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes())
        with pytest.raises(NotFinite):
            hnlpu.build(broken, out)
        assert snapshot(out) == before
    else:
        policy = hnlpu.make_policy("paper" if second == "another policy" else "default")
        hnlpu.build(tiny_checkpoint, out, policy)
        assert hnlpu.verify(out).passed
        assert (snapshot(out) == before) == (second == "same policy")
    assert not partial.exists()


def test_an_open_model_outlives_its_replaced_build(tmp_path, tiny_checkpoint):
    out = hnlpu.build(tiny_checkpoint, tmp_path / "out")
    expected = hnlpu.open(out).score([1, 2, 3, 4]).logprobs
    model = hnlpu.open(out)
    hnlpu.build(write_checkpoint(tmp_path / "other", seed=9), out)
    assert model.score([1, 2, 3, 4]).logprobs == expected
    assert hnlpu.open(out).score([1, 2, 3, 4]).logprobs != expected
