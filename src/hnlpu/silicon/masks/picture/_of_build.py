"""A build and its placement -> what pictures are of: dies with their blocks, a tile with its names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.silicon.embed import open_scheme
from hnlpu.silicon.hardwire import Build, TileReader, member_word
from hnlpu.silicon.masks.picture._subject import DrawnBlock, DrawnDie, PictureSubject, TilePlace
from hnlpu.silicon.place import DiePlan, PlacedTile, Tile, chip_plan

MOST_RANGES = 4


def subject_of(
    build: Build, tile: Tile, *, row: int | None = None, column: int | None = None
) -> PictureSubject:
    """A tile of a build on its die; `row` of metal and `column` of the tile choose the weight.

    Raises InvalidInput for a tile whose ports have two inputs each: a via is no weight there.
    """
    if tile.kind.inputs_per_port > 1:
        raise InvalidInput(
            f"{tile.name}: no picture shows ports with two inputs each; choose a tile of a matrix in "
            f"another format than {tile.kind.codebook}"
        )
    shape, technology = build.shapes()[tile.matrix], build.manifest.technology
    stack = build.stack(shape)
    places = [tile.place_of(n) for n in range(tile.shape.rows)]
    exponents = np.array([stack[member].row_exponents[neuron] for neuron, member, _ in places])
    plan = chip_plan(build.manifest.placement, technology, tile.chip)
    runs = list(_runs(plan))
    number = next(n for n, run in enumerate(runs) if any(placed.tile == tile for placed in run))
    placed = next(placed for placed in runs[number] if placed.tile == tile)
    die = _die(build, plan, f"chip {tile.chip}")
    return PictureSubject(
        build.directory.name, tile.matrix, open_scheme(technology, tile.kind),
        TileReader(build).digits(tile), [_row_name(tile, shape, *place) for place in places],
        tile.blocks[0] * 32, exponents.astype(np.uint8),
        TilePlace(die, number, placed.x / 1e3, placed.y / 1e3), row, column,
    )  # fmt: skip


def distinct_dies(build: Build) -> list[DrawnDie]:
    """The dies of a build whose floorplans differ, each named for all chips that have it."""
    alike: dict[tuple[object, ...], tuple[list[int], DrawnDie]] = {}
    manifest = build.manifest
    for chip in range(build.manifest.placement.chips):
        die = _die(build, chip_plan(manifest.placement, manifest.technology, chip), "")
        drawn = (
            die.width_um, die.height_um,
            *((block.role, *block.corners, block.edges_um) for block in die.blocks),
        )  # fmt: skip
        alike.setdefault(drawn, ([], die))[0].append(chip)
    return [replace(die, name=_chips(chips)) for chips, die in alike.values()]


def _die(build: Build, plan: DiePlan, name: str) -> DrawnDie:
    """A die with arrays as runs of tiles, in the order of `_runs`, and the blocks above."""
    shapes, rules = build.shapes(), build.manifest.technology.die
    blocks = [
        DrawnBlock(_array_name(run[0].tile), shapes[run[0].tile.matrix].role, run[0].x / 1e3,
              run[0].y / 1e3, (run[-1].x + run[-1].width - run[0].x) / 1e3, run[0].height / 1e3,
              tuple(placed.x / 1e3 for placed in run[1:]))
        for run in _runs(plan)
    ]  # fmt: skip
    blocks += [
        DrawnBlock(b.name, "", b.x / 1e3, b.y / 1e3, b.width / 1e3, b.height / 1e3)
        for b in plan.blocks
    ]
    reticle = rules.reticle_width.value * 1e3, rules.reticle_height.value * 1e3
    return DrawnDie(name, plan.width / 1e3, plan.height / 1e3, tuple(blocks), reticle)


def _runs(plan: DiePlan) -> Iterator[list[PlacedTile]]:
    """Tiles of one array that stand side by side, equally high."""
    run: list[PlacedTile] = []
    for placed in plan.tiles:
        last = run[-1] if run else None
        if last and not (
            (last.tile.matrix, last.tile.members) == (placed.tile.matrix, placed.tile.members)
            and last.y == placed.y
            and last.height == placed.height
        ):
            yield run
            run = []
        run.append(placed)
    if run:
        yield run


def _array_name(tile: Tile) -> str:
    name = tile.matrix.removeprefix("model.").replace("self_attn.", "").replace("mlp.", "")
    first, behind = tile.members
    if tile.kind.bank == 1 and "experts" not in tile.matrix:
        return name
    members = f"{first}" if behind - first == 1 else f"{first} to {behind - 1}"
    return f"{name} {members}"


def _row_name(tile: Tile, shape: MatrixShape, neuron: int, member: int, digit: int) -> str:
    name = f"neuron {neuron}"
    if shape.bank:
        name += f", {member_word(shape)} {member}"
    return f"{name}, digit {digit + 1}" if tile.kind.digits > 1 else name


def _chips(chips: list[int]) -> str:
    """Chip 3; chips 0 to 3 and 8 to 11, alike."""
    if len(chips) == 1:
        return f"chip {chips[0]}"
    parts: list[list[int]] = []
    for chip in chips:
        if parts and parts[-1][-1] == chip - 1:
            parts[-1].append(chip)
        else:
            parts.append([chip])
    if len(parts) > MOST_RANGES:
        return f"{len(chips)} chips from chip {chips[0]} on, alike"
    *first, last = (
        f"{part[0]} to {part[-1]}" if len(part) > 2 else " and ".join(map(str, part))
        for part in parts
    )
    return f"chips {', '.join(first)}{' and ' if first else ''}{last}, alike"
