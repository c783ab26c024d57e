"""GGUF files of small random models, written by the gguf package, beside the model that they hold.

Blocks are random bytes, so that every bit of a format is met; the model's numbers are what the gguf
package decodes them to, put into the order of transformers by llama.cpp's own rule for rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

from gguf_bytes import Array, Random, Type, random_blocks, values_of

INTERLEAVED = ("llama", "granite", "smollm3")
HEAD_NORMS = ("qwen3", "qwen3moe", "gemma3", "olmo2")
_AROUND = {
    "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
}  # fmt: skip
NORMS = {
    "llama": {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"},
    "gpt-oss": {
        "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
    },
    "gemma2": _AROUND, "gemma3": _AROUND,
    "olmo2": {n: o for n, o in _AROUND.items() if n.startswith("post")},
}  # fmt: skip


@dataclass(frozen=True)
class GgufSample:
    """A file, the same model as a folder of float32 tensors, and each tensor's format."""

    file: Path
    folder: Path
    config: dict[str, Any]
    types: dict[str, str]


def converted(values: Array, heads: int) -> Array:
    """Rows of Llama's queries or keys as llama.cpp's converter orders them."""
    apart = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return apart.swapaxes(1, 2).reshape(values.shape)


def moved_back(values: Array, heads: int) -> Array:
    """The inverse, row by row, and checked by going forth again."""
    size = values.shape[0] // heads
    back = np.empty_like(values)
    for head in range(heads):
        for row in range(size):
            half, pair = divmod(row, size // 2)
            back[head * size + row] = values[head * size + 2 * pair + half]
    np.testing.assert_array_equal(converted(back, heads), values)
    return back


class Maker:
    """Writes one tensor into the GGUF file and its meaning into the folder's tensors."""

    def __init__(self, writer: gguf.GGUFWriter, random: Random, kinds: list[str]):
        self.writer, self.random, self.kinds = writer, random, kinds
        self.from_one = False
        self.tensors: dict[str, Array] = {}
        self.types: dict[str, str] = {}

    def add(
        self, name: str, shape: tuple[int, ...], kind: str, size: float, around: float = 0.0
    ) -> Array:
        raw = random_blocks(self.random, kind, shape, size)
        if around:
            raw = (raw + np.float32(around)).astype(raw.dtype)
        plain = kind in ("F16", "F32")
        self.writer.add_tensor(name, raw, raw_dtype=None if plain else Type[kind])
        self.types[name] = kind
        return values_of(raw, kind)

    def matrix(
        self, theirs: str, ours: str, rows: int, columns: int, heads: int | None = None
    ) -> None:
        kind = self.kinds[len(self.types) % len(self.kinds)]
        values = self.add(f"{theirs}.weight", (rows, columns), kind, 0.3)
        self.tensors[f"{ours}.weight"] = values if heads is None else moved_back(values, heads)

    def vector(self, theirs: str, ours: str, size: int, around: float = 1.0) -> None:
        values = self.add(theirs, (size,), "F32", 0.3, around)
        less_one = self.from_one and "norm" in theirs
        self.tensors[ours] = values - np.float32(1) if less_one else values


def make(
    architecture: str, folder: Path, seed: int, kinds: list[str],
    more: Callable[[gguf.GGUFWriter, dict[str, Any]], None] | None = None, **changes: Any,
) -> GgufSample:  # fmt: skip
    """A model of an architecture whose matrices have these formats in turn; `more` adds metadata."""
    random = np.random.default_rng(seed)
    config = {k: v for k, v in (CONFIGS[architecture] | changes).items() if v is not None}
    architecture = ARCHITECTURES.get(architecture, architecture)
    folder.mkdir(parents=True)
    file = folder / "model.gguf"
    writer = gguf.GGUFWriter(file, architecture)
    _metadata(writer, architecture, config)
    if more is not None:
        more(writer, config)
    maker = Maker(writer, random, kinds)
    maker.from_one = architecture.startswith("gemma")
    width, vocab = config["hidden_size"], config["vocab_size"]
    maker.matrix("token_embd", "model.embed_tokens", vocab, width)
    maker.vector("output_norm.weight", "model.norm.weight", width)
    if not config["tie_word_embeddings"]:
        maker.matrix("output", "lm_head", vocab, width)
    for layer in range(config["num_hidden_layers"]):
        _layer(maker, architecture, config, layer)
    if config["rope_parameters"].get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plain = folder / "plain"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(config))
    save_file({n: np.ascontiguousarray(t) for n, t in maker.tensors.items()},
              plain / "model.safetensors")  # fmt: skip
    return GgufSample(file, plain, config, maker.types)


def _metadata(writer: gguf.GGUFWriter, architecture: str, c: dict[str, Any]) -> None:
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_key_length(c["head_dim"])
    writer.add_value_length(c["head_dim"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_vocab_size(c["vocab_size"])
    rope = c["rope_parameters"]
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(c["head_dim"] * c.get("partial_rotary_factor", 1)))
    if rope["rope_type"] in ("yarn", "linear"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
        if "original_max_position_embeddings" in rope:
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    for key, add in (
        ("attention_multiplier", writer.add_attention_scale),
        ("embedding_multiplier", writer.add_embedding_scale),
        ("residual_multiplier", writer.add_residual_scale),
        ("logits_scaling", writer.add_logit_scale),
        ("attn_logit_softcapping", writer.add_attn_logit_softcapping),
        ("final_logit_softcapping", writer.add_final_logit_softcapping),
    ):
        if c.get(key) is not None:
            add(c[key])
    if c["model_type"] == "mixtral":
        writer.add_expert_count(c["num_local_experts"])
        writer.add_expert_used_count(c["num_experts_per_tok"])
    if architecture == "qwen2moe":
        writer.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    if architecture == "phi3":
        writer.add_rope_scaling_orig_ctx_len(c["original_max_position_embeddings"])
        growth = c["max_position_embeddings"] / c["original_max_position_embeddings"]
        length = c["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(growth) / np.log(length))))
        for end in ("short", "long"):
            factors = np.array(rope[f"{end}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{end}.weight", factors)
    if architecture in ("qwen2moe", "qwen3moe", "gpt-oss"):
        writer.add_expert_count(c.get("num_local_experts", c.get("num_experts")))
        writer.add_expert_used_count(c["num_experts_per_tok"])
        inner = c.get("moe_intermediate_size", c["intermediate_size"])
        writer.add_expert_feed_forward_length(inner)
    if architecture in ("gpt-oss", "gemma2", "gemma3"):
        writer.add_sliding_window(c["sliding_window"])


def _layer(m: Maker, architecture: str, c: dict[str, Any], layer: int) -> None:
    theirs, ours, width = f"blk.{layer}.", f"model.layers.{layer}.", c["hidden_size"]
    heads, kv_heads, size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    for their_norm, our_norm in NORMS.get(architecture, NORMS["llama"]).items():
        m.vector(f"{theirs}{their_norm}.weight", f"{ours}{our_norm}.weight", width)
    separate = (("q", heads), ("k", kv_heads), ("v", kv_heads)) if architecture != "phi3" else ()
    if architecture == "phi3":
        m.matrix(
            f"{theirs}attn_qkv", f"{ours}self_attn.qkv_proj", (heads + 2 * kv_heads) * size, width
        )
    for part, count in separate:
        turned = count if architecture in INTERLEAVED and part != "v" else None
        m.matrix(
            f"{theirs}attn_{part}", f"{ours}self_attn.{part}_proj", count * size, width, turned
        )
        if architecture in ("gpt-oss", "qwen2", "qwen2moe"):
            m.vector(f"{theirs}attn_{part}.bias", f"{ours}self_attn.{part}_proj.bias",
                     count * size, 0.0)  # fmt: skip
        if architecture in HEAD_NORMS and part != "v":
            of = count * size if architecture == "olmo2" else size
            m.vector(f"{theirs}attn_{part}_norm.weight", f"{ours}self_attn.{part}_norm.weight", of)
    m.matrix(theirs + "attn_output", ours + "self_attn.o_proj", width, heads * size)
    if architecture == "gpt-oss":
        m.vector(theirs + "attn_output.bias", ours + "self_attn.o_proj.bias", width, 0.0)
        m.vector(theirs + "attn_sinks.weight", ours + "self_attn.sinks", heads, 0.0)
        _gpt_oss_experts(m, c, theirs, ours)
    elif architecture == "phi3":
        inner = c["intermediate_size"]
        m.matrix(theirs + "ffn_up", ours + "mlp.gate_up_proj", 2 * inner, width)
        m.matrix(theirs + "ffn_down", ours + "mlp.down_proj", width, inner)
    elif architecture in ("qwen2moe", "qwen3moe"):
        if architecture == "qwen2moe":
            _shared_expert(m, c, theirs, ours + "mlp.")
        _experts(m, c, theirs, ours + "mlp.", ("gate_proj", "up_proj", "down_proj"))
    elif c["model_type"] == "mixtral":
        _experts(m, c, theirs, ours + "block_sparse_moe.", ("w1", "w3", "w2"))
    else:
        inner = c["intermediate_size"]
        for part, rows, columns in (
            ("gate", inner, width), ("up", inner, width), ("down", width, inner),
        ):  # fmt: skip
            m.matrix(f"{theirs}ffn_{part}", f"{ours}mlp.{part}_proj", rows, columns)


def _experts(m: Maker, c: dict[str, Any], theirs: str, ours: str, names: tuple[str, ...]) -> None:
    count, width = c.get("num_experts", c.get("num_local_experts")), c["hidden_size"]
    inner = c.get("moe_intermediate_size", c["intermediate_size"])
    router = m.add(theirs + "ffn_gate_inp.weight", (count, width), "F32", 0.3)
    m.tensors[ours + "gate.weight"] = router
    for part, name, rows, columns in (
        ("gate", names[0], inner, width), ("up", names[1], inner, width),
        ("down", names[2], width, inner),
    ):  # fmt: skip
        kind = m.kinds[len(m.types) % len(m.kinds)]
        values = m.add(f"{theirs}ffn_{part}_exps.weight", (count, rows, columns), kind, 0.3)
        for expert in range(count):
            m.tensors[f"{ours}experts.{expert}.{name}.weight"] = values[expert]


def _shared_expert(m: Maker, c: dict[str, Any], theirs: str, ours: str) -> None:
    inner, width = c["shared_expert_intermediate_size"], c["hidden_size"]
    gate = m.add(theirs + "ffn_gate_inp_shexp.weight", (width,), "F32", 0.3)
    m.tensors[ours + "shared_expert_gate.weight"] = gate[None]
    for part, rows, columns in (
        ("gate", inner, width), ("up", inner, width), ("down", width, inner),
    ):  # fmt: skip
        name = f"{ours}shared_expert.{part}_proj"
        m.matrix(f"{theirs}ffn_{part}_shexp", name, rows, columns)


def _gpt_oss_experts(m: Maker, c: dict[str, Any], theirs: str, ours: str) -> None:
    count, inner, width = c["num_local_experts"], c["intermediate_size"], c["hidden_size"]
    m.tensors[ours + "mlp.router.weight"] = m.add(
        theirs + "ffn_gate_inp.weight", (count, width), "F32", 0.3
    )
    m.tensors[ours + "mlp.router.bias"] = m.add(theirs + "ffn_gate_inp.bias", (count,), "F32", 0.3)
    kind = m.kinds[len(m.types) % len(m.kinds)]
    found: dict[str, tuple[Array, Array]] = {}
    for part, rows, columns in (
        ("gate", inner, width), ("up", inner, width), ("down", width, inner),
    ):  # fmt: skip
        name = f"{theirs}ffn_{part}_exps"
        weights = m.add(name + ".weight", (count, rows, columns), kind, 0.3)
        found[part] = weights, m.add(name + ".bias", (count, rows), "F32", 0.3)
    together = np.empty((count, 2 * inner, width), np.float32)
    biases = np.empty((count, 2 * inner), np.float32)
    for n, part in enumerate(("gate", "up")):  # transformers: even rows gate, odd rows up
        together[:, n::2], biases[:, n::2] = found[part]
    base = ours + "mlp.experts."
    m.tensors[base + "gate_up_proj"] = together.transpose(0, 2, 1)
    m.tensors[base + "gate_up_proj_bias"] = biases
    m.tensors[base + "down_proj"] = found["down"][0].transpose(0, 2, 1)
    m.tensors[base + "down_proj_bias"] = found["down"][1]


def _llama3_factors(c: dict[str, Any]) -> Array:
    """As llama.cpp's converter makes them of Llama 3.1's rule."""
    rope, size = c["rope_parameters"], c["head_dim"]
    old, low, high = (
        rope[key] for key in
        ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )  # fmt: skip
    factors = []
    for i in range(0, size, 2):
        wavelength = 2 * np.pi * rope["rope_theta"] ** (i / size)
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


_SMALL: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "hidden_act": "silu",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _SMALL | {"model_type": "llama"},
    "qwen3": _SMALL | {"model_type": "qwen3", "rms_norm_eps": 1e-6, "tie_word_embeddings": True},
    "qwen3moe": _SMALL | {
        "model_type": "qwen3_moe", "num_experts": 3, "num_experts_per_tok": 2,
        "moe_intermediate_size": 256, "norm_topk_prob": True, "mlp_only_layers": [],
        "decoder_sparse_step": 1,
    },
    "gpt-oss": _SMALL | {
        "model_type": "gpt_oss", "num_local_experts": 3, "num_experts_per_tok": 2,
        "sliding_window": 8, "attention_bias": True, "swiglu_limit": 7.0,
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "truncate": False,
            "original_max_position_embeddings": 16,
        },
    },
    "qwen2": _SMALL | {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen2moe": _SMALL | {
        "model_type": "qwen2_moe", "num_experts": 3, "num_experts_per_tok": 2,
        "moe_intermediate_size": 256, "shared_expert_intermediate_size": 512,
        "norm_topk_prob": False, "mlp_only_layers": [], "decoder_sparse_step": 1,
    },
    "phi3": _SMALL | {
        "model_type": "phi3", "partial_rotary_factor": 0.75, "max_position_embeddings": 2048,
        "original_max_position_embeddings": 512, "pad_token_id": 0,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "short_factor": [1.0 + n / 8 for n in range(12)],
            "long_factor": [1.0 + n / 2 for n in range(12)],
        },
    },
    "granite": _SMALL | {
        "model_type": "granite", "attention_multiplier": 0.25, "embedding_multiplier": 2.0,
        "residual_multiplier": 0.5, "logits_scaling": 4.0,
    },
    "smollm3": _SMALL | {"model_type": "smollm3", "num_hidden_layers": 4, "pad_token_id": 0},
    "olmo2": _SMALL | {"model_type": "olmo2"},
    "mixtral": _SMALL | {
        "model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2,
    },
    "gemma2": _SMALL | {
        "model_type": "gemma2", "hidden_act": None, "hidden_activation": "gelu_pytorch_tanh",
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window": 8,
        "query_pre_attn_scalar": 32, "tie_word_embeddings": True,
    },
    "gemma3": _SMALL | {
        "model_type": "gemma3_text", "hidden_act": None, "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 8, "query_pre_attn_scalar": 32, "tie_word_embeddings": True,
        "num_hidden_layers": 7,
        "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
}  # fmt: skip
ARCHITECTURES = {"mixtral": "llama"}
"""What llama.cpp calls an architecture, where it has another name here."""
