"""Decoders of transformers: what their configs and their layers share.

token ─► [ norm ─► attention ─► + ─► norm ─► feed-forward ─► + ] x layers ─► norm ─► logits

`Form` says what else differs: norms behind the halves of a layer, factors, soft caps, fused tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._parts import (
    GATES,
    Activation,
    capped,
    embed,
    linear,
    pieces,
    times,
    unembed,
    weights,
)
from hnlpu.model.families._per_layer import DENSE, Axis, Half, LayerSizes
from hnlpu.model.families._rope import KINDS, AnyRope, rope_values
from hnlpu.model.families._turning import turns_of
from hnlpu.model.network import Builder, Cut, Matrix, Network, Tensor, Value
from hnlpu.model.network.composites import attend, dense, dense_all, norm, rope

Turns = tuple[Value, Value]
FeedForward = Callable[[Value, str, int], Value]
"""The second half of a layer: of normed values, a prefix of names and the layer's number."""


class DecoderConfig(Config):
    """What config.json of a decoder says, by its own keys; `rope` is read from several."""

    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 10000.0}
    rope_kinds: ClassVar[tuple[str, ...]] = ("default", "linear", "llama3", "yarn")
    activations: ClassVar[tuple[Activation, ...]] = ("silu",)
    varying: ClassVar[Mapping[Axis, str]] = {}
    """Keys of sizes that `per_layer` may change; none where a family has layers of one size only."""

    intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_attention_heads: int = Field(ge=1, le=4096)
    num_key_value_heads: int = Field(ge=1, le=4096)
    head_dim: int = Field(ge=2, le=4096, multiple_of=2)
    rms_norm_eps: float = Field(1e-6, gt=0, lt=1)
    hidden_act: Activation = "silu"
    attention_bias: bool = False
    rope: AnyRope
    per_layer: tuple[LayerSizes, ...] = ()

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
            return values | cls.ropes(values)
        except ValueError as error:
            raise InvalidConfig(f"config.json: {error}") from None

    @classmethod
    def ropes(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The fields that hold ropes, taken out of `values`; raises ValueError."""
        return {"rope": rope_values(values, cls.default_rope, cls.rope_kinds)}

    @model_validator(mode="after")
    def _heads_are_shared_evenly(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self

    @model_validator(mode="after")
    def _activation_is_done(self) -> Self:
        if self.hidden_act not in self.activations:
            raise UnsupportedArchitecture(
                f"config.json: hidden_act is {self.hidden_act!r}; supported: "
                f"{', '.join(self.activations)}"
            )
        return self

    @model_validator(mode="after")
    def _layers_have_sizes_that_may_differ(self) -> Self:
        if not self.per_layer:
            return self
        if not self.varying:
            raise UnsupportedArchitecture(
                "config.json: per_layer: layers of this family are all of one size; leave it out"
            )
        if len(self.per_layer) != self.num_hidden_layers:
            raise ValueError(
                f"per_layer names {len(self.per_layer)} layers, num_hidden_layers is "
                f"{self.num_hidden_layers}"
            )
        for layer, own in enumerate(self.per_layer):
            for key in own.sizes():
                if key not in self.varying.values():
                    raise UnsupportedArchitecture(
                        f"config.json: per_layer.{layer}.{key}: may not differ by layer; may: "
                        f"{', '.join(self.varying.values())}"
                    )
            try:
                self._of_layer(own)
            except ValueError as error:
                problem = str(error)
                if isinstance(error, ValidationError):
                    problem = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"per_layer.{layer}: {problem}") from None
        return self

    def _of_layer(self, own: LayerSizes) -> Self:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_validate(fields | own.sizes() | {"per_layer": ()})

    @cached_property
    def _by_layer(self) -> tuple[Self, ...]:
        return tuple(self._of_layer(own) for own in self.per_layer)

    def at(self, layer: int) -> Self:
        """The config as it would be if all layers were as large as this one."""
        return self._by_layer[layer] if self.per_layer else self

    def has(self, layer: int, half: Half) -> bool:
        """Whether a layer has its attention, or its feed-forward block."""
        return not self.per_layer or bool(getattr(self.per_layer[layer], half))

    @property
    def turning(self) -> int:
        """How many numbers of a head turn with the position: the first ones."""
        return self.head_dim

    def rope_of(self, layer: int) -> AnyRope | None:
        """How a layer's queries and keys turn; None where they do not."""
        return self.rope

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return None

    @property
    def ropes_by_layer(self) -> list[AnyRope | None]:
        """How each layer's queries and keys turn; None where nothing does."""
        layers = range(self.num_hidden_layers)
        return [self.rope_of(n) if self.has(n, "attention") else None for n in layers]

    @property
    def context(self) -> int | None:
        """Positions of the longest text: a rope may end before the config does."""
        ropes = set(self.ropes_by_layer)
        limits = [self.max_position_embeddings, *(r.limit for r in ropes if r is not None)]
        return min((limit for limit in limits if limit is not None), default=None)


class StandardConfig(DecoderConfig):
    """A config whose network is `decoder`'s: with every rope and activation that there is."""

    rope_kinds: ClassVar[tuple[str, ...]] = KINDS
    activations: ClassVar[tuple[Activation, ...]] = tuple(GATES)
    varying: ClassVar[Mapping[Axis, str]] = DENSE


@dataclass(frozen=True)
class Form:
    """How the layers of a decoder are made, beside what its config says.

    `sinks`: every head has one; `qk_norm`: queries and keys are normed, each head for itself or all
    at once; `fused`: a tensor holds queries, keys and values; `norms`: where each half of a layer
    has norms; `from_one`: a norm's tensor holds the distance of its weights from one.  `scale`: of
    scores; the factors multiply embeddings, each half's result, and logits; `softcap` bounds
    scores, `logit_cap` logits.
    """

    sinks: bool = False
    qk_norm: Literal["head", "all"] | None = None
    output_bias: bool = False
    fused: bool = False
    norms: Literal["before", "behind", "around"] = "before"
    from_one: bool = False
    scale: float | None = None
    embedding_factor: float = 1.0
    residual_factor: float = 1.0
    logit_factor: float = 1.0
    softcap: float | None = None
    logit_cap: float | None = None


HALVES: tuple[Half, Half] = ("attention", "feed_forward")
NORMS: Mapping[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "before": (("input_layernorm", ""), ("post_attention_layernorm", "")),
    "behind": (("", "post_attention_layernorm"), ("", "post_feedforward_layernorm")),
    "around": (
        ("input_layernorm", "post_attention_layernorm"),
        ("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    ),
}
"""Names of the norms before and behind the attention and the feed-forward half."""


def decoder(
    family: str, c: DecoderConfig, feed_forward: FeedForward, form: Form, *, mlp: str = "mlp."
) -> Network:
    """The network of a decoder of a form; `mlp` is the prefix of the feed-forward half's names."""
    b = Builder(family, context=c.context)
    x = times(embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size), form.embedding_factor)
    by = _turns(b, c)
    for layer in range(c.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            halves = dict(zip(HALVES, NORMS[form.norms], strict=True))
            halves = {half: norms for half, norms in halves.items() if c.has(layer, half)}
            names = [name for norms in halves.values() for name in norms if name]
            kept = {name: weights(b, prefix + name, c.hidden_size) for name in names}
            for half, (before, behind) in halves.items():
                h = _normed(x, kept.get(before), c, form)
                if half == "attention":
                    h = _attention(h, prefix + "self_attn.", layer, by[layer], c.at(layer), form)
                else:
                    h = feed_forward(h, prefix + mlp, layer)
                x = x + times(_normed(h, kept.get(behind), c, form), form.residual_factor)
    x = _normed(x, weights(b, "model.norm", c.hidden_size), c, form)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    # the factor before the matrix, so that hidden states are what the last matrix meets
    logits = unembed(times(x, form.logit_factor), c.vocab_size, tied=tied)
    return b.finish(capped(logits, form.logit_cap, "logit_cap"))


def _normed(x: Value, weight: Value | None, c: DecoderConfig, form: Form) -> Value:
    """x [..., n] normed; x itself where there are no weights."""
    if weight is None:
        return x
    return norm(x, weight + 1.0 if form.from_one else weight, c.rms_norm_eps)


def _turns(b: Builder, c: DecoderConfig) -> list[Turns | None]:
    """Cosines and sines of the position by layer; layers with the same rope share them."""
    made: dict[AnyRope, Turns] = {}
    ropes = c.ropes_by_layer
    for by in dict.fromkeys(r for r in ropes if r is not None):
        name = f"rope_{len(made) + 1}" if made else "rope"
        made[by] = turns_of(b, by, c.turning, name)
    return [None if by is None else made[by] for by in ropes]


def _projections(b: Builder, prefix: str, c: DecoderConfig, form: Form) -> list[Matrix]:
    """Of queries, keys, values and the output."""
    width, together, size = c.hidden_size, prefix.rstrip("."), c.head_dim
    queries, keys = c.num_attention_heads * size, c.num_key_value_heads * size
    group = queries // c.num_key_value_heads
    made = [
        linear(prefix + name, rows, columns, "attention", cut, bias=biased)
        for name, rows, columns, cut, biased in (
            ("q_proj", queries, width, Cut("heads_out", group, together), c.attention_bias),
            ("k_proj", keys, width, Cut("heads_out", size, together), c.attention_bias),
            ("v_proj", keys, width, Cut("heads_out", size, together), c.attention_bias),
            ("o_proj", width, queries, Cut("heads_in", group, together), form.output_bias),
        )
    ]
    if form.fused:
        made[:3] = pieces(prefix + "qkv_proj", made[:3])
    return [b.matrix(matrix) for matrix in made]


def _attention(
    h: Value, prefix: str, layer: int, by: Turns | None, c: DecoderConfig, form: Form
) -> Value:
    b, heads, kv_heads, size = h.builder, c.num_attention_heads, c.num_key_value_heads, c.head_dim
    *qkv, o = _projections(b, prefix, c, form)
    q, k, v = dense_all(h, *qkv)
    if form.qk_norm == "all":
        q = _normed(q, weights(b, prefix + "q_norm", heads * size), c, form)
        k = _normed(k, weights(b, prefix + "k_norm", kv_heads * size), c, form)
    queries, keys = q.reshape(heads, size), k.reshape(kv_heads, size)
    if form.qk_norm == "head":
        queries = _normed(queries, weights(b, prefix + "q_norm", size), c, form)
        keys = _normed(keys, weights(b, prefix + "k_norm", size), c, form)
    sink = None
    if form.sinks:
        sink = b.parameter(prefix + "sinks", (heads,), Tensor(prefix + "sinks", (heads,)))
    if by is not None:
        queries, keys = rope(queries, by), rope(keys, by)
    scale = 1.0 / math.sqrt(size) if form.scale is None else form.scale
    mixed = attend(
        queries, keys, v.reshape(kv_heads, size), scale=scale, window=c.window(layer), sink=sink,
        softcap=form.softcap,
    )  # fmt: skip
    return dense(mixed, o)
