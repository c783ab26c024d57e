"""Mamba (arXiv 2312.00752): a convolution and a selective scan instead of attention.

x ─► norm ─► in ─┬ z ────────────────────────────────────────────► silu ─► * ─► out ─► +
                 └ x ─► convolution ─► silu ─┬────────────────► scan ──────┘
                                             └ x_proj ─┬ B C ──┤
                                                       └ dt ─► dt_proj ─► softplus
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, linear, unembed, weights
from hnlpu.model.families._state_space import convolved, vector
from hnlpu.model.network import Builder, Cut, Network, Value
from hnlpu.model.network.composites import dense, norm, selective_scan, silu


class Mamba(Config):
    """config.json of Mamba."""

    harmless: ClassVar[dict[str, str]] = {
        "d_inner": "the library that trained it reads it; expand * hidden_size here",
        "d_model": "the library that trained it reads it; hidden_size here",
        "fused_add_norm": "how another library adds and norms",
        "n_layer": "the library that trained it reads it; num_hidden_layers here",
        "pad_vocab_size_multiple": "rounds vocab_size up, which has been done",
        "rescale_prenorm_residual": "first values: training only",
        "residual_in_fp32": "residuals are no coarser than float32 here",
        "time_step_floor": "first values: training only",
        "time_step_init_scheme": "first values: training only",
        "time_step_max": "first values: training only",
        "time_step_min": "first values: training only",
        "time_step_scale": "first values: training only",
        "use_associative_scan": "how another library runs it",
        "use_mambapy": "how another library runs it",
    }

    state_size: int = Field(16, ge=1, le=SIZE_LIMIT)
    expand: float = Field(2, gt=0, le=64)
    intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    time_step_rank: int = Field(ge=1, le=SIZE_LIMIT)
    conv_kernel: int = Field(4, ge=1, le=64)
    layer_norm_epsilon: float = Field(1e-5, gt=0, lt=1)
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: Literal["silu"] = "silu"
    rms_norm: Literal[True] = True
    tie_word_embeddings: bool = True

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Widths follow from hidden_size where the file is silent."""
        width, expand = values.get("hidden_size"), values.get("expand", 2)
        if values.get("time_step_rank") == "auto":
            del values["time_step_rank"]
        if values.get("ssm_cfg") == {}:
            del values["ssm_cfg"]  # switches of the library that trained it: none
        if isinstance(width, int) and isinstance(expand, int | float) and 0 < expand <= 64:
            values.setdefault("intermediate_size", int(expand * width))
            values.setdefault("time_step_rank", -(-width // 16))
        return values


def network(c: Mamba) -> Network:
    """The network of a config."""
    b = Builder("mamba", context=c.max_position_embeddings)
    x = embed(b, "backbone.embeddings", c.vocab_size, c.hidden_size)
    for layer in range(c.num_hidden_layers):
        prefix = f"backbone.layers.{layer}."
        with b.block(layer):
            weight = weights(b, prefix + "norm", c.hidden_size)
            x = x + _mixer(norm(x, weight, c.layer_norm_epsilon), prefix + "mixer.", c)
    x = norm(x, weights(b, "backbone.norm_f", c.hidden_size), c.layer_norm_epsilon)
    tied = "backbone.embeddings" if c.tie_word_embeddings else None
    return b.finish(unembed(x, c.vocab_size, tied=tied))


def _mixer(h: Value, prefix: str, c: Mamba) -> Value:
    b, width, inner, n, rank = (
        h.builder, c.hidden_size, c.intermediate_size, c.state_size, c.time_step_rank,
    )  # fmt: skip
    into, which, steps, out = (
        b.matrix(linear(prefix + name, rows, columns, "mixer", Cut("rows"), bias=biased))
        for name, rows, columns, biased in (
            ("in_proj", 2 * inner, width, c.use_bias),
            ("x_proj", rank + 2 * n, inner, False),
            ("dt_proj", inner, rank, True),
            ("out_proj", width, inner, c.use_bias),
        )
    )
    x, gate = dense(h, into).split(inner, inner)
    x = silu(convolved(x, prefix + "conv1d", c.conv_kernel, bias=c.use_conv_bias))
    dt, b_in, c_out = dense(x, which).split(rank, n, n)
    dt = dense(dt, steps).table("softplus")
    a = vector(b, prefix + "A_log", inner, n).table("exp", -1.0)
    y = selective_scan(x, dt, a, b_in, c_out, vector(b, prefix + "D", inner))
    return dense(y * silu(gate), out)


FAMILY = Family(("mamba",), Mamba, network, "Mamba")
