"""BitNet b1.58 (arXiv 2402.17764): ternary weights, activations of 8 bits, norms before outputs.

x ─► x 127 / max |x| ─► round ─► ternary matrix ─► * max |x| / 127 ─► * weight scale ─► y

What meets the metal are BitNet's own integers: -1, 0 and 1 are exact in one digit, and whole numbers
up to 127 are exact as activations of 8 bits or more.  So every sum is the integer that transformers'
`BitLinear` adds up; only what is done to it before and afterwards is rounded by the vector unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families._config import brief
from hnlpu.model.families._decoder import DecoderConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, linear, unembed, weights
from hnlpu.model.families._state_space import vector
from hnlpu.model.families._turning import turns_of
from hnlpu.model.network import Builder, Cut, Matrix, Network, Value, ops
from hnlpu.model.network.composites import attend, dense, norm, rope

LARGEST = 127.0
"""Of an activation of 8 bits; transformers, `ActQuant`."""
LEAST = 1e-5
"""What the largest activation of a row is taken for at least; the same."""
Scaled = Literal["none", "times", "divided"]
"""What is done with `weight_scale`; none: weights are plain, and activations are not rounded."""
Turns = tuple[Value, Value]


class Quantized(BaseModel):
    """`quantization_config`: how transformers' `BitNetQuantConfig` would run the matrices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quant_method: Literal["bitnet"]
    linear_class: Literal["bitlinear", "autobitlinear"] = "bitlinear"
    quantization_mode: Literal["offline"] = "offline"
    use_rms_norm: Literal[False] = False
    rms_norm_eps: float = 1e-6
    modules_to_not_convert: tuple[Literal["lm_head"], ...] | None = None

    @property
    def scaled(self) -> Scaled:
        """`BitLinear` divides by its scale, `AutoBitLinear` multiplies by it."""
        return "divided" if self.linear_class == "bitlinear" else "times"


class BitNet(DecoderConfig):
    """config.json of BitNet b1.58."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 5}
    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 500000.0}

    activations = ("relu2",)  # type: ignore[assignment]
    hidden_act: Literal["relu2"] = "relu2"  # type: ignore[assignment]  # this family's only one
    rms_norm_eps: float = 1e-5
    _quantized: Quantized | None = PrivateAttr(None)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """As `Config.read`; raises UnsupportedArchitecture for another way to quantise."""
        found, given = super().read(values), values.get("quantization_config")
        if isinstance(given, Mapping):
            if given.get("quantization_mode") == "online":
                raise UnsupportedArchitecture(
                    "config.json: quantization_mode is online: weights would be made ternary as "
                    "they are loaded; give the checkpoint of ternary weights (offline)"
                )
            found._quantized = _quantized({k: v for k, v in given.items() if v is not None})
        elif given is not None:
            raise UnsupportedArchitecture(f"config.json: quantization_config is {brief(given)}")
        return found

    @model_validator(mode="after")
    def _heads_make_the_width(self) -> Self:
        if self.num_attention_heads * self.head_dim != self.hidden_size:
            raise ValueError(
                f"num_attention_heads * head_dim is {self.num_attention_heads * self.head_dim}, "
                f"hidden_size is {self.hidden_size}: attn_sub_norm is as wide as both"
            )
        return self


def _quantized(given: dict[str, Any]) -> Quantized:
    try:
        return Quantized.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UnsupportedArchitecture(
            f"config.json: quantization_config: {where} = {brief(problem['input'])} is not how "
            "BitNet is run here; give the checkpoint of ternary weights as it was published"
        ) from None


def network(c: BitNet) -> Network:
    """The network of a config."""
    b = Builder("bitnet", context=c.max_position_embeddings)
    x = embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size)
    by = turns_of(b, c.rope, c.head_dim)
    for layer in range(c.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            h = _normed(x, prefix + "input_layernorm", c)
            x = x + _attention(h, prefix + "self_attn.", by, c)
            h = _normed(x, prefix + "post_attention_layernorm", c)
            x = x + _feed_forward(h, prefix + "mlp.", c)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    return b.finish(unembed(_normed(x, "model.norm", c), c.vocab_size, tied=tied))


def _normed(x: Value, name: str, c: BitNet) -> Value:
    return norm(x, weights(x.builder, name, x.sizes[-1]), c.rms_norm_eps)


def _attention(h: Value, prefix: str, by: Turns, c: BitNet) -> Value:
    width, together = c.hidden_size, prefix.rstrip(".")
    heads, kv_heads, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    group = heads // kv_heads * size
    q, k, v, o = (
        linear(prefix + name, rows, columns, "attention", cut, bias=c.attention_bias)
        for name, rows, columns, cut in (
            ("q_proj", heads * size, width, Cut("heads_out", group, together)),
            ("k_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("v_proj", kv_heads * size, width, Cut("heads_out", size, together)),
            ("o_proj", width, heads * size, Cut("heads_in", group, together)),
        )
    )
    flat_q, flat_k, flat_v = _bit_linear(h, (q, k, v), c)
    mixed = attend(
        rope(flat_q.reshape(heads, size), by), rope(flat_k.reshape(kv_heads, size), by),
        flat_v.reshape(kv_heads, size), scale=1.0 / math.sqrt(size),
    )  # fmt: skip
    (y,) = _bit_linear(_normed(mixed, prefix + "attn_sub_norm", c), (o,), c)
    return y


def _feed_forward(h: Value, prefix: str, c: BitNet) -> Value:
    width, inner = c.hidden_size, c.intermediate_size
    gate, up, down = (
        linear(prefix + name, rows, columns, "feed_forward", Cut("rows"))
        for name, rows, columns in (
            ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
        )
    )  # fmt: skip
    opened, raised = _bit_linear(h, (gate, up), c)
    opened = h.builder.step(ops.Maximum(), opened, 0.0)
    (y,) = _bit_linear(
        _normed(opened * opened * raised, prefix + "ffn_sub_norm", c), (down,), c
    )  # squared
    return y


def _bit_linear(x: Value, matrices: tuple[Matrix, ...], c: BitNet) -> tuple[Value, ...]:
    """Matrices that share x [n], each as transformers' class of the config would do it."""
    b = x.builder
    if c._quantized is None:
        return tuple(dense(x, b.matrix(matrix)) for matrix in matrices)
    largest = b.step(ops.Maximum(), x.max(keep=True), (-x).max(keep=True))
    largest = b.step(ops.Maximum(), largest, LEAST)
    whole = (x * b.step(ops.Divide(), LARGEST, largest)).table("round")
    return tuple(
        _scaled(whole, largest / LARGEST, matrix, c._quantized.scaled) for matrix in matrices
    )


def _scaled(whole: Value, step: Value, matrix: Matrix, how: Scaled) -> Value:
    """Sums of whole numbers times what one of them stands for and the matrix's scale.

    `AutoBitLinear` adds the bias before its scale, `BitLinear` behind it.
    """
    b = whole.builder
    y = dense(whole, b.matrix(replace(matrix, bias=None))) * step
    scale = vector(b, f"{matrix.name}.weight_scale", 1)
    if matrix.bias is None:
        return y / scale if how == "divided" else y * scale
    bias = vector(b, f"{matrix.name}.bias", matrix.rows)
    return y / scale + bias if how == "divided" else (y + bias) * scale


FAMILY = Family(
    ("bitnet",), BitNet, network, models="BitNet b1.58", reader="transformers",
    gaps=(
        "`quantization_mode` `online`: weights that are made ternary as they are loaded",
        "`use_rms_norm`, and `modules_to_not_convert` other than `lm_head`",
        "LoRA adapters of ternary matrices",
    ),
)  # fmt: skip
