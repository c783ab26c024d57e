"""A small random checkpoint of every family with its builds; made once, not to be altered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import hnlpu
from hnlpu.model.policy import make_policy
from hnlpu.silicon.place import make_target
from readers import CONFIGS, Sample, sample, write_sample

EVERY = [name for name in CONFIGS if name != "gpt_oss"]
ALIKE = {
    "mistral",
    "qwen2",
    "mixtral",
    "olmo2",
    "smollm3",
    "granite",
    "gemma3_text",
    "qwen2_moe",
    "olmo3",
}
"""Families whose networks hold nothing that those of the others do not: tests/model/families/test_alike.py."""
FAMILIES = [name for name in EVERY if name not in ALIKE]
"""Those that tests of consumers run on: who does not know a family sees no more in all of them."""
STEP_BY_STEP = {"gemma2"}
"""Those of FAMILIES that have no tape in C: scores with a soft cap are not on one."""
ON_A_GPU = {
    "granite",
    "granitemoe",
    "llama",
    "mistral",
    "olmo2",
    "olmo3",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "smollm3",
}
"""Those of EVERY whose operations all have kernels for a GPU."""
SEED = 1
"""Its shapes go on two chips, and their widths are no multiples of 32 for most families."""


@dataclass(frozen=True)
class Made:
    """A sample, its checkpoint in float32, and its builds on one chip and on two."""

    sample: Sample
    checkpoint: Path
    one: Path
    two: Path
    tokens: np.ndarray


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def made(family: str) -> Made:
    """All of a family; experts have two digits, as everything else has."""
    folder = Path(_folder().name) / family
    found = sample(family, SEED, folder / "written")
    checkpoint = write_sample(found, folder / "checkpoint")
    policy = make_policy(experts="mxfp4x2")
    one, two = (
        hnlpu.build(checkpoint, folder / f"on-{chips}", policy, make_target(chips=chips), workers=1)
        for chips in (1, 2)
    )
    tokens = np.random.default_rng(SEED).integers(0, found.config["vocab_size"], 17)
    return Made(found, checkpoint, one, two, tokens)
