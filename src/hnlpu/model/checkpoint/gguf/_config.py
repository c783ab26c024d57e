"""Metadata of a GGUF file -> what config.json of the same model says.

Every key of the architecture is read or known to be harmless; another one is refused by its name,
since what it changes cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.checkpoint.gguf._file import Gguf
from hnlpu.model.checkpoint.gguf._rope import long_rope, rope_parameters

MODEL_TYPES = {
    "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe",
    "gpt-oss": "gpt_oss", "gemma2": "gemma2", "gemma3": "gemma3_text", "granite": "granite",
    "smollm3": "smollm3", "olmo2": "olmo2", "qwen2moe": "qwen2_moe", "phi3": "phi3",
}  # fmt: skip
"""Architectures that are read, and what transformers calls each."""

_HARMLESS = {
    "attention.causal": "every decoder is",
    "rope.scaling.finetuned": "how it was trained",
    "tensor_data_layout": "what the file was made from; rows lie as llama.cpp has them in any case",
    "vocab_size": "the embedding table says it",
}
"""Keys that change nothing that is not said elsewhere, with the reason."""


class Keys:
    """The keys of one architecture; it remembers which were asked for."""

    def __init__(self, gguf: Gguf, architecture: str):
        self.gguf, self.path, self._asked = gguf, gguf.path, set[str]()
        prefix = f"{architecture}."
        self.architecture = architecture
        self.values = {
            k.removeprefix(prefix): v for k, v in gguf.metadata.items() if k.startswith(prefix)
        }

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default where the file has none."""
        self._asked.add(key)
        return self.values.get(key, default)

    def need(self, key: str) -> Any:
        """A value that the file must have; raises InvalidConfig."""
        value = self.get(key)
        if value is None:
            raise InvalidConfig(f"{self.path}: the key {self.architecture}.{key} is missing")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number as written: 1e-05, which single precision stores as 9.9999997e-06."""
        value = self.need(key) if default is None else self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidConfig(f"{self.path}: {self.architecture}.{key} is {value!r}, no number")
        return float(str(np.float32(value)))

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number from 1 on; raises InvalidConfig."""
        value = self.need(key) if default is None else self.get(key, default)
        if type(value) is not int or value < 1:
            raise InvalidConfig(
                f"{self.path}: {self.architecture}.{key} is {str(value)[:40]!r}, no whole number from 1 on"
            )
        return value

    def optional(self, key: str) -> int | None:
        """A whole number from 1 on; None where there is none, or 0."""
        return None if self.get(key) in (None, 0) else self.whole(key)

    def expect(self, key: str, allowed: tuple[Any, ...]) -> None:
        """Raise UnsupportedArchitecture where a value is another than the one that is understood."""
        value = self.get(key, allowed[0])
        if value not in allowed:
            raise UnsupportedArchitecture(
                f"{self.path}: {self.architecture}.{key} is {value!r}; read is {allowed[0]!r}"
            )

    def finish(self) -> None:
        """Raise UnsupportedArchitecture for a key that nobody asked for."""
        for key in sorted(self.values.keys() - self._asked - _HARMLESS.keys()):
            raise UnsupportedArchitecture(
                f"{self.path}: {self.architecture}.{key} = {str(self.values[key])[:40]} is no key "
                f"that is known; what it changes cannot be told"
            )


def config_of(gguf: Gguf) -> dict[str, Any]:
    """config.json of the model in a file.

    Raises UnsupportedArchitecture for a model or a key that is not read, InvalidConfig for a missing
    one.
    """
    architecture = gguf.metadata.get("general.architecture")
    if architecture not in MODEL_TYPES:
        raise UnsupportedArchitecture(
            f"{gguf.path}: general.architecture is {str(architecture)[:40]!r}; read are "
            f"{', '.join(MODEL_TYPES)}: give the checkpoint that the file was made from"
        )
    keys = Keys(gguf, architecture)
    config = _shared(gguf, keys)
    config |= {"attention_bias": "blk.0.attn_output.bias" in gguf.tensors or None}
    config |= _OF.get(architecture, _nothing)(keys, config)
    keys.finish()
    return {name: value for name, value in config.items() if value is not None}


def _shared(gguf: Gguf, keys: Keys) -> dict[str, Any]:
    """What every decoder says."""
    heads, width = keys.need("attention.head_count"), keys.whole("embedding_length")
    kv_heads = keys.get("attention.head_count_kv", heads)
    for name, value in (("head_count", heads), ("head_count_kv", kv_heads)):
        if type(value) is not int or value < 1:
            raise UnsupportedArchitecture(
                f"{gguf.path}: {keys.architecture}.attention.{name} is {str(value)[:40]}; one number "
                "for all layers is read"
            )
    head_dim = keys.whole("attention.key_length", width // heads)
    keys.expect("attention.value_length", (head_dim,))
    if keys.architecture != "phi3":  # of which a part of a head may turn
        keys.expect("rope.dimension_count", (head_dim,))
    table = gguf.tensors.get("token_embd.weight")
    if table is None:
        raise InvalidConfig(f"{gguf.path}: tensor token_embd.weight is missing")
    return {
        "model_type": MODEL_TYPES[keys.architecture],
        "vocab_size": table.shape[0],
        "hidden_size": width,
        "intermediate_size": keys.optional("feed_forward_length"),
        "num_hidden_layers": keys.whole("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": keys.whole("context_length"),
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "eos_token_id": gguf.metadata.get("tokenizer.ggml.eos_token_id"),
        "bos_token_id": gguf.metadata.get("tokenizer.ggml.bos_token_id"),
        "rope_parameters": rope_parameters(gguf, keys, head_dim),
    }


def _nothing(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    return {}


def _llama(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    """Llama; with a window Mistral, with experts Mixtral."""
    experts = keys.optional("expert_count")
    window = keys.optional("attention.sliding_window")
    if experts:
        sizes = {
            "num_local_experts": experts,
            "num_experts_per_tok": keys.whole("expert_used_count"),
        }
        return {"model_type": "mixtral", "sliding_window": window, **sizes}
    keys.expect("expert_used_count", (0,))
    return {"model_type": "mistral", "sliding_window": window} if window else {}


def _qwen3_moe(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    keys.expect("expert_weights_norm", (True,))
    keys.expect("expert_shared_count", (0,))
    keys.expect("expert_gating_func", (1,))  # softmax
    experts = {
        "num_experts": keys.whole("expert_count"),
        "num_experts_per_tok": keys.whole("expert_used_count"),
        "moe_intermediate_size": keys.whole("expert_feed_forward_length"),
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
    inner = config["intermediate_size"] or experts["moe_intermediate_size"]
    return experts | {"intermediate_size": inner}


def _qwen2_moe(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    keys.expect("expert_weights_norm", (False,))
    keys.expect("expert_gating_func", (1,))  # softmax
    inner = keys.whole("expert_feed_forward_length")
    return {
        "num_experts": keys.whole("expert_count"),
        "num_experts_per_tok": keys.whole("expert_used_count"),
        "moe_intermediate_size": inner,
        "shared_expert_intermediate_size": keys.whole("expert_shared_feed_forward_length"),
        "intermediate_size": config["intermediate_size"] or inner,
        "norm_topk_prob": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _phi3(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    original = keys.whole("rope.scaling.original_context_length", config["max_position_embeddings"])
    return {
        "partial_rotary_factor": keys.whole("rope.dimension_count", config["head_dim"])
        / config["head_dim"],
        "original_max_position_embeddings": original,
        "sliding_window": keys.optional("attention.sliding_window"),
        "rope_parameters": long_rope(keys.gguf, keys, config, original),
    }


def _granite(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "attention_multiplier": keys.number("attention.scale"),
        "embedding_multiplier": keys.number("embedding_scale", 1.0),
        "residual_multiplier": keys.number("residual_scale", 1.0),
        "logits_scaling": keys.number("logit_scale", 1.0),
    }


def _gpt_oss(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    inner = keys.whole("expert_feed_forward_length")
    keys.expect("expert_gating_func", (4, 1))  # softmax of the chosen ones
    keys.expect("swiglu_clamp_exp", (7.0,))
    layers = config["num_hidden_layers"]
    kinds = ("sliding_attention", "full_attention")
    keys.get("attention.sliding_window_pattern")
    return {
        "intermediate_size": inner,
        "num_local_experts": keys.whole("expert_count"),
        "num_experts_per_tok": keys.whole("expert_used_count"),
        "sliding_window": keys.whole("attention.sliding_window"),
        "layer_types": [kinds[n % 2] for n in range(min(int(layers), 1024))],
        "attention_bias": True,
        "swiglu_limit": 7.0,
    }


def _layer_types(keys: Keys, layers: int, standard: int) -> list[str]:
    """Which layers have a window: all but every n-th, or as a list says."""
    pattern = keys.get("attention.sliding_window_pattern", standard)
    if isinstance(pattern, list) and len(pattern) == layers:
        slides = [bool(slide) for slide in pattern]
    elif type(pattern) is int and pattern > 0:
        slides = [(n + 1) % pattern != 0 for n in range(min(layers, 1024))]
    else:
        raise UnsupportedArchitecture(
            f"{keys.path}: {keys.architecture}.attention.sliding_window_pattern is "
            f"{str(pattern)[:40]}; a number or a list of all layers is read"
        )
    return ["sliding_attention" if slide else "full_attention" for slide in slides]


def _gemma(keys: Keys, config: dict[str, Any]) -> dict[str, Any]:
    """Gemma 2 and 3; where the file is silent the model's own standard values hold."""
    third = keys.architecture == "gemma3"
    found: dict[str, Any] = {
        "sliding_window": keys.whole("attention.sliding_window"),
        "hidden_activation": "gelu_pytorch_tanh",
    }
    found["layer_types"] = _layer_types(keys, int(config["num_hidden_layers"]), 6 if third else 2)
    if third:
        keys.expect("final_logit_softcapping", (None,))
        local = keys.number("rope.freq_base_swa", 10000.0)
        found["rope_parameters"] = {
            "full_attention": config["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        }
    else:
        found["attn_logit_softcapping"] = keys.number("attn_logit_softcapping", 50.0)
        found["final_logit_softcapping"] = keys.number("final_logit_softcapping", 30.0)
    # 27 billion parameters scale their queries by the width of a head among all, others by a head's
    wide = (config["hidden_size"], config["num_attention_heads"]) in ((4608, 32), (5376, 32))
    found["query_pre_attn_scalar"] = (
        config["hidden_size"] // config["num_attention_heads"] if wide else config["head_dim"]
    )
    return found


_OF: dict[str, Callable[[Keys, dict[str, Any]], dict[str, Any]]] = {
    "llama": _llama, "qwen3moe": _qwen3_moe, "gpt-oss": _gpt_oss, "gemma2": _gemma,
    "gemma3": _gemma, "granite": _granite, "qwen2moe": _qwen2_moe, "phi3": _phi3,
}  # fmt: skip
