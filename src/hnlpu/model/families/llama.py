"""Llama 2 and 3, and the many models of their shape."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families._decoder import Form, StandardConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Llama(StandardConfig):
    """config.json of Llama."""

    mlp_bias: bool = False
    rope_interleaved: Literal[False] = False
    sliding_window: int | None = Field(None, ge=1, le=2**31)

    @model_validator(mode="after")
    def _there_is_no_window(self) -> Self:
        if self.sliding_window is not None:
            raise UnsupportedArchitecture(
                f"config.json: sliding_window is {self.sliding_window}; readers of Llama pass it over: "
                "leave it out, or say model_type mistral if the model was trained with a window"
            )
        return self


def network(c: Llama) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, bias=c.mlp_bias, act=c.hidden_act)

    return decoder("llama", c, feed_forward, Form(output_bias=c.attention_bias))


FAMILY = Family(
    ("llama",), Llama, network, "Llama 2 and 3, and the many of their shape",
    gaps=("a `sliding_window`, which transformers passes over: Mistral has one",),
)  # fmt: skip
