"""Random metal for arrays of any kind, and the tools that tests of RTL need."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

import hnlpu
from helpers import write_checkpoint
from hnlpu.arithmetic.codebooks import E2M1
from hnlpu.arithmetic.mx import pack
from hnlpu.model.policy import make_policy
from hnlpu.silicon.embed import ArrayKind, TileDigits
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl import ArrayShape

SMALL = {"layers": 1, "hidden": 64, "intermediate": 32, "heads": 2, "vocab": 40}


def needs(package: str, command: str = "") -> pytest.MarkDecorator:
    """Skip where a package or a command is not installed, saying which."""
    missing = importlib.util.find_spec(package) is None
    missing |= bool(command) and shutil.which(command) is None
    return pytest.mark.skipif(missing, reason=f"{package} {command} is not installed")


def shape_of(
    digits: int = 1, bank: int = 1, scale_range: int = 2, neurons: int = 2, blocks: int = 2,
    activation_bits: int = 8, codebook: str = E2M1,
) -> ArrayShape:  # fmt: skip
    kind = ArrayKind("taps", digits, bank, scale_range, codebook=codebook)
    return ArrayShape(kind, neurons, blocks, activation_bits)


def random_digits(shape: ArrayShape, seed: int, used: int | None = None) -> TileDigits:
    """Metal of a whole array; `used` inputs of a row are not zero (all codes if None)."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, (shape.rows, shape.ports)).astype(np.uint8)
    codes[codes == 8] = 0
    largest = 7
    if shape.kind.codebook != E2M1:
        known = shape.kind.values.codes
        codes, largest = rng.choice(known, codes.shape).astype(np.uint8), known[-1]
    if used is not None:
        codes[codes == 0] = largest
        for row in codes:
            row[rng.permutation(shape.ports)[used:]] = 0
    shifts = rng.integers(0, shape.kind.scale_range + 1, (shape.rows, shape.blocks))
    shifts[~codes.reshape(shape.rows, shape.blocks, -1).any(-1)] = 0
    return TileDigits(pack(codes), shifts.astype(np.uint8), shape.kind.codebook)


def build_small(folder: Path, seed: int, scheme: str = "taps") -> Build:
    """One layer; two digits in attention, experts three to a bank."""
    checkpoint = write_checkpoint(folder / f"checkpoint-{seed}", seed=seed, **SMALL)
    # every row may take any exponent, so that the kinds of arrays do not depend on the weights
    policy = make_policy("default", activation_bits=8, max_spread=2, requantize=True)
    target = make_target(scheme=scheme, bank=3)
    return open_build(hnlpu.build(checkpoint, folder / f"build-{seed}", policy, target))
