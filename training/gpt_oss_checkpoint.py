"""What a trained gpt-oss is written as.

Experts become MXFP4 blocks and scales, everything else bfloat16, under the
tensor names and in the layout of the Hugging Face gpt-oss checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hnlpu.arithmetic.mx import quantize_mxfp4
from model import Shape, mxfp4_grid


def pack_mxfp4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks [out, in/32, 16] and scales [out, in/32] of a matrix; exact for grid values."""
    codes, exponents = quantize_mxfp4(mxfp4_grid(weight).numpy())
    return torch.from_numpy(codes), torch.from_numpy(exponents)


def gpt_oss_tensors(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The tensors of a gpt-oss checkpoint from those of `model.GptOss`."""
    tensors: dict[str, Tensor] = {}

    def put(name: str, value: Tensor) -> None:
        tensors[name] = value.bfloat16().contiguous()

    def plain(name: str) -> Tensor:
        return mxfp4_grid(state[name]) if shape.grid_everywhere else state[name]

    put("model.embed_tokens.weight", state["embed_tokens.weight"])
    put("model.norm.weight", state["norm.weight"])
    put("lm_head.weight", plain("lm_head.weight"))
    for i in range(shape.num_hidden_layers):
        source, target = f"layers.{i}.", f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            put(f"{target}{norm}.weight", state[f"{source}{norm}.weight"])
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            name = f"self_attn.{part}"
            put(f"{target}{name}.weight", mxfp4_grid(state[f"{source}{name}.weight"]))
            put(f"{target}{name}.bias", state[f"{source}{name}.bias"])
        put(f"{target}self_attn.sinks", state[f"{source}self_attn.sinks"])
        put(f"{target}mlp.router.weight", plain(f"{source}mlp.router.weight"))
        put(f"{target}mlp.router.bias", state[f"{source}mlp.router.bias"])
        for ours, theirs in (("gate_up", "gate_up_proj"), ("down", "down_proj")):
            parts = [f"{source}mlp.{ours}.{e}." for e in range(shape.num_local_experts)]
            packed = [pack_mxfp4(state[p + "weight"]) for p in parts]
            name = f"{target}mlp.experts.{theirs}"
            tensors[f"{name}_blocks"] = torch.stack([blocks for blocks, _ in packed])
            tensors[f"{name}_scales"] = torch.stack([scales for _, scales in packed])
            put(f"{name}_bias", torch.stack([state[p + "bias"] for p in parts]))
    return tensors


def gpt_oss_config(shape: Shape, context: int) -> dict[str, Any]:
    """config.json, in the form of the original gpt-oss checkpoints."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "eos_token_id": 0,
        "experts_per_token": shape.num_experts_per_tok,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "initial_context_length": shape.initial_context_length,
        "intermediate_size": shape.intermediate_size,
        "layer_types": [
            "full_attention" if i % 2 else "sliding_attention"
            for i in range(shape.num_hidden_layers)
        ],
        "max_position_embeddings": context,
        "model_type": "gpt_oss",
        "num_attention_heads": shape.num_attention_heads,
        "num_experts_per_tok": shape.num_experts_per_tok,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_key_value_heads": shape.num_key_value_heads,
        "num_local_experts": shape.num_local_experts,
        "pad_token_id": 1,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router",
                "model.embed_tokens", "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_scaling": {
            "beta_fast": shape.beta_fast,
            "beta_slow": shape.beta_slow,
            "factor": shape.rope_factor,
            "original_max_position_embeddings": shape.initial_context_length,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": shape.rope_theta,
        "sliding_window": shape.sliding_window,
        "swiglu_limit": shape.swiglu_limit,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocab_size,
    }  # fmt: skip
