"""Qwen3 with experts: shares are the softmax of all experts, of which the best k run."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.families._sparse import PROJECTIONS, Routing, SparseLayersConfig, mixture, stacked
from hnlpu.model.network import Network, Value


class Qwen3Moe(SparseLayersConfig):
    """config.json of Qwen3 with experts."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 4}
    harmless: ClassVar[dict[str, str]] = {
        "max_window_layers": "every layer has the window, or none has",
    }

    use_sliding_window: bool = False
    sliding_window: int | None = Field(4096, ge=1, le=2**31)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """transformers 5 names the experts otherwise."""
        if "num_local_experts" in values:
            values.setdefault("num_experts", values.pop("num_local_experts"))
        return super().normalise(values)

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window if self.use_sliding_window else None


def network(c: Qwen3Moe) -> Network:
    """The network of a config."""
    by = Routing(c.num_experts_per_tok, share_first=True, normalise=c.norm_topk_prob)

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        if not c.is_sparse(layer):
            return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)
        banks = stacked(prefix, PROJECTIONS, *c.at(layer).expert_sizes)
        return mixture(h, prefix + "gate", banks, by, c.hidden_act)

    form = Form(qk_norm="head", output_bias=c.attention_bias)
    return decoder("qwen3_moe", c, feed_forward, form)


FAMILY = Family(("qwen3_moe",), Qwen3Moe, network, "Qwen3 with experts")
