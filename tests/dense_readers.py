"""Random small configs of the decoders of transformers, for `readers`: every switch takes every value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
Config = dict[str, Any]


def ropes(head_dim: int, turning: int | None = None) -> list[Config]:
    """Rope parameters of every kind; texts of the tests are longer than their original contexts.

    LongRoPE's is longer than the tests' texts: past it transformers turns what it has read again.
    """
    pairs = np.arange(1, (head_dim if turning is None else turning) // 2 + 1)
    return [
        {"rope_type": "default", "rope_theta": 3000.0},
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0},
        {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
        {
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
        },
        {
            "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "mscale": 1.0,
            "mscale_all_dim": 0.5, "original_max_position_embeddings": 16,
        },
        {
            "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "beta_fast": 8.0,
            "beta_slow": 2.0, "truncate": False, "original_max_position_embeddings": 16,
        },
        {
            "rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0,
            "short_factor": (1 + pairs / 8).tolist(), "long_factor": (1 + pairs / 2).tolist(),
            "original_max_position_embeddings": 256,
        },
    ]  # fmt: skip


def flip(random: Random) -> bool:
    """A switch."""
    return bool(random.integers(2))


def layer_types(random: Random, layers: int) -> list[str]:
    """A type for each layer."""
    kinds = ("sliding_attention", "full_attention")
    return [kinds[int(random.integers(2))] for _ in range(layers)]


def decoder(random: Random, *, head_dim: bool = True) -> Config:
    """What all have; `head_dim`: it need not be the width over the heads."""
    kv_heads, size = int(random.integers(1, 4)), int(random.choice([8, 12, 16]))
    heads = kv_heads * int(random.integers(1, 4))
    kinds = ropes(size)
    config = {
        "vocab_size": int(random.integers(30, 90)),
        "hidden_size": heads * (int(random.integers(8, 16)) if head_dim else size),
        "intermediate_size": int(random.integers(20, 60)),
        "num_hidden_layers": int(random.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": float(random.choice([1e-6, 1e-4])),
        "tie_word_embeddings": flip(random),
        "hidden_act": str(random.choice(["silu", "silu", "gelu", "gelu_pytorch_tanh"])),
        "max_position_embeddings": 256,
        "rope_parameters": kinds[int(random.integers(len(kinds)))],
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }  # fmt: skip
    return config | {"head_dim": size} if head_dim else config


def _mistral(random: Random) -> Config:
    return decoder(random) | {"sliding_window": None if random.random() < 0.3 else 5}


def _qwen2(random: Random) -> Config:
    config = decoder(random, head_dim=False)
    windowed = flip(random)
    config |= {"use_sliding_window": windowed, "sliding_window": 5, "max_window_layers": 1}
    if windowed and flip(random):
        config["layer_types"] = layer_types(random, config["num_hidden_layers"])
    return config


def _phi3(random: Random) -> Config:
    partial = float(random.choice([1.0, 0.5, 0.75]))
    config = decoder(random, head_dim=False)
    size = config["hidden_size"] // config["num_attention_heads"]
    kinds = ropes(size, int(size * partial))
    odd = int(size * partial) % 2  # LongRoPE has no factor for half a pair
    rope = kinds[0] if odd or flip(random) else {**kinds[-1], "factor": None}
    return config | {
        "rope_parameters": {**rope, "partial_rotary_factor": partial},
        "max_position_embeddings": 512, "original_max_position_embeddings": 256,
        "sliding_window": 6 if flip(random) else None,
    }  # fmt: skip


def _mixtral(random: Random) -> Config:
    experts = int(random.integers(2, 5))
    return decoder(random) | {
        "num_local_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "sliding_window": 6 if flip(random) else None,
    }  # fmt: skip


def _olmo2(random: Random) -> Config:
    return decoder(random, head_dim=False) | {"attention_bias": flip(random)}


def _smollm3(random: Random) -> Config:
    config = decoder(random, head_dim=False) | {"num_hidden_layers": 3}
    config |= {
        "attention_bias": flip(random), "mlp_bias": flip(random), "no_rope_layer_interval": 2,
        "use_sliding_window": flip(random), "sliding_window": 5,
    }  # fmt: skip
    if flip(random):
        config["no_rope_layers"] = [int(random.integers(2)) for _ in range(3)]
    if config["use_sliding_window"] and flip(random):
        config["layer_types"] = layer_types(random, 3)
    return config


def _granite(random: Random) -> Config:
    return decoder(random, head_dim=False) | {
        "attention_bias": flip(random), "mlp_bias": flip(random), **_multipliers(random),
    }  # fmt: skip


def _multipliers(random: Random) -> Config:
    return {
        "embedding_multiplier": float(random.choice([1.0, 3.0])),
        "logits_scaling": float(random.choice([1.0, 2.5])),
        "residual_multiplier": float(random.choice([1.0, 0.22])),
        "attention_multiplier": float(random.choice([1.0, 0.1])),
    }


def _granitemoe(random: Random) -> Config:
    experts = int(random.integers(2, 5))
    return decoder(random, head_dim=False) | {
        "num_local_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "attention_bias": flip(random), **_multipliers(random),
    }  # fmt: skip


def _gemma(random: Random) -> Config:
    config = decoder(random)
    config["hidden_size"] = config["num_attention_heads"] * int(random.integers(8, 14))
    config["hidden_activation"] = {"silu": "gelu_pytorch_tanh"}.get(
        config["hidden_act"], config["hidden_act"]
    )
    del config["hidden_act"]
    config |= {
        "attention_bias": flip(random), "query_pre_attn_scalar": int(random.choice([8, 30])),
        "sliding_window": int(random.choice([3, 5])),
        "final_logit_softcapping": 4.0 if random.random() < 0.7 else None,
    }  # fmt: skip
    if flip(random):
        config["layer_types"] = layer_types(random, config["num_hidden_layers"])
    return config


def _gemma2(random: Random) -> Config:
    return _gemma(random) | {"attn_logit_softcapping": 2.0 if random.random() < 0.7 else None}


def _gemma3(random: Random) -> Config:
    config = _gemma(random) | {"sliding_window_pattern": 2, "num_hidden_layers": 3}
    if "layer_types" in config:
        config["layer_types"] = layer_types(random, 3)
    return config | {"rope_parameters": _by_type(random, config["head_dim"])}


def _by_type(random: Random, head_dim: int) -> Config:
    """Rope parameters of layers without a window, and of those with one."""
    kinds = [rope for rope in ropes(head_dim) if "truncate" not in rope]
    full = kinds[int(random.integers(len(kinds)))]
    sliding = {"rope_type": "default", "rope_theta": 100.0}
    return {"full_attention": full, "sliding_attention": sliding}


def _olmo3(random: Random) -> Config:
    config = _olmo2(random) | {
        "sliding_window": int(random.choice([3, 5])), "num_hidden_layers": 4,
    }  # fmt: skip
    if flip(random):
        config["layer_types"] = layer_types(random, 4)
    size = config["hidden_size"] // config["num_attention_heads"]
    return config | {"rope_parameters": _by_type(random, size)}


def _qwen2_moe(random: Random) -> Config:
    experts, windowed = int(random.integers(2, 5)), flip(random)
    config = decoder(random, head_dim=False) | {
        "num_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "moe_intermediate_size": int(random.integers(8, 40)), "num_hidden_layers": 3,
        "shared_expert_intermediate_size": int(random.integers(8, 40)),
        "norm_topk_prob": flip(random), "decoder_sparse_step": int(random.integers(1, 3)),
        "mlp_only_layers": [0] if flip(random) else [], "qkv_bias": flip(random),
        "use_sliding_window": windowed, "sliding_window": 6, "max_window_layers": 2,
    }  # fmt: skip
    if windowed and flip(random):
        config["layer_types"] = layer_types(random, 3)
    return config


DENSE: dict[str, Callable[[Random], Config]] = {
    "mistral": _mistral,
    "qwen2": _qwen2,
    "phi3": _phi3,
    "mixtral": _mixtral,
    "olmo2": _olmo2,
    "smollm3": _smollm3,
    "granite": _granite,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "qwen2_moe": _qwen2_moe,
    "granitemoe": _granitemoe,
    "olmo3": _olmo3,
}
