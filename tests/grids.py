"""Small builds of every family that go on grids of chips, up to 5 x 5, in parts of unequal size."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import hnlpu
from helpers import write_checkpoint
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import ChipModel
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from readers import CONFIGS, sample_of, write_sample

HEADS = {"hidden_size": 160, "num_attention_heads": 10, "num_key_value_heads": 5, "head_dim": 16}
"""Five runs of heads, of 32 numbers each, and five blocks of inputs."""
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
CHANGES: dict[str, dict[str, Any]] = {
    "granitemoehybrid": HEADS | {"mamba_n_heads": 10, "mamba_n_groups": 5, "mamba_d_head": "auto"},
    **{name: {} for name in ("deepseek_v3", "rwkv7", "mamba", "mamba2", "gru")},
}
"""Of families that are not cut by heads, or that have other shapes to keep beside them."""
TOKENS = 9


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def wide(family: str) -> Build:
    """A build of a random model of a family, which any grid of up to 5 x 5 chips takes."""
    folder = Path(_folder().name) / family
    policy = make_policy(experts="mxfp4x2")
    if family == "gpt_oss":
        checkpoint = write_checkpoint(
            folder / "checkpoint", hidden=160, intermediate=96, heads=10, kv_heads=5, head_dim=16,
            experts=5, layers=2, sliding_window=4,
        )  # fmt: skip
        policy = make_policy()
    else:
        random = np.random.default_rng(1)
        torch.manual_seed(1)
        config = CONFIGS[family](random) | CHANGES.get(family, HEADS)
        if "long_factor" in config.get("rope_parameters", {}):
            config["rope_parameters"] = PLAIN
        found = sample_of(family, config, random, folder / "written")
        checkpoint = write_sample(found, folder / "checkpoint")
    target = make_target(chips=1)
    return open_build(hnlpu.build(checkpoint, folder / "build", policy, target, workers=1))


@cache
def tokens_of(family: str) -> np.ndarray:
    """Tokens of the vocabulary."""
    return np.random.default_rng(2).integers(0, wide(family).facts.vocab_size, TOKENS)


@cache
def of_one_chip(family: str) -> np.ndarray:
    """Logits [tokens, vocabulary] of one chip."""
    chip = ChipModel(wide(family))
    return chip.logits(chip.forward(tokens_of(family), chip.new_cache()))
