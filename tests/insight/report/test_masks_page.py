"""Pictures of a build: its tiles, weights and dies are those of the build and of its placement."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import hnlpu
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import OutputFailed
from hnlpu.insight.report import write_picture
from hnlpu.insight.report._masks_page import masks_section
from hnlpu.silicon.embed import open_scheme
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.masks.picture import DrawnDie, distinct_dies, subject_of
from hnlpu.silicon.masks.picture._subject import weight_at
from hnlpu.silicon.place import Tile, chip_tiles, find_tiles, make_target


@pytest.fixture(scope="module")
def spread(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tiny model on four chips."""
    path = tmp_path_factory.mktemp("spread") / "four"
    return open_build(hnlpu.build(checkpoint, path, target=make_target(chips=4), workers=1))


def tiles_of(build: Build, chip: int) -> list[Tile]:
    return list(chip_tiles(build.manifest.placement, build.manifest.technology.array, chip))


def test_a_weight_is_told_as_the_build_has_it(spread: Build) -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for tile in find_tiles(spread.manifest.placement, spread.manifest.technology.array)[::5]:
        subject, digits = subject_of(spread, tile), tile.kind.digits
        stack = spread.stack(spread.shapes()[tile.matrix])
        seen.add(digits)
        for _ in range(4):
            first = int(rng.integers(tile.shape.rows // digits)) * digits
            column = int(rng.integers(tile.shape.blocks * BLOCK))
            neuron, member, _ = tile.place_of(first)
            told = 0.0
            for digit in range(digits):
                meaning = weight_at(subject, first + digit, column).meaning.replace("−", "-")
                name, number = meaning.rsplit(": ", 1)
                told += float(number.rsplit(" ", 1)[-1])
                assert name.startswith(f"{tile.matrix}, neuron {neuron}, ")
                assert f"input {tile.blocks[0] * BLOCK + column}" in name
                assert ("expert" in name) == ("experts" in tile.matrix)
            value = stack[member].values()[neuron, tile.blocks[0] * BLOCK + column]
            assert told == pytest.approx(value, rel=2e-3, abs=1e-12)
    assert seen == {1, 2}


def shapes_of(die: DrawnDie) -> list[tuple[object, ...]]:
    """Everything but the names, which tell which experts an array has."""
    return [(block.role, *block.corners, block.edges_um) for block in die.blocks]


def test_dies_have_the_tiles_of_their_chips(spread: Build) -> None:
    technology = spread.manifest.technology
    dies = distinct_dies(spread)
    chips = [int(n) for die in dies for n in re.findall(r"\d+", die.name)]
    for chip in range(4):
        die = subject_of(spread, tiles_of(spread, chip)[0]).place.die
        area: dict[str, float] = {}
        for tile in tiles_of(spread, chip):
            width, height = open_scheme(technology, tile.kind).size_nm(tile.shape)
            role = spread.shapes()[tile.matrix].role
            area[role] = area.get(role, 0) + width * height * 1e-12
        drawn = {
            role: sum(block.area_mm2 for block in die.blocks if block.role == role) for role in area
        }
        assert drawn == pytest.approx(area)
        for block in technology.die.block:
            (found,) = (b for b in die.blocks if b.name == block.name)
            assert found.area_mm2 == pytest.approx(block.area.value, rel=1e-3)
        alike = [shapes_of(die) == shapes_of(other) for other in dies]
        assert alike.count(True) == 1
    assert max(chips) == 3


def test_blocks_do_not_overlap_and_hold_every_tile(spread: Build) -> None:
    for tile in tiles_of(spread, 1):
        place = subject_of(spread, tile).place
        assert place is not None
        block = place.die.blocks[place.block]
        assert block.role == spread.shapes()[tile.matrix].role
        width, _ = open_scheme(spread.manifest.technology, tile.kind).size_nm(tile.shape)
        edges = [block.x_um, *block.edges_um, block.x_um + block.width_um]
        assert any(
            place.x_um == pytest.approx(a) and place.x_um + width / 1e3 == pytest.approx(b)
            for a, b in pairwise(edges)
        )
    boxes = np.array([block.corners for block in place.die.blocks])
    assert boxes.min() >= 0
    assert (boxes[:, 2] <= place.die.width_um + 1e-6).all()
    assert (boxes[:, 3] <= place.die.height_um + 1e-6).all()
    for n, box in enumerate(boxes):
        others = np.delete(boxes, n, 0)
        common = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        assert (common > 1e-6).all(1).sum() == 0


def test_the_section_shows_every_floorplan(spread: Build) -> None:
    section = masks_section(spread)
    assert section.markup.count("<figure>") == 6 + len(distinct_dies(spread))
    assert "on 4 chips (2 by 2)" in section.markup
    assert section.markup.count("<section") == section.markup.count("</section>") == 1
    assert masks_section(spread) == section


def test_a_tile_may_be_chosen(spread: Build) -> None:
    tile = tiles_of(spread, 3)[-1]
    assert f"Layout of {tile.matrix}" in masks_section(spread, tile).markup


def test_the_picture_is_written_whole_or_not_at_all(spread: Build, tmp_path: Path) -> None:
    tile = tiles_of(spread, 0)[0]
    path = tmp_path / "new" / "tile.png"
    write_picture(spread, tile, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(OutputFailed, match="cannot be written"):
        write_picture(spread, tile, path / "inside.png")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(OutputFailed, match="cannot be written"):
        write_picture(spread, tile, folder)
    assert sorted(tmp_path.iterdir()) == sorted([folder, path.parent])
    assert not list(tmp_path.rglob("*.part"))
