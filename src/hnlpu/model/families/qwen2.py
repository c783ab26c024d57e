"""Qwen2 and 2.5: queries, keys and values have biases; later layers may have a window."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._layer_types import SwitchedWindowConfig
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Qwen2(SwitchedWindowConfig):
    """config.json of Qwen2."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 32}

    attention_bias: Literal[True] = True
    use_mrope: Literal[False] = False


def network(c: Qwen2) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)

    return decoder("qwen2", c, feed_forward, Form())


FAMILY = Family(("qwen2",), Qwen2, network, "Qwen2 and Qwen2.5, dense")
