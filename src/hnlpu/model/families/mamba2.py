"""Mamba-2 (arXiv 2405.21060): a convolution and a state space instead of attention."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, unembed, weights
from hnlpu.model.families._state_space import StateSpace, mamba2_mixer, time_step_limit
from hnlpu.model.network import Builder, Network
from hnlpu.model.network.composites import norm


class Mamba2(Config):
    """config.json of Mamba-2."""

    harmless: ClassVar[dict[str, str]] = {
        "chunk_size": "how another library cuts a sequence",
        "rescale_prenorm_residual": "first values: training only",
        "residual_in_fp32": "residuals are no coarser than float32 here",
        "time_step_floor": "first values: training only",
        "time_step_max": "first values: training only",
        "time_step_min": "first values: training only",
        "time_step_rank": "of Mamba's first version",
    }

    num_heads: int = Field(ge=1, le=SIZE_LIMIT)
    head_dim: int = Field(ge=1, le=SIZE_LIMIT)
    state_size: int = Field(ge=1, le=SIZE_LIMIT)
    n_groups: int = Field(8, ge=1)
    expand: float = Field(2, gt=0, le=64)
    conv_kernel: int = Field(4, ge=1, le=64)
    layer_norm_epsilon: float = Field(1e-5, gt=0, lt=1)
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: Literal["silu"] = "silu"
    rms_norm: Literal[True] = True
    time_step_limit: tuple[float, float | None] = (0.0, None)

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An upper limit of infinity, in any of its spellings, is none."""
        if "time_step_limit" in values:
            values["time_step_limit"] = time_step_limit(values["time_step_limit"])
        return values

    @model_validator(mode="after")
    def _widths_agree(self) -> Self:
        if int(self.expand * self.hidden_size) != self.inner:
            raise ValueError(
                f"expand * hidden_size is {self.expand * self.hidden_size}, num_heads * head_dim "
                f"is {self.inner}"
            )
        if self.num_heads % self.n_groups:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of n_groups {self.n_groups}"
            )
        return self

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.num_heads * self.head_dim


def network(c: Mamba2) -> Network:
    """The network of a config."""
    b = Builder("mamba2", context=c.max_position_embeddings)
    x = embed(b, "backbone.embeddings", c.vocab_size, c.hidden_size)
    least, most = c.time_step_limit
    mixer = StateSpace(
        c.num_heads, c.head_dim, c.n_groups, c.state_size, c.conv_kernel, c.layer_norm_epsilon,
        c.n_groups, c.use_bias, c.use_conv_bias, least, most,
    )  # fmt: skip
    for layer in range(c.num_hidden_layers):
        prefix = f"backbone.layers.{layer}."
        with b.block(layer):
            weight = weights(b, prefix + "norm", c.hidden_size)
            x = x + mamba2_mixer(norm(x, weight, c.layer_norm_epsilon), prefix + "mixer.", mixer)
    x = norm(x, weights(b, "backbone.norm_f", c.hidden_size), c.layer_norm_epsilon)
    tied = "backbone.embeddings" if c.tie_word_embeddings else None
    return b.finish(unembed(x, c.vocab_size, tied=tied))


FAMILY = Family(("mamba2",), Mamba2, network, "Mamba-2")
