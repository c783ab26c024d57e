"""Weights onto MXFP4, each column's error handed to the columns behind it.

GPTQ (arXiv 2210.17323): with H = X^T X of the inputs that a matrix meets, rounding column j and moving the rest
of its row by -(w_j - q_j) U[j, j+1:] / U[j, j], where U^T U = H^-1, keeps X W^T nearest to what it was.  Each
block of 32 columns takes its exponent from what its weights are when their turn comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from hnlpu.arithmetic.mx import BLOCK, dequantize, quantize_mxfp4
from hnlpu.errors import InvalidInput
from hnlpu.insight.compress._options import Decision, StepOptions
from hnlpu.insight.compress._subject import (
    Float32,
    Float64,
    Subject,
    dense_values,
    holds_in_one_digit,
)
from hnlpu.model.edit import Edit, edited, keep_all
from hnlpu.model.network import Matrix
from hnlpu.model.policy import fits

H_BYTES = 2 * 10**9
"""Of input products that are summed in one pass over the text; more matrices take more passes."""
MOST_OF_GRID = 6.0
Products = dict[tuple[str, int], Float64]


class Round(StepOptions):
    """Round `matrices` (names or patterns; default: all that MXFP4 does not hold exactly) to one digit."""

    name: Literal["round"] = "round"
    matrices: tuple[str, ...] = Field(("*",), min_length=1)
    damping: float = Field(0.01, gt=0, le=1)

    def check(self, subject: Subject) -> None:
        """Every family has weights; one whose config says how they were quantised keeps them."""
        edited(subject.family, subject.values, Edit(keep_all(subject.layers)))
        names = [m.name for m in subject.model.network.matrices]
        for pattern in self.matrices:
            if not any(fits(pattern, name) for name in names):
                raise InvalidInput(
                    f"round: no matrix is called {pattern}; the first is {names[0]}, `*` stands for any"
                )

    def decide(self, subject: Subject) -> Decision:
        """Rounded values of every matrix that needs rounding."""
        chosen = [
            m
            for m in subject.model.network.matrices
            if any(fits(pattern, m.name) for pattern in self.matrices)
            and not holds_in_one_digit(subject, m)
        ]
        values: dict[str, Callable[[int], Float32]] = {}
        lines = [] if chosen else ["one digit holds every matrix already: nothing is rounded"]
        done = 0
        for group in _groups(chosen):
            products = _products(
                subject, {m.name for m in group}, f"round: {done} of {len(chosen)}"
            )
            for matrix in group:
                kept = subject.notes.with_suffix(".rounded") / matrix.name
                before, after = _rounded(subject, matrix, products, self.damping, kept)
                values[matrix.name] = _Kept(kept)
                lines.append(
                    f"{matrix.name}: output error {100 * after:.3g} %, {100 * before:.3g} % by nearest"
                )
                done += 1
        return Decision(Edit(keep_all(subject.layers), values), lines)


def _groups(matrices: list[Matrix]) -> Iterator[list[Matrix]]:
    """Runs of matrices whose input products fit in memory."""
    group: list[Matrix] = []
    size = 0
    for matrix in matrices:
        needed = 8 * matrix.count * matrix.columns**2
        if group and size + needed > H_BYTES:
            yield group
            group, size = [], 0
        group.append(matrix)
        size += needed
    if group:
        yield group


def _products(subject: Subject, names: set[str], said: str) -> Products:
    """Products X^T X of the inputs that each member of some matrices meets."""
    found: Products = {}

    def see(name: str, index: int, x: Float32, _: Float32) -> None:
        if name in names:
            wide = x.astype(np.float64)
            found[name, index] = found.get((name, index), 0.0) + wide.T @ wide

    subject.progress(said, 0, 1)
    subject.observe(see)
    return found


@dataclass(frozen=True)
class _Kept:
    """Rounded members of a matrix in a folder of files: a model's are not all in memory at once."""

    folder: Path

    def __call__(self, member: int) -> Float32:
        return np.asarray(np.load(self.folder / f"{member}.npy", mmap_mode="r"))


def _rounded(
    subject: Subject, matrix: Matrix, products: Products, damping: float, folder: Path
) -> tuple[float, float]:
    """Write new values of each member; the relative error of outputs by nearest rounding and by this."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = np.zeros(3)
    for member in range(matrix.count):
        dense = dense_values(subject, matrix, member)
        h = np.zeros((dense.shape[1],) * 2)
        met = products.get((matrix.name, member))
        if met is not None:
            h[: matrix.columns, : matrix.columns] = met
        nearest = dequantize(*quantize_mxfp4(dense))
        new = nearest if met is None else round_columns(dense, h, damping)
        errors += [_output(dense, h), _output(nearest - dense, h), _output(new - dense, h)]
        np.save(folder / f"{member}.npy", new)
    whole = errors[0] or 1.0
    return float(np.sqrt(errors[1] / whole)), float(np.sqrt(errors[2] / whole))


def _output(weights: Float32, h: Float64) -> float:
    """Squared length of what weights [rows, columns] make of the inputs whose products are h."""
    wide = weights.astype(np.float64)
    return float(np.einsum("rc,rc->", wide @ h, wide))


def round_columns(weights: Float32, h: Float64, damping: float = 0.01) -> Float32:
    """Weights [rows, columns], columns in blocks of 32, as MXFP4 holds them; h [columns, columns].

    `damping` is the share of h's mean diagonal that is added to it.
    """
    rest = weights.astype(np.float64)
    quiet = np.diag(h) <= 0
    h = h + np.diag(np.full(len(h), damping * float(np.mean(np.diag(h))) or 1.0) + quiet)
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    out = np.empty_like(weights)
    for start in range(0, weights.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        _, exponents = quantize_mxfp4(np.ascontiguousarray(rest[:, block], np.float32))
        scale = np.ldexp(1.0, exponents[:, 0].astype(np.int64) - 127)
        moved = np.zeros((len(rest), BLOCK))
        for j in range(start, start + BLOCK):
            out[:, j] = _nearest(rest[:, j] / scale) * scale
            error = (rest[:, j] - out[:, j]) / upper[j, j]
            rest[:, j + 1 : block.stop] -= np.outer(error, upper[j, j + 1 : block.stop])
            moved[:, j - start] = error
        rest[:, block.stop :] -= moved @ upper[block, block.stop :]
    return out


def _nearest(x: Float64) -> Float64:
    """The nearest of E2M1's numbers, ties to even, at most 6."""
    magnitude = np.abs(x)
    unit = np.where(magnitude < 2, 0.5, np.where(magnitude < 4, 1.0, 2.0))
    nearest = np.minimum(np.rint(magnitude / unit) * unit, MOST_OF_GRID)
    return np.asarray(np.copysign(nearest, x))
