"""Small random models of several shapes whose chips have vectors longer than their lanes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import hnlpu
from hnlpu.model.families import network_of
from hnlpu.model.network import Network, Source, chosen_leaves, leaf_tensors
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import ChipShape, chip_shape

CONTEXT, LANES, SEQUENCES = 40, 16, 3

_DECODER: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64, "eos_token_id": 1,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _DECODER | {
        "model_type": "llama", "tie_word_embeddings": True, "mlp_bias": True,
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
        },
    },
    "mistral": _DECODER | {
        "model_type": "mistral", "sliding_window": 6, "head_dim": 16, "num_key_value_heads": 1,
    },
    "qwen3": _DECODER | {
        "model_type": "qwen3", "num_attention_heads": 3, "num_key_value_heads": 3,
        "attention_bias": True, "rms_norm_eps": 1e-6,
    },
    "gru": {
        "model_type": "gru", "vocab_size": 40, "hidden_size": 40, "embedding_size": 24,
        "num_hidden_layers": 2, "bias": True, "head_bias": True, "eos_token_id": 1,
    },
}  # fmt: skip
"""Of the configs' shapes, some vectors fill their last beat and some do not."""


def write_random(config: dict[str, Any], folder: Path, seed: int, spread: float = 0.25) -> Path:
    """A checkpoint of random weights of any family; an untied unembedding lies beside."""
    folder.mkdir(parents=True)
    network, random = network_of(config), np.random.default_rng(seed)
    tied = bool(config.get("tie_word_embeddings"))
    tensors: dict[str, np.ndarray] = {}
    for source in _sources(network):
        for leaf in chosen_leaves(source, lambda name: not (tied and name == "lm_head.weight")):
            for name, shape in leaf_tensors(leaf).items():
                around = 1.0 if "norm" in name else 0.0
                size = 1.0 if "embed" in name else spread
                tensors[name] = random.normal(around, size, shape).astype(np.float32)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def _sources(network: Network) -> list[Source]:
    found = [parameter.source for parameter in network.parameters]
    for matrix in network.matrices:
        found += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    return found


def build_random(name: str, folder: Path, seed: int = 0, **changes: object) -> Build:
    """A build of a random model on one chip."""
    checkpoint = write_random({**CONFIGS[name], **changes}, folder / f"checkpoint-{seed}", seed)
    policy = make_policy("default", activation_bits=8, max_spread=2, requantize=True)
    return open_build(hnlpu.build(checkpoint, folder / f"build-{seed}", policy, make_target()))


def small_shape(build: Build) -> ChipShape:
    """Few lanes, positions and sequences."""
    return chip_shape(build, sequences=SEQUENCES, context=CONTEXT, lanes=LANES)
