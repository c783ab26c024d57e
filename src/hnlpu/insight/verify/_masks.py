"""The metal of a build: drawn (or read from files), read back, and judged.

masks files   every byte of every file in a folder of masks, and every tile in its place
masks         every digit of every tile through the bytes of an OASIS file
mask nets     nets by geometry and pin labels alone, held against the integer weights
mask chip     every tile against every other of its chip, the blocks and the die's edge
mask rules    KLayout's DRC and its netlist on a corner of a tile of every array kind
mask borders  KLayout's DRC and its netlist around every kind of border between two tiles
mask proof    KLayout's DRC on a tile with all neighbours that weights can have, of every kind
mask pairs    the same on two such tiles as near to each other as a placement leaves them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from hnlpu.errors import DamagedMasks
from hnlpu.insight.verify._check import PROBLEMS_KEPT, Check, collect
from hnlpu.silicon.hardwire import Build, Progress
from hnlpu.silicon.masks import (
    BY_DIGEST,
    Answer,
    Ask,
    CheckTiles,
    TileResult,
    Workers,
    build_digest,
    check_borders,
    jobs,
    open_masks,
    open_workers,
    questions,
    redrawn_problems,
    tiles_to_extract,
)
from hnlpu.silicon.place import Tile, find_tiles


def check_masks(
    build: Build, folder: Path | None, seed: int, workers: int | None, ray: str | None,
    progress: Progress | None,
) -> Iterator[Check]:  # fmt: skip
    """All checks of a build's metal, as they are done; of the files in `folder` if it is given."""
    manifest = build.manifest
    if folder is None:
        tiles = find_tiles(manifest.placement, manifest.technology.array)
    else:
        try:
            record, tiles, problems = open_masks(build, folder)
        except DamagedMasks as error:
            yield Check("masks files", 0, "files", (str(error),))
            return
    with open_workers(workers, ray, len(list(jobs(tiles)))) as drawers:
        if folder is not None:
            if not problems:  # where a file is damaged, its digest says so already
                found = redrawn_problems(build, folder, record, tiles, drawers, progress)
                problems = list(found)
            told = tuple(problems[:PROBLEMS_KEPT])
            by_digest = f"by its digest alone: {BY_DIGEST}"
            yield Check("masks files", len(record.files), "files", told, by_digest)
        yield from _read_back(build, folder, tiles, drawers, seed, progress)
        yield from _judged(build, tiles, drawers)


def _read_back(
    build: Build, folder: Path | None, tiles: list[Tile], workers: Workers, seed: int,
    progress: Progress | None,
) -> Iterator[Check]:  # fmt: skip
    extract = tiles_to_extract(tiles, seed)
    job = CheckTiles(build.directory, build_digest(build), folder, extract)
    total, done = sum(tile.shape.weights for tile in tiles), 0
    results: list[TileResult] = []
    # tiles of one shape one after the other: they share the fixed metal below them
    ordered = sorted(tiles, key=lambda t: (t.chip, t.kind, t.shape.rows, t.shape.blocks))
    for found in workers.map(job, jobs(ordered)):
        results += found
        done += sum(result.digits for result in found)
        if progress:
            progress("masks", done, total)
    problems = [problem for result in results for problem in result.problems]
    yield Check("masks", done, "digits", tuple(problems[:PROBLEMS_KEPT]))
    nets = [result for result in results if result.extracted]
    count = sum(result.digits for result in nets)
    sample = None if len(nets) == len(results) else f"a sample: {len(nets)} of {len(tiles)} tiles"
    of_nets = [problem for result in nets for problem in result.net_problems]
    yield Check("mask nets", count, "digits", tuple(of_nets[:PROBLEMS_KEPT]), sample)
    yield collect("mask chip", "tiles", check_borders(build, folder, results))


UNITS = {"mask borders": "shapes", "mask pairs": "shapes"}
"""What KLayout's checks count where it is not digits."""


def _judged(build: Build, tiles: Iterable[Tile], workers: Workers) -> Iterator[Check]:
    """KLayout's checks; what it is asked is shared out among the workers."""
    asked = questions(build, tiles)
    ask = Ask(build.directory, build_digest(build))
    answers = workers.map(ask, [question for each in asked.values() for question in each])
    for name, each in asked.items():
        found = [next(answers) for _ in each]
        unit = UNITS.get(name, "digits")
        missing = next((answer.missing for answer in found if answer.missing), None)
        if missing or not found:
            yield Check(name, 0, unit, (), missing or "no two tiles are neighbours")
        else:
            yield collect(name, unit, (item for answer in found for item in _items(answer)))


def _items(answer: Answer) -> Iterator[tuple[int, str | None]]:
    yield answer.judgement.covered, None
    for problem in answer.judgement.problems:
        yield 0, f"{answer.name}: {problem}"
