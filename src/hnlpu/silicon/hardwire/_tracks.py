"""Placing a model whose arrays need as many wiring tracks as its weights ask for.

In the regions scheme the tracks of a row are silicon's, and how many a matrix needs is known when
its wires are routed.  More tracks make arrays larger, which may take more chips, which cuts
matrices at other places: a few rounds until nothing changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import groupby

from hnlpu.silicon.embed import tracks_needed
from hnlpu.silicon.hardwire._open import Build
from hnlpu.silicon.hardwire._tile import TileReader
from hnlpu.silicon.place import Embedding, Placement, Target, Tile, find_tiles, place

ROUNDS = 4


def place_with_tracks(build: Build, target: Target, pool: Executor) -> Placement:
    """The placement of a build in the regions scheme, with the tracks that its weights need.

    `build` may have any placement.  Raises DoesNotFit as `place` does.
    """
    records, shapes = build.manifest.matrices, build.matrices()
    embeddings = {name: record.embedding for name, record in records.items()}
    placement = place(shapes, embeddings, target)
    for _ in range(ROUNDS):
        embeddings |= _tracked(build, placement, target, embeddings, pool)
        wider = place(shapes, embeddings, target)
        if wider.grid == placement.grid:
            return wider
        placement = wider
    fixed = dataclasses.replace(target, chips=placement.chips)
    embeddings |= _tracked(build, placement, fixed, embeddings, pool)
    return place(shapes, embeddings, fixed)


def _tracked(
    build: Build, placement: Placement, target: Target, embeddings: dict[str, Embedding],
    pool: Executor,
) -> Iterator[tuple[str, Embedding]]:  # fmt: skip
    """Every matrix with the tracks of its busiest row."""
    technology = target.technology
    tiles = sorted(find_tiles(placement, technology.array), key=lambda tile: tile.matrix)

    def busiest(tiles: list[Tile]) -> int:
        reader, tracks = TileReader(build), 0
        for tile in tiles:
            tracks = tracks_needed(technology, tile.kind, reader.digits(tile), tracks)
        return tracks

    of_matrix = {name: list(group) for name, group in groupby(tiles, key=lambda t: t.matrix)}
    for name, tracks in zip(of_matrix, pool.map(busiest, of_matrix.values()), strict=True):
        yield name, dataclasses.replace(embeddings[name], tracks=tracks)
