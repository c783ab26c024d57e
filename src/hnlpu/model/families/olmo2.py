"""OLMo 2: norms stand behind each half of a layer, and queries and keys are normed all at once."""

from __future__ import annotations

from pydantic import Field

from hnlpu.model.families._decoder import Form, StandardConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Olmo2(StandardConfig):
    """config.json of OLMo 2."""

    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)


def network(c: Olmo2) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)

    form = Form(norms="behind", qk_norm="all", output_bias=c.attention_bias)
    return decoder("olmo2", c, feed_forward, form)


FAMILY = Family(("olmo2",), Olmo2, network, "OLMo 2")
