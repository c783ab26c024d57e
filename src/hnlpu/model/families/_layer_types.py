"""Decoders whose layers are of two kinds: some attend to all positions, some within a window."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._config import expect_a_type_per_layer
from hnlpu.model.families._decoder import StandardConfig

LayerType = Literal["sliding_attention", "full_attention"]


class LayerTypesConfig(StandardConfig):
    """A config with `layer_types`, or with a rule in their place (`slides_by_rule`)."""

    sliding_window: int | None = Field(4096, ge=1, le=2**31)
    layer_types: tuple[LayerType, ...] | None = None

    @model_validator(mode="after")
    def _layers_have_types(self) -> Self:
        if self.layer_types is not None:
            expect_a_type_per_layer(self.layer_types, self.num_hidden_layers)
        if not self.sliding_window and any(map(self.slides, range(self.num_hidden_layers))):
            raise ValueError("sliding_window is missing, and layers attend within one")
        return self

    def slides_by_rule(self, layer: int) -> bool:
        """Whether a layer has a window where `layer_types` is left out."""
        return False

    def slides(self, layer: int) -> bool:
        """Whether a layer has a window."""
        if self.layer_types is not None:
            return self.layer_types[layer] == "sliding_attention"
        return self.slides_by_rule(layer)

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window if self.slides(layer) else None


class SwitchedWindowConfig(LayerTypesConfig):
    """Qwen's rule: windows only where `use_sliding_window` says so, from a layer on."""

    use_sliding_window: bool = False
    max_window_layers: int = Field(28, ge=0)

    @model_validator(mode="after")
    def _windows_are_switched_on(self) -> Self:
        if "sliding_attention" in (self.layer_types or ()) and not self.use_sliding_window:
            raise ValueError("layer_types names sliding layers, use_sliding_window is false")
        return self

    def slides_by_rule(self, layer: int) -> bool:
        """From `max_window_layers` on."""
        windowed = self.use_sliding_window and self.sliding_window is not None
        return windowed and layer >= self.max_window_layers
