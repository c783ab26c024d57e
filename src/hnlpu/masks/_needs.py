"""What the scheme of a build needs of its technology, by array kind."""

from __future__ import annotations

from typing import Any

from hnlpu.embed import Scheme
from hnlpu.hardwire import Build
from hnlpu.masks._cells import TileSource
from hnlpu.place import find_tiles
from hnlpu.technology import Technology


def programmable_masks(technology: Technology, scheme: Scheme) -> list[str]:
    """Names of the masks that differ between models."""
    layers = (layer for layer in technology.layers if layer.name in scheme.programmable)
    return [mask for layer in layers for mask in layer.masks]


def scheme_needs(build: Build) -> dict[str, dict[str, Any]]:
    """Needs of the largest tile of every array kind of a build, by the kind's name.

    Beside what the scheme counts (tracks, wire a weight, fan-out, load, ports): programmable masks,
    area and transistors a digit.
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
            "transistors_per_digit": scheme.transistors(tile.shape.blocks * 32, 1024),
            **scheme.needs(source.read.digits(tile)),
        }
    return found
