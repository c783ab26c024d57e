"""Builds of Llama, Qwen3 and Qwen3 with experts as GGUF tensors: a part of gguf_writer.py.

    build, config.json ──► metadata and tensors under llama.cpp's names

llama.cpp turns Llama's pairs of neighbours, Qwen3's halves of a head; so the rows of Llama's queries
and keys change places.  Names and keys are those of llama.cpp's gguf-py (constants.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gguf_writer import F32, MXFP4, Tensor, blocks_of, embedding_of, vector_of
from hnlpu.model.checkpoint import FINAL_NORM, UNEMBEDDING
from hnlpu.silicon.hardwire import Build

DECODERS = {"llama": "llama", "qwen3": "qwen3", "qwen3_moe": "qwen3moe"}
"""By family, what llama.cpp calls it."""
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}

Blocks = npt.NDArray[np.uint8]


def decoder_metadata(architecture: str, c: Mapping[str, Any]) -> dict[str, Any]:
    """What llama.cpp must know beside the tensors."""
    heads = c["num_attention_heads"]
    size = c.get("head_dim") or c["hidden_size"] // heads
    own: dict[str, int | float] = {
        "context_length": c["max_position_embeddings"],
        "embedding_length": c["hidden_size"],
        "block_count": c["num_hidden_layers"],
        "feed_forward_length": c["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": c["num_key_value_heads"],
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": float(c["rms_norm_eps"]),
        "rope.dimension_count": size,
        "rope.freq_base": float(c.get("rope_theta", 10000.0)),
        "vocab_size": c["vocab_size"],
    }
    if architecture == "qwen3moe":
        own["expert_count"] = c["num_experts"]
        own["expert_used_count"] = c["num_experts_per_tok"]
        own["expert_feed_forward_length"] = c["moe_intermediate_size"]
    return {
        "general.architecture": architecture,
        "general.name": "benchmark",
        **{f"{architecture}.{key}": value for key, value in own.items()},
        "tokenizer.ggml.model": "none",
    }


def neighbours(blocks: Blocks, heads: int) -> Blocks:
    """Rows of queries or keys whose pairs are halves of a head, as pairs of neighbours."""
    halves = blocks.reshape(heads, 2, -1, *blocks.shape[1:])
    return halves.swapaxes(1, 2).reshape(blocks.shape)


def llama3_factors(c: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """What each pair's frequency is divided by, [head_dim / 2], by Llama 3.1's rule.

    transformers 5, modeling_rope_utils.py: fast pairs stay, slow ones go by `factor`, between them
    the two are blended.
    """
    rope, size = c["rope_scaling"], c["head_dim"]
    waves = 2 * math.pi * c["rope_theta"] ** (np.arange(0, size, 2) / size)
    turns = rope["original_max_position_embeddings"] / waves
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    fast = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - fast) / rope["factor"] + fast)).astype(np.float32)


def decoder_tensors(build: Build, architecture: str, c: Mapping[str, Any]) -> Iterator[Tensor]:
    """Every tensor of the model, one at a time."""
    yield embedding_of(build)
    yield digits(build, "output", UNEMBEDDING)
    yield vector_of(build, "output_norm.weight", FINAL_NORM)
    if (c.get("rope_scaling") or {}).get("rope_type") == "llama3":
        factors = llama3_factors(c)
        yield Tensor("rope_freqs.weight", F32, factors.shape, factors)
    for layer in range(c["num_hidden_layers"]):
        to, prefix = f"blk.{layer}.", f"model.layers.{layer}."
        for theirs, ours in NORMS.items():
            yield vector_of(build, f"{to}{theirs}.weight", f"{prefix}{ours}.weight")
        yield from attention(build, architecture, c, to, prefix + "self_attn.")
        if architecture == "qwen3moe":
            yield from experts(build, to, prefix + "mlp.")
        else:
            for part in ("gate", "up", "down"):
                yield digits(build, f"{to}ffn_{part}", f"{prefix}mlp.{part}_proj")


def digits(build: Build, to: str, name: str, heads: int | None = None) -> Tensor:
    """A matrix of one digit; with `heads` its rows as pairs of neighbours."""
    metal = build.matrix(build.shapes()[name])
    blocks = blocks_of(metal)
    if heads is not None:
        blocks = neighbours(blocks, heads)
    return Tensor(to + ".weight", MXFP4, (metal.rows, metal.columns), blocks)


def attention(
    build: Build, architecture: str, c: Mapping[str, Any], to: str, prefix: str
) -> Iterator[Tensor]:
    """The projections of a layer's attention, and the norms of Qwen3's heads."""
    counts = {"q": c["num_attention_heads"], "k": c["num_key_value_heads"]}
    for part in ("q", "k", "v", "o"):
        heads = counts.get(part) if architecture == "llama" else None
        name = "output" if part == "o" else part
        yield digits(build, f"{to}attn_{name}", f"{prefix}{part}_proj", heads)
        if architecture != "llama" and part in counts:
            yield vector_of(build, f"{to}attn_{part}_norm.weight", f"{prefix}{part}_norm.weight")


def experts(build: Build, to: str, prefix: str) -> Iterator[Tensor]:
    """A layer's router, in float32, and its experts."""
    shapes = build.shapes()
    router = build.matrix(shapes[prefix + "gate"]).values()
    yield Tensor(to + "ffn_gate_inp.weight", F32, router.shape, router)
    for part in ("gate", "up", "down"):
        shape = shapes[f"{prefix}experts.{part}_proj"]
        stack = build.stack(shape)
        blocks = np.stack([blocks_of(stack[expert]) for expert in range(shape.count)])
        dims = (shape.count, shape.rows, shape.columns)
        yield Tensor(f"{to}ffn_{part}_exps.weight", MXFP4, dims, blocks)
