"""What the scheme of a build needs of its technology, by array kind."""

from __future__ import annotations

from typing import Any

from hnlpu.embed import BLOCK, Scheme
from hnlpu.hardwire import Build
from hnlpu.masks._cells import TileSource
from hnlpu.place import Tile, chip_arrays, find_tiles
from hnlpu.technology import Technology


def programmable_masks(technology: Technology, scheme: Scheme) -> list[str]:
    """Names of the masks that differ between models."""
    layers = (layer for layer in technology.layers if layer.name in scheme.programmable)
    return [mask for layer in layers for mask in layer.masks]


def scheme_needs(build: Build) -> dict[str, dict[str, Any]]:
    """Needs of the largest tile of every array kind of a build, by the kind's name.

    Beside what the scheme counts (tracks, wire a weight, fan-out, load, ports): programmable masks,
    area of a digit, and its transistors in the array that the tile is of.
    """
    manifest = build.manifest
    source = TileSource(build)
    tiles = find_tiles(manifest.placement, manifest.technology.array)
    largest = {
        tile.kind: tile for tile in sorted(tiles, key=lambda tile: tile.shape.weights)
    }  # the last of a kind stays
    found = {}
    for kind, tile in sorted(largest.items()):
        scheme = source.scheme(kind)
        width, height = scheme.size_nm(tile.shape)
        found[kind.name] = {
            "tile": tile.name,
            "programmable_masks": programmable_masks(manifest.technology, scheme),
            "area_um2_per_digit": width * height * 1e-6 / tile.shape.weights,
            "transistors_per_digit": _transistors(build, scheme, tile),
            **scheme.needs(source.read.digits(tile)),
        }
    return found


def _transistors(build: Build, scheme: Scheme, tile: Tile) -> float:
    """Transistors of a digit: a neuron adds up all inputs of its array, not those of a tile."""
    array = next(
        array
        for array in chip_arrays(build.manifest.placement, tile.chip)
        if array.matrix == tile.matrix and array.members == tile.members
    )
    inputs, neurons = ((b - a) for a, b in (array.blocks, array.neurons))
    return scheme.transistors(inputs * BLOCK, neurons)
