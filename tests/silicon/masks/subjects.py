"""Subjects of pictures with random digits, for all kinds of arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from layouts import random_digits, scheme_of

from hnlpu.silicon.embed import ArrayKind, Scheme, TileDigits, TileShape, open_scheme, tracks_needed
from hnlpu.silicon.masks.picture import DrawnBlock, DrawnDie, PictureSubject, TilePlace
from hnlpu.silicon.technology import load_technology

KINDS = ("plain", "scales", "bank", "wires")
SHAPE = TileShape(24, 2)


def scheme_and_digits(
    kind: str, shape: TileShape, seed: int, process: str
) -> tuple[Scheme, TileDigits]:
    if kind != "wires":
        scheme = scheme_of(kind, process)
        return scheme, random_digits(scheme, shape, seed)
    technology = load_technology(process)
    bare = ArrayKind("regions", 1, 1, 2, 4)
    digits = random_digits(open_scheme(technology, bare), shape, seed)
    tracks = tracks_needed(technology, bare, digits)
    return open_scheme(technology, replace(bare, tracks=tracks)), digits


def die_of(width_nm: int, height_nm: int) -> DrawnDie:
    """9 x 8 mm with arrays of three tiles side by side, four above each other, and a buffer."""
    width, height = width_nm / 1e3, height_nm / 1e3
    arrays = [
        DrawnBlock(
            f"array {n}",
            role,
            2000,
            500 + n * height,
            3 * width,
            height,
            (2000 + width, 2000 + 2 * width),
        )
        for n, role in enumerate(("attention", "attention", "experts", "unembedding"))
    ]
    return DrawnDie("chip 0", 9000, 8000, [DrawnBlock("buffer", "", 100, 100, 1500, 4000), *arrays])


def subject_of(
    kind: str = "scales", shape: TileShape = SHAPE, seed: int = 1, process: str = "n5",
    **changes: Any,
) -> PictureSubject:  # fmt: skip
    scheme, digits = scheme_and_digits(kind, shape, seed, process)
    size = scheme.size_nm(shape)
    place = TilePlace(die_of(*size), 2, 2000 + size[0] / 1e3, 500 + size[1] / 1e3)
    subject = PictureSubject(
        "a model", "layers.0.q", scheme, digits,
        [f"neuron {n}" for n in range(shape.rows)], 64,
        np.full(shape.rows, 121, np.uint8), place,
    )  # fmt: skip
    return replace(subject, **changes)
