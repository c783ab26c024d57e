"""Layers of different sizes: the key `per_layer` of a config.json, which `hnlpu compress` writes.

    "per_layer": [{}, {"attention": false}, {"num_attention_heads": 3, "intermediate_size": 448}]

One object for each layer.  It holds keys of the config that are others in this layer, of those that a
family lets vary, and `attention` or `feed_forward`: false where a layer lacks that half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hnlpu.model.families._config import SIZE_LIMIT

Half = Literal["attention", "feed_forward"]
Axis = Literal["heads", "kv_heads", "inner", "expert_inner", "experts"]
"""What may differ from layer to layer.

heads         query heads
kv_heads      heads of keys and values
inner         neurons of a dense feed-forward block
expert_inner  neurons of each expert
experts       experts
"""
DENSE: Mapping[Axis, str] = {
    "heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "inner": "intermediate_size",
}  # fmt: skip
"""Keys of these sizes in most configs."""
LOCAL_EXPERTS: Mapping[Axis, str] = {
    "heads": "num_attention_heads", "kv_heads": "num_key_value_heads",
    "expert_inner": "intermediate_size", "experts": "num_local_experts",
}  # fmt: skip
"""Those of configs in which every layer has experts."""
SPARSE: Mapping[Axis, str] = {
    **DENSE, "expert_inner": "moe_intermediate_size", "experts": "num_experts",
}  # fmt: skip
"""Those of configs with layers of both kinds."""


class LayerSizes(BaseModel):
    """What of a layer is other than the config says; None where it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: bool = True
    feed_forward: bool = True
    num_attention_heads: int | None = Field(None, ge=1, le=4096)
    num_key_value_heads: int | None = Field(None, ge=1, le=4096)
    intermediate_size: int | None = Field(None, ge=1, le=SIZE_LIMIT)
    moe_intermediate_size: int | None = Field(None, ge=1, le=SIZE_LIMIT)
    num_local_experts: int | None = Field(None, ge=1, le=8192)
    num_experts: int | None = Field(None, ge=1, le=8192)

    def sizes(self) -> dict[str, int]:
        """The keys of the config that are others in this layer."""
        halves = {"attention", "feed_forward"}
        return self.model_dump(exclude=halves, exclude_none=True)
