"""A small model whose chip has every vector longer than its lanes, and what compiles it."""

from __future__ import annotations

from pathlib import Path

import hnlpu
from helpers import write_checkpoint
from hnlpu.hardwire import Build, open_build
from hnlpu.place import make_target
from hnlpu.quantize import make_policy
from hnlpu.rtl.chip import ChipShape, build_chip, chip_shape, write_chip

SMALL = {
    "layers": 2, "hidden": 32, "intermediate": 32, "heads": 2, "kv_heads": 2, "head_dim": 16,
    "experts": 3, "active": 2, "vocab": 40,
}  # fmt: skip
CONTEXT, LANES, SEQUENCES = 40, 16, 3


def build_model(folder: Path, seed: int, **changes: object) -> Build:
    """Random weights; attention and unembedding have two digits, the experts one bank."""
    checkpoint = write_checkpoint(folder / f"checkpoint-{seed}", seed=seed, **{**SMALL, **changes})
    policy = make_policy("default", activation_bits=8, max_spread=2, requantize=True)
    return open_build(
        hnlpu.build(checkpoint, folder / f"build-{seed}", policy, make_target(bank=3))
    )


def shape_of(build: Build) -> ChipShape:
    return chip_shape(build, sequences=SEQUENCES, context=CONTEXT, lanes=LANES)


def compile_chip(build: Build, folder: Path) -> Path:
    """The chip of a build, written and compiled."""
    write_chip(build, folder, shape_of(build))
    build_chip(folder)
    return folder
