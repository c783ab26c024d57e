"""A build that is killed leaves nothing that passes for one, and the next run completes it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hnlpu
from helpers import (
    environment,
    make_config,
    random_tensors,
    snapshot,
    write_checkpoint,
    write_tensors,
)
from hnlpu.errors import HnlpuError, NotFinite

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


def test_a_checkpoint_that_changes_between_runs_is_built_afresh(tmp_path, tiny_build):
    checkpoint = write_checkpoint(tmp_path / "c", seed=1)

    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hnlpu.build(checkpoint, tmp_path / "b", progress=stop)
    write_checkpoint(checkpoint, seed=0)
    assert snapshot(hnlpu.build(checkpoint, tmp_path / "b")) == snapshot(tiny_build)


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
