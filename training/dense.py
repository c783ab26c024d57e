"""Decoders of the Llama and Qwen3 kinds in torch, and their checkpoints.

Same equations as `LlamaForCausalLM` and `Qwen3ForCausalLM` of transformers (the tests compare them
on an exported checkpoint).  Every matrix that a chip hardwires passes through `FakeQuantize` while
`quantize` is set.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import FakeQuantize, Linear, Plain, RMSNorm, mxfp4_grid, rotate


@dataclass(frozen=True)
class DenseShape:
    """Hyper-parameters, named as in config.json; `qk_norm` makes it a Qwen3.

    `rope_factor` is that of RoPE's scaling by Llama 3's rule over `initial_context_length`
    positions; 1 is none.
    """

    vocab_size: int = 256
    hidden_size: int = 64
    intermediate_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 16
    rope_theta: float = 10000.0
    rope_factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    initial_context_length: int = 64
    rms_norm_eps: float = 1e-5
    qk_norm: bool = False
    tie_word_embeddings: bool = False


def frequencies(shape: DenseShape) -> Tensor:
    """Rotary frequencies [head_dim / 2]; scaled as Llama 3.1's config says (rope_type llama3)."""
    half = shape.head_dim // 2
    plain = shape.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    turns = shape.initial_context_length * plain / (2 * math.pi)
    low, high = shape.low_freq_factor, shape.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * kept + plain / shape.rope_factor * (1 - kept)


class DenseAttention(nn.Module):
    def __init__(self, shape: DenseShape):
        super().__init__()
        self.shape = shape
        hidden, size = shape.hidden_size, shape.head_dim
        heads, kv_heads = shape.num_attention_heads, shape.num_key_value_heads
        std = hidden**-0.5
        self.q_proj = Linear(hidden, heads * size, std, bias=False)
        self.k_proj = Linear(hidden, kv_heads * size, std, bias=False)
        self.v_proj = Linear(hidden, kv_heads * size, std, bias=False)
        out_std = std / math.sqrt(2 * shape.num_hidden_layers)
        self.o_proj = Linear(heads * size, hidden, out_std, bias=False)
        if shape.qk_norm:
            self.q_norm = RMSNorm(size, shape.rms_norm_eps)
            self.k_norm = RMSNorm(size, shape.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            proj(x).view(batch, length, -1, self.shape.head_dim)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.shape.qk_norm:
            q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        repeat = self.shape.num_attention_heads // self.shape.num_key_value_heads
        k = rotate(k, cos, sin).repeat_interleave(repeat, 1)
        v = v.repeat_interleave(repeat, 1)
        out = F.scaled_dot_product_attention(rotate(q, cos, sin), k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class Gated(nn.Module):
    def __init__(self, shape: DenseShape):
        super().__init__()
        hidden, width = shape.hidden_size, shape.intermediate_size
        down_std = width**-0.5 / math.sqrt(2 * shape.num_hidden_layers)
        self.gate_proj = Linear(hidden, width, hidden**-0.5, bias=False)
        self.up_proj = Linear(hidden, width, hidden**-0.5, bias=False)
        self.down_proj = Linear(width, hidden, down_std, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DenseLayer(nn.Module):
    def __init__(self, shape: DenseShape):
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = DenseAttention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = Gated(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Dense(nn.Module):
    def __init__(self, shape: DenseShape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, std=0.1 if shape.tie_word_embeddings else 0.5)
        self.layers = nn.ModuleList(DenseLayer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.lm_head: Plain | None = None
        if not shape.tie_word_embeddings:
            self.lm_head = Plain(shape.hidden_size, shape.vocab_size, bias=False)
        self.frequencies = frequencies(shape)
        self.quantize = False

    def set_quantize(self, on: bool) -> None:
        """Switch the MXFP4 grid on or off for all matrices."""
        self.quantize = on
        for module in self.modules():
            if isinstance(module, Linear | Plain):
                module.quantize = on

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, length, vocab] for `tokens` [batch, length], and no balance loss: 0."""
        angles = torch.outer(torch.arange(tokens.shape[1], dtype=torch.float64), self.frequencies)
        cos, sin = angles.cos().float(), angles.sin().float()
        table = self.embed_tokens.weight
        if self.quantize and self.lm_head is None:
            table = FakeQuantize.apply(table).float()
        x = F.embedding(tokens, table)
        for layer in self.layers:
            x = layer(x, cos, sin)
        x = self.norm(x).bfloat16()
        logits = F.linear(x, table.bfloat16()) if self.lm_head is None else self.lm_head(x)
        return logits.float(), x.new_zeros(())


def dense_tensors(state: dict[str, Tensor], shape: DenseShape) -> dict[str, Tensor]:
    """The tensors of a checkpoint from those of `Dense`, in bfloat16; matrices on the MXFP4 grid."""
    on_grid = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    on_grid |= {"lm_head"} | ({"embed_tokens"} if shape.tie_word_embeddings else set())
    tensors = {}
    for name, value in state.items():
        kept = mxfp4_grid(value) if name.split(".")[-2] in on_grid else value
        prefix = "" if name.startswith("lm_head") else "model."
        tensors[prefix + name] = kept.bfloat16().contiguous()
    return tensors


def dense_config(shape: DenseShape, context: int) -> dict[str, Any]:
    """config.json, in the form of the Hugging Face checkpoints of Llama and Qwen3."""
    kind = "Qwen3" if shape.qk_norm else "Llama"
    own = {
        "qk_norm",
        "rope_factor",
        "low_freq_factor",
        "high_freq_factor",
        "initial_context_length",
    }
    scaling = {
        "rope_type": "llama3",
        "factor": shape.rope_factor,
        "low_freq_factor": shape.low_freq_factor,
        "high_freq_factor": shape.high_freq_factor,
        "original_max_position_embeddings": shape.initial_context_length,
    }
    return {
        "architectures": [f"{kind}ForCausalLM"],
        "attention_bias": False,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "model_type": kind.lower(),
        "pad_token_id": 1,
        "torch_dtype": "bfloat16",
        **({"rope_scaling": scaling} if shape.rope_factor != 1 else {}),
        **{key: value for key, value in asdict(shape).items() if key not in own},
    }
