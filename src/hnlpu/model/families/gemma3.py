"""Gemma 3 (text): five layers within a window, with a rope of their own, to one without."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families._family import Family
from hnlpu.model.families._gemma import GemmaConfig, gemma
from hnlpu.model.families._local_rope import LocalRopeConfig
from hnlpu.model.network import Network


class Gemma3(GemmaConfig, LocalRopeConfig):
    """config.json of Gemma 3's text models."""

    defaults: ClassVar[dict[str, Any]] = {"head_dim": 256, "num_key_value_heads": 4}
    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 1e6}
    local_key: ClassVar[str | None] = "rope_local_base_freq"
    harmless: ClassVar[dict[str, str]] = {"_sliding_window_pattern": "layer_types say it"}

    sliding_window_pattern: int = Field(6, ge=1)
    attn_logit_softcapping: float | None = None

    @model_validator(mode="after")
    def _scores_have_no_cap(self) -> Self:
        if self.attn_logit_softcapping is not None:
            raise UnsupportedArchitecture(
                f"config.json: attn_logit_softcapping is {self.attn_logit_softcapping}; readers of "
                "Gemma 3 pass it over; leave it out if you want that"
            )
        return self

    def slides_by_rule(self, layer: int) -> bool:
        """All but every `sliding_window_pattern`-th."""
        return (layer + 1) % self.sliding_window_pattern != 0


def network(c: Gemma3) -> Network:
    """The network of a config."""
    return gemma("gemma3_text", c, qk_norm=True)


FAMILY = Family(
    ("gemma3_text",), Gemma3, network, "Gemma 3, text",
    gaps=(
        "a cap on scores (`attn_logit_softcapping`)",
        "embeddings of `hnlpu serve` where logits have a cap",
    ),
)  # fmt: skip
