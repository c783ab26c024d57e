"""What Gemma 2 and 3 share: norms on both sides of each half, their weights kept from one."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._layer_types import LayerTypesConfig
from hnlpu.model.families._parts import Activation, gated
from hnlpu.model.network import Network, Value


class GemmaConfig(LayerTypesConfig):
    """Keys of both."""

    head_dim: int = Field(256, ge=2, le=4096, multiple_of=2)
    hidden_activation: Activation = "gelu_pytorch_tanh"
    query_pre_attn_scalar: float = Field(256, gt=0, le=1e6)
    tie_word_embeddings: bool = True
    use_bidirectional_attention: Literal[False] = False
    final_logit_softcapping: float | None = Field(None, gt=0, le=1e4)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Older files name the activation twice."""
        named = values.pop("hidden_act", None)
        used = values.get("hidden_activation", "gelu_pytorch_tanh")
        if named not in (None, used):
            raise UnsupportedArchitecture(
                f"config.json: hidden_act is {named!r}, hidden_activation {used!r}; leave out the first"
            )
        return super().normalise(values)

    @property
    def softcap(self) -> float | None:
        """The cap on scores."""
        return None


def gemma(family: str, c: GemmaConfig, *, qk_norm: bool) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_activation)

    form = Form(
        norms="around", from_one=True, qk_norm="head" if qk_norm else None,
        output_bias=c.attention_bias, scale=c.query_pre_attn_scalar**-0.5, softcap=c.softcap,
        embedding_factor=math.sqrt(c.hidden_size), logit_cap=c.final_logit_softcapping,
    )  # fmt: skip
    return decoder(family, c, feed_forward, form)
