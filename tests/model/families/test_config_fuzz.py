"""Whatever stands in a config, the answer is a checked network or one line that names what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_config
from hnlpu.errors import HnlpuError
from hnlpu.model.families import network_of
from hnlpu.model.network import check

DECODER = {
    "vocab_size": 30, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-6,
    "attention_bias": True, "tie_word_embeddings": False, "max_position_embeddings": 64,
    "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
    },
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt_oss": make_config(),
    "gpt_oss, newer": make_config(new_config=True),
    "llama": DECODER | {"model_type": "llama", "mlp_bias": True, "sliding_window": None},
    "qwen3": DECODER | {
        "model_type": "qwen3", "use_sliding_window": True, "sliding_window": 4,
        "max_window_layers": 1, "layer_types": ["full_attention", "sliding_attention"],
    },
    "qwen3_moe": DECODER | {
        "model_type": "qwen3_moe", "num_experts": 3, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 4,
    },
    "qwen3_next": DECODER | {
        "model_type": "qwen3_next", "layer_types": ["full_attention", "linear_attention"],
        "partial_rotary_factor": 0.5, "full_attention_interval": 2, "num_experts": 3,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True,
        "shared_expert_intermediate_size": 16, "decoder_sparse_step": 1, "mlp_only_layers": [1],
        "linear_conv_kernel_dim": 3, "linear_key_head_dim": 4, "linear_value_head_dim": 4,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    },
    "deepseek_v3": DECODER | {
        "model_type": "deepseek_v3", "num_key_value_heads": 4, "head_dim": 4,
        "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 6, "kv_lora_rank": 12,
        "q_lora_rank": None, "n_routed_experts": 6, "n_group": 3, "topk_group": 2,
        "num_experts_per_tok": 3, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "moe_intermediate_size": 16, "routed_scaling_factor": 2.5, "norm_topk_prob": True,
        "rope_interleave": True, "moe_layer_freq": 1, "scoring_func": "sigmoid",
        "num_nextn_predict_layers": 1, "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "mscale": 1.0,
            "mscale_all_dim": 0.5, "original_max_position_embeddings": 32,
        },
    },
    "bitnet": DECODER | {
        "model_type": "bitnet", "hidden_act": "relu2", "quantization_config": {
            "quant_method": "bitnet", "linear_class": "bitlinear", "use_rms_norm": False,
            "quantization_mode": "offline", "modules_to_not_convert": ["lm_head"],
        },
    },
    "granitemoehybrid": DECODER | {
        "model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"],
        "position_embedding_type": "rope", "embedding_multiplier": 2.0, "logits_scaling": 2.0,
        "residual_multiplier": 0.5, "attention_multiplier": 0.25, "num_local_experts": 3,
        "num_experts_per_tok": 2, "shared_intermediate_size": 16, "mamba_n_heads": 8,
        "mamba_d_head": "auto", "mamba_n_groups": 2, "mamba_d_state": 4, "mamba_d_conv": 3,
        "mamba_expand": 2, "mamba_conv_bias": True, "mamba_proj_bias": True,
        "time_step_limit": [0.1, 1.0],
    },
    "rwkv7": {
        "model_type": "rwkv7", "vocab_size": 30, "hidden_size": 32, "num_hidden_layers": 2,
        "head_dim": 8, "num_heads": 4, "value_dim": [32, 32], "hidden_ratio": 2.0,
        "intermediate_size": 40, "decay_low_rank_dim": 4, "gate_low_rank_dim": 4,
        "a_low_rank_dim": 4, "v_low_rank_dim": 4, "norm_first": True, "norm_bias": True,
        "norm_eps": 1e-5, "fuse_norm": True, "hidden_act": "sqrelu",
    },
    "mamba": {
        "model_type": "mamba", "vocab_size": 30, "hidden_size": 32, "num_hidden_layers": 2,
        "state_size": 4, "expand": 2, "time_step_rank": "auto", "conv_kernel": 3, "ssm_cfg": {},
        "layer_norm_epsilon": 1e-5, "use_bias": True, "use_conv_bias": True, "rms_norm": True,
        "intermediate_size": 64,
    },
    "phi3": {k: v for k, v in DECODER.items() if k not in ("head_dim", "attention_bias")} | {
        "model_type": "phi3", "sliding_window": 4, "original_max_position_embeddings": 32,
        "partial_rotary_factor": 0.5, "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 500.0, "short_factor": [1.0, 2.0],
            "long_factor": [2.0, 3.0], "partial_rotary_factor": 0.5, "attention_factor": 1.1,
        },
    },
    "gemma3_text": DECODER | {
        "model_type": "gemma3_text", "sliding_window": 4, "sliding_window_pattern": 2,
        "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
            "sliding_attention": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 9.0},
        },
    },
    "smollm3": DECODER | {
        "model_type": "smollm3", "use_sliding_window": True, "sliding_window": 4,
        "no_rope_layers": [1, 0], "no_rope_layer_interval": 2, "mlp_bias": True,
        "layer_types": ["full_attention", "sliding_attention"],
    },
    "mamba2": {
        "model_type": "mamba2", "vocab_size": 30, "hidden_size": 32, "num_hidden_layers": 2,
        "num_heads": 8, "head_dim": 8, "state_size": 4, "n_groups": 2, "expand": 2,
        "conv_kernel": 3, "layer_norm_epsilon": 1e-5, "use_bias": True, "use_conv_bias": True,
        "time_step_limit": [0.1, 1.0],
    },
    "gru": {
        "model_type": "gru", "vocab_size": 30, "hidden_size": 32, "embedding_size": 16,
        "num_hidden_layers": 2, "bias": True, "head_bias": True, "tie_word_embeddings": False,
    },
}  # fmt: skip
NAN, INFINITY = float("nan"), float("inf")
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**30, -(10**400), 0.0, 0.5, -2.5, 1e300, NAN, INFINITY,
    -INFINITY, "", "x", "32", [], [1], [[1]], ["x", None], [NAN, INFINITY], {}, {"x": 1},
    {"rope_type": "yarn"}, {"rope_type": ["yarn"]}, {"rope_type": "linear", "factor": NAN}, (1, 2),
]  # fmt: skip


def paths(config: dict[str, Any]) -> list[tuple[str, ...]]:
    """Keys, and keys within objects."""
    found: list[tuple[str, ...]] = []
    for key, value in config.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, inner) for inner in value]
    return found


@settings(max_examples=250, deadline=None)
@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data())
def test_any_value_is_read_or_refused_in_a_line(name: str, data: st.DataObject) -> None:
    config = CONFIGS[name]
    changed: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in config.items()}
    for _ in range(data.draw(st.integers(1, 2))):
        *outer, key = data.draw(st.sampled_from(paths(config)))
        holder = changed
        for part in outer:
            holder = holder[part] if isinstance(holder.get(part), dict) else {}
        if data.draw(st.booleans()):
            holder.pop(key, None)
        else:
            holder[key] = data.draw(st.sampled_from(JUNK))
    said = ""
    try:
        check(network_of(changed))
    except HnlpuError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 400
