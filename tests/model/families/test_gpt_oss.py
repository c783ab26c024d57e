"""gpt-oss as a family has the matrices and vectors that the project has known since its start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from helpers import make_config
from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.checkpoint import Architecture, matrix_shapes, vector_shapes
from hnlpu.model.families import network_of
from hnlpu.model.network import Mxfp4, Network, Tensor, chosen_leaves, leaf_tensors
from models import architectures

Row = tuple[str, str, int, int, int, bool, int | None]


def expected_matrices(a: Architecture) -> list[Row]:
    """Name, role, count, rows, columns, whether there is a bias, and layer: written by hand."""
    q, kv, h, n = a.attention_width, a.key_value_width, a.hidden_size, a.num_local_experts
    rows: list[Row] = []
    for layer in range(a.num_hidden_layers):
        attention, mlp = (f"model.layers.{layer}.{part}." for part in ("self_attn", "mlp"))
        rows += [
            (attention + "q_proj", "attention", 1, q, h, a.attention_bias, layer),
            (attention + "k_proj", "attention", 1, kv, h, a.attention_bias, layer),
            (attention + "v_proj", "attention", 1, kv, h, a.attention_bias, layer),
            (attention + "o_proj", "attention", 1, h, q, a.attention_bias, layer),
            (mlp + "router", "router", 1, n, h, True, layer),
            (mlp + "experts.gate_up_proj", "experts", n, 2 * a.intermediate_size, h, True, layer),
            (mlp + "experts.down_proj", "experts", n, h, a.intermediate_size, True, layer),
        ]
    return [*rows, ("lm_head", "unembedding", 1, a.vocab_size, h, False, None)]


def expected_vectors(a: Architecture) -> list[tuple[str, tuple[int, ...]]]:
    rows: list[tuple[str, tuple[int, ...]]] = [
        ("model.embed_tokens.weight", (a.vocab_size, a.hidden_size)),
        ("model.norm.weight", (a.hidden_size,)),
    ]
    for layer in range(a.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        rows += [
            (prefix + "input_layernorm.weight", (a.hidden_size,)),
            (prefix + "post_attention_layernorm.weight", (a.hidden_size,)),
            (prefix + "self_attn.sinks", (a.num_attention_heads,)),
        ]
    return rows


@settings(max_examples=40, deadline=None)
@given(architectures())
def test_shapes_are_views_of_the_network(a: Architecture) -> None:
    found = [
        (s.name, s.role, s.count, s.rows, s.columns, s.has_bias, s.layer) for s in matrix_shapes(a)
    ]
    assert found == expected_matrices(a)
    assert list(vector_shapes(a).items()) == expected_vectors(a)


def config_of(**changes: Any) -> Network:
    return network_of(make_config(**changes))


def test_both_generations_of_the_file_are_one_network() -> None:
    assert config_of(new_config=True) == config_of(new_config=False)
    older = make_config()
    older["num_experts"] = older.pop("num_local_experts")
    for missing in ("layer_types", "rope_scaling"):
        del older[missing]
    other = make_config(rope_scaling=None)
    assert network_of(older) == network_of(other)


def test_cuts_are_those_of_a_grid_of_chips() -> None:
    cuts = {m.name.removeprefix("model.layers.0."): m.cut for m in config_of(layers=1).matrices}
    assert {name: (cut.how, cut.group) for name, cut in cuts.items()} == {
        "self_attn.q_proj": ("heads_out", 64),
        "self_attn.k_proj": ("heads_out", 32),
        "self_attn.v_proj": ("heads_out", 32),
        "self_attn.o_proj": ("heads_in", 64),
        "mlp.router": ("copy", 1),
        "mlp.experts.gate_up_proj": ("members", 1),
        "mlp.experts.down_proj": ("members", 1),
        "lm_head": ("rows", 1),
    }


def test_experts_may_lie_in_two_ways_and_the_unembedding_in_two() -> None:
    matrices = {m.name: m for m in config_of(layers=1, tie_word_embeddings=True).matrices}
    down = matrices["model.layers.0.mlp.experts.down_proj"].source
    packed = {"model.layers.0.mlp.experts.down_proj" + end for end in ("_blocks", "_scales")}
    assert list(chosen_leaves(down, packed.__contains__)) == [Mxfp4(min(packed)[:-7], (4, 64, 96))]
    (plain,) = chosen_leaves(down, "model.layers.0.mlp.experts.down_proj".__eq__)
    assert plain == Tensor("model.layers.0.mlp.experts.down_proj", (4, 96, 64))
    head = matrices["lm_head"].source
    for there, taken in (("lm_head.weight", "lm_head.weight"), ("", "lm_head.weight"),
                         ("model.embed_tokens.weight", "model.embed_tokens.weight")):  # fmt: skip
        (leaf,) = chosen_leaves(head, there.__eq__)
        assert list(leaf_tensors(leaf)) == [taken]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"hidden_act": "gelu"}, UnsupportedArchitecture, "hidden_act is 'gelu'"),
        ({"layer_types": ["mamba", "full_attention"]}, UnsupportedArchitecture, "'mamba'"),
        ({"layer_types": ["full_attention"]}, InvalidConfig, "names 1 layers"),
        ({"hidden_size": 60}, InvalidConfig, "hidden_size"),
        ({"intermediate_size": 40}, InvalidConfig, "intermediate_size"),
        ({"head_dim": 31}, InvalidConfig, "head_dim"),
        ({"num_key_value_heads": 3}, InvalidConfig, "not a multiple"),
        ({"experts_per_token": 5}, InvalidConfig, "exceeds"),
        ({"rms_norm_eps": float("nan")}, InvalidConfig, "rms_norm_eps"),
        ({"rope_scaling": {"rope_type": "longrope"}}, InvalidConfig, "longrope"),
        ({"rope_scaling": {"rope_type": "yarn"}}, InvalidConfig, "lack factor"),
        ({"rope_scaling": {"rope_type": "default", "mscale": 1}}, InvalidConfig, "mscale"),
        ({"rope_scaling": {"rope_type": "default", "partial_rotary_factor": 0.5}}, InvalidConfig, "partial"),
        ({"rope_scaling": "yarn"}, InvalidConfig, "not an object"),
        ({"rope": {"rope_theta": 2.0}}, InvalidConfig, "rope is no key"),
        ({"moe_layer_freq": 2}, UnsupportedArchitecture, "moe_layer_freq = 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_minded_is_refused(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        config_of(**changes)
