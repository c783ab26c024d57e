"""Phi-3, Phi-3.5 and Phi-4: fused tensors, LongRoPE, and perhaps only some numbers of a head turn."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hnlpu.model.families._decoder import Form, StandardConfig, decoder
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import gated
from hnlpu.model.network import Network, Value


class Phi3(StandardConfig):
    """config.json of Phi-3."""

    rope_kinds: ClassVar[tuple[str, ...]] = ("default", "longrope")
    defaults: ClassVar[dict[str, Any]] = {
        "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
    }  # fmt: skip

    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    lm_head_bias: Literal[False] = False
    full_attn_mod: Literal[1] = 1
    interpolate_factor: Literal[1] = 1
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    sliding_window: int | None = Field(None, ge=1, le=2**31)
    partial_rotary_factor: float = Field(1.0, gt=0, le=1)
    original_max_position_embeddings: int = Field(ge=1, le=2**31)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What stands beside the rope parameters counts as inside, and older names of LongRoPE."""
        partial = values.get("partial_rotary_factor", 1.0)
        for key in ("rope_parameters", "rope_scaling"):
            if isinstance(values.get(key), dict):
                rope = {k: v for k, v in values[key].items() if v is not None}
                partial = rope.pop("partial_rotary_factor", partial)
                kind = rope.pop("type", "default")
                kind = rope.get("rope_type", kind)
                rope["rope_type"] = "longrope" if kind in ("su", "yarn") else kind
                if rope["rope_type"] == "longrope":
                    rope["original_max_position_embeddings"] = values.get(
                        "original_max_position_embeddings"
                    )
                values[key] = rope
        values["partial_rotary_factor"] = partial
        return super().normalise(values)

    @property
    def turning(self) -> int:
        """How many numbers of a head turn with the position: the first ones."""
        return int(self.head_dim * self.partial_rotary_factor)

    def window(self, layer: int) -> int | None:
        """Positions that a layer attends to, None for all."""
        return self.sliding_window


def network(c: Phi3) -> Network:
    """The network of a config."""

    def feed_forward(h: Value, prefix: str, layer: int) -> Value:
        return gated(h, prefix, c.at(layer).intermediate_size, act=c.hidden_act, fused=True)

    return decoder("phi3", c, feed_forward, Form(fused=True))


FAMILY = Family(("phi3",), Phi3, network, "Phi-3, Phi-3.5 and Phi-4 (text)")
