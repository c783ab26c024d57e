"""A small model whose chip has every vector longer than its lanes, and what compiles it."""

from __future__ import annotations

from pathlib import Path

import hnlpu
from helpers import write_checkpoint
from hnlpu.arithmetic.fixed_point import inverse_temperature
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import ChipRequest, ChipShape, build_chip, chip_shape, write_chip

SMALL = {
    "layers": 2, "hidden": 32, "intermediate": 32, "heads": 2, "kv_heads": 2, "head_dim": 16,
    "experts": 3, "active": 2, "vocab": 40,
}  # fmt: skip
CONTEXT, LANES, SEQUENCES = 40, 16, 3
TEMPERATURE = 1.5
DRAWN = [
    ChipRequest(
        tuple((7 * n + 11 * k) % 40 for k in range(n % 15 + 1)),
        16,
        inverse_temperature(TEMPERATURE),
        n,
    )
    for n in range(48)
]
"""Random weights hardly mind what attention says, drawn tokens do where there are many."""


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
