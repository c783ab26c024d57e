"""Gemma 2: every other layer within a window, soft caps on scores and logits."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hnlpu.model.families._family import Family
from hnlpu.model.families._gemma import GemmaConfig, gemma
from hnlpu.model.network import Network


class Gemma2(GemmaConfig):
    """config.json of Gemma 2."""

    defaults: ClassVar[dict[str, Any]] = {"head_dim": 256, "num_key_value_heads": 4}

    final_logit_softcapping: float | None = Field(30.0, gt=0, le=1e4)
    attn_logit_softcapping: float | None = Field(50.0, gt=0, le=1e4)

    @property
    def softcap(self) -> float | None:
        """The cap on scores."""
        return self.attn_logit_softcapping

    def slides_by_rule(self, layer: int) -> bool:
        """Every other layer, from the first on."""
        return layer % 2 == 0


def network(c: Gemma2) -> Network:
    """The network of a config."""
    return gemma("gemma2", c, qk_norm=False)


FAMILY = Family(
    ("gemma2",), Gemma2, network, "Gemma 2",
    gaps=(
        "embeddings of `hnlpu serve` where logits have a cap",
        "a tape in C where scores have a cap: the interpreter runs it, with the same bits, slowly",
    ),
)  # fmt: skip
