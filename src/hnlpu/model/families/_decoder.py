"""Decoders of transformers: what their configs and their layers share.

token ─► [ norm ─► attention ─► + ─► norm ─► feed-forward ─► + ] x layers ─► norm ─► logits
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.errors import InvalidConfig
from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._parts import embed, linear, unembed, weights
from hnlpu.model.families._rope import AnyRope, rope_values
from hnlpu.model.network import Builder, Cut, Given, Network, Tensor, Value
from hnlpu.model.network.composites import attend, dense, dense_all, norm, rope, turns

Turns = tuple[Value, Value]
FeedForward = Callable[[Value, str, int], Value]
"""The second half of a layer: of normed values, a prefix of names and the layer's number."""


class DecoderConfig(Config):
    """What config.json of a decoder says, by its own keys; `rope` is read from several."""

    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 10000.0}
    rope_kinds: ClassVar[tuple[str, ...]] = ("default", "linear", "llama3", "yarn")

    intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_attention_heads: int = Field(ge=1, le=4096)
    num_key_value_heads: int = Field(ge=1, le=4096)
    head_dim: int = Field(ge=2, le=4096, multiple_of=2)
    rms_norm_eps: float = Field(1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    rope: AnyRope

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Both generations of the file have the same fields afterwards."""
        if "rope" in values:
            raise InvalidConfig("config.json: rope is no key of it; rope_parameters is")
        heads, width = values.get("num_attention_heads"), values.get("hidden_size")
        if isinstance(heads, int) and isinstance(width, int) and heads > 0:
            values.setdefault("head_dim", width // heads)
            values.setdefault("num_key_value_heads", heads)
        try:
            return values | {"rope": rope_values(values, cls.default_rope, cls.rope_kinds)}
        except ValueError as error:
            raise InvalidConfig(f"config.json: {error}") from None

    @model_validator(mode="after")
    def _heads_are_shared_evenly(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return None


def decoder(
    family: str, c: DecoderConfig, feed_forward: FeedForward, *, sinks: bool = False,
    qk_norm: bool = False, output_bias: bool = False,
) -> Network:  # fmt: skip
    """The network of a decoder whose layers differ in their feed-forward half and in options.

    `sinks`: every head has one; `qk_norm`: queries and keys are normed, each head for itself.
    """
    b = Builder(family, context=c.max_position_embeddings)
    x = embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size)
    by = _turns(b, c)
    for layer in range(c.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            first, second = (
                weights(b, f"{prefix}{name}_layernorm", c.hidden_size)
                for name in ("input", "post_attention")
            )
            h = norm(x, first, c.rms_norm_eps)
            x = x + _attention(
                h, prefix + "self_attn.", layer, by, c, sinks=sinks, qk_norm=qk_norm,
                output_bias=output_bias,
            )  # fmt: skip
            x = x + feed_forward(norm(x, second, c.rms_norm_eps), prefix + "mlp.", layer)
    x = norm(x, weights(b, "model.norm", c.hidden_size), c.rms_norm_eps)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    return b.finish(unembed(x, c.vocab_size, tied=tied))


def _turns(b: Builder, c: DecoderConfig) -> Turns:
    """Cosines and sines of the position, shared by all layers."""
    frequencies, factor = c.rope.frequencies(c.head_dim)
    values = tuple(float(value) for value in frequencies)
    table = b.parameter("rope.frequencies", (len(values),), Given(values, (len(values),)))
    return turns(b.position(), table, factor)


def _attention(
    h: Value, prefix: str, layer: int, by: Turns, c: DecoderConfig, *, sinks: bool, qk_norm: bool,
    output_bias: bool,
) -> Value:  # fmt: skip
    b, width, together = h.builder, c.hidden_size, prefix.rstrip(".")
    heads, kv_heads, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    group, bias = heads // kv_heads * size, c.attention_bias
    q, k, v, o = (
        b.matrix(linear(prefix + name, rows, columns, "attention", cut, bias=biased))
        for name, rows, columns, cut, biased in (
            ("q_proj", heads * size, width, Cut("heads_out", group, together), bias),
            ("k_proj", kv_heads * size, width, Cut("heads_out", size, together), bias),
            ("v_proj", kv_heads * size, width, Cut("heads_out", size, together), bias),
            ("o_proj", width, heads * size, Cut("heads_in", group, together), output_bias),
        )
    )
    flat_q, flat_k, flat_v = dense_all(h, q, k, v)
    queries, keys = flat_q.reshape(heads, size), flat_k.reshape(kv_heads, size)
    if qk_norm:
        queries = norm(queries, weights(b, prefix + "q_norm", size), c.rms_norm_eps)
        keys = norm(keys, weights(b, prefix + "k_norm", size), c.rms_norm_eps)
    sink = None
    if sinks:
        sink = b.parameter(prefix + "sinks", (heads,), Tensor(prefix + "sinks", (heads,)))
    mixed = attend(
        rope(queries, by), rope(keys, by), flat_v.reshape(kv_heads, size),
        scale=1.0 / math.sqrt(size), window=c.window(layer), sink=sink,
    )  # fmt: skip
    return dense(mixed, o)
