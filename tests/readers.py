"""Random small models of every family, each with an independent reader of its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitNetQuantConfig
from transformers.integrations.bitnet import pack_weights, replace_with_bitnet_linear

import rwkv7_by_hand
from dense_readers import DENSE

Random = np.random.Generator
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """A model: its config.json, its tensors in float32, and what another program says of it."""

    config: dict[str, Any]
    tensors: Tensors
    logits: Callable[[np.ndarray], np.ndarray]
    """Tokens [n] to logits [n, vocabulary]."""


def sample(family: str, seed: int, folder: Path) -> Sample:
    """A random model of a family; seeds vary shapes and switches of the config."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    return sample_of(family, CONFIGS[family](random), random, folder)


def sample_of(family: str, config: dict[str, Any], random: Random, folder: Path) -> Sample:
    """A random model with a config."""
    if family in OWN:
        return OWN[family](config, random)
    return _of_transformers(family, config, folder)


def _of_transformers(family: str, config: dict[str, Any], folder: Path) -> Sample:
    settings = AutoConfig.for_model(family, **config)
    settings._attn_implementation = "eager"
    settings._experts_implementation = "eager"  # the other one takes widths of 16 bytes alone
    model = AutoModelForCausalLM.from_config(settings).float().eval()
    corrections = [(n, x) for n, x in model.named_buffers() if "correction_bias" in n]
    for name, parameter in [*model.named_parameters(), *corrections]:
        with torch.no_grad():
            if "A_log" in name or "dt_bias" in name:
                parameter.uniform_(-1.0, 1.0)
            elif "norm" in name or name.endswith(".D"):
                parameter.normal_(float(parameter.mean()), 0.3)  # of ones, or of none
            else:
                spread = 1.0 if "embed" in name or "sinks" in name else 0.15
                parameter.normal_(0.0, spread)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")

    def logits(tokens: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(model(torch.tensor(tokens)[None], use_cache=False).logits[0])

    return Sample(json.loads((folder / "config.json").read_text()), tensors, logits)


class GruModel(torch.nn.Module):
    """The module that `hnlpu.model.families.gru` describes."""

    def __init__(self, c: dict[str, Any]):
        super().__init__()
        self.embedding = torch.nn.Embedding(c["vocab_size"], c["embedding_size"])
        self.gru = torch.nn.GRU(
            c["embedding_size"], c["hidden_size"], c["num_hidden_layers"], c["bias"],
            batch_first=True,
        )  # fmt: skip
        self.lm_head = torch.nn.Linear(c["hidden_size"], c["vocab_size"], c["head_bias"])
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.lm_head(self.gru(self.embedding(tokens))[0])


def _bitnet(config: dict[str, Any], random: Random) -> Sample:
    """Ternary weights under a scale, run by transformers' own class of linear layers."""
    settings = AutoConfig.for_model("bitnet", **config)
    settings._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(settings).float().eval()
    told, tensors = config.get("quantization_config"), {}
    if told is not None:
        replace_with_bitnet_linear(model, ["lm_head"], BitNetQuantConfig(**told))
        model = model.to_empty(device="cpu")
        model.model.rotary_emb = type(model.model.rotary_emb)(settings)  # it keeps its angles alone
    for name, x in [*model.named_parameters(), *model.named_buffers()]:
        with torch.no_grad():
            if "inv_freq" in name:
                continue
            if name.endswith("weight_scale"):
                x.fill_(7.0 if told["linear_class"] == "bitlinear" else 0.15)
            elif told is not None and "_proj.weight" in name:
                rows = x.shape[0] * (4 if x.dtype == torch.uint8 else 1)
                values = torch.tensor(random.integers(-1, 2, (rows, x.shape[1])))
                tensors[name] = np.asarray(values, np.float32)
                x.copy_(pack_weights(values) if x.dtype == torch.uint8 else values)
            elif "norm" in name:
                x.normal_(1.0, 0.3)
            else:
                x.normal_(0.0, 1.0 if "embed" in name else 0.15)
    tensors = {name: np.asarray(x) for name, x in model.state_dict().items()} | tensors
    if config["tie_word_embeddings"]:
        del tensors["lm_head.weight"]

    def logits(tokens: np.ndarray) -> np.ndarray:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            return np.asarray(model(torch.tensor(tokens)[None], use_cache=False).logits[0])

    return Sample({"model_type": "bitnet", **config}, tensors, logits)


def _gru(config: dict[str, Any], _: Random) -> Sample:
    model = GruModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.4)
    tensors = {name: np.asarray(value) for name, value in model.state_dict().items()}
    if config["tie_word_embeddings"]:
        del tensors["lm_head.weight"]

    def logits(tokens: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(model(torch.tensor(tokens)[None])[0])

    return Sample({"model_type": "gru", **config}, tensors, logits)


def _decoder(random: Random) -> dict[str, Any]:
    kv_heads, head_dim = int(random.integers(1, 4)), int(random.choice([8, 16, 20]))
    heads = kv_heads * int(random.integers(1, 4))
    return {
        "vocab_size": int(random.integers(30, 90)),
        "hidden_size": heads * int(random.integers(8, 16)),
        "intermediate_size": int(random.integers(20, 90)),
        "num_hidden_layers": int(random.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rms_norm_eps": float(random.choice([1e-6, 1e-5])),
        "attention_bias": bool(random.integers(2)),
        "tie_word_embeddings": bool(random.integers(2)),
        "max_position_embeddings": 256,
        "rope_parameters": ROPES[int(random.integers(len(ROPES)))],
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }  # fmt: skip


ROPES: list[dict[str, Any]] = [
    {"rope_type": "default", "rope_theta": 10000.0},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0},
    {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
    },
    {
        "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0,
        "original_max_position_embeddings": 64,
    },
]  # fmt: skip


def _llama(random: Random) -> dict[str, Any]:
    return _decoder(random) | {"mlp_bias": bool(random.integers(2))}


def _qwen3(random: Random) -> dict[str, Any]:
    return _decoder(random) | {
        "use_sliding_window": bool(random.integers(2)), "sliding_window": 5, "max_window_layers": 1,
    }  # fmt: skip


def _qwen3_moe(random: Random) -> dict[str, Any]:
    experts = int(random.integers(2, 6))
    return _decoder(random) | {
        "num_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "moe_intermediate_size": int(random.integers(8, 50)), "num_hidden_layers": 3,
        "norm_topk_prob": bool(random.integers(2)),
        "decoder_sparse_step": int(random.integers(1, 3)),
        "mlp_only_layers": [0] if random.integers(2) else [],
        "use_sliding_window": bool(random.integers(2)), "sliding_window": 6,
    }  # fmt: skip


def _qwen3_next(random: Random) -> dict[str, Any]:
    key_heads, experts = int(random.integers(1, 3)), int(random.integers(2, 6))
    layers = int(random.integers(2, 4))
    kinds = ("linear_attention", "full_attention")
    config = _decoder(random) | {
        "num_hidden_layers": layers, "linear_num_key_heads": key_heads,
        "linear_num_value_heads": key_heads * int(random.integers(1, 4)),
        "linear_key_head_dim": int(random.integers(3, 14)),
        "linear_value_head_dim": int(random.integers(3, 14)),
        "linear_conv_kernel_dim": int(random.integers(2, 5)),
        "num_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "moe_intermediate_size": int(random.integers(8, 40)),
        "shared_expert_intermediate_size": int(random.integers(8, 40)),
        "norm_topk_prob": bool(random.integers(2)),
        "decoder_sparse_step": int(random.integers(1, 3)),
        "mlp_only_layers": [0] if random.integers(2) else [],
        "layer_types": [kinds[int(random.integers(2))] for _ in range(layers - 2)] + [*kinds],
    }  # fmt: skip
    config["rope_parameters"] = config["rope_parameters"] | {
        "partial_rotary_factor": float(random.choice([0.5, 1.0]))
    }
    return config


def _deepseek_v3(random: Random) -> dict[str, Any]:
    groups, each = int(random.integers(1, 4)), int(random.integers(2, 4))
    kept = int(random.integers(1, groups + 1))
    heads, rope = int(random.integers(1, 5)), dict(ROPES[int(random.integers(len(ROPES)))])
    if rope["rope_type"] == "yarn" and random.integers(3):
        rope |= {"mscale": 0.8, "mscale_all_dim": float(random.choice([0.0, 1.0, 0.5]))}
    config = _decoder(random)
    del config["head_dim"]
    return config | {
        "num_attention_heads": heads, "num_key_value_heads": heads,
        "hidden_size": 8 * int(random.integers(2, 6)), "num_hidden_layers": 2,
        "n_routed_experts": groups * each, "n_group": groups, "topk_group": kept,
        "num_experts_per_tok": int(random.integers(1, kept * each + 1)),
        "n_shared_experts": int(random.integers(1, 3)),
        "moe_intermediate_size": int(random.integers(8, 40)),
        "routed_scaling_factor": float(random.choice([1.0, 2.5])),
        "kv_lora_rank": int(random.integers(8, 40)),
        "q_lora_rank": int(random.integers(8, 40)) if random.integers(2) else None,
        "qk_rope_head_dim": 2 * int(random.integers(2, 7)),
        "qk_nope_head_dim": int(random.integers(3, 20)),
        "v_head_dim": int(random.integers(3, 20)),
        "first_k_dense_replace": int(random.integers(0, 2)),
        "norm_topk_prob": bool(random.integers(2)), "rope_interleave": bool(random.integers(2)),
        "rope_parameters": rope,
    }  # fmt: skip


def _granitemoehybrid(random: Random) -> dict[str, Any]:
    groups, experts = int(random.integers(1, 3)), int(random.integers(0, 4))
    heads, kv_heads = groups * int(random.integers(1, 3)), int(random.integers(1, 3))
    config, layers = _decoder(random), int(random.integers(2, 4))
    attention_heads = kv_heads * int(random.integers(1, 3))
    width = 2 * heads * attention_heads
    width *= -(-40 // width)
    kinds = ("linear_attention", "full_attention")
    config |= {
        "hidden_size": width, "head_dim": width // attention_heads, "num_hidden_layers": layers,
        "num_attention_heads": attention_heads, "num_key_value_heads": kv_heads,
        "mamba_expand": 2, "mamba_n_heads": heads, "mamba_n_groups": groups,
        "mamba_d_head": 2 * width // heads if random.integers(2) else "auto",
        "mamba_d_state": int(random.integers(3, 9)), "mamba_d_conv": int(random.integers(2, 5)),
        "mamba_conv_bias": bool(random.integers(2)), "mamba_proj_bias": bool(random.integers(2)),
        "mamba_chunk_size": 8, "num_local_experts": experts,
        "num_experts_per_tok": int(random.integers(1, experts + 1)) if experts else 0,
        "shared_intermediate_size": int(random.integers(8, 40)),
        "position_embedding_type": "rope" if random.integers(2) else None,
        "embedding_multiplier": float(random.choice([1.0, 0.5])),
        "logits_scaling": float(random.choice([8.0, 16.0])),
        "residual_multiplier": float(random.choice([1.0, 0.5])),
        "attention_multiplier": float(random.choice([0.25, 0.1])),
        "time_step_limit": (0.0, float("inf")) if random.integers(2) else (0.3, 1.0),
        "layer_types": [kinds[int(random.integers(2))] for _ in range(layers - 2)] + [*kinds],
    }  # fmt: skip
    return config


def _bitnet_config(random: Random) -> dict[str, Any]:
    config = _decoder(random)
    kind = [None, "autobitlinear", "bitlinear"][int(random.integers(3))]
    if kind is not None:
        config["quantization_config"] = {
            "quant_method": "bitnet", "linear_class": kind, "quantization_mode": "offline",
            "modules_to_not_convert": None,
        }  # fmt: skip
    return config | {
        "hidden_size": config["num_attention_heads"] * config["head_dim"], "hidden_act": "relu2",
        "intermediate_size": 4 * int(random.integers(8, 20)), "num_hidden_layers": 2,
    }  # fmt: skip


def _gpt_oss(random: Random) -> dict[str, Any]:
    experts = int(random.integers(1, 6))
    layers = int(random.integers(1, 4))
    return _decoder(random) | {
        "num_local_experts": experts, "num_experts_per_tok": int(random.integers(1, experts + 1)),
        "intermediate_size": 32 * int(random.integers(1, 4)), "hidden_size": 32 * experts, "num_hidden_layers": layers,
        "sliding_window": 5, "rope_parameters": ROPES[-1],
        "layer_types": [("full_attention", "sliding_attention")[n % 2] for n in range(layers)],
    }  # fmt: skip


def _mamba2(random: Random) -> dict[str, Any]:
    groups = int(random.integers(1, 4))
    heads, head_dim = groups * int(random.integers(1, 4)), 2 * int(random.integers(2, 8))
    return {
        "vocab_size": int(random.integers(30, 90)), "hidden_size": heads * head_dim // 2,
        "expand": 2, "num_heads": heads, "head_dim": head_dim, "n_groups": groups,
        "state_size": int(random.integers(3, 17)), "conv_kernel": int(random.integers(2, 5)),
        "num_hidden_layers": int(random.integers(1, 4)), "chunk_size": 8,
        "use_bias": bool(random.integers(2)), "use_conv_bias": bool(random.integers(2)),
        "tie_word_embeddings": bool(random.integers(2)), "layer_norm_epsilon": 1e-5,
        "time_step_limit": (0.0, float("inf")) if random.integers(2) else (0.3, 1.0),
    }  # fmt: skip


def _mamba(random: Random) -> dict[str, Any]:
    hidden = int(random.integers(9, 40))
    return {
        "vocab_size": int(random.integers(30, 90)), "hidden_size": hidden,
        "expand": int(random.integers(1, 4)), "state_size": int(random.integers(3, 17)),
        "time_step_rank": int(random.integers(1, 9)) if random.integers(2) else "auto",
        "conv_kernel": int(random.integers(2, 5)),
        "num_hidden_layers": int(random.integers(1, 4)),
        "use_bias": bool(random.integers(2)), "use_conv_bias": bool(random.integers(2)),
        "tie_word_embeddings": bool(random.integers(2)), "layer_norm_epsilon": 1e-5,
    }  # fmt: skip


def _rwkv7_config(random: Random) -> dict[str, Any]:
    size = int(random.choice([4, 6, 8]))
    ranks = ("decay_low_rank_dim", "gate_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim")
    return {
        "vocab_size": int(random.integers(30, 90)), "hidden_size": size * int(random.integers(2, 6)),
        "head_dim": size, "num_hidden_layers": 2, "norm_first": bool(random.integers(2)),
        "intermediate_size": int(random.integers(20, 60)), "fuse_norm": bool(random.integers(2)),
        "norm_eps": 1e-5, "tie_word_embeddings": bool(random.integers(2)),
        **{name: int(random.integers(3, 12)) for name in ranks},
    }  # fmt: skip


def _gru_config(random: Random) -> dict[str, Any]:
    hidden, tied = int(random.integers(5, 80)), bool(random.integers(2))
    return {
        "vocab_size": int(random.integers(30, 90)), "hidden_size": hidden,
        "embedding_size": hidden if tied else int(random.integers(3, 70)),
        "num_hidden_layers": int(random.integers(1, 4)), "bias": bool(random.integers(2)),
        "head_bias": bool(random.integers(2)), "tie_word_embeddings": tied,
    }  # fmt: skip


CONFIGS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "gpt_oss": _gpt_oss,
    "llama": _llama,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
    "deepseek_v3": _deepseek_v3,
    "granitemoehybrid": _granitemoehybrid,
    "bitnet": _bitnet_config,
    "rwkv7": _rwkv7_config,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "gru": _gru_config,
    **DENSE,
}


def _rwkv7(config: dict[str, Any], random: Random) -> Sample:
    tensors = rwkv7_by_hand.tensors_of(config, random)

    def logits(tokens: np.ndarray) -> np.ndarray:
        return rwkv7_by_hand.logits_of(config, tensors, tokens)

    return Sample({"model_type": "rwkv7", **config}, tensors, logits)


OWN: dict[str, Callable[[dict[str, Any], Random], Sample]] = {
    "bitnet": _bitnet, "gru": _gru, "rwkv7": _rwkv7,
}  # fmt: skip
"""Families whose samples are made otherwise than transformers makes its models."""


def write_sample(of: Sample, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A sample as a checkpoint folder whose tensors have a format."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(of.config))
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = {name: torch.tensor(value).to(dtype) for name, value in of.tensors.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder
