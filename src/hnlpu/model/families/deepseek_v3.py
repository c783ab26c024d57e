"""DeepSeek-V3 (arXiv 2412.19437): latent attention, experts chosen by sigmoids in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from hnlpu.errors import InvalidConfig
from hnlpu.model.families._config import SIZE_LIMIT, brief
from hnlpu.model.families._decoder import DecoderConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._latent import LatentSizes, latent_attention
from hnlpu.model.families._parts import GUESSES, embed, gated, linear, unembed, weights
from hnlpu.model.families._sparse import PROJECTIONS, gated_experts, stacked
from hnlpu.model.families._state_space import vector
from hnlpu.model.families._turning import turns_of
from hnlpu.model.network import Builder, Cut, Given, Network, Value
from hnlpu.model.network.composites import moe, norm, route_groups


class DeepseekV3(DecoderConfig):
    """config.json of DeepSeek-V3 and R1."""

    defaults: ClassVar[dict[str, Any]] = {"num_key_value_heads": 128}
    harmless: ClassVar[dict[str, str]] = {
        "aux_loss_alpha": "a loss: training only",
        "ep_size": "how another library spreads experts",
        "qk_head_dim": "the sum of qk_nope_head_dim and qk_rope_head_dim",
        "seq_aux": "a loss: training only",
    }

    moe_intermediate_size: int = Field(2048, ge=1, le=SIZE_LIMIT)
    n_shared_experts: int = Field(1, ge=1, le=8192)
    n_routed_experts: int = Field(256, ge=1, le=8192)
    routed_scaling_factor: float = Field(2.5, gt=0, le=1e6)
    kv_lora_rank: int = Field(512, ge=1, le=SIZE_LIMIT)
    q_lora_rank: int = Field(1536, ge=1, le=SIZE_LIMIT)
    qk_rope_head_dim: int = Field(64, ge=2, le=4096, multiple_of=2)
    qk_nope_head_dim: int = Field(128, ge=1, le=4096)
    v_head_dim: int = Field(128, ge=1, le=4096)
    n_group: int = Field(8, ge=1, le=8192)
    topk_group: int = Field(4, ge=1, le=8192)
    num_experts_per_tok: int = Field(8, ge=1, le=8192)
    first_k_dense_replace: int = Field(3, ge=0)
    moe_layer_freq: Literal[1] = 1
    norm_topk_prob: bool = True
    scoring_func: Literal["sigmoid"] = "sigmoid"
    topk_method: Literal["noaux_tc"] = "noaux_tc"
    rope_interleave: bool = True
    num_nextn_predict_layers: int = Field(1, ge=0, le=1024)
    _queries_by_rank: bool = PrivateAttr(True)
    """Whether queries have a latent: `q_lora_rank` is not null."""
    _score_factor: float = PrivateAttr(1.0)
    """Beside 1 / sqrt(numbers of a head): of YaRN's `mscale_all_dim`."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """As `Config.read`; a `q_lora_rank` of null says that queries have no latent.

        YaRN's two `mscale`s become a factor on turns and one on scores.
        """
        given, factor = dict(values), 1.0
        for key in ("rope_parameters", "rope_scaling"):
            rope = given.get(key)
            if isinstance(rope, dict) and rope.get("rope_type", rope.get("type")) == "yarn":
                given[key], factor = _without_mscale(rope)
        found = super().read(given)
        found._queries_by_rank = values.get("q_lora_rank", 0) is not None
        found._score_factor = factor
        return found

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Angles are those of a part of each head."""
        if "num_mtp_layers" in values:
            values.setdefault("num_nextn_predict_layers", values.pop("num_mtp_layers"))
        angles = values.setdefault("qk_rope_head_dim", 64)
        if values.setdefault("head_dim", angles) != angles:
            raise InvalidConfig(
                f"config.json: head_dim {brief(values['head_dim'])} is not qk_rope_head_dim "
                f"{brief(angles)}, which is what turns"
            )
        return super().normalise(values)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.num_key_value_heads != self.num_attention_heads:
            raise ValueError(
                f"num_key_value_heads {self.num_key_value_heads} is not num_attention_heads "
                f"{self.num_attention_heads}: all heads share one latent"
            )
        each, rest = divmod(self.n_routed_experts, self.n_group)
        if rest or each < 2:
            raise ValueError(
                f"n_routed_experts {self.n_routed_experts} are no n_group {self.n_group} groups of "
                "two or more"
            )
        if not self.num_experts_per_tok <= min(self.topk_group, self.n_group) * each:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds the experts of topk_group "
                f"{self.topk_group} groups"
            )
        if self.topk_group > self.n_group:
            raise ValueError(f"topk_group {self.topk_group} exceeds n_group {self.n_group}")
        return self

    def latent(self) -> LatentSizes:
        """Sizes and switches of its attention."""
        size = self.qk_nope_head_dim + self.qk_rope_head_dim
        return LatentSizes(
            self.num_attention_heads, self.qk_nope_head_dim, self.qk_rope_head_dim,
            self.v_head_dim, self.kv_lora_rank,
            self.q_lora_rank if self._queries_by_rank else None, self.attention_bias,
            self.rope_interleave, self._score_factor / math.sqrt(size),
        )  # fmt: skip


def _without_mscale(rope: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """YaRN's parameters with `attention_factor` in place of both `mscale`s; the factor on scores.

    What transformers' `_compute_yarn_parameters` and `yarn_apply_mscale` do with them.
    """
    rest = {k: v for k, v in rope.items() if v is not None}
    factor = rest.get("factor")
    found = [rest.pop(name, 0.0) for name in ("mscale", "mscale_all_dim")]
    if not all(isinstance(x, int | float) and 0 <= x < 1e6 for x in (factor, *found)):
        raise InvalidConfig("config.json: rope parameters: factor and mscale must be numbers")
    assert isinstance(factor, int | float)
    on_turns, on_scores = (0.1 * m * math.log(factor) + 1 if factor > 1 else 1.0 for m in found)
    if all(found):
        rest.setdefault("attention_factor", on_turns / on_scores)
    return rest, on_scores**2 if found[1] else 1.0


def network(c: DeepseekV3) -> Network:
    """The network of a config."""
    b = Builder("deepseek_v3", context=c.max_position_embeddings)
    x = embed(b, "model.embed_tokens", c.vocab_size, c.hidden_size)
    for n in range(c.num_nextn_predict_layers):
        b.leave_out(f"model.layers.{c.num_hidden_layers + n}.", GUESSES)
    by, latent = turns_of(b, c.rope, c.qk_rope_head_dim), c.latent()
    sparse = c.first_k_dense_replace < c.num_hidden_layers
    groups = _group_numbers(b, c.n_group) if sparse and c.topk_group < c.n_group else None
    for layer in range(c.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            first, second = (
                weights(b, f"{prefix}{name}_layernorm", c.hidden_size)
                for name in ("input", "post_attention")
            )
            x = x + latent_attention(
                norm(x, first, c.rms_norm_eps), prefix + "self_attn.", by, latent
            )
            h = norm(x, second, c.rms_norm_eps)
            if layer < c.first_k_dense_replace:
                x = x + gated(h, prefix + "mlp.", c.intermediate_size)
            else:
                x = x + _experts(h, prefix + "mlp.", groups, c)
    x = norm(x, weights(b, "model.norm", c.hidden_size), c.rms_norm_eps)
    tied = "model.embed_tokens" if c.tie_word_embeddings else None
    return b.finish(unembed(x, c.vocab_size, tied=tied))


def _group_numbers(b: Builder, groups: int) -> Value:
    """0, 1, 2 ... as a parameter, for `route_groups`."""
    numbers = tuple(map(float, range(groups)))
    return b.parameter("route.groups", (groups,), Given(numbers, (groups,)))


def _experts(h: Value, prefix: str, groups: Value | None, c: DeepseekV3) -> Value:
    b, (width,) = h.builder, h.sizes
    router = b.matrix(linear(prefix + "gate", c.n_routed_experts, width, "router", Cut("copy")))
    correction = vector(b, prefix + "gate.e_score_correction_bias", c.n_routed_experts)
    sizes = (c.n_routed_experts, width, c.moe_intermediate_size)
    experts = gated_experts(b, stacked(prefix, PROJECTIONS, *sizes))

    def by(logits: Value) -> tuple[Value, Value]:
        return route_groups(
            logits, correction, c.num_experts_per_tok, groups=groups, kept=c.topk_group,
            normalise=c.norm_topk_prob, scale=c.routed_scaling_factor,
        )  # fmt: skip

    mixed = moe(h, router, c.num_experts_per_tok, experts, by=by)
    inner = c.moe_intermediate_size * c.n_shared_experts
    return mixed + gated(h, prefix + "shared_experts.", inner)


FAMILY = Family(("deepseek_v3",), DeepseekV3, network, "DeepSeek-V3 and R1: latent attention")
