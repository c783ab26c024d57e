"""OLMo 3: OLMo 2 with windows, and a longer rope in the layers that have none."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hnlpu.model.families._decoder import Form, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._local_rope import LocalRopeConfig
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Olmo3(LocalRopeConfig):
    """config.json of OLMo 3."""

    default_rope: ClassVar[dict[str, Any]] = {"rope_type": "default", "rope_theta": 500000.0}
    default_local: ClassVar[float] = 500000.0

    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)

    def slides_by_rule(self, layer: int) -> bool:
        """All but every fourth."""
        return (layer + 1) % 4 != 0


def network(c: Olmo3) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act)

    form = Form(norms="behind", qk_norm="all", output_bias=c.attention_bias)
    return decoder("olmo3", c, feed_forward, form)


FAMILY = Family(("olmo3",), Olmo3, network, "OLMo 3")
