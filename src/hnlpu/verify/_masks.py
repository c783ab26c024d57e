"""The metal of a build: drawn (or read from files), read back, and judged.

masks files   every byte of every file in a folder of masks, and every tile in its place
masks         every digit of every tile through the bytes of an OASIS file
mask nets     nets by geometry and pin labels alone, held against the integer weights
mask rules    KLayout's DRC and its netlist on a corner of a tile of every array kind
mask proof    KLayout's DRC on a tile with all neighbours that weights can have, of every kind
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hnlpu.embed import ArrayKind
from hnlpu.errors import DamagedMasks, DoesNotFit, ToolMissing
from hnlpu.hardwire import Build, Progress
from hnlpu.masks import (
    CheckTiles,
    Judgement,
    TileResult,
    TileSource,
    Workers,
    build_digest,
    jobs,
    judge_corner,
    judge_proof,
    open_masks,
    open_workers,
    tiles_to_extract,
)
from hnlpu.place import Tile, find_tiles
from hnlpu.verify._check import PROBLEMS_KEPT, Check, collect


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


def _judged(build: Build, tiles: Iterable[Tile]) -> Iterator[Check]:
    source = TileSource(build)
    corners = {tile.kind: tile for tile in tiles}

    def corner(kind: ArrayKind) -> Judgement:
        return judge_corner(source.scheme(kind), source.read.digits(corners[kind]))

    def proof(kind: ArrayKind) -> Judgement:
        return judge_proof(source.scheme(kind))

    # the tracks of a row make no difference to its rules, and the proof draws what it needs
    apart = {dataclasses.replace(kind, tracks=0) for kind in corners}
    for name, judge, kinds in (("mask rules", corner, corners), ("mask proof", proof, apart)):
        try:
            found = (item for kind in sorted(kinds) for item in _of_kind(kind, judge))
            yield collect(name, "digits", found)
        except ToolMissing as error:
            yield Check(name, 0, "digits", (), str(error))


def _of_kind(
    kind: ArrayKind, judge: Callable[[ArrayKind], Judgement]
) -> Iterator[tuple[int, str | None]]:
    try:
        judgement = judge(kind)
    except DoesNotFit as error:
        yield 0, str(error)
        return
    yield judgement.digits, None
    for problem in judgement.problems:
        yield 0, f"{kind.name}: {problem}"
