"""A folder of masks, and the chips in it -> what is wrong with files, places and borders of tiles.

files     every byte is that of masks.json, and nothing else is there
places    every tile, and the fixed metal below it, lies once, upright, where the placement says
borders   no tile comes near another, a block or the die's edge (`hnlpu.masks._chip_geometry`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hnlpu.embed import Rectangles, largest_space_nm
from hnlpu.errors import DamagedMasks, InvalidInput
from hnlpu.hardwire import Build, file_sha256
from hnlpu.masks._cells import TileSource, base_name, chip_name
from hnlpu.masks._check import TileResult
from hnlpu.masks._chip_file import ChipFile
from hnlpu.masks._chip_geometry import Boxes, Die, TileBoxes, chip_problems, near_tiles
from hnlpu.masks._oasis_cell import Cell
from hnlpu.masks._oasis_read import parse_cell
from hnlpu.masks._record import RECORD, MasksRecord, build_digest, read_cells, read_record
from hnlpu.masks._write import tile_places
from hnlpu.place import DiePlan, Tile, chip_plan, find_tiles

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
        raise DamagedMasks(f"{folder}: holds no OASIS; write the masks with --format oasis")
    manifest = build.manifest
    problems, tiles = [], []
    for name, file in record.files.items():
        path = folder / name
        try:
            if path.stat().st_size != file.bytes or file_sha256(path) != file.sha256:
                problems.append(f"{path}: altered (its digest is not that of {RECORD})")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
    known_names = {RECORD, *record.files}
    strangers = (path for path in sorted(folder.iterdir()) if path.name not in known_names)
    problems += [f"{path}: is not part of the masks" for path in strangers]
    for chip in record.tiles:
        if chip >= manifest.placement.chips:
            problems.append(f"{folder / RECORD}: names chip {chip}, which the build does not have")
            continue
        try:
            cells = read_cells(folder / f"{chip_name(chip)}.cells.json")
        except DamagedMasks as error:
            problems.append(str(error))
            continue
        known = find_tiles(manifest.placement, manifest.technology.array, [chip])
        here = [tile for tile in known if tile.name in cells]
        if len(here) != record.tiles[chip]:
            absent = ", ".join([tile.name for tile in known if tile.name not in cells][:NAMED])
            problems.append(
                f"{folder / chip_name(chip)}.oas: has {len(here)} tiles, {RECORD} says "
                f"{record.tiles[chip]}" + (f"; absent are {absent}" if absent else "")
            )
        problems += _misplaced(build, folder, chip, here, record.with_base)
        tiles += here
    return record, tiles, problems


def _top_cell(folder: Path, chip: int) -> tuple[Cell, set[str]]:
    """The cell that places all others, and the names of the cells of fixed metal."""
    name = chip_name(chip)
    with ChipFile(folder, chip) as file:
        return parse_cell(file.record(name), f"{folder / name}.oas: {name}"), file.bases()


def _misplaced(
    build: Build, folder: Path, chip: int, tiles: Sequence[Tile], with_base: bool
) -> Iterator[str]:
    """Tiles, and fixed metal below them, that do not lie where the placement puts them."""
    file = f"{folder / chip_name(chip)}.oas"
    try:
        top, bases = _top_cell(folder, chip)
    except DamagedMasks as error:
        yield str(error)
        return
    wanted = {placed.tile.name: (placed.x, placed.y) for placed in tile_places(build, chip, tiles)}
    for tile, place in wanted.items():
        places = _places(top, tile)
        if places != [place]:
            yield f"{file}: tile {tile} lies at {places or 'no place'}, not at {place}"
    yield from (
        f"{file}: {'tile' if name in wanted else 'cell'} {name} is rotated, mirrored or scaled"
        for name in top.turned
    )
    for other in sorted(top.placements.keys() - wanted.keys() - bases):
        yield f"{file}: cell {other}, which is no tile of this chip, is placed"
    if with_base or bases:
        yield from _misplaced_bases(build, file, top, tiles, wanted)


def _places(top: Cell, name: str) -> list[Place]:
    found = top.placements.get(name)
    return [] if found is None else [(x, y) for x, y in found.tolist()]


def _misplaced_bases(
    build: Build, file: str, top: Cell, tiles: Sequence[Tile], wanted: dict[str, Place]
) -> Iterator[str]:
    """Fixed metal that is not below its tiles, once below each, or is below none."""
    source = TileSource(build)
    above: dict[str, dict[Place, str]] = {}
    for tile in tiles:
        name = base_name(source.scheme(tile.kind), tile.shape)
        above.setdefault(name, {})[wanted[tile.name]] = tile.name
    for name in sorted(above.keys() | {n for n in top.placements if n.startswith("base-")}):
        found, its = Counter(_places(top, name)), above.get(name, {})
        for place, tile_name in its.items():
            if found[place] != 1:
                count = "no" if not found[place] else f"{found[place]} times the"
                yield f"{file}: tile {tile_name} has {count} fixed metal {name} below it"
        for place in sorted(found.keys() - its.keys()):
            yield f"{file}: fixed metal {name} lies at {place}, where no tile of its shape is"


# -- borders ---------------------------------------------------------------------------------


def check_borders(
    build: Build, folder: Path | None, results: Iterable[TileResult]
) -> Iterator[tuple[int, str | None]]:
    """(tiles looked at, problem or None) for what lies between the tiles of every chip.

    Places are those of the file, or of the placement where `folder` is None; what each tile's metal
    reaches is in its result.
    """
    of_chip: dict[int, dict[str, Boxes]] = {}
    for result in results:
        of_chip.setdefault(result.chip, {})[result.name] = result.boxes
    for chip, boxes in sorted(of_chip.items()):
        plan = chip_plan(build.manifest.placement, build.manifest.technology, chip)
        yield len(boxes), None
        for problem in _of_chip(build, folder, plan, boxes):
            yield 0, problem


def _of_chip(
    build: Build, folder: Path | None, plan: DiePlan, boxes: dict[str, Boxes]
) -> Iterator[str]:
    technology, where = build.manifest.technology, chip_name(plan.chip)
    shapes: dict[int, Rectangles] = {}
    if folder is None:
        places = [(at.tile.name, at.x, at.y) for at in plan.tiles]
    else:
        try:
            top, _ = _top_cell(folder, plan.chip)
        except DamagedMasks:
            return  # told with the files
        places = [(name, x, y) for name in top.placements for x, y in _places(top, name)]
        shapes = {key[0]: found for key, parts in top.shapes.items() for found in parts}
    placed = [TileBoxes(name, x, y, boxes[name]) for name, x, y in places if name in boxes]
    die = Die(plan.width, plan.height, plan.blocks)
    yield from chip_problems(technology, die, placed, where)
    for layer, rectangles in shapes.items():
        for x0, y0, x1, y1 in rectangles[:NAMED].tolist():
            near = near_tiles(placed, (x0, y0, x1, y1), largest_space_nm(technology))
            yield (
                f"{where}: a shape on layer {layer} from ({x0}, {y0}) to ({x1}, {y1}) nm is outside "
                f"of tiles; it is over or beside {', '.join(near[:NAMED]) or 'none'}"
            )
