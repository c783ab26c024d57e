"""Granite 3: Llama with factors on embeddings, scores, each half of a layer, and logits."""

from __future__ import annotations

from hnlpu.model.families._decoder import decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._multipliers import MultipliersConfig
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Granite(MultipliersConfig):
    """config.json of Granite."""

    mlp_bias: bool = False


def network(c: Granite) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, bias=c.mlp_bias, act=c.hidden_act)

    return decoder("granite", c, feed_forward, c.form)


FAMILY = Family(
    ("granite",), Granite, network, "Granite 3, dense",
)  # fmt: skip
