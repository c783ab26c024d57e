"""Workers: results in order whatever happens to processes; errors as the job raised them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builds import Builds
from dying import KilledAtWork, double, refuse

import hnlpu
from helpers import snapshot
from hnlpu.errors import DoesNotFit, InvalidInput, OutputFailed, ToolMissing
from hnlpu.silicon.masks import Format, Workers, _draw_jobs, open_workers, write_masks
from hnlpu.silicon.place import find_tiles


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    with open_workers(2) as workers:
        yield workers


@pytest.fixture(scope="module")
def ray() -> Iterator[Workers]:
    """Ray on this machine, with two worker processes."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        # its workers take our jobs, and the package that is tested, by name
        here, package = Path(__file__).parent, Path(hnlpu.__file__).parents[1]
        patch.setenv("PYTHONPATH", f"{here}:{here.parents[1]}:{package}")
        with open_workers(2, "local") as workers:
            yield workers


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order_and_few_inputs_are_taken_ahead(count: int, two: Workers) -> None:
    taken = 0

    def inputs() -> Iterator[int]:
        nonlocal taken
        for n in range(50):
            taken += 1
            yield n

    workers = two if count == 2 else open_workers(1)
    for done, result in enumerate(workers.map(double, inputs())):
        assert result == 2 * done
        assert taken <= done + 1 + 2 * 2


@pytest.mark.parametrize("where", ["one", "two", "ray"])
def test_what_a_job_finds_wrong_is_told_as_it_was(
    where: str, request: pytest.FixtureRequest
) -> None:
    workers = open_workers(1) if where == "one" else request.getfixturevalue(where)
    with pytest.raises(DoesNotFit) as refused:
        list(workers.map(refuse, ["a"]))
    assert str(refused.value) == "job a: does not fit; choose another"
    assert list(workers.map(double, [1, 2])) == [2, 4], "and the workers go on"


@pytest.mark.parametrize("n", [0, 3])
def test_a_killed_process_changes_nothing(n: int, two: Workers, tmp_path: Path) -> None:
    killed = KilledAtWork(two, tmp_path, n)
    assert list(killed.map(double, range(8))) == [2 * k for k in range(8)]
    assert (tmp_path / "0").exists()


def test_a_job_that_always_kills_its_process_is_given_up(two: Workers, tmp_path: Path) -> None:
    killed = KilledAtWork(two, tmp_path, 0, times=9)
    with pytest.raises(OutputFailed, match="died 3 times at the same job"):
        list(killed.map(double, range(3)))
    assert list(two.map(double, [5])) == [10]


def test_a_job_that_always_kills_its_process_is_given_up_by_ray(
    ray: Workers, tmp_path: Path
) -> None:
    killed = KilledAtWork(ray, tmp_path, 0, times=9)
    with pytest.raises(OutputFailed, match=r"Ray gave a job up .* workers die"):
        list(killed.map(double, range(3)))


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("taps on 4 chips", ("oasis", "gds", "via-map", "def", "tcl")),
        ("regions", ("oasis", "via-map")),
    ],
)
def test_masks_are_the_same_bytes_whoever_draws_and_whoever_dies(
    name: str, formats: tuple[Format, ...], builds: Builds, two: Workers, ray: Workers,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_draw_jobs, "DIGITS_A_JOB", 2048)
    build = builds(name)
    chips = range(build.manifest.placement.chips)[:2]
    patterns = ["*router*", "*down_proj*", "*k_proj*", "lm_head*"]
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array, chips, patterns)
    assert len(list(_draw_jobs.jobs(tiles))) >= 5
    marks = {who: tmp_path / f"marks of {who}" for who in ("processes", "ray")}
    for folder in marks.values():
        folder.mkdir()
    found = {}
    for who, workers in {
        "one": open_workers(1),
        "two": two,
        "two, one killed": KilledAtWork(two, marks["processes"]),
        "ray, one killed": KilledAtWork(ray, marks["ray"]),
    }.items():
        write_masks(build, tmp_path / who, tiles, formats, workers, with_base=True)
        found[who] = snapshot(tmp_path / who)
    assert all((folder / "0").exists() for folder in marks.values()), "nobody was killed"
    assert all(files == found["one"] for files in found.values())


def test_jobs_are_runs_of_tiles_of_one_chip(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_draw_jobs, "DIGITS_A_JOB", 10_000)
    build = builds("taps on 4 chips")
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array)
    runs = list(_draw_jobs.jobs(tiles))
    assert [tile for job in runs for tile in job.tiles] == tiles
    for job in runs:
        assert len({tile.chip for tile in job.tiles}) == 1
        assert job.digits == sum(tile.shape.weights for tile in job.tiles)
        assert job.digits <= 10_000 or len(job.tiles) == 1


@pytest.mark.parametrize("count", [0, -3])
def test_no_workers_are_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"workers {count}: must be at least 1"):
        open_workers(count)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolMissing, match=r"pip install 'hnlpu\[cluster\]'"):
        open_workers(1, "local")
