"""Qwen3-Next: layers of the gated delta rule, and every fourth one gated attention.

linear_attention   in ─► q k v ─► convolution ─► silu ─► delta rule ─► norm * silu(z) ─► out
full_attention     q k v ─► norm, rope ─► attention * sigmoid(gate) ─► o
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._config import SIZE_LIMIT, expect_a_type_per_layer
from hnlpu.model.families._decoder import DecoderConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import GUESSES, embed, gated, linear, unembed, weights
from hnlpu.model.families._sparse import PROJECTIONS, Routing, mixture, stacked
from hnlpu.model.families._state_space import convolved, vector
from hnlpu.model.families._turning import take_partial, turns_of
from hnlpu.model.network import Builder, Cut, Network, Value, ops
from hnlpu.model.network.composites import (
    attend,
    delta_rule,
    dense,
    dense_all,
    norm,
    rope,
    silu,
    unit_norm,
)

LayerType = Literal["linear_attention", "full_attention"]
KEY_EPS = 1e-6
"""Beside the squares of a key or query that is brought to length 1; transformers, `l2norm`."""


class Qwen3Next(DecoderConfig):
    """config.json of Qwen3-Next."""

    defaults: ClassVar[dict[str, Any]] = {"head_dim": 256, "num_key_value_heads": 2}
    head_dim: int = Field(256, ge=2, le=4096)
    partial_rotary_factor: float = Field(0.25, gt=0, le=1)
    layer_types: tuple[LayerType, ...]
    linear_conv_kernel_dim: int = Field(4, ge=1, le=64)
    linear_key_head_dim: int = Field(128, ge=1, le=4096)
    linear_value_head_dim: int = Field(128, ge=1, le=4096)
    linear_num_key_heads: int = Field(16, ge=1, le=4096)
    linear_num_value_heads: int = Field(32, ge=1, le=4096)
    moe_intermediate_size: int = Field(512, ge=1, le=SIZE_LIMIT)
    shared_expert_intermediate_size: int = Field(512, ge=1, le=SIZE_LIMIT)
    num_experts: int = Field(512, ge=0, le=8192)
    num_experts_per_tok: int = Field(10, ge=1, le=8192)
    norm_topk_prob: bool = True
    decoder_sparse_step: int = Field(1, ge=1)
    mlp_only_layers: tuple[int, ...] = ()
    use_sliding_window: Literal[False] = False

    harmless: ClassVar[dict[str, str]] = {"full_attention_interval": "layer_types follows from it"}

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Every layer has a type, and how much of a head turns stands beside the angles."""
        values.setdefault("head_dim", 256)
        values["partial_rotary_factor"] = take_partial(values, 0.25)
        layers, every = values.get("num_hidden_layers"), values.get("full_attention_interval", 4)
        if isinstance(layers, int) and isinstance(every, int) and min(1024 - layers, every) > 0:
            kinds = ("linear_attention", "full_attention")
            types = [kinds[(layer + 1) % every == 0] for layer in range(layers)]
            values.setdefault("layer_types", types)
        return super().normalise(values)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        expect_a_type_per_layer(self.layer_types, self.num_hidden_layers)
        if self.linear_num_value_heads % self.linear_num_key_heads:
            raise ValueError(
                f"linear_num_value_heads {self.linear_num_value_heads} is not a multiple of "
                f"linear_num_key_heads {self.linear_num_key_heads}"
            )
        if self.num_experts and self.num_experts_per_tok > self.num_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds num_experts "
                f"{self.num_experts}"
            )
        if self.turning < 2 or self.turning % 2:
            raise ValueError(
                f"partial_rotary_factor {self.partial_rotary_factor:g} turns {self.turning} "
                f"numbers of a head of {self.head_dim}, which are no pairs"
            )
        return self

    @property
    def turning(self) -> int:
        """Numbers of a head that turn."""
        return int(self.head_dim * self.partial_rotary_factor)

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer has experts."""
        stepped = (layer + 1) % self.decoder_sparse_step == 0
        return self.num_experts > 0 and stepped and layer not in self.mlp_only_layers


def network(c: Qwen3Next) -> Network:
    """The network of a config."""
    b = Builder("qwen3_next", context=c.max_position_embeddings)
    b.leave_out("mtp.", GUESSES)
    x = embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size)
    attends = "full_attention" in c.layer_types
    by = turns_of(b, c.rope, c.turning) if attends else None
    for layer, kind in enumerate(c.layer_types):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            h = _normed(x, prefix + "input_layernorm", c)
            if kind == "full_attention":
                assert by is not None
                x = x + _attention(h, prefix + "self_attn.", by, c)
            else:
                x = x + _delta_net(h, prefix + "linear_attn.", c)
            h = _normed(x, prefix + "post_attention_layernorm", c)
            if c.is_sparse(layer):
                x = x + _experts(h, prefix + "mlp.", c)
            else:
                x = x + gated(h, prefix + "mlp.", c.intermediate_size)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    return b.finish(unembed(_normed(x, "model.norm", c), c.vocab_size, tied=tied))


def _normed(x: Value, name: str, c: Qwen3Next) -> Value:
    """The norm over the last axis, whose weights are kept as what they exceed 1 by."""
    return norm(x, weights(x.builder, name, x.sizes[-1]) + 1.0, c.rms_norm_eps)


def _attention(h: Value, prefix: str, by: tuple[Value, Value], c: Qwen3Next) -> Value:
    b, width, together = h.builder, c.hidden_size, prefix.rstrip(".")
    heads, kv_heads, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    group = heads // kv_heads * size
    q, k, v, o = (
        b.matrix(linear(prefix + name, rows, columns, "attention", cut, bias=c.attention_bias))
        for name, rows, columns, cut in (
            ("q_proj", 2 * heads * size, width, Cut("heads_out", 2 * group, together)),
            ("k_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("v_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("o_proj", width, heads * size, Cut("heads_in", group, together)),
        )
    )
    flat_q, flat_k, flat_v = dense_all(h, q, k, v)
    queries, gate = flat_q.reshape(heads, 2 * size).split(size, size)
    queries = _normed(queries, prefix + "q_norm", c)
    keys = _normed(flat_k.reshape(kv_heads, size), prefix + "k_norm", c)
    mixed = attend(
        rope(queries, by), rope(keys, by), flat_v.reshape(kv_heads, size),
        scale=1.0 / math.sqrt(size),
    )  # fmt: skip
    return dense(mixed * gate.reshape(heads * size).table("sigmoid"), o)


def _delta_net(h: Value, prefix: str, c: Qwen3Next) -> Value:
    b, width, heads, key_heads = (
        h.builder, c.hidden_size, c.linear_num_value_heads, c.linear_num_key_heads,
    )  # fmt: skip
    key, size, each = c.linear_key_head_dim, c.linear_value_head_dim, heads // key_heads
    into, rates, out = (
        b.matrix(linear(prefix + name, rows, columns, "mixer", Cut("rows")))
        for name, rows, columns in (
            ("in_proj_qkvz", 2 * key_heads * key + 2 * heads * size, width),
            ("in_proj_ba", 2 * heads, width),
            ("out_proj", width, heads * size),
        )
    )
    mixed, forget = dense_all(h, into, rates)
    parts = mixed.reshape(key_heads, 2 * key + 2 * each * size)
    *qkv, z = parts.split(key, key, each * size, each * size)
    joined = b.step(ops.Concat(), *(x.reshape(key_heads * x.sizes[-1]) for x in qkv))
    joined = silu(convolved(joined, prefix + "conv1d", c.linear_conv_kernel_dim, bias=False))
    q, k, v = joined.split(key_heads * key, key_heads * key, heads * size)
    correct, fade = (
        x.reshape(heads) for x in forget.reshape(key_heads, 2 * each).split(each, each)
    )
    fade = (fade + vector(b, prefix + "dt_bias", heads)).table("softplus")
    decay = (fade * vector(b, prefix + "A_log", heads).table("exp", -1.0)).table("exp")
    queries, keys = (_repeated(unit_norm(x.reshape(key_heads, key), KEY_EPS), each) for x in (q, k))
    y = delta_rule(
        queries * key**-0.5, keys, v.reshape(heads, size), correct.table("sigmoid"), decay
    )
    y = norm(y, weights(b, prefix + "norm", size), c.rms_norm_eps) * silu(z.reshape(heads, size))
    return dense(y.reshape(heads * size), out)


def _repeated(x: Value, times: int) -> Value:
    """Heads [heads, d], each several times one behind the other: [heads * times, d]."""
    heads, d = x.sizes
    if times == 1:
        return x
    row = x.reshape(heads, 1, d)
    return x.builder.step(ops.Concat(1), *[row] * times).reshape(heads * times, d)


def _experts(h: Value, prefix: str, c: Qwen3Next) -> Value:
    b, width = h.builder, c.hidden_size
    by = Routing(c.num_experts_per_tok, share_first=True, normalise=c.norm_topk_prob)
    banks = stacked(prefix, PROJECTIONS, c.num_experts, width, c.moe_intermediate_size)
    mixed = mixture(h, prefix + "gate", banks, by)
    beside = b.matrix(linear(prefix + "shared_expert_gate", 1, width, "router", Cut("copy")))
    shared = gated(h, prefix + "shared_expert.", c.shared_expert_intermediate_size)
    return mixed + shared * dense(h, beside).table("sigmoid")


FAMILY = Family(
    ("qwen3_next",), Qwen3Next, network, "Qwen3-Next: gated delta rule and gated attention"
)
