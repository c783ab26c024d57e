"""Random matrices and activations for tests of kernels, zeros and extremes among them."""

import numpy as np

from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts


def random_matrix(random, rows, blocks, digits, spread, bias=False):
    """Random digits whose exponents span up to `spread`; a fifth of the blocks are zeros."""
    base = int(random.integers(0, 254 - spread, endpoint=True))
    parts = []
    for _ in range(digits):
        codes = random.integers(0, 256, (rows, blocks, 16), np.uint8)
        exponents = random.integers(base, base + spread, (rows, blocks), np.uint8, endpoint=True)
        silent = random.random((rows, blocks)) < 0.2
        codes[silent] &= 0x88  # zeros of both signs, under any exponent at all
        exponents[silent] = random.integers(0, 255, silent.sum())
        parts.append(Digit(codes, exponents))
    biases = random.standard_normal(rows).astype(np.float32) if bias else None
    return HardwiredMatrix(tuple(parts), row_facts(tuple(parts)).row_exponents, biases)


def random_activations(random, tokens, columns, bits):
    """Integers of `bits` bits: uniform, or nothing but the two extremes."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    x = random.integers(low, high, (tokens, columns), np.int32, endpoint=True)
    if random.random() < 0.4:
        x = np.where(x < 0, low, high).astype(np.int32)
    return x
