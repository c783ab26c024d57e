"""Small random models of several shapes whose chips have vectors longer than their lanes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import hnlpu
from hnlpu.model.families import Family, network_of
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
    "qwen3_moe": _DECODER | {
        "model_type": "qwen3_moe", "num_experts": 5, "num_experts_per_tok": 2,
        "moe_intermediate_size": 20, "mlp_only_layers": [0],
    },
    "mamba2": {
        "model_type": "mamba2", "vocab_size": 40, "hidden_size": 12, "expand": 2, "num_heads": 6,
        "head_dim": 4, "n_groups": 2, "state_size": 5, "conv_kernel": 3, "num_hidden_layers": 2,
        "time_step_limit": [0.01, 2.0], "eos_token_id": 1,
    },
    "gru": {
        "model_type": "gru", "vocab_size": 40, "hidden_size": 40, "embedding_size": 24,
        "num_hidden_layers": 2, "bias": True, "head_bias": True, "eos_token_id": 1,
    },
}  # fmt: skip
"""Of the configs' shapes, some vectors fill their last beat and some do not."""


def write_random(
    config: dict[str, Any], folder: Path, seed: int, family: Family[Any] | None = None
) -> Path:
    """A checkpoint of random weights of any family; an untied unembedding lies beside."""
    folder.mkdir(parents=True)
    network = family.read(config) if family else network_of(config)
    random, tied = np.random.default_rng(seed), bool(config.get("tie_word_embeddings"))
    tensors: dict[str, np.ndarray] = {}
    for source in _sources(network):
        for leaf in chosen_leaves(source, lambda name: not (tied and name == "lm_head.weight")):
            for name, shape in leaf_tensors(leaf).items():
                around = 1.0 if "norm" in name else 0.0
                size = 1.0 if "embed" in name and not tied else 0.25
                tensors[name] = random.normal(around, size, shape).astype(np.float32)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def _sources(network: Network) -> list[Source]:
    found = [parameter.source for parameter in network.parameters]
    for matrix in network.matrices:
        found += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    return found


def random_config(name: str, random: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Other sizes for a config, and lanes that its heads fit in."""
    draw = lambda low, high: int(random.integers(low, high + 1))  # noqa: E731
    lanes = 1 << draw(3, 5)
    common = {"vocab_size": draw(9, 70), "num_hidden_layers": draw(1, 3)}
    if name == "gru":
        tied, width = bool(draw(0, 1)), draw(3, 50)
        return common | {
            "hidden_size": width, "embedding_size": width if tied else draw(3, 50),
            "tie_word_embeddings": tied, "bias": bool(draw(0, 1)), "head_bias": bool(draw(0, 1)),
        }, lanes  # fmt: skip
    if name == "mamba2":
        groups, shared, size = draw(1, 3), draw(1, 3), draw(1, 9)
        inner = groups * shared * size
        return common | {
            "hidden_size": 2 * inner, "expand": 0.5, "num_heads": groups * shared,
            "head_dim": size, "n_groups": groups, "state_size": draw(1, 9),
            "conv_kernel": draw(1, 5), "use_bias": bool(draw(0, 1)),
            "use_conv_bias": bool(draw(0, 1)), "tie_word_embeddings": bool(draw(0, 1)),
            "time_step_limit": [0.0, None] if draw(0, 1) else [0.02, 1.0],
        }, lanes  # fmt: skip
    shared, key_heads = draw(1, 3), draw(1, 3)
    if name == "qwen3_moe":
        experts = draw(2, 8)  # of one bank
        common |= {
            "num_experts": experts, "num_experts_per_tok": draw(1, experts),
            "moe_intermediate_size": draw(3, 40), "norm_topk_prob": bool(draw(0, 1)),
            "mlp_only_layers": [],
        }  # fmt: skip
    return common | {
        "hidden_size": draw(3, 50), "intermediate_size": draw(3, 70),
        "num_attention_heads": shared * key_heads, "num_key_value_heads": key_heads,
        "head_dim": 1 << draw(1, 3), "attention_bias": bool(draw(0, 1)),
        "tie_word_embeddings": bool(draw(0, 1)),
    }, lanes  # fmt: skip


def build_random(
    of: str | dict[str, Any], folder: Path, seed: int = 0, family: Family[Any] | None = None,
    chips: int = 1, **changes: object,
) -> Build:  # fmt: skip
    """A build of a random model, of a name in `CONFIGS` or of a config."""
    config = {**(CONFIGS[of] if isinstance(of, str) else of), **changes}
    checkpoint = write_random(config, folder / f"checkpoint-{seed}", seed, family)
    policy = make_policy("default", activation_bits=8, max_spread=2, requantize=True)
    out = folder / f"build-{seed}"
    target = make_target(chips=chips)
    return open_build(hnlpu.build(checkpoint, out, policy, target, family=family, workers=1))


def small_shape(build: Build) -> ChipShape:
    """Few lanes, positions and sequences."""
    return chip_shape(build, sequences=SEQUENCES, context=CONTEXT, lanes=LANES)


TINY: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 3,
        "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 20,
    },
    "qwen3_moe": {
        "hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "vocab_size": 20, "attention_bias": True,
        "num_experts": 3, "moe_intermediate_size": 12, "num_hidden_layers": 1,
        "mlp_only_layers": [],
    },
    "mamba2": {
        "hidden_size": 8, "num_heads": 4, "head_dim": 4, "n_groups": 2, "state_size": 3,
        "vocab_size": 20, "num_hidden_layers": 1,
    },
    "gru": {"hidden_size": 12, "embedding_size": 10, "vocab_size": 20},
}  # fmt: skip
"""Changes of `CONFIGS` for chips that are compiled; one with experts has all that a dense Qwen3 has."""
