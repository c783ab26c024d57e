"""Mixtral: Mistral with experts, whose shares are the softmax of those that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._decoder import Form, StandardConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._per_layer import LOCAL_EXPERTS, Axis
from hnlpu.model.families._sparse import Routing, check_chosen, mixture, stacked
from hnlpu.model.network import Network, Value


class Mixtral(StandardConfig):
    """config.json of Mixtral."""

    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 1e6}
    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 8}
    varying: ClassVar[Mapping[Axis, str]] = LOCAL_EXPERTS

    attention_bias: Literal[False] = False
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    sliding_window: int | None = Field(None, ge=1, le=2**31)
    num_local_experts: int = Field(8, ge=1, le=8192)
    num_experts_per_tok: int = Field(2, ge=1, le=8192)

    @model_validator(mode="after")
    def _experts_are_there(self) -> Self:
        names = ("num_experts_per_tok", "num_local_experts")
        check_chosen(self.num_experts_per_tok, self.num_local_experts, names)
        return self

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window


def network(c: Mixtral) -> Network:
    """The network of a config."""
    by = Routing(c.num_experts_per_tok)

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        own = c.at(layer)
        sizes = (own.num_local_experts, own.hidden_size, own.intermediate_size)
        banks = stacked(prefix, ("w1", "w3", "w2"), *sizes)
        return mixture(h, prefix + "gate", banks, by, c.hidden_act)

    return decoder("mixtral", c, feed_forward, Form(), mlp="block_sparse_moe.")


FAMILY = Family(("mixtral",), Mixtral, network, "Mixtral 8x7B and 8x22B")
