"""Granite 4 (hybrid): layers of Mamba-2 and of attention, experts beside a block that always runs.

x ─► norm ─► Mamba-2 or attention ─► * ─► + ─► norm ─┬► experts ─────┬► + ─► * ─► +
                                                     └► shared block ┘
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._config import SIZE_LIMIT, expect_a_type_per_layer
from hnlpu.model.families._decoder import DecoderConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, linear, pieces, times, unembed, weights
from hnlpu.model.families._sparse import Routing, mixture, packed
from hnlpu.model.families._state_space import StateSpace, mamba2_mixer, time_step_limit
from hnlpu.model.families._turning import turns_of
from hnlpu.model.network import Builder, Cut, Matrix, Network, Value
from hnlpu.model.network.composites import attend, dense, dense_all, glu, norm, rope

LayerType = Literal["linear_attention", "full_attention"]
OLDER = {"mamba": "linear_attention", "attention": "full_attention"}
"""Layer types as they were called before."""
Turns = tuple[Value, Value]


class GraniteMoeHybrid(DecoderConfig):
    """config.json of Granite 4 with Mamba-2 layers."""

    harmless: ClassVar[dict[str, str]] = {
        "init_method": "first values: training only",
        "mamba_chunk_size": "how another library cuts a sequence",
        "normalization_function": "always a root mean square here, as in the library that reads it",
    }

    layer_types: tuple[LayerType, ...]
    position_embedding_type: Literal["rope", "nope"] = "nope"
    embedding_multiplier: float = Field(1.0, gt=0, le=1e6)
    logits_scaling: float = Field(1.0, gt=0, le=1e6)
    residual_multiplier: float = Field(1.0, gt=0, le=1e6)
    attention_multiplier: float = Field(1.0, gt=0, le=1e6)
    num_local_experts: int = Field(8, ge=0, le=8192)
    num_experts_per_tok: int = Field(2, ge=0, le=8192)
    shared_intermediate_size: int = Field(1024, ge=1, le=SIZE_LIMIT)
    mamba_n_heads: int = Field(128, ge=1, le=SIZE_LIMIT)
    mamba_d_head: int = Field(ge=1, le=SIZE_LIMIT)
    mamba_n_groups: int = Field(1, ge=1, le=SIZE_LIMIT)
    mamba_d_state: int = Field(256, ge=1, le=SIZE_LIMIT)
    mamba_d_conv: int = Field(4, ge=1, le=64)
    mamba_expand: int = Field(2, ge=1, le=64)
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    time_step_limit: tuple[float, float | None] = (0.0, None)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Layer types under their names of today; widths follow from others where left open."""
        types = values.pop("layers_block_type", None)
        types = values.pop("layer_types", types)
        layers, width = values.get("num_hidden_layers"), values.get("hidden_size")
        if types is None and isinstance(layers, int) and layers <= 1024:
            types = ["linear_attention"] * layers
        if isinstance(types, list | tuple):
            types = [OLDER.get(kind, kind) if isinstance(kind, str) else kind for kind in types]
        if types is not None:
            values["layer_types"] = types
        expand, heads = values.get("mamba_expand", 2), values.get("mamba_n_heads", 128)
        if values.get("mamba_d_head", "auto") == "auto":
            values.pop("mamba_d_head", None)
            if all(isinstance(x, int) and x > 0 for x in (width, expand, heads)):
                values["mamba_d_head"] = expand * width // heads
        if "time_step_limit" in values:
            values["time_step_limit"] = time_step_limit(values["time_step_limit"])
        return super().normalise(values)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        expect_a_type_per_layer(self.layer_types, self.num_hidden_layers)
        if self.mamba_d_head * self.mamba_n_heads != self.mamba_expand * self.hidden_size:
            raise ValueError(
                f"mamba_n_heads * mamba_d_head is {self.mamba_d_head * self.mamba_n_heads}, "
                f"mamba_expand * hidden_size is {self.mamba_expand * self.hidden_size}"
            )
        if self.mamba_n_heads % self.mamba_n_groups:
            raise ValueError(
                f"mamba_n_heads {self.mamba_n_heads} is not a multiple of mamba_n_groups "
                f"{self.mamba_n_groups}"
            )
        if self.num_local_experts and not 1 <= self.num_experts_per_tok <= self.num_local_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} of num_local_experts "
                f"{self.num_local_experts}"
            )
        return self

    def mixer(self) -> StateSpace:
        """Sizes and switches of its Mamba-2 layers."""
        return StateSpace(
            self.mamba_n_heads, self.mamba_d_head, self.mamba_n_groups, self.mamba_d_state,
            self.mamba_d_conv, self.rms_norm_eps, self.mamba_n_groups, self.mamba_proj_bias,
            self.mamba_conv_bias, *self.time_step_limit,
        )  # fmt: skip


def network(c: GraniteMoeHybrid) -> Network:
    """The network of a config."""
    b = Builder("granitemoehybrid", context=c.max_position_embeddings)
    x = times(embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size), c.embedding_multiplier)
    turning = c.position_embedding_type == "rope" and "full_attention" in c.layer_types
    by = turns_of(b, c.rope, c.head_dim) if turning else None
    for layer, kind in enumerate(c.layer_types):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            first, second = (
                weights(b, f"{prefix}{name}_layernorm", c.hidden_size)
                for name in ("input", "post_attention")
            )
            h = norm(x, first, c.rms_norm_eps)
            if kind == "full_attention":
                mixed = _attention(h, prefix + "self_attn.", by, c)
            else:
                mixed = mamba2_mixer(h, prefix + "mamba.", c.mixer())
            x = x + times(mixed, c.residual_multiplier)
            h = norm(x, second, c.rms_norm_eps)
            x = x + times(_feed_forward(h, prefix, c), c.residual_multiplier)
    x = norm(x, weights(b, "model.norm", c.hidden_size), c.rms_norm_eps)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    # before the matrix, which is the same, so that logits are what the last matrix gives
    x = x if c.logits_scaling == 1 else x / c.logits_scaling
    return b.finish(unembed(x, c.vocab_size, tied=tied))


def _attention(h: Value, prefix: str, by: Turns | None, c: GraniteMoeHybrid) -> Value:
    b, width, together = h.builder, c.hidden_size, prefix.rstrip(".")
    heads, kv_heads, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    group = heads // kv_heads * size
    q, k, v, o = (
        b.matrix(linear(prefix + name, rows, columns, "attention", cut, bias=c.attention_bias))
        for name, rows, columns, cut in (
            ("q_proj", heads * size, width, Cut("heads_out", group, together)),
            ("k_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("v_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("o_proj", width, heads * size, Cut("heads_in", group, together)),
        )
    )
    flat_q, flat_k, flat_v = dense_all(h, q, k, v)
    queries, keys = flat_q.reshape(heads, size), flat_k.reshape(kv_heads, size)
    if by is not None:
        queries, keys = rope(queries, by), rope(keys, by)
    values = flat_v.reshape(kv_heads, size)
    return dense(attend(queries, keys, values, scale=c.attention_multiplier), o)


def _feed_forward(h: Value, prefix: str, c: GraniteMoeHybrid) -> Value:
    shared = glu(h, *_halves(h, prefix + "shared_mlp.", c.shared_intermediate_size))
    if not c.num_local_experts:
        return shared
    prefix, sizes = prefix + "block_sparse_moe.", (c.hidden_size, c.intermediate_size)
    banks = packed(prefix, ("input_linear", "output_linear"), c.num_local_experts, *sizes)
    by = Routing(c.num_experts_per_tok)
    return mixture(h, prefix + "router.layer", banks, by) + shared


def _halves(h: Value, prefix: str, inner: int) -> tuple[Matrix, Matrix, Matrix]:
    """Gate, what it lets through, and down, for h [n]; the first two lie in one tensor."""
    b, (width,), cut = h.builder, h.sizes, Cut("rows")
    gate, up, down = (
        linear(prefix + name, rows, columns, "feed_forward", cut)
        for name, rows, columns in (
            ("input_linear.gate", inner, width), ("input_linear.up", inner, width),
            ("output_linear", width, inner),
        )
    )  # fmt: skip
    gate, up = pieces(prefix + "input_linear", (gate, up))
    return b.matrix(gate), b.matrix(up), b.matrix(down)


FAMILY = Family(
    ("granitemoehybrid",), GraniteMoeHybrid, network, "Granite 4: Mamba-2 and attention"
)
