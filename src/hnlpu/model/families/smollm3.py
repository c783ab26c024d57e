"""SmolLM3: some layers turn nothing by its position; these may have a window."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._layer_types import LayerTypesConfig
from hnlpu.model.families._parts import gated
from hnlpu.model.families._rope import AnyRope
from hnlpu.model.network import Network, Value


class SmolLM3(LayerTypesConfig):
    """config.json of SmolLM3."""

    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 2e6}
    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 4}
    harmless: ClassVar[dict[str, str]] = {"max_window_layers": "layer_types say it"}

    use_sliding_window: bool = False
    sliding_window: int | None = Field(None, ge=1, le=2**31)
    no_rope_layers: tuple[int, ...] | None = None
    no_rope_layer_interval: int = Field(4, ge=1)
    mlp_bias: bool = False
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _switches_agree(self) -> Self:
        if self.no_rope_layers is not None and len(self.no_rope_layers) < self.num_hidden_layers:
            raise ValueError(
                f"no_rope_layers names {len(self.no_rope_layers)} layers, num_hidden_layers is "
                f"{self.num_hidden_layers}"
            )
        if "sliding_attention" in (self.layer_types or ()) and not self.use_sliding_window:
            raise ValueError("layer_types names sliding layers, use_sliding_window is false")
        return self

    def rope_of(self, layer: int) -> AnyRope | None:
        """How a layer's queries and keys turn; None where they do not."""
        if self.no_rope_layers is not None and layer < len(self.no_rope_layers):
            return self.rope if self.no_rope_layers[layer] else None
        return self.rope if (layer + 1) % self.no_rope_layer_interval else None

    def slides_by_rule(self, layer: int) -> bool:
        """Layers that turn nothing."""
        windowed = self.use_sliding_window and self.sliding_window is not None
        return windowed and self.rope_of(layer) is None


def network(c: SmolLM3) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, bias=c.mlp_bias, act=c.hidden_act)

    return decoder("smollm3", c, feed_forward, Form(output_bias=c.attention_bias))


FAMILY = Family(("smollm3",), SmolLM3, network, "SmolLM3")
