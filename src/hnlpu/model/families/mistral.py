"""Mistral: Llama with a window."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hnlpu.model.families._decoder import Form, StandardConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Mistral(StandardConfig):
    """config.json of Mistral."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 8}

    attention_bias: Literal[False] = False
    sliding_window: int | None = Field(4096, ge=1, le=2**31)

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window


def network(c: Mistral) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)

    return decoder("mistral", c, feed_forward, Form())


FAMILY = Family(("mistral",), Mistral, network, "Mistral 7B, Nemo, Small")
