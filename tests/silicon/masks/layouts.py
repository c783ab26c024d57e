"""Schemes, random digits, and KLayout's view of a `Layout`, for the tests of mask formats."""

from __future__ import annotations

from collections.abc import Mapping

import klayout.db as db
import numpy as np

from hnlpu.arithmetic.codebooks import E2M1
from hnlpu.arithmetic.mx import pack
from hnlpu.silicon.embed import (
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
from hnlpu.silicon.technology import load_technology

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
    if scheme.kind.codebook != E2M1:
        codes = pack(rng.choice(scheme.kind.values.codes, (shape.rows, shape.blocks * 32)))
        codes = codes.astype(np.uint8)
    shifts = rng.integers(0, scheme.kind.scale_range + 1, (shape.rows, shape.blocks), np.uint8)
    return canonical(codes, shifts, np.zeros(shape.rows, np.uint8), scheme.kind.codebook)


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


def driver_of_sink(scheme: Scheme, digits: TileDigits) -> dict[str, str]:
    """What each sink of a taps tile must hang on, pin by pin from the digits' definition."""
    sources = {}
    value = (0, 1, 2, 3, 4, 6, 8, 12)
    columns = 6 + scheme.kind.scale_range if scheme.kind.scale_range else 0
    for row in range(digits.rows):
        for block in range(digits.blocks):
            for n in range(32):
                code = int(digits.codes[row, block, n // 2]) >> (n % 2 * 4) & 15
                column = block * 32 + n
                sign = "-" if code & 8 else "+"
                source = f"x{column}.{sign}{value[code & 7]}" if code & 7 else "GND"
                sources[f"p{row}.{column}"] = source
            for j in range(columns):
                bit = j - int(digits.shifts[row, block])
                source = f"c{row}.{block}.{bit}" if 0 <= bit < 6 else "GND"
                sources[f"q{row}.{block}.{j}"] = source
    return sources
