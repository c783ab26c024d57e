"""The gpt-oss architecture in torch, written for training on a CPU.

Same equations as `GptOssForCausalLM` of transformers (the tests compare the
two on an exported checkpoint), with three differences that make it fast here:
experts run grouped, sliding layers work block by block, and the attention
sink is one more key, so that torch's fused attention can be used.

Attention and expert matrices pass through `FakeQuantize` while `quantize`
is set: forward values lie on the MXFP4 grid, gradients pass straight through.
So do router and unembedding in a shape with `grid_everywhere`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 32  # inputs that share one scale (OCP Microscaling v1.0)
LARGEST_E2M1 = 6.0


@dataclass(frozen=True)
class Shape:
    """Hyper-parameters, named as in gpt-oss's config.json."""

    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    sliding_window: int = 128
    initial_context_length: int = 256
    rope_factor: float = 4.0
    rope_theta: float = 10000.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    rms_norm_eps: float = 1e-5
    swiglu_limit: float = 7.0
    grid_everywhere: bool = False  # router and unembedding are trained on the MXFP4 grid too


class FakeQuantize(torch.autograd.Function):
    """Round to the MXFP4 grid, in bfloat16 (exact: 2 bits of significand); gradient straight through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return mxfp4_grid(weight).bfloat16()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.float()


def mxfp4_grid(weight: Tensor) -> Tensor:
    """Nearest MXFP4 value of every element, scale by the standard's rule.

    The shared exponent of a block is floor(log2(max |w|)) - 2 (OCP MX v1.0,
    section 6.3); elements round to nearest even among E2M1 and saturate at 6.
    """
    blocks = weight.unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(-1, keepdim=True).clamp_min(2.0**-100)
    # frexp: largest = m * 2^e with m in [0.5, 1), so floor(log2) = e - 1
    scale = torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent - 3)
    x = blocks / scale
    magnitude = x.abs()
    step = 0.5 + 0.5 * (magnitude >= 2) + (magnitude >= 4)
    return ((x / step).round_().mul_(step).clamp_(-LARGEST_E2M1, LARGEST_E2M1) * scale).flatten(-2)


def yarn_frequencies(shape: Shape) -> tuple[Tensor, float]:
    """Rotary frequencies [head_dim / 2] and the attention factor of YaRN (arXiv 2309.00071)."""
    half = shape.head_dim // 2
    plain = shape.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)

    def dimension(rotations: float) -> float:
        wavelength = shape.initial_context_length / (rotations * 2 * math.pi)
        return half * math.log(wavelength) / math.log(shape.rope_theta)

    low, high = dimension(shape.beta_fast), dimension(shape.beta_slow)
    low, high = max(low, 0), min(high, shape.head_dim - 1)
    ramp = ((torch.arange(half, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    frequencies = plain * (1 - ramp) + plain / shape.rope_factor * ramp
    return frequencies, 0.1 * math.log(shape.rope_factor) + 1


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps)


class Linear(nn.Module):
    """Affine map whose matrix can lie on the MXFP4 grid; matrix products in bfloat16."""

    def __init__(self, inputs: int, outputs: int, std: float, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * std)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.quantize = False

    def forward(self, x: Tensor) -> Tensor:
        weight = FakeQuantize.apply(self.weight) if self.quantize else self.weight.bfloat16()
        return F.linear(x.bfloat16(), weight, None if self.bias is None else self.bias.bfloat16())


class Plain(nn.Linear):
    """Router or unembedding: AdamW drives it; products in the type of its input."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs, bias)
        nn.init.normal_(self.weight, std=0.02)
        if bias:
            nn.init.zeros_(self.bias)
        self.quantize = False

    def forward(self, x: Tensor) -> Tensor:
        weight = FakeQuantize.apply(self.weight) if self.quantize else self.weight
        return F.linear(x, weight.to(x.dtype), self.bias)


class Attention(nn.Module):
    def __init__(self, shape: Shape, sliding: bool):
        super().__init__()
        self.shape, self.sliding = shape, sliding
        hidden, size = shape.hidden_size, shape.head_dim
        heads, kv_heads = shape.num_attention_heads, shape.num_key_value_heads
        std = hidden**-0.5
        self.q_proj = Linear(hidden, heads * size, std)
        self.k_proj = Linear(hidden, kv_heads * size, std)
        self.v_proj = Linear(hidden, kv_heads * size, std)
        self.o_proj = Linear(heads * size, hidden, std / math.sqrt(2 * shape.num_hidden_layers))
        self.sinks = nn.Parameter(torch.zeros(heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            proj(x).view(batch, length, -1, self.shape.head_dim).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        repeat = self.shape.num_attention_heads // self.shape.num_key_value_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        out = (self._sliding if self.sliding else self._full)(q, k, v)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))

    def _full(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention; the sink is a key at position 0 that carries no value.

        An extra dimension holds a constant 1 in every query, the sink's logit
        in the sink's key and 0 elsewhere, so its score is that logit.
        """
        size, heads = q.shape[-1], q.shape[1]
        pad = 8  # keeps the head dimension a multiple of 8
        q = F.pad(q, (0, pad, 1, 0))
        q[..., size] = 1
        k, v = F.pad(k, (0, pad, 1, 0)), F.pad(v, (0, pad, 1, 0))
        sink = F.one_hot(torch.tensor(size), size + pad) * (
            self.sinks.view(1, heads, 1, 1) * math.sqrt(size)
        )
        k = torch.cat([sink.to(k.dtype).expand(k.shape[0], -1, -1, -1), k[:, :, 1:]], 2)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=size**-0.5)
        return out[:, :, 1:, :size]

    def _sliding(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention within the window: each block of queries sees its own and the previous block."""
        batch, heads, length, size = q.shape
        window = self.shape.sliding_window
        padding = -length % window
        q, k, v = (F.pad(t, (0, 0, 0, padding)) for t in (q, k, v))
        blocks = (length + padding) // window
        q = q.reshape(batch, heads, blocks, window, size)

        def with_previous(t: Tensor) -> Tensor:
            t = t.reshape(batch, heads, blocks, window, size)
            return torch.cat([F.pad(t[:, :, :-1], (0, 0, 0, 0, 1, 0)), t], 3)

        k, v = with_previous(k), with_previous(v)
        scores = (q @ k.transpose(-1, -2)).float() * size**-0.5
        i = torch.arange(window).view(-1, 1)
        j = torch.arange(2 * window).view(1, -1) - window
        allowed = (j <= i) & (j > i - window)
        first = allowed & (j >= 0)
        allowed = torch.stack([first] + [allowed] * (blocks - 1))
        scores = scores.masked_fill(~allowed, -1e30)
        sink = self.sinks.view(1, heads, 1, 1, 1).expand(batch, heads, blocks, window, 1)
        weights = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
        out = weights.to(v.dtype) @ v
        return out.reshape(batch, heads, -1, size)[:, :, :length]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on split halves of x [batch, heads, positions, head_dim]."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Experts(nn.Module):
    """Mixture of experts with clamped SwiGLU; gate rows are even, up rows odd."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        experts, hidden, width = (
            shape.num_local_experts, shape.hidden_size, shape.intermediate_size,
        )  # fmt: skip
        std = hidden**-0.5
        down_std = width**-0.5 / math.sqrt(2 * shape.num_hidden_layers)
        self.router = Plain(hidden, experts, bias=True)
        # one parameter per expert: Muon orthogonalises matrices, not stacks of them
        self.gate_up = nn.ModuleList(Linear(hidden, 2 * width, std) for _ in range(experts))
        self.down = nn.ModuleList(Linear(width, hidden, down_std) for _ in range(experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed outputs [tokens, hidden] and the load-balancing loss."""
        k, experts = self.shape.num_experts_per_tok, self.shape.num_local_experts
        logits = self.router(x)
        top, chosen = logits.topk(k, -1)
        weights = top.softmax(-1)
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=experts)
        inputs = x.bfloat16()[order // k].split(counts.tolist())
        outputs = [self._expert(e, part) for e, part in enumerate(inputs)]
        gathered = torch.cat(outputs)[order.argsort()].view(-1, k, x.shape[-1])
        mixed = (gathered.float() * weights.unsqueeze(-1)).sum(1)
        share = counts.float() / counts.sum()
        balance = experts * (share * logits.softmax(-1).mean(0)).sum()
        return mixed, balance

    def _expert(self, e: int, x: Tensor) -> Tensor:
        limit = self.shape.swiglu_limit
        gate, up = self.gate_up[e](x).unflatten(-1, (-1, 2)).unbind(-1)
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return self.down[e]((up + 1) * gate * torch.sigmoid(1.702 * gate))


class Layer(nn.Module):
    def __init__(self, shape: Shape, sliding: bool):
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape, sliding)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = Experts(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        mixed, balance = self.mlp(self.post_attention_layernorm(x).flatten(0, 1))
        return x + mixed.view_as(x), balance


class GptOss(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, std=0.5)
        self.layers = nn.ModuleList(
            Layer(shape, sliding=i % 2 == 0) for i in range(shape.num_hidden_layers)
        )
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.lm_head = Plain(shape.hidden_size, shape.vocab_size, bias=False)
        self.frequencies, self.attention_factor = yarn_frequencies(shape)

    def set_quantize(self, on: bool) -> None:
        """Switch the MXFP4 grid on or off for all matrices that are trained on it."""
        kinds = (Linear, Plain) if self.shape.grid_everywhere else Linear
        for module in self.modules():
            if isinstance(module, kinds):
                module.quantize = on

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, length, vocab] for `tokens` [batch, length], and the balance loss."""
        angles = torch.outer(torch.arange(tokens.shape[1], dtype=torch.float64), self.frequencies)
        cos, sin = ((f(angles) * self.attention_factor).float() for f in (torch.cos, torch.sin))
        x = self.embed_tokens(tokens)
        balance = x.new_zeros(())
        for layer in self.layers:
            x, layer_balance = layer(x, cos, sin)
            balance = balance + layer_balance
        logits = self.lm_head(self.norm(x).bfloat16())
        return logits.float(), balance / len(self.layers)
