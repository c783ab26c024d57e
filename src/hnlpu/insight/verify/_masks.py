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

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from hnlpu.errors import DamagedMasks, DoesNotFit, ToolMissing
from hnlpu.insight.verify._check import PROBLEMS_KEPT, Check, collect
from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.hardwire import Build, Progress
from hnlpu.silicon.masks import (
    Border,
    CheckTiles,
    Judgement,
    TileResult,
    TileSource,
    Workers,
    build_digest,
    check_borders,
    chip_name,
    draw_proof,
    jobs,
    judge_border,
    judge_corner,
    judge_pair,
    judge_proof,
    kinds_of_border,
    open_masks,
    open_workers,
    tiles_to_extract,
)
from hnlpu.silicon.place import Tile, chip_plan, find_tiles

Subject = TypeVar("Subject")


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
        yield Check("masks files", len(record.files), "files", tuple(problems[:PROBLEMS_KEPT]))
    with open_workers(workers, ray, len(list(jobs(tiles)))) as drawers:
        yield from _read_back(build, folder, tiles, drawers, seed, progress)
    yield from _judged(build, tiles)


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


def _judged(build: Build, tiles: Iterable[Tile]) -> Iterator[Check]:
    source, manifest = TileSource(build), build.manifest
    corners = {tile.kind: tile for tile in tiles}
    plans = [
        chip_plan(manifest.placement, manifest.technology, chip)
        for chip in sorted({tile.chip for tile in corners.values()})
    ]
    borders = kinds_of_border(manifest.technology, plans)

    def corner(kind: ArrayKind) -> Judgement:
        return judge_corner(source.scheme(kind), source.read.digits(corners[kind]))

    yield _judge_all("mask rules", "digits", corner, {kind.name: kind for kind in sorted(corners)})
    yield _judge_all(
        "mask borders", "shapes", functools.partial(judge_border, source), _named(borders)
    )

    # the tracks of a row make no difference to its rules, and the proof draws what it needs
    def apart(kind: ArrayKind) -> ArrayKind:
        return dataclasses.replace(kind, tracks=0)

    drawn = functools.cache(lambda kind: draw_proof(source.scheme(kind)))
    kinds = {kind.name: kind for kind in sorted({apart(kind) for kind in corners})}
    yield _judge_all("mask proof", "digits", lambda kind: judge_proof(drawn(kind)), kinds)
    found = {(apart(b.first.tile.kind), apart(b.second.tile.kind)) for b in borders}
    pairs = {f"{a.name} and {b.name}": (a, b) for a, b in sorted(found)}
    yield _judge_all(
        "mask pairs", "shapes", lambda pair: judge_pair((drawn(pair[0]), drawn(pair[1]))), pairs
    )


def _named(borders: Iterable[Border]) -> dict[str, Border]:
    return {f"{chip_name(b.chip)} {b.first.tile.name} and {b.second.tile.name}": b for b in borders}


def _judge_all(
    name: str, unit: str, judge: Callable[[Subject], Judgement], subjects: Mapping[str, Subject]
) -> Check:
    """A check of KLayout's judgements on subjects by their names; skipped without KLayout."""
    if not subjects:
        return Check(name, 0, unit, (), "no two tiles are neighbours")
    try:
        return collect(name, unit, _judgements(judge, subjects))
    except ToolMissing as error:
        return Check(name, 0, unit, (), str(error))


def _judgements(
    judge: Callable[[Subject], Judgement], subjects: Mapping[str, Subject]
) -> Iterator[tuple[int, str | None]]:
    for name, subject in subjects.items():
        try:
            judgement = judge(subject)
        except DoesNotFit as error:
            yield 0, f"{name}: {error}"
            continue
        yield judgement.covered, None
        for problem in judgement.problems:
            yield 0, f"{name}: {problem}"
