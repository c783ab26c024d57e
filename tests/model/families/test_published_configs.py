"""config.json of published models, key by key, and the number of parameters that they are known for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families import network_of
from hnlpu.model.network import check, chosen_leaves, leaf_tensors
from published_decoders import PUBLISHED

COMMON = {
    "attention_dropout": 0.0, "initializer_range": 0.02, "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0", "use_cache": True, "hidden_act": "silu",
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0,
    "beta_slow": 1.0, "truncate": False,
}  # fmt: skip
LLAMA3 = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}  # fmt: skip
MODELS: dict[str, tuple[int, dict[str, Any]]] = {
    "gpt-oss-20b": (20_914_757_184, {
        "architectures": ["GptOssForCausalLM"], "attention_bias": True, "eos_token_id": 200002,
        "experts_per_token": 4, "head_dim": 64, "hidden_size": 2880, "initial_context_length": 4096,
        "intermediate_size": 2880, "max_position_embeddings": 131072, "model_type": "gpt_oss",
        "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24,
        "num_key_value_heads": 8, "num_local_experts": 32, "output_router_logits": False,
        "pad_token_id": 199999, "quantization_config": {"quant_method": "mxfp4"},
        "rms_norm_eps": 1e-05, "rope_scaling": YARN, "rope_theta": 150000,
        "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
        "tie_word_embeddings": False, "vocab_size": 201088,
    }),
    "Llama-3.1-8B": (8_030_261_248, {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": LLAMA3, "rope_theta": 500000.0,
        "tie_word_embeddings": False, "vocab_size": 128256,
    }),
    "Mistral-7B-v0.1": (7_241_732_096, {
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
        "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "sliding_window": 4096, "tie_word_embeddings": False, "vocab_size": 32000,
    }),
    "Qwen3-0.6B": (596_049_920, {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "bos_token_id": 151643,
        "eos_token_id": 151645, "head_dim": 128, "hidden_size": 1024, "intermediate_size": 3072,
        "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
        "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
        "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": 151936,
    }),
    "Qwen3-30B-A3B": (30_532_122_624, {
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": False, "bos_token_id": 151643,
        "decoder_sparse_step": 1, "eos_token_id": 151645, "head_dim": 128, "hidden_size": 2048,
        "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48,
        "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 768,
        "norm_topk_prob": True, "num_attention_heads": 32, "num_experts": 128,
        "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
        "output_router_logits": False, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001, "sliding_window": None,
        "tie_word_embeddings": False, "use_sliding_window": False, "vocab_size": 151936,
    }),
    "Qwen3-Next-80B-A3B": (79_674_391_296, {
        "architectures": ["Qwen3NextForCausalLM"], "bos_token_id": 151643,
        "decoder_sparse_step": 1, "eos_token_id": 151645, "full_attention_interval": 4,
        "head_dim": 256, "hidden_size": 2048, "intermediate_size": 5120,
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128,
        "max_position_embeddings": 262144, "mlp_only_layers": [], "model_type": "qwen3_next",
        "moe_intermediate_size": 512, "norm_topk_prob": True, "num_attention_heads": 16,
        "num_experts": 512, "num_experts_per_tok": 10, "num_hidden_layers": 48,
        "num_key_value_heads": 2, "output_router_logits": False, "partial_rotary_factor": 0.25,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 10000000,
        "router_aux_loss_coef": 0.001, "shared_expert_intermediate_size": 512,
        "tie_word_embeddings": False, "use_sliding_window": False, "vocab_size": 151936,
    }),
    "DeepSeek-V3": (671_026_419_200, {
        "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False,
        "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}, "bos_token_id": 0,
        "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_size": 7168,
        "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
        "model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1,
        "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True,
        "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
        "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
        "rms_norm_eps": 1e-06, "rope_scaling": {
            "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 4096, "type": "yarn",
        },
        "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
        "tie_word_embeddings": False, "topk_group": 4, "topk_method": "noaux_tc",
        "v_head_dim": 128, "vocab_size": 129280,
    }),
    "bitnet-b1.58-2B-4T": (2_412_820_690, {  # and a scale for each of 210 matrices
        "architectures": ["BitNetForCausalLM"], "bos_token_id": 128000, "eos_token_id": 128001,
        "hidden_act": "relu2", "hidden_size": 2560, "intermediate_size": 6912,
        "max_position_embeddings": 4096, "model_type": "bitnet", "num_attention_heads": 20,
        "num_hidden_layers": 30, "num_key_value_heads": 5, "quantization_config": {
            "linear_class": "autobitlinear", "quant_method": "bitnet",
            "quantization_mode": "offline",
        },
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "vocab_size": 128256,
    }),
    "mamba-130m": (129_135_360, {
        "architectures": ["MambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "d_inner": 1536,
        "d_model": 768, "eos_token_id": 0, "expand": 2, "fused_add_norm": True, "hidden_size": 768,
        "intermediate_size": 1536, "layer_norm_epsilon": 1e-05, "model_type": "mamba",
        "n_layer": 24, "num_hidden_layers": 24, "pad_token_id": 0, "pad_vocab_size_multiple": 8,
        "rescale_prenorm_residual": False, "residual_in_fp32": True, "rms_norm": True,
        "ssm_cfg": {}, "state_size": 16, "tie_word_embeddings": True, "time_step_floor": 0.0001,
        "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001,
        "time_step_rank": 48, "time_step_scale": 1.0, "use_bias": False, "use_conv_bias": True,
        "vocab_size": 50280,
    }),
}  # fmt: skip
MODELS |= PUBLISHED


@pytest.mark.parametrize("name", MODELS)
def test_published_models_have_their_number_of_parameters(name: str) -> None:
    expected, config = MODELS[name]
    network = network_of(COMMON | config)
    sources = [p.source for p in network.parameters] + [m.source for m in network.matrices]
    sources += [m.bias for m in network.matrices if m.bias is not None]
    tied = config["tie_word_embeddings"]
    sizes: dict[str, int] = {}
    for source in sources:
        # as plain tensors: packed ones do not count numbers
        for leaf in chosen_leaves(
            source,
            lambda t: not t.endswith(("_blocks", "_scales")) and not (tied and "lm_head" in t),
        ):
            sizes |= {name: math.prod(shape) for name, shape in leaf_tensors(leaf).items()}
    assert sum(sizes.values()) == expected
    assert check(network)


def test_a_published_context_ends_where_longrope_would_turn_anew() -> None:
    """Phi-3.5 within its original context; with one set of factors, to its end."""
    config = COMMON | MODELS["Phi-3.5-mini"][1]
    rope = config["rope_scaling"]
    assert network_of(config).context == 4096
    alike = config | {"rope_scaling": rope | {"short_factor": rope["long_factor"]}}
    assert network_of(alike).context == 131072


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("Llama-3.1-8B", {"rope_interleaved": True}, "rope_interleaved is True"),
        ("Llama-3.1-8B", {"is_encoder_decoder": True}, "is_encoder_decoder is True"),
        ("Llama-3.1-8B", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ("Llama-3.1-8B", {"attention_multiplier": 0.5}, "attention_multiplier = 0.5"),
        ("Mistral-7B-v0.1", {"layer_types": ["full_attention"] * 32}, "layer_types"),
        ("Qwen3-0.6B", {"qk_norm": False}, "qk_norm = False"),
        ("Qwen2.5-0.5B", {"use_mrope": True}, "use_mrope is True"),
        ("Phi-3.5-mini", {"lm_head_bias": True}, "lm_head_bias is True"),
        (
            "Gemma-2-2B",
            {"use_bidirectional_attention": True},
            "use_bidirectional_attention is True",
        ),
        ("Gemma-2-2B", {"hidden_act": "gelu"}, "hidden_act is 'gelu', hidden_activation 'gelu_py"),
        ("Gemma-3-1B", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50"),
    ],
)
def test_what_would_change_the_answer_is_refused(
    name: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedArchitecture, match=words):
        network_of(COMMON | MODELS[name][1] | changes)
