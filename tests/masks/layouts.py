"""Schemes, random digits, and KLayout's view of a `Layout`, for the tests of mask formats."""

from __future__ import annotations

from collections.abc import Mapping

import klayout.db as db
import numpy as np

from hnlpu.embed import (
    LayerKey,
    Layout,
    Rectangles,
    Scheme,
    TileDigits,
    TileShape,
    array_kind,
    canonical,
    open_scheme,
)
from hnlpu.technology import load_technology

KINDS = {
    "plain": ("taps", 1, 1, 0),
    "scales": ("taps", 1, 1, 2),
    "bank": ("taps", 2, 4, 4),
}


def scheme_of(kind: str, technology: str = "n5") -> Scheme:
    return open_scheme(load_technology(technology), array_kind(*KINDS[kind]))


def random_digits(scheme: Scheme, shape: TileShape, seed: int = 1) -> TileDigits:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (shape.rows, shape.blocks, 16), np.uint8)
    shifts = rng.integers(0, scheme.kind.scale_range + 1, (shape.rows, shape.blocks), np.uint8)
    return canonical(codes, shifts, np.zeros(shape.rows, np.uint8))


def region(rectangles: Rectangles) -> db.Region:
    """As KLayout holds it, in nm."""
    return db.Region([db.Box(*map(int, corners)) for corners in rectangles])


def regions(layout: Layout) -> dict[LayerKey, db.Region]:
    return {layer: region(rectangles) for layer, rectangles in layout.flat().items()}


def read_regions(layout: db.Layout, cell: db.Cell) -> dict[LayerKey, db.Region]:
    """What KLayout read: the shapes below `cell` by layer, without texts."""
    found = {}
    for index in layout.layer_indexes():
        info = layout.get_info(index)
        here = db.Region(cell.begin_shapes_rec(index))
        if here.count():  # a layer of texts alone is not empty to KLayout
            found[info.layer, info.datatype] = here
    return found


def difference(
    a: Mapping[LayerKey, db.Region], b: Mapping[LayerKey, db.Region]
) -> dict[LayerKey, str]:
    """Layers whose merged shapes differ, and where first."""
    differing = {}
    for layer in a.keys() | b.keys():
        xor = a.get(layer, db.Region()) ^ b.get(layer, db.Region())
        if not xor.is_empty():
            differing[layer] = str(xor.bbox())
    return differing
