"""A folder of masks appears whole or not at all; memory does not grow with the model."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from builds import Builds

import hnlpu
from helpers import snapshot, write_checkpoint
from hnlpu.errors import DoesNotFit, InvalidInput, OutputExists, OutputFailed
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.masks import (
    Format,
    Workers,
    _draw_jobs,
    new_folder,
    open_workers,
    write_masks,
)
from hnlpu.silicon.masks._oasis_write import OasisWriter
from hnlpu.silicon.place import find_tiles


@pytest.fixture
def build(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr(_draw_jobs, "DIGITS_A_JOB", 4096)
    return builds("taps on 4 chips")


def write(
    build: Build, out: Path, formats: tuple[Format, ...] = ("oasis",), **options: Any
) -> None:
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array)
    write_masks(build, out, tiles, formats, options.pop("workers", open_workers(1)), **options)


class Failing(Workers):
    """Workers with which a job fails after a few."""

    def __init__(self, error: BaseException):
        self._error = error

    def map(self, job: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[Any]:
        for n, item in enumerate(inputs):
            if n == 3:
                raise self._error
            yield job(item)


@pytest.mark.parametrize("formats", [("oasis",), ("via-map", "gds"), ("tcl",)])
@pytest.mark.parametrize(
    "error",
    [DoesNotFit("a row does not fit"), KeyboardInterrupt(), MemoryError(), OSError(5, "I/O")],
)
def test_an_error_on_the_way_leaves_nothing(
    formats: tuple[Format, ...], error: BaseException, build: Build, tmp_path: Path
) -> None:
    expected = OutputFailed if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write(build, tmp_path / "a/b/out", formats, workers=Failing(error))
    assert not list((tmp_path / "a/b").iterdir())


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_told_before_and_on_the_way(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6, 1000))
        with pytest.raises(OutputFailed, match=r"out: the disk has 0\.0 GB free, this needs about"):
            write(build, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    put, room = OasisWriter._put, 10_000

    def limited(self: OasisWriter, data: bytes) -> None:
        if self._at + len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))
        put(self, data)

    monkeypatch.setattr(OasisWriter, "_put", limited)
    with pytest.raises(OutputFailed, match="No space left on device; nothing was kept"):
        write(build, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_stands_there_already_stays(build: Build, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    (tmp_path / "file").write_text("y")
    before = snapshot(tmp_path)
    for name in ("out", "file"):
        with pytest.raises(OutputExists, match=rf"{name}: exists already; .* `output`"):
            write(build, tmp_path / name)
    assert snapshot(tmp_path) == before


def test_an_empty_folder_is_filled(build: Build, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(build, tmp_path / "out")
    assert (tmp_path / "out/masks.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


GROWING = """
import sys, time
from pathlib import Path
from hnlpu.silicon.masks import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "chip-00.oas").write_text("half")
    (folder / "below").mkdir()
    print(folder.name, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def growing(out: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that writes masks to `out`, and the folder that grows."""
    command = [sys.executable, "-c", GROWING, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, out.parent / process.stdout.readline().strip()
        finally:
            process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next(build: Build, tmp_path: Path) -> None:
    """The same target's, whose process is dead: nothing else."""
    out, like = tmp_path / "out [1]", tmp_path / "out [1].unfinished-"
    strangers = (".out [1].precious", ".out [1].unfinished", ".out 1.unfinished-abc", ".out [1]x")
    for name in strangers:
        (tmp_path / name).mkdir()
    (tmp_path / ".out [1].unfinished-file").write_text("not a folder")
    (tmp_path / ".out [1].unfinished-link").symlink_to(tmp_path / strangers[0])
    with growing(out) as (process, left), growing(out) as (_, alive), growing(like) as (other, its):
        for dying in (process, other):
            dying.kill()
            dying.wait()
        before = {path.name for path in tmp_path.iterdir()}
        assert (left / "chip-00.oas").exists()
        write(build, out)
        assert {path.name for path in tmp_path.iterdir()} == before - {left.name} | {out.name}
        assert (alive / "chip-00.oas").read_text() == "half"
        assert (its / "chip-00.oas").exists()
    shutil.rmtree(out)
    write(build, out)
    assert not alive.exists()


def test_processes_that_write_to_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    """Every one finds its folder whole, however often others look for what was left behind."""

    def write_one(n: int) -> None:
        for k in range(50):
            with contextlib.suppress(KeyboardInterrupt), new_folder(tmp_path / "out") as folder:
                (folder / "file").write_text(f"{n} {k}")
                assert (folder / "file").read_text() == f"{n} {k}"
                raise KeyboardInterrupt

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_one, range(4)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/x"])
def test_a_folder_that_cannot_be_made_is_told(folder: str, build: Build) -> None:
    with pytest.raises(OutputFailed, match="cannot be created"):
        write(build, Path(folder) / "out")


@pytest.mark.parametrize("below", ["", "masks", "weights/masks"])
def test_a_build_is_not_written_into(below: str, build: Build) -> None:
    before = snapshot(build.directory)
    with pytest.raises(OutputExists, match="is in the build's own folder"):
        write(build, build.directory / below)
    assert snapshot(build.directory) == before


def test_no_tile_is_no_mask(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no tile"):
        write_masks(build, tmp_path / "out", [], ["oasis"], open_workers(1))
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many times the tiles take as much: they are drawn and written one after the other."""
    monkeypatch.setattr(_draw_jobs, "DIGITS_A_JOB", 2**14)
    peaks, sizes = [], []
    for vocab in (512, 6144):
        checkpoint = write_checkpoint(tmp_path / f"c{vocab}", layers=1, hidden=512, vocab=vocab)
        build = open_build(hnlpu.build(checkpoint, tmp_path / f"b{vocab}"))
        out = tmp_path / f"m{vocab}"
        write(build, tmp_path / f"warm{vocab}")  # opens the build, which is kept for the next job
        tracemalloc.start()
        write(build, out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append((out / "chip-00.oas").stat().st_size)
    assert sizes[1] > 3 * sizes[0]
    assert peaks[1] < 1.05 * peaks[0]
