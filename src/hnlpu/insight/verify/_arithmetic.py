"""Sampled neurons against the golden model: the integers, by every path, must be equal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.mx import unpack
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.run.emulate import ways_to_sum
from hnlpu.silicon.hardwire import Build, member_word


def sample_activations(
    columns: int, bits: int, random: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Integer activations [6, columns]: the extremes that could overflow, and random ones."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    signs = random.integers(0, 2, columns)
    rows = [
        np.full(columns, low),
        np.full(columns, high),
        np.where(signs, low, high),
        np.zeros(columns),
        random.integers(low, high, columns, endpoint=True),
        random.integers(low, high, columns, endpoint=True),
    ]
    return np.array(rows, np.int32)


def check_samples(
    build: Build, shape: MatrixShape, samples: int, random: np.random.Generator
) -> tuple[int, str | None]:
    """Compare `samples` random neurons of a matrix with the golden model on six inputs each.

    Returns the sums compared and the first problem, or None.
    """
    index = int(random.integers(shape.count))
    metal = build.matrix(shape, index)
    start = int(random.integers(max(1, shape.rows - samples + 1)))
    part = metal.part(slice(start, start + samples))
    x = sample_activations(shape.columns, build.manifest.policy.activation_bits, random)
    inputs = [[int(v) for v in row] for row in x]
    found = {name: way(part, x) for name, way in ways_to_sum().items()}
    compared = 0
    for row in range(part.rows):
        codes = [unpack(d.codes[row]).tolist() for d in part.digits]
        exponents = [d.exponents[row].tolist() for d in part.digits]
        where = f"{build.directory / build.manifest.matrices[shape.name].file}: {shape.name}, "
        where += f"{member_word(shape)} {index}, " if shape.bank else ""
        where += f"row {start + row}"
        base = golden.row_exponent(codes, exponents)
        if base is not None and base != int(part.row_exponents[row]):
            return compared, f"{where}: row exponent {part.row_exponents[row]}, golden {base}"
        weights = [
            golden.integer_weight([c[i] for c in codes], [e[i // 32] for e in exponents], base or 0)
            for i in range(shape.columns)
        ]
        bits = build.manifest.matrices[shape.name].accumulator_bits
        for token, activations in enumerate(inputs):
            expected = golden.neuron(weights, activations)
            if not -(1 << (bits - 1)) <= expected < 1 << (bits - 1):
                return compared, f"{where}: a sum needs more than its {bits} accumulator bits"
            for name, sums in found.items():
                if int(sums[token, row]) != expected:
                    return compared, f"{where}: {name} gives {sums[token, row]}, golden {expected}"
            compared += 1
    return compared, None
