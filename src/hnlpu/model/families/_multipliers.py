"""Granite's factors: on embeddings, scores, each half of a layer, and logits."""

from __future__ import annotations

from pydantic import Field

from hnlpu.model.families._decoder import Form, StandardConfig


class MultipliersConfig(StandardConfig):
    """The factors as a config.json has them."""

    embedding_multiplier: float = Field(1.0, gt=0, le=1e4)
    logits_scaling: float = Field(1.0, gt=0, le=1e4)
    residual_multiplier: float = Field(1.0, gt=0, le=1e4)
    attention_multiplier: float = Field(1.0, gt=0, le=1e4)

    @property
    def form(self) -> Form:
        """Layers with these factors."""
        return Form(
            output_bias=self.attention_bias,
            scale=self.attention_multiplier,
            embedding_factor=self.embedding_multiplier,
            residual_factor=self.residual_multiplier,
            logit_factor=1.0 / self.logits_scaling,
        )
