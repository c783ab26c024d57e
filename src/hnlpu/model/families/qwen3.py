"""Qwen3: queries and keys are normed, each head for itself."""

from __future__ import annotations

from typing import Any, ClassVar

from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._layer_types import SwitchedWindowConfig
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Qwen3(SwitchedWindowConfig):
    """config.json of Qwen3."""

    defaults: ClassVar[dict[str, Any]] = {"head_dim": 128, "num_key_value_heads": 32}


def network(c: Qwen3) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)

    return decoder("qwen3", c, feed_forward, Form(qk_norm="head", output_bias=c.attention_bias))


FAMILY = Family(("qwen3",), Qwen3, network, "Qwen3, dense")
