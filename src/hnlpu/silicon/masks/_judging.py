"""What KLayout is asked about a build's metal, as jobs that any worker does.

Corner   rules and nets of a corner of a tile
Border   rules and nets around a border of two tiles of a chip
Proof    rules on the proof tile of an array kind
Pair     rules and nets where the proof tiles of two kinds meet
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from hnlpu.errors import DoesNotFit, ToolMissing
from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks._borders import Border, judge_border, judge_pair, kinds_of_border
from hnlpu.silicon.masks._cells import TileSource
from hnlpu.silicon.masks._draw_jobs import source_of
from hnlpu.silicon.masks._judge import Judgement, judge_corner, judge_proof
from hnlpu.silicon.place import Tile, chip_plan


@dataclass(frozen=True)
class Corner:
    """A tile whose lower left corner is judged."""

    tile: Tile

    @property
    def name(self) -> str:
        """The kind of its array."""
        return self.tile.kind.name


@dataclass(frozen=True)
class Proof:
    """A kind of arrays; the tracks of a row make no difference to its rules."""

    kind: ArrayKind

    @property
    def name(self) -> str:
        """That of the kind."""
        return self.kind.name


@dataclass(frozen=True)
class Pair:
    """Two kinds of arrays that are neighbours on some chip."""

    first: ArrayKind
    second: ArrayKind

    @property
    def name(self) -> str:
        """Those of the kinds."""
        return f"{self.first.name} and {self.second.name}"


Question = Corner | Border | Proof | Pair


@dataclass(frozen=True)
class Answer:
    """What KLayout found, or `missing`: why it could not be asked."""

    name: str
    judgement: Judgement
    missing: str | None = None


@dataclass(frozen=True)
class Ask:
    """A question about the build at `directory` -> its answer."""

    directory: Path
    digest: str

    def __call__(self, question: Question) -> Answer:
        """Runs in any process."""
        source = source_of(self.directory, self.digest)
        name = question.name
        try:
            return Answer(name, _judge(source, question))
        except DoesNotFit as error:
            return Answer(name, Judgement(0, (str(error),)))
        except ToolMissing as error:
            return Answer(name, Judgement(0, ()), str(error))


def _judge(source: TileSource, question: Question) -> Judgement:
    match question:
        case Corner(tile):
            return judge_corner(source.scheme(tile.kind), source.read.digits(tile))
        case Border():
            return judge_border(source, question)
        case Proof(kind):
            return judge_proof(source.proof(kind))
        case Pair(first, second):
            return judge_pair((source.proof(first), source.proof(second)))
        case _:
            assert_never(question)


def questions(build: Build, tiles: Iterable[Tile]) -> dict[str, list[Question]]:
    """What to ask of some tiles of a build and the chips that they are on, by the check's name."""
    manifest = build.manifest
    corners = {tile.kind: tile for tile in tiles}
    plans = [
        chip_plan(manifest.placement, manifest.technology, chip)
        for chip in sorted({tile.chip for tile in corners.values()})
    ]
    borders = kinds_of_border(manifest.technology, plans)
    pairs = {(_apart(b.first.tile.kind), _apart(b.second.tile.kind)) for b in borders}
    return {
        "mask rules": [Corner(corners[kind]) for kind in sorted(corners)],
        "mask borders": [*borders],
        "mask proof": [Proof(kind) for kind in sorted({_apart(kind) for kind in corners})],
        "mask pairs": [Pair(*kinds) for kinds in sorted(pairs)],
    }


def _apart(kind: ArrayKind) -> ArrayKind:
    """A kind without its tracks: the proof tile draws as many as it needs."""
    return replace(kind, tracks=0)
