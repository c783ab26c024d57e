"""gpt-oss: attention with sinks, every other layer within a window, and a mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.families._config import SIZE_LIMIT, expect_a_type_per_layer
from hnlpu.model.families._decoder import DecoderConfig, Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import linear
from hnlpu.model.families._per_layer import LOCAL_EXPERTS, Axis
from hnlpu.model.network import Cut, Either, Matrix, Mxfp4, Network, Tensor, Transpose, Value
from hnlpu.model.network.composites import clamped_swiglu, dense, moe


class GptOss(DecoderConfig):
    """config.json of gpt-oss."""

    default_rope: ClassVar[dict[str, Any]] = {
        "rope_type": "yarn", "rope_theta": 150000.0, "truncate": False, "factor": 32.0,
        "original_max_position_embeddings": 4096,
    }  # fmt: skip
    rope_kinds: ClassVar[tuple[str, ...]] = ("default", "yarn")
    varying: ClassVar[Mapping[Axis, str]] = LOCAL_EXPERTS
    harmless: ClassVar[dict[str, str]] = {
        "initial_context_length": "the rope parameters say it again",
    }

    hidden_size: int = Field(ge=BLOCK, le=SIZE_LIMIT, multiple_of=BLOCK)
    intermediate_size: int = Field(ge=BLOCK, le=SIZE_LIMIT, multiple_of=BLOCK)
    num_local_experts: int = Field(ge=1, le=8192)
    num_experts_per_tok: int = Field(ge=1, le=8192)
    layer_types: tuple[Literal["sliding_attention", "full_attention"], ...]
    sliding_window: int = Field(128, ge=1, le=2**31)
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    swiglu_alpha: float = Field(1.702, gt=0, le=1e3)
    swiglu_limit: float = Field(7.0, gt=0, le=1e6)
    attention_bias: bool = True

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Both generations of the file have the same fields afterwards."""
        for older, name in (
            ("num_experts", "num_local_experts"), ("experts_per_token", "num_experts_per_tok"),
        ):  # fmt: skip
            if older in values:
                values.setdefault(name, values[older])
                del values[older]
        layers = values.get("num_hidden_layers")
        if "layer_types" not in values and isinstance(layers, int):
            kinds = ("sliding_attention", "full_attention")
            values["layer_types"] = [kinds[n % 2] for n in range(min(layers, 1024))]
        return super().normalise(values)

    @model_validator(mode="after")
    def _experts_and_layers_are_there(self) -> Self:
        if self.num_experts_per_tok > self.num_local_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds num_local_experts "
                f"{self.num_local_experts}"
            )
        expect_a_type_per_layer(self.layer_types, self.num_hidden_layers)
        return self

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window if self.layer_types[layer] == "sliding_attention" else None


def network(c: GptOss) -> Network:
    """The network of a config."""

    def experts(h: Value, prefix: str, layer: int) -> Value:
        return _experts(h, prefix, c.at(layer))

    return decoder("gpt_oss", c, experts, Form(sinks=True, output_bias=c.attention_bias))


def _experts(h: Value, prefix: str, c: GptOss) -> Value:
    b, count, width, inner = h.builder, c.num_local_experts, c.hidden_size, c.intermediate_size
    router = b.matrix(linear(prefix + "router", count, width, "router", Cut("copy"), bias=True))
    gate_up = b.matrix(_bank(prefix + "experts.gate_up_proj", count, 2 * inner, width))
    down = b.matrix(_bank(prefix + "experts.down_proj", count, width, inner))

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


FAMILY = Family(("gpt_oss",), GptOss, network, "gpt-oss-20b and 120b")
