"""Qwen3: queries and keys are normed, each head for itself."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._decoder import DecoderConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value

LayerType = Literal["sliding_attention", "full_attention"]


class Qwen3(DecoderConfig):
    """config.json of Qwen3."""

    use_sliding_window: bool = False
    sliding_window: int | None = Field(None, ge=1, le=2**31)
    max_window_layers: int = Field(28, ge=0)
    layer_types: tuple[LayerType, ...] | None = None

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Heads have 128 numbers where the file is silent."""
        values.setdefault("head_dim", 128)
        return super().normalise(values)

    @model_validator(mode="after")
    def _layers_are_there(self) -> Self:
        if self.layer_types is not None and len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types names {len(self.layer_types)} layers, num_hidden_layers is "
                f"{self.num_hidden_layers}"
            )
        windowed = "sliding_attention" in (self.layer_types or ())
        if (windowed or self.use_sliding_window) and self.sliding_window is None:
            raise ValueError("sliding_window is missing, and layers attend within one")
        if windowed and not self.use_sliding_window:
            raise ValueError("layer_types names sliding layers, use_sliding_window is false")
        return self

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        if self.layer_types is not None:
            slides = self.layer_types[layer] == "sliding_attention"
        else:
            slides = self.use_sliding_window and layer >= self.max_window_layers
        return self.sliding_window if slides else None


def network(c: Qwen3) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.intermediate_size)

    return decoder("qwen3", c, feed_forward, qk_norm=True, output_bias=c.attention_bias)


FAMILY = Family(("qwen3",), Qwen3, network, "Qwen3, dense")
