"""Faults of a chip: tiles that are not where they belong, and what lies between them.

Each at a hundred random places, in both schemes and every process: all are found, with the names of
tiles.  The cell that places all others is altered as bytes and read anew; whole folders, sealed
again by somebody who knows how, are checked once for each kind of fault.
"""

from __future__ import annotations

import functools
import random
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from resealed import check, replace_cells

import hnlpu
from helpers import write_checkpoint
from hnlpu.silicon.embed import Layout
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.masks import (
    Border,
    CheckTiles,
    DrawJob,
    TileSource,
    build_digest,
    judge_border,
    open_workers,
    write_masks,
)
from hnlpu.silicon.masks._chip_check import (
    Expected,
    border_problems,
    expected_places,
    place_problems,
)
from hnlpu.silicon.masks._chip_geometry import Boxes
from hnlpu.silicon.masks._oasis_bytes import layout_payload, placement_record
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.place import DiePlan, PlacedBlock, chip_plan, find_tiles, make_target
from hnlpu.silicon.technology import Metal

PLACES = 100
TARGETS = [
    ("taps", "n5"), ("taps", "sky130"), ("taps", "asap7"), ("regions", "n5"), ("regions", "sky130"),
]  # fmt: skip
Placed = list[tuple[str, int, int, int]]
"""Name, x, y and orientation (bits of OASIS: angle in quarter turns times 2, 1 for mirrored)."""


@dataclass(frozen=True)
class Subject:
    """A build on two chips with many small tiles, its masks, and what they should be."""

    build: Build
    folder: Path
    plans: list[DiePlan]
    expected: list[Expected]
    boxes: list[dict[str, Boxes]]

    def placed(self, chip: int) -> Placed:
        """The placements of a chip's cell, tiles and fixed metal."""
        tiles = self.expected[chip].tiles.items()
        below = self.expected[chip].below.items()
        found = [(name, x, y, 0) for name, (x, y) in tiles]
        return found + [(name, x, y, 0) for name, places in below for x, y in places]


@functools.cache
def small_tiles(technology: str, folder: Path) -> str:
    """A process with tiles of 32 rows by one block, so that a small model has many."""
    text = (resources.files("hnlpu.silicon.technology") / f"{technology}.toml").read_text()
    text = re.sub(r"(?m)^rows = \d+", "rows = 32", re.sub(r"(?m)^blocks = \d+", "blocks = 1", text))
    assert tomllib.loads(text)["array"]["rows"] == 32
    path = folder / f"{technology}.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Subject]:
    root = tmp_path_factory.mktemp("chips")
    checkpoint = write_checkpoint(root / "checkpoint", layers=1, intermediate=64, heads=4, vocab=64)

    @functools.cache
    def subject(scheme: str, technology: str) -> Subject:
        target = make_target(small_tiles(technology, root), scheme=scheme, chips=2, bank=2, group=4)
        name = f"{scheme}-{technology}"
        build = open_build(hnlpu.build(checkpoint, root / name, target=target))
        manifest, folder = build.manifest, root / f"{name}.masks"
        tiling = manifest.technology.array
        tiles = find_tiles(manifest.placement, tiling)
        write_masks(build, folder, tiles, ["oasis"], open_workers(1), with_base=True)
        plans, expected, boxes = [], [], []
        for chip in range(2):
            its = find_tiles(manifest.placement, tiling, [chip])
            job = CheckTiles(build.directory, build_digest(build), folder, frozenset())
            plans.append(chip_plan(manifest.placement, manifest.technology, chip))
            expected.append(expected_places(build, chip, its))
            boxes.append({result.name: result.boxes for result in job(DrawJob(tuple(its)))})
        return Subject(build, folder, plans, expected, boxes)

    return subject


def record(placed: Placed, shapes: bytes = b"") -> bytes:
    """The CELL record of the cell that places all others."""
    parts = []
    for name, x, y, turn in placed:
        raw = bytearray(placement_record(name, x, y))
        assert raw[0] == 17
        raw[1] |= turn
        parts.append(bytes(raw))
    return cell_record("chip-00", b"".join(parts) + shapes)


def problems_of(subject: Subject, chip: int, raw: bytes) -> str:
    """What is found in the places and the borders of a chip whose placing cell is `raw`."""
    top = parse_cell(raw, "top")
    found = list(place_problems("chip.oas", top, subject.expected[chip], with_base=True))
    technology = subject.build.manifest.technology
    found += border_problems(technology, subject.plans[chip], subject.boxes[chip], top, "chip")
    return "\n".join(found)


# -- faults ----------------------------------------------------------------------------------

Fault = Callable[[Subject, int, random.Random], tuple[bytes, list[str]]]
"""A subject, a chip and chance -> the placing cell with a fault in it, and the names to be told."""


def one_tile(subject: Subject, chip: int, chance: random.Random) -> tuple[Placed, int, str]:
    placed = subject.placed(chip)
    at = chance.randrange(len(subject.expected[chip].tiles))
    return placed, at, placed[at][0]


def moved(steps: Callable[[Subject, random.Random], tuple[int, int]]) -> Fault:
    """A tile that stands elsewhere, alone or with the fixed metal below it."""

    def fault(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
        placed, at, name = one_tile(subject, chip, chance)
        dx, dy = steps(subject, chance)
        _, x, y, _ = placed[at]
        with_base = chance.random() < 0.5
        for n, (other, ox, oy, turn) in enumerate(placed):
            if n == at or (with_base and other.startswith("base-") and (ox, oy) == (x, y)):
                placed[n] = other, ox + dx, oy + dy, turn
        return record(placed), [name]

    return fault


def any_direction(step_x: int, step_y: int, chance: random.Random) -> tuple[int, int]:
    return chance.choice([(step_x, 0), (-step_x, 0), (0, step_y), (0, -step_y), (step_x, step_y)])


def grid_step(subject: Subject, chance: random.Random) -> tuple[int, int]:
    grid = round(subject.build.manifest.technology.grid.value)
    return any_direction(grid, grid, chance)


def pitch(subject: Subject, chance: random.Random) -> tuple[int, int]:
    t = subject.build.manifest.technology
    x = round(t.lower.width.value + t.lower.space.value)
    y = round(t.stub.width.value + t.stub.space.value)
    return any_direction(x, y, chance)


def fixed_metal_moved(
    subject: Subject, chip: int, chance: random.Random
) -> tuple[bytes, list[str]]:
    placed, at, name = one_tile(subject, chip, chance)
    _, x, y, _ = placed[at]
    n = next(
        n for n, (other, *place, _) in enumerate(placed)
        if other.startswith("base-") and tuple(place) == (x, y)
    )  # fmt: skip
    dx, dy = grid_step(subject, chance)
    placed[n] = placed[n][0], x + dx, y + dy, 0
    return record(placed), [name]


def overlapping(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    """A tile, with its fixed metal, on part of another."""
    placed, at, name = one_tile(subject, chip, chance)
    others = [n for n in range(len(subject.expected[chip].tiles)) if n != at]
    onto = placed[chance.choice(others)]
    plan = {tile.tile.name: tile for tile in subject.plans[chip].tiles}
    x = onto[1] + chance.randrange(plan[onto[0]].width // 2)
    y = onto[2] + chance.randrange(plan[onto[0]].height // 2)
    old = placed[at][1:3]
    for n, (other, ox, oy, turn) in enumerate(placed):
        if n == at or (other.startswith("base-") and (ox, oy) == old):
            placed[n] = other, x, y, turn
    return record(placed), [name, onto[0]]


def turned(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    """A tile, or the fixed metal below it, rotated or mirrored or both."""
    placed, at, name = one_tile(subject, chip, chance)
    turn = chance.randrange(1, 8)
    if chance.random() < 0.5:
        placed[at] = *placed[at][:3], turn
    else:
        for n, (other, *place, _) in enumerate(placed):
            if other.startswith("base-") and tuple(place) == placed[at][1:3]:
                placed[n] = other, *place, turn
    return record(placed), [name]


def missing(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    placed, at, name = one_tile(subject, chip, chance)
    _, x, y, _ = placed.pop(at)
    if chance.random() < 0.5:  # what lies below it, too
        placed = [p for p in placed if not (p[0].startswith("base-") and p[1:3] == (x, y))]
    return record(placed), [name]


def twice(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    placed, at, name = one_tile(subject, chip, chance)
    where = chance.choice([placed[at], (name, placed[at][1] + 1000, placed[at][2], 0)])
    placed.insert(chance.randrange(len(placed)), where)
    return record(placed), [name]


def of_another_chip(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    """A tile in whose place one of the other chip is, under that one's name."""
    placed, at, name = one_tile(subject, chip, chance)
    theirs = [other for other in subject.expected[1 - chip].tiles if other not in
              subject.expected[chip].tiles]  # fmt: skip
    other = chance.choice(theirs)
    placed[at] = other, *placed[at][1:]
    return record(placed), [name, other]


def swapped(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    placed, at, name = one_tile(subject, chip, chance)
    other = chance.choice([n for n in range(len(subject.expected[chip].tiles)) if n != at])
    a, b = placed[at], placed[other]
    placed[at], placed[other] = (a[0], *b[1:]), (b[0], *a[1:])
    return record(placed), [name, b[0]]


def foreign_shape(subject: Subject, chip: int, chance: random.Random) -> tuple[bytes, list[str]]:
    """A shape over the border of two tiles, on any layer and of either datatype."""
    technology = subject.build.manifest.technology
    layer = chance.choice(technology.layers).gds_layer
    tiles = subject.plans[chip].tiles
    pairs = [(a, b) for a in tiles for b in tiles if a.y == b.y and a.x < b.x]
    a, b = min(chance.sample(pairs, min(20, len(pairs))), key=lambda pair: pair[1].x - pair[0].x)
    y = a.y + chance.randrange(min(a.height, b.height))
    width = round(technology.lower.width.value)
    box = np.array([[a.x + a.width - width, y, b.x + width, y + width]], np.int32)
    shape = layout_payload(Layout(rectangles={(layer, chance.randrange(2)): box}))
    return record(subject.placed(chip), shape), [a.tile.name, b.tile.name]


FAULTS: dict[str, Fault] = {
    "moved by a grid step": moved(grid_step),
    "moved by a pitch": moved(pitch),
    "fixed metal moved by a grid step": fixed_metal_moved,
    "overlapping another": overlapping,
    "rotated or mirrored": turned,
    "missing": missing,
    "twice": twice,
    "of another chip": of_another_chip,
    "swapped": swapped,
    "foreign shape over a border": foreign_shape,
}


def places(name: str, scheme: str, technology: str) -> Iterator[tuple[int, random.Random]]:
    for n in range(PLACES):
        chance = random.Random(f"{name} {scheme} {technology} {n}")
        yield chance.randrange(2), chance


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize(("scheme", "technology"), TARGETS)
def test_every_fault_of_a_chip_is_found_with_names(
    name: str, scheme: str, technology: str, subjects: Callable[[str, str], Subject]
) -> None:
    subject = subjects(scheme, technology)
    for chip, chance in places(name, scheme, technology):
        raw, tiles = FAULTS[name](subject, chip, chance)
        found = problems_of(subject, chip, raw)
        for tile in tiles:
            assert re.search(rf"\b{re.escape(tile)}\b", found), (tile, found)


@pytest.mark.parametrize(("scheme", "technology"), TARGETS)
def test_sound_chips_have_no_problem(
    scheme: str, technology: str, subjects: Callable[[str, str], Subject]
) -> None:
    subject = subjects(scheme, technology)
    assert len(subject.plans[0].tiles) > 20
    for chip in range(2):
        assert problems_of(subject, chip, record(subject.placed(chip))) == ""
    assert all(not done.problems for done in check(subject.build, subject.folder))


# -- plans: nothing to compare with but geometry ---------------------------------------------


def by_geometry(subject: Subject, plan: DiePlan) -> str:
    technology = subject.build.manifest.technology
    found = border_problems(technology, plan, subject.boxes[plan.chip], None, "chip")
    return "\n".join(found)


@pytest.mark.parametrize(("scheme", "technology"), TARGETS)
def test_a_block_over_an_array_is_found(
    scheme: str, technology: str, subjects: Callable[[str, str], Subject]
) -> None:
    subject = subjects(scheme, technology)
    for chip, chance in places("block", scheme, technology):
        plan = subject.plans[chip]
        at = chance.choice(plan.tiles)
        width, height = chance.randrange(1, 10**6), chance.randrange(1, 10**6)
        x = max(0, at.x + chance.randrange(-width + 1, at.width))
        y = max(0, at.y + chance.randrange(-height + 1, at.height))
        block = PlacedBlock("hbm", x, y, width, height)
        high = replace(plan, blocks=(*plan.blocks, block), width=10**9, height=10**9)
        found = by_geometry(subject, high)
        assert f"block hbm lies over tile {at.tile.name} " in found


@pytest.mark.parametrize(("scheme", "technology"), TARGETS)
def test_tiles_nearer_than_a_space_are_found_by_geometry_alone(
    scheme: str, technology: str, subjects: Callable[[str, str], Subject]
) -> None:
    """Two tiles of a shelf pushed together until the nearest metal is under its space, or overlaps."""
    subject = subjects(scheme, technology)
    t = subject.build.manifest.technology
    step = max(
        [round(m.track.value) for m in (t.lower, t.upper) if m.track], default=round(t.grid.value)
    )
    for chip, chance in places("near", scheme, technology):
        plan, tiles = subject.plans[chip], list(subject.plans[chip].tiles)
        beside = [n for n in range(1, len(tiles)) if tiles[n].y == tiles[n - 1].y]
        n = chance.choice(beside)
        a, b = tiles[n - 1], tiles[n]
        least = min(
            b.x + subject.boxes[chip][b.tile.name][layer.gds_layer][0]
            - a.x - subject.boxes[chip][a.tile.name][layer.gds_layer][2]
            - round(layer.end_space_nm if isinstance(layer, Metal) else layer.space.value)
            for layer in t.layers
        )  # fmt: skip
        assert least >= 0
        by = (least // step + chance.randrange(1, 100)) * step
        tiles[n] = replace(b, x=b.x - by)
        found = by_geometry(subject, replace(plan, tiles=tuple(tiles)))
        first, second = re.escape(a.tile.name), re.escape(b.tile.name)
        assert re.search(rf"tiles ({first} and {second}|{second} and {first}) ", found), found


def test_tiles_without_clearance_are_shorted_and_klayout_agrees(
    subjects: Callable[[str, str], Subject],
) -> None:
    """As chips were placed once: shelves on one another, tiles side by side."""
    subject = subjects("taps", "n5")
    plan = subject.plans[0]
    a = plan.tiles[0]
    b = replace(plan.tiles[1], x=a.x, y=a.y + a.height)
    judged = judge_border(TileSource(subject.build), Border(0, a, b, "above"))
    assert any(f"a net joins {a.tile.name} and {b.tile.name}" in p for p in judged.problems)
    found = by_geometry(subject, replace(plan, tiles=(a, b)))
    assert f"tiles {a.tile.name} and {b.tile.name} touch on M8: their nets are joined" in found


# -- whole folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found_in_a_folder_that_was_sealed_again(
    name: str, subjects: Callable[[str, str], Subject], tmp_path: Path
) -> None:
    scheme, technology = TARGETS[list(FAULTS).index(name) % len(TARGETS)]
    subject = subjects(scheme, technology)
    here = shutil.copytree(subject.folder, tmp_path / "m")
    raw, tiles = FAULTS[name](subject, 0, random.Random(name))
    replace_cells(here, {"chip-00": raw})
    found = "\n".join(p for done in check(subject.build, here) for p in done.problems)
    for tile in tiles:
        assert re.search(rf"\b{re.escape(tile)}\b", found), (tile, found)


def test_a_stray_shape_in_the_fixed_metal_is_found(
    subjects: Callable[[str, str], Subject], tmp_path: Path
) -> None:
    """One that touches nothing, hence joins no nets, in any place of the cell and beyond its outline."""
    subject = subjects("taps", "n5")
    build, chance = subject.build, random.Random(7)
    at = chance.choice(subject.plans[0].tiles)
    scheme = TileSource(build).scheme(at.tile.kind)
    name = f"base-{at.tile.kind.name}-{at.tile.shape.rows}x{at.tile.shape.blocks}"
    fixed = scheme.base(at.tile.shape)
    for place in ((at.width // 2, at.height // 2), (-300, 10), (at.width + 10, at.height)):
        here = shutil.copytree(subject.folder, tmp_path / str(place[0]))
        stray = np.array([[*place, place[0] + 1, place[1] + 1]], np.int32)
        spoilt = fixed.merged(Layout(rectangles={(80, 0): stray}))
        layout = Layout(spoilt.grids, spoilt.rectangles)
        replace_cells(here, {name: cell_record(name, layout_payload(layout))})
        found = "\n".join(p for done in check(build, here) for p in done.problems)
        assert f": the fixed metal below, {name}, has " in found
