"""Digits of many kinds and schemes whose rows have the tracks for them, for tests of regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hnlpu.arithmetic.mx import pack, quantize_mxfp4, zero_blocks
from hnlpu.silicon.embed import (
    ArrayKind,
    Layout,
    Regions,
    TileDigits,
    TileShape,
    canonical,
    tracks_needed,
)
from hnlpu.silicon.technology import load_technology

CODES = np.array([code for code in range(16) if code != 8], np.uint8)

WEIGHTS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "gaussian": lambda r, shape: r.standard_normal(shape),
    "laplace": lambda r, shape: r.laplace(size=shape),
    "t3": lambda r, shape: r.standard_t(3, shape),
    "uniform": lambda r, shape: r.uniform(-1, 1, shape),
    "biased": lambda r, shape: r.standard_normal(shape) + 1.5,
    "sparse": lambda r, shape: r.standard_normal(shape) * (r.random(shape) < 0.05),
}


def digits_from(weights: np.ndarray, scale_range: int) -> TileDigits:
    """MXFP4 digits of `weights`, with the rows whose blocks span more than `scale_range` at it."""
    codes, exponents = quantize_mxfp4(weights.astype(np.float32))
    least = exponents.max(1).astype(int) - scale_range
    codes, exponents = quantize_mxfp4(weights.astype(np.float32), least)
    used = np.where(zero_blocks(codes), 255, exponents)
    return canonical(codes, exponents, used.min(1).astype(np.uint8))


def digits_of(codes: np.ndarray, shifts: np.ndarray | int = 0) -> TileDigits:
    """Digits from codes [rows, inputs] and shifts [rows, blocks], or one shift for all."""
    rows, inputs = codes.shape
    all_shifts = np.broadcast_to(np.asarray(shifts, np.uint8), (rows, inputs // 32))
    return canonical(pack(codes.astype(np.uint8)), all_shifts, np.zeros(rows, np.uint8))


def random_digits(rows: int, blocks: int, scale_range: int, seed: int) -> TileDigits:
    r = np.random.default_rng(seed)
    return digits_of(
        r.choice(CODES, (rows, blocks * 32)), r.integers(0, scale_range + 1, (rows, blocks))
    )


def adversarial(blocks: int, scale_range: int) -> dict[str, TileDigits]:
    """Rows made to be hard on groups or on tracks."""
    inputs = blocks * 32
    n = np.arange(inputs)
    far = np.where(n < inputs // 2, 7, 15)
    rows = {
        "nothing": np.zeros(inputs),
        "one value": np.full(inputs, 7),
        "one weight": np.where(n == inputs - 1, 1, 0),
        "each value once": np.where(n < 15, CODES[n % 15], 0),
        "one more than groups": CODES[1:][n % 9 % 14],
        "all values in turn": CODES[1:][n % 14],
        "halves": far,
        "values in order": CODES[1:][n * 14 // inputs],
        "ends only": np.where((n < 8) | (n >= inputs - 8), 3, 0),
    }
    shifts = np.arange(blocks) * scale_range // max(1, blocks - 1)
    return {name: digits_of(codes[None], shifts) for name, codes in rows.items()}


def regions_for(
    digits: TileDigits, scale_range: int = 2, group: int = 8, technology: str = "n5",
    bank: int = 1, per_weight: int = 1,
) -> Regions:  # fmt: skip
    """The scheme with as many tracks as `digits` need."""
    t = load_technology(technology)
    kind = ArrayKind("regions", per_weight, bank, scale_range, group)
    return Regions(t, replace(kind, tracks=tracks_needed(t, kind, digits)))


def shape_of(digits: TileDigits) -> TileShape:
    return TileShape(digits.rows, digits.blocks)


def whole(scheme: Regions, digits: TileDigits) -> Layout:
    """Base and drawn metal in one."""
    return scheme.base(shape_of(digits)).merged(scheme.draw(digits))
