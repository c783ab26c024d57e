"""Qwen2 with experts: beside the chosen ones, one that always runs, behind a gate of its own."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hnlpu.model.families._config import SIZE_LIMIT
from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._layer_types import SwitchedWindowConfig
from hnlpu.model.families._parts import gated, linear
from hnlpu.model.families._sparse import PROJECTIONS, Routing, SparseLayersConfig, mixture, stacked
from hnlpu.model.network import Cut, Network, Value
from hnlpu.model.network.composites import dense


class Qwen2Moe(SwitchedWindowConfig, SparseLayersConfig):
    """config.json of Qwen2 with experts."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 16}

    sliding_window: int | None = Field(4096, ge=0, le=2**31)
    shared_expert_intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    attention_bias: bool = True
    qkv_bias: Literal[True, False] = True

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The biases of queries, keys and values have a name of their own here."""
        values["attention_bias"] = values.get("qkv_bias", True)
        return super().normalise(values)

    def slides_by_rule(self, layer: int) -> bool:
        """Every other layer before `max_window_layers`."""
        return self.use_sliding_window and layer % 2 == 0 and layer < self.max_window_layers


def network(c: Qwen2Moe) -> Network:
    """The network of a config."""
    by = Routing(c.num_experts_per_tok, share_first=True, normalise=c.norm_topk_prob)

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        if not c.is_sparse(layer):
            return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)
        banks = stacked(prefix, PROJECTIONS, *c.at(layer).expert_sizes)
        mixed = mixture(h, prefix + "gate", banks, by, c.hidden_act)
        gate = linear(prefix + "shared_expert_gate", 1, c.hidden_size, "router", Cut("copy"))
        opened = dense(h, h.builder.matrix(gate)).table("sigmoid")
        inner = c.shared_expert_intermediate_size
        shared = gated(h, prefix + "shared_expert.", inner, act=c.hidden_act)
        return mixed + shared * opened

    return decoder("qwen2_moe", c, feed_forward, Form())


FAMILY = Family(("qwen2_moe",), Qwen2Moe, network, "Qwen1.5 and Qwen2 with experts")
