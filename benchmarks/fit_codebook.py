"""The sixteen whole numbers that hold a tensor best:  python benchmarks/fit_codebook.py CHECKPOINT MATRIX

    blocks of 32 weights ─► exponents of the values so far ─► Lloyd's means of what each value holds
        ─► the nearest numbers that can be stored, the best of all scales ─► again, until nothing is gained

Prints the values as a line of a codebook's file (`hnlpu.arithmetic.codebooks`) and the error that they leave beside
those of E2M1, int4 and NF4.  The codebook `fitted` was made so from `checkpoints/stdlib-8m lm_head`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import Codebook, open_codebook
from hnlpu.arithmetic.mx import BLOCK, TWICE_E2M1
from hnlpu.arithmetic.onto import quantize_onto
from hnlpu.model.checkpoint import read_model

SPREAD, ROUNDS, LARGEST = 20, 12, 24
STORABLE = np.array(sorted({int(a) + int(b) for a in TWICE_E2M1 for b in TWICE_E2M1}))
"""What two E2M1 codes add up to."""

Float = npt.NDArray[Any]


def codebook(values: list[int]) -> Codebook:
    return Codebook("fitted", "fitted", tuple(values), "")


def left(weights: Float, values: list[int]) -> float:
    """Relative error of weights on these values."""
    _, rest = quantize_onto(weights, codebook(values), SPREAD)
    return float(
        np.sqrt((rest.astype(np.float64) ** 2).sum() / (weights.astype(np.float64) ** 2).sum())
    )


def means(weights: Float, values: list[int]) -> Float:
    """What the weights that each of the values holds are on average, in its units."""
    found, rest = quantize_onto(weights, codebook(values), SPREAD)
    unit = np.ldexp(1.0, found[0][1].astype(np.int64) - 128)[..., None]
    blocks = weights.reshape(*unit.shape[:2], BLOCK) / unit
    held = np.rint(blocks - rest.reshape(blocks.shape) / unit).astype(np.int64)
    return np.array([blocks[held == v].mean() if (held == v).any() else v for v in values])


def rounded(wanted: Float) -> list[list[int]]:
    """Values that can be stored near some scale of `wanted`, 0 among them."""
    found = set()
    for largest in np.arange(LARGEST / 2, LARGEST + 0.1, 0.25):
        scaled = wanted * largest / np.abs(wanted).max()
        near = STORABLE[np.abs(scaled[:, None] - STORABLE).argmin(1)]
        values = sorted({*near.tolist(), 0})
        if len(values) == 16 and max(sum(v > 0 for v in values), sum(v < 0 for v in values)) <= 8:
            found.add(tuple(values))
    return [list(values) for values in found]


def fit(weights: Float) -> list[int]:
    """Values that no step of Lloyd's makes better."""
    best = sorted(open_codebook("nf4").values)
    error = left(weights, best)
    for _ in range(ROUNDS):
        errors = {tuple(v): left(weights, v) for v in rounded(means(weights, best))}
        values, least = min(errors.items(), key=lambda entry: entry[1])
        if least >= error:
            return best
        best, error = list(values), least
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="A codebook fitted to a tensor.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("matrix")
    args = parser.parse_args()
    matrix = read_model(args.checkpoint).matrices[args.matrix]
    weights = matrix.dense(0, slice(0, matrix.shape.rows))
    values = fit(weights)
    print("values =", [*(v for v in values if v >= 0), *(v for v in reversed(values) if v < 0)])
    print(f"fitted {left(weights, values):.4f}")
    for name in ("e2m1", "int4", "nf4"):
        print(f"{name} {left(weights, sorted(open_codebook(name).values)):.4f}")


if __name__ == "__main__":
    main()
