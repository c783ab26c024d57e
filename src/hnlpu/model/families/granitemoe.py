"""Granite 3 with experts, whose shares are the softmax of those that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.model.families._decoder import decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._multipliers import MultipliersConfig
from hnlpu.model.families._per_layer import LOCAL_EXPERTS, Axis
from hnlpu.model.families._sparse import Routing, check_chosen, mixture, packed
from hnlpu.model.network import Network, Value


class GraniteMoe(MultipliersConfig):
    """config.json of Granite with experts."""

    varying: ClassVar[Mapping[Axis, str]] = LOCAL_EXPERTS

    num_local_experts: int = Field(8, ge=1, le=8192)
    num_experts_per_tok: int = Field(2, ge=1, le=8192)

    @model_validator(mode="after")
    def _experts_are_there(self) -> Self:
        names = ("num_experts_per_tok", "num_local_experts")
        check_chosen(self.num_experts_per_tok, self.num_local_experts, names)
        return self


def network(c: GraniteMoe) -> Network:
    """The network of a config."""
    by = Routing(c.num_experts_per_tok)

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        own = c.at(layer)
        sizes = (own.num_local_experts, own.hidden_size, own.intermediate_size)
        banks = packed(prefix, ("input_linear", "output_linear"), *sizes)
        return mixture(h, prefix + "router.layer", banks, by, c.hidden_act)

    return decoder("granitemoe", c, feed_forward, c.form, mlp="block_sparse_moe.")


FAMILY = Family(
    ("granitemoe",), GraniteMoe, network, "Granite 3 with experts",
)  # fmt: skip
