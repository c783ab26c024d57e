"""gpt-oss: attention with sinks, every other layer within a window, and a mixture of experts.

token ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► + ─► norm ─► experts ─► + ] ─► norm ─► logits
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hnlpu.errors import InvalidConfig
from hnlpu.families._config import SIZE_LIMIT, Config
from hnlpu.families._family import Family
from hnlpu.families._parts import EMBEDDING, FINAL_NORM, attention, embed, turned, unembed, weights
from hnlpu.families._rope import Rope, rope_values
from hnlpu.network import (
    BLOCK,
    Builder,
    Cut,
    Either,
    Matrix,
    Mxfp4,
    Network,
    Tensor,
    Transpose,
    Value,
)
from hnlpu.network.composites import clamped_swiglu, dense, moe, norm

DEFAULT_ROPE = {
    "rope_type": "yarn", "rope_theta": 150000.0, "truncate": False, "factor": 32.0,
    "original_max_position_embeddings": 4096,
}  # fmt: skip


class GptOss(Config):
    """config.json of gpt-oss."""

    hidden_size: int = Field(ge=BLOCK, le=SIZE_LIMIT)
    intermediate_size: int = Field(ge=BLOCK, le=SIZE_LIMIT)
    num_attention_heads: int = Field(ge=1, le=4096)
    num_key_value_heads: int = Field(ge=1, le=4096)
    head_dim: int = Field(ge=2, le=4096, multiple_of=2)
    num_local_experts: int = Field(ge=1, le=8192)
    num_experts_per_tok: int = Field(ge=1, le=8192)
    layer_types: tuple[Literal["sliding_attention", "full_attention"], ...]
    sliding_window: int = Field(128, ge=1, le=2**31)
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    swiglu_alpha: float = Field(1.702, gt=0, le=1e3)
    swiglu_limit: float = Field(7.0, gt=0, le=1e6)
    attention_bias: bool = True
    hidden_act: Literal["silu"] = "silu"
    rope: Rope

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Both generations of the file have the same fields afterwards."""
        for older, name in (
            ("num_experts", "num_local_experts"), ("experts_per_token", "num_experts_per_tok"),
        ):  # fmt: skip
            if older in values:
                values.setdefault(name, values[older])
                del values[older]
        values.pop("initial_context_length", None)  # YaRN's original_max_position_embeddings again
        layers, heads = values.get("num_hidden_layers"), values.get("num_attention_heads")
        if "layer_types" not in values and isinstance(layers, int):
            kinds = ("sliding_attention", "full_attention")
            values["layer_types"] = [kinds[n % 2] for n in range(min(layers, 1024))]
        if "head_dim" not in values and isinstance(heads, int) and heads > 0:
            values["head_dim"] = values.get("hidden_size", 0) // heads
        try:
            return values | {"rope": rope_values(values, DEFAULT_ROPE)}
        except ValueError as error:
            raise InvalidConfig(f"config.json: {error}") from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.num_experts_per_tok > self.num_local_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds num_local_experts "
                f"{self.num_local_experts}"
            )
        if len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types names {len(self.layer_types)} layers, num_hidden_layers is "
                f"{self.num_hidden_layers}"
            )
        return self


def network(c: GptOss) -> Network:
    """The network of a config."""
    b = Builder("gpt_oss", context=c.max_position_embeddings)
    x = embed(b, EMBEDDING, c.vocab_size, c.hidden_size)
    turns = turned(b, c.rope, c.head_dim)
    for layer, kind in enumerate(c.layer_types):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            first, second = (
                weights(b, f"{prefix}{name}_layernorm", c.hidden_size)
                for name in ("input", "post_attention")
            )
            h, sinks = norm(x, first, c.rms_norm_eps), (c.num_attention_heads,)
            x = x + attention(
                h, prefix + "self_attn.", turns, c.num_attention_heads, c.num_key_value_heads,
                c.head_dim, biases=c.attention_bias, output_bias=c.attention_bias,
                window=c.sliding_window if kind == "sliding_attention" else None,
                sink=b.parameter(prefix + "self_attn.sinks", sinks,
                                 Tensor(prefix + "self_attn.sinks", sinks)),
            )  # fmt: skip
            x = x + _experts(norm(x, second, c.rms_norm_eps), prefix + "mlp.", c)
    x = norm(x, weights(b, FINAL_NORM, c.hidden_size), c.rms_norm_eps)
    return b.finish(unembed(x, c.vocab_size, tied=EMBEDDING if c.tie_word_embeddings else None))


def _experts(h: Value, prefix: str, c: GptOss) -> Value:
    b, count, inner = h.builder, c.num_local_experts, c.intermediate_size
    router = b.matrix(
        Matrix(
            prefix + "router", count, c.hidden_size, "router", Cut("copy"),
            Tensor(prefix + "router.weight", (count, c.hidden_size)),
            Tensor(prefix + "router.bias", (count,)),
        )
    )  # fmt: skip
    gate_up, down = (
        b.matrix(_bank(prefix + name, count, rows, columns))
        for name, rows, columns in (
            ("experts.gate_up_proj", 2 * inner, c.hidden_size),
            ("experts.down_proj", c.hidden_size, inner),
        )
    )

    def experts(x: Value, chosen: Value) -> Value:
        opened = dense(x, gate_up, chosen=chosen)
        return dense(clamped_swiglu(opened, c.swiglu_alpha, c.swiglu_limit), down, chosen=chosen)

    return moe(h, router, c.num_experts_per_tok, experts)


def _bank(name: str, count: int, rows: int, columns: int) -> Matrix:
    """Experts as MXFP4, or as bfloat16 with rows and columns exchanged."""
    plain = Transpose(Tensor(name, (count, columns, rows)), (0, 2, 1))
    source = Either((Mxfp4(name, (count, rows, columns)), plain))
    bias = Tensor(name + "_bias", (count, rows))
    return Matrix(name, rows, columns, "experts", Cut("members"), source, bias, members=count)


FAMILY = Family(("gpt_oss",), GptOss, network)
