"""Small Llamas whose matrices a packing has made, and what its numbers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hnlpu.model.checkpoint import read_model

WIDTH, INNER, VOCAB = 256, 384, 64
CONFIG: dict[str, Any] = {
    "model_type": "llama", "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": INNER,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip
L = "model.layers.0."
MATRICES = {
    L + "self_attn.q_proj": (256, WIDTH), L + "self_attn.k_proj": (128, WIDTH),
    L + "self_attn.v_proj": (128, WIDTH), L + "self_attn.o_proj": (WIDTH, 256),
    L + "mlp.gate_proj": (INNER, WIDTH), L + "mlp.up_proj": (INNER, WIDTH),
    L + "mlp.down_proj": (WIDTH, INNER),
}  # fmt: skip
Tensors = dict[str, torch.Tensor]
Packing = Callable[[torch.Generator, int, int], tuple[Tensors, torch.Tensor]]
"""Of rows and columns: tensors by the end of their names, and the float32 values that they mean."""


def write(
    folder: Path, packing: Packing, quantization: dict[str, Any] | None, seed: int = 0
) -> Tensors:
    """A Llama whose matrices a packing has made; returns what they mean."""
    random = torch.Generator().manual_seed(seed)
    tensors = {
        "model.embed_tokens.weight": torch.randn(VOCAB, WIDTH, generator=random).bfloat16(),
        "lm_head.weight": torch.randn(VOCAB, WIDTH, generator=random).bfloat16(),
        "model.norm.weight": torch.ones(WIDTH).bfloat16(),
        L + "input_layernorm.weight": torch.ones(WIDTH).bfloat16(),
        L + "post_attention_layernorm.weight": torch.ones(WIDTH).bfloat16(),
    }
    meant: Tensors = {}
    for name, (rows, columns) in MATRICES.items():
        parts, meant[name] = packing(random, rows, columns)
        tensors |= {f"{name}.{end}": part.contiguous() for end, part in parts.items()}
    folder.mkdir(parents=True)
    config = CONFIG if quantization is None else CONFIG | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return meant


def expect(folder: Path, meant: Tensors) -> None:
    """Every matrix has the bits of what is meant, read whole and a few rows at a time."""
    model = read_model(folder)
    for name, values in meant.items():
        matrix = model.matrices[name]
        wanted = values.numpy()
        assert wanted.dtype == np.float32
        whole = matrix.dense(0)
        np.testing.assert_array_equal(whole, wanted)
        for rows in (slice(3, 45), slice(8, 16), slice(100, 128)):
            np.testing.assert_array_equal(matrix.dense(0, rows), wanted[rows])
        assert len(np.unique(whole)) > 2


def randint(random: torch.Generator, low: int, high: int, *shape: int) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=random, dtype=torch.int32)


def scales_of(random: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=random) * 0.02 + 0.005
