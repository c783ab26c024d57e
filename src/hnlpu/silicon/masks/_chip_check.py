"""A folder of masks, and the chips in it -> what is wrong with files, places and borders of tiles.

files     every byte is that of masks.json, and nothing else is there
places    every tile, and the fixed metal below it, lies once, upright, where the placement says
borders   no tile comes near another, a block or the die's edge (`masks._chip_geometry`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hnlpu.errors import DamagedMasks, InvalidInput
from hnlpu.silicon.embed import largest_space_nm
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks._cells import TileSource, base_name, chip_name, shared_layouts
from hnlpu.silicon.masks._check import TileResult
from hnlpu.silicon.masks._chip_geometry import Boxes, TileBoxes, chip_problems, near_tiles
from hnlpu.silicon.masks._drawing import tile_places
from hnlpu.silicon.masks._files import ChipFile, file_problems
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.masks._record import RECORD, MasksRecord, build_digest, read_cells, read_record
from hnlpu.silicon.place import DiePlan, Tile, chip_plan, find_tiles
from hnlpu.silicon.technology import Technology

BASE = "base-"
"""With it begin the names of cells of fixed metal."""
SHARED = "scale-"
"""And those of cells that tiles share."""
NAMED = 3
"""Tiles of a kind of fault that are named one by one."""
Place = tuple[int, int]


def open_masks(build: Build, folder: Path) -> tuple[MasksRecord, list[Tile], list[str]]:
    """The record of a folder of masks, the tiles it must hold, and what is wrong with its files.

    Raises InvalidInput where it is no folder of masks at all, DamagedMasks where its record cannot be
    trusted: it is altered, of another build, or without OASIS.
    """
    if not (folder / RECORD).exists():
        raise InvalidInput(f"{folder}: no folder that 'hnlpu masks' wrote (it lacks {RECORD})")
    record = read_record(folder)
    if record.build != build_digest(build):
        raise DamagedMasks(
            f"{folder}: masks of another build than {build.directory}; write them again"
        )
    if "oasis" not in record.formats:
        raise DamagedMasks(f"{folder}: holds no OASIS; write the masks with `format` oasis")
    layers = LayerMap(build.manifest.technology, record.layers)
    problems, tiles = list(file_problems(folder, record, layers)), []
    problems += _record_problems(build, folder, record)
    for chip in record.tiles:
        if chip >= build.manifest.placement.chips:
            problems.append(f"{folder / RECORD}: names chip {chip}, which the build does not have")
            continue
        try:
            here, found = _open_chip(build, folder, chip, record)
        except DamagedMasks as error:
            problems.append(str(error))
            continue
        tiles += here
        problems += found
    digits = sum(tile.shape.weights for tile in tiles)
    if not problems and digits != record.digits:
        problems.append(f"{folder / RECORD}: says {record.digits} digits, its tiles have {digits}")
    return record, tiles, problems


def _record_problems(build: Build, folder: Path, record: MasksRecord) -> Iterator[str]:
    """What the record says that the build or its own files do not."""
    manifest, path = build.manifest, folder / RECORD
    told = (record.technology, record.scheme)
    own = (manifest.technology.name, manifest.placement.scheme)
    if told != own:
        yield f"{path}: says technology and scheme {', '.join(told)}; the build has {', '.join(own)}"
    files = {name.removesuffix(".oas") for name in record.files if name.endswith(".oas")}
    chips = {chip_name(chip) for chip, tiles in record.tiles.items() if tiles}
    for name in sorted(files ^ chips):
        lacks = "counts no tiles of it" if name in files else "lists no such file"
        yield f"{path}: {name}.oas: {lacks}"
    if not chips:
        yield f"{path}: counts no tiles at all"


def _open_chip(
    build: Build, folder: Path, chip: int, record: MasksRecord
) -> tuple[list[Tile], list[str]]:
    """The tiles that a chip's file holds, and what is wrong with their number and places."""
    manifest, problems = build.manifest, []
    cells = read_cells(folder / f"{chip_name(chip)}.cells.json")
    known = find_tiles(manifest.placement, manifest.technology.array, [chip])
    named = {tile.name: tile for tile in known}
    here = [named[name] for name in cells if name in named]  # as they were written
    file = f"{folder / chip_name(chip)}.oas"
    if len(here) != record.tiles[chip]:
        absent = ", ".join([tile.name for tile in known if tile.name not in cells][:NAMED])
        problems.append(
            f"{file}: has {len(here)} tiles, {RECORD} says {record.tiles[chip]}"
            + (f"; absent are {absent}" if absent else "")
        )
    try:
        expected = expected_places(build, chip, here)
        top = top_cell(build, folder, chip, record)
        problems += place_problems(file, top, expected, record.with_base)
        problems += _unplaced(build, file, top, here, cells)
    except DamagedMasks as error:
        problems.append(str(error))
    return here, problems


def _unplaced(
    build: Build, file: str, top: LayoutCell, tiles: Sequence[Tile], cells: Collection[str]
) -> Iterator[str]:
    """Cells that nothing of the chip places: a reader takes each for one more top cell."""
    source = TileSource(build)
    known = {top.name, *top.placements}
    for kind in {tile.kind for tile in tiles}:
        known |= shared_layouts(source.scheme(kind)).keys()
    lacking = {tile.name for tile in tiles}  # told by their places
    for name in sorted(set(cells) - known - lacking):
        yield f"{file}: cell {name}, which is none of this chip, is beside it"


# -- places ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """Where cells must lie on a chip: every tile, and the fixed metal below by its cell's name."""

    tiles: Mapping[str, Place]
    below: Mapping[str, Mapping[Place, str]]


def expected_places(build: Build, chip: int, tiles: Sequence[Tile]) -> Expected:
    """The places of some tiles of a chip."""
    source = TileSource(build)
    places = {at.tile.name: (at.x, at.y) for at in tile_places(build, chip, tiles)}
    below: dict[str, dict[Place, str]] = {}
    for tile in tiles:
        name = base_name(source.scheme(tile.kind), tile.shape)
        below.setdefault(name, {})[places[tile.name]] = tile.name
    return Expected(places, below)


def place_problems(
    file: str, top: LayoutCell, expected: Expected, with_base: bool
) -> Iterator[str]:
    """What is wrong with the cell that places all others: each once, upright, in its place."""
    for tile, place in expected.tiles.items():
        places = _places(top, tile)
        if places != [place]:
            yield f"{file}: tile {tile} lies at {places or 'no place'}, not at {place}"
    for name, found in top.turned.items():
        for x, y in found.tolist():
            what = "rotated, mirrored or scaled"
            if name in expected.tiles:
                yield f"{file}: tile {name} is {what}"
            else:
                above = expected.below.get(name, {}).get((x, y))
                below = f"tile {above}" if above else "no tile"
                yield f"{file}: cell {name} is {what} at ({x}, {y}), below {below}"
    bases = {name for name in top.placements if name.startswith(BASE)}
    for other in sorted(top.placements.keys() - expected.tiles.keys() - bases):
        yield f"{file}: cell {other}, which is no tile of this chip, is placed"
    if bases and not with_base:
        yield f"{file}: has fixed metal below its tiles, {RECORD} says that it has none"
    if with_base or bases:
        yield from _misplaced_bases(file, top, expected)


def _places(top: LayoutCell, name: str) -> list[Place]:
    found = top.placements.get(name)
    return [] if found is None else [(x, y) for x, y in found.tolist()]


def _misplaced_bases(file: str, top: LayoutCell, expected: Expected) -> Iterator[str]:
    """Fixed metal that is not below its tiles, once below each, or is below none."""
    names = {name for name in top.placements if name.startswith(BASE)}
    for name in sorted(names | expected.below.keys()):
        found, its = Counter(_places(top, name)), expected.below.get(name, {})
        for place, tile in its.items():
            if found[place] != 1:
                count = "no" if not found[place] else f"{found[place]} times the"
                yield f"{file}: tile {tile} has {count} fixed metal {name} below it"
        for place in sorted(found.keys() - its.keys()):
            yield f"{file}: fixed metal {name} lies at {place}, where no tile of its shape is"


def top_cell(build: Build, folder: Path, chip: int, record: MasksRecord) -> LayoutCell:
    """The cell of a chip that places all others; raises DamagedMasks."""
    name, layers = chip_name(chip), LayerMap(build.manifest.technology, record.layers)
    with ChipFile(folder, chip, layers) as file:
        return file.cell(name, f"{folder / name}.oas: {name}")


# -- borders ---------------------------------------------------------------------------------


def check_borders(
    build: Build, folder: Path | None, results: Iterable[TileResult]
) -> Iterator[tuple[int, str | None]]:
    """(tiles looked at, problem or None) for what lies between the tiles of every chip.

    Places are those of the file, or of the placement where `folder` is None; what each tile's metal
    reaches is in its result.
    """
    of_chip: dict[int, list[TileResult]] = {}
    for result in results:
        of_chip.setdefault(result.chip, []).append(result)
    for chip, found in sorted(of_chip.items()):
        plan = chip_plan(build.manifest.placement, build.manifest.technology, chip)
        yield len(found), None
        for problem in _of_chip(build, folder, plan, {each.name: each.boxes for each in found}):
            yield 0, problem
        for problem in () if folder is None else _unplaced_shared(folder, chip, found):
            yield 0, problem


def _unplaced_shared(folder: Path, chip: int, results: Sequence[TileResult]) -> Iterator[str]:
    """Cells for tiles to share that none of them places; nothing is said where one cannot be read."""
    file = folder / chip_name(chip)
    try:
        cells = read_cells(file.with_suffix(".cells.json"))
    except DamagedMasks:
        return  # told with the files
    if all(result.boxes for result in results):
        placed = {name for result in results for name in result.placed}
        for name in sorted(cells.keys() - placed):
            if name.startswith(SHARED):
                yield f"{file}.oas: cell {name}, which no tile places, is beside them"


def _of_chip(
    build: Build, folder: Path | None, plan: DiePlan, boxes: dict[str, Boxes]
) -> Iterator[str]:
    technology, where = build.manifest.technology, chip_name(plan.chip)
    top = None
    if folder is not None:
        try:
            top = top_cell(build, folder, plan.chip, read_record(folder))
        except DamagedMasks:
            return  # told with the files
    yield from border_problems(technology, plan, boxes, top, where)


def border_problems(
    technology: Technology,
    plan: DiePlan,
    boxes: Mapping[str, Boxes],
    top: LayoutCell | None,
    where: str,
) -> Iterator[str]:
    """What is wrong between the tiles of a chip, placed as `top` says, or as planned."""
    if top is None:
        places = [(at.tile.name, at.x, at.y) for at in plan.tiles]
    else:
        places = [(name, x, y) for name in top.placements for x, y in _places(top, name)]
    placed = [TileBoxes(name, x, y, boxes[name]) for name, x, y in places if name in boxes]
    yield from chip_problems(technology, plan, placed, where)
    for (layer, datatype), parts in top.shapes.items() if top else ():
        for x0, y0, x1, y1 in np.concatenate(parts)[:NAMED].tolist():
            near = near_tiles(plan, (x0, y0, x1, y1), largest_space_nm(technology))
            yield (
                f"{where}: has shapes outside of tiles: on layer {layer}/{datatype} from "
                f"({x0}, {y0}) to ({x1}, {y1}) nm, over or beside {', '.join(near) or 'no tile'}"
            )
