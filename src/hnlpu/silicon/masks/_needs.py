"""What the scheme of a build needs of its technology, by array kind; masks of its chips."""

from __future__ import annotations

from typing import Any

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import (
    LayerExposures,
    Scheme,
    TileShape,
    Way,
    layer_exposures,
    masks_needed,
    programmable_masks,
)
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks._cells import TileSource
from hnlpu.silicon.place import Tile, chip_arrays, find_tiles


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
            "programmable_masks": programmable_masks(manifest.technology, scheme, tile.shape),
            "area_um2_per_digit": width * height * 1e-6 / tile.shape.weights,
            "transistors_per_digit": _transistors(build, scheme, tile),
            **scheme.needs(source.read.digits(tile)),
        }
    return found


def mask_needs(build: Build) -> dict[str, Any]:
    """Masks that print any weights of a build's chips, and why so many: pitches, k1, ways to print.

    One set serves all array kinds, so the neediest decides.  `low` and `high` are the programmable masks
    at the ends of the least k1.  `layers` is empty where the technology names no scanners: the masks are
    then those that it states.  Raises DoesNotFit where no scanner prints a layer.
    """
    manifest = build.manifest
    source = TileSource(build)
    tiles = find_tiles(manifest.placement, manifest.technology.array)
    found = sorted({(tile.kind, tile.shape.rows, tile.shape.blocks) for tile in tiles})
    schemes = [(source.scheme(kind), TileShape(rows, blocks)) for kind, rows, blocks in found]
    low, value, high = (masks_needed(schemes, limit) for limit in ("low", "value", "high"))
    layers = layer_exposures(schemes) if manifest.technology.lithography else ()
    names = [mask for layer in layers for mask in layer.masks]
    stated = programmable_masks(
        manifest.technology.model_copy(update={"lithography": None}), schemes[0][0]
    )
    return {
        "programmable_masks": names or stated,
        "shared_masks": value.shared,
        "stated": stated,
        "low": low.programmable,
        "high": high.programmable,
        "layers": [_layer_facts(layer) for layer in layers],
    }


def _layer_facts(layer: LayerExposures) -> dict[str, Any]:
    pitches = layer.pitches
    return {
        "layer": layer.layer,
        "pitch_nm": {
            "across": pitches.across, "along": pitches.along, "diagonal": pitches.diagonal
        },
        "ways": [_way_facts(way) for way in layer.ways],
    }  # fmt: skip


def _way_facts(way: Way) -> dict[str, Any]:
    return {
        "scanner": way.scanner, "method": way.method, "k1": way.k1,
        "least_pitch_nm": way.least_pitch_nm, "programmable": way.programmable,
        "shared": way.shared, "duv_masks": (way.programmable + way.shared) * way.mask_weight,
    }  # fmt: skip


def _transistors(build: Build, scheme: Scheme, tile: Tile) -> float:
    """Transistors of a digit: a neuron adds up all inputs of its array, not those of a tile."""
    array = next(
        array
        for array in chip_arrays(build.manifest.placement, tile.chip)
        if array.matrix == tile.matrix and array.members == tile.members
    )
    inputs, neurons = ((b - a) for a, b in (array.blocks, array.neurons))
    return scheme.transistors(inputs * BLOCK, neurons)
