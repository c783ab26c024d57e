"""Qwen3 with experts: shares are the softmax of all experts, of which the best k run."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.families._config import SIZE_LIMIT
from hnlpu.model.families._decoder import DecoderConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated, linear
from hnlpu.model.network import Cut, Matrix, Network, Stack, Tensor, Value
from hnlpu.model.network.composites import glu, moe


class Qwen3Moe(DecoderConfig):
    """config.json of Qwen3 with experts."""

    harmless: ClassVar[dict[str, str]] = {
        "max_window_layers": "every layer has the window, or none has",
    }

    moe_intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_experts: int = Field(ge=1, le=8192)
    num_experts_per_tok: int = Field(ge=1, le=8192)
    norm_topk_prob: bool = False
    decoder_sparse_step: int = Field(1, ge=1)
    mlp_only_layers: tuple[int, ...] = ()
    use_sliding_window: bool = False
    sliding_window: int | None = Field(None, ge=1, le=2**31)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """transformers 5 names the experts otherwise."""
        if "num_local_experts" in values:
            values.setdefault("num_experts", values.pop("num_local_experts"))
        return super().normalise(values)

    @model_validator(mode="after")
    def _experts_are_there(self) -> Self:
        if self.num_experts_per_tok > self.num_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds num_experts "
                f"{self.num_experts}"
            )
        if self.use_sliding_window and self.sliding_window is None:
            raise ValueError("sliding_window is missing, and layers attend within one")
        return self

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window if self.use_sliding_window else None

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer has experts."""
        return layer not in self.mlp_only_layers and (layer + 1) % self.decoder_sparse_step == 0


def network(c: Qwen3Moe) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        sparse = c.is_sparse(layer)
        return _experts(h, prefix, c) if sparse else gated(h, prefix, c.intermediate_size)

    return decoder("qwen3_moe", c, feed_forward, qk_norm=True, output_bias=c.attention_bias)


def _experts(h: Value, prefix: str, c: Qwen3Moe) -> Value:
    b, width, inner = h.builder, c.hidden_size, c.moe_intermediate_size
    router = b.matrix(linear(prefix + "gate", c.num_experts, width, "router", Cut("copy")))
    gate, up, down = (
        b.matrix(_bank(prefix, name, c.num_experts, rows, columns))
        for name, rows, columns in (
            ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
        )
    )  # fmt: skip

    def experts(x: Value, chosen: Value) -> Value:
        return glu(x, gate, up, down, chosen=chosen)

    return moe(
        h, router, c.num_experts_per_tok, experts, share_first=True, normalise=c.norm_topk_prob
    )


def _bank(prefix: str, name: str, count: int, rows: int, columns: int) -> Matrix:
    """Experts that lie as a tensor each."""
    tensors = tuple(
        Tensor(f"{prefix}experts.{expert}.{name}.weight", (rows, columns))
        for expert in range(count)
    )
    return Matrix(
        f"{prefix}experts.{name}", rows, columns, "experts", Cut("members"), Stack(tensors),
        members=count, padding=-columns % BLOCK,
    )  # fmt: skip


FAMILY = Family(("qwen3_moe",), Qwen3Moe, network, "Qwen3 with experts")
