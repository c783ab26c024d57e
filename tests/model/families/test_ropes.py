"""Angles of positions are those of transformers, for every kind of rope and where configs say it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dense_readers import ropes
from hnlpu.errors import InvalidConfig
from hnlpu.model.families import network_of
from hnlpu.model.network import Given, Network

SIZES = {
    "vocab_size": 30, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "max_position_embeddings": 256, "pad_token_id": None,
}  # fmt: skip


def angles(network: Network) -> list[tuple[list[float], float]]:
    """Frequencies, and the factor on cosines and sines, of every rope."""
    scales = [span.option("scale") for span in network.spans if span.composite == "turns"]
    tables = [p.source for p in network.parameters if p.name.endswith("frequencies")]
    assert all(isinstance(table, Given) for table in tables)
    return [(list(t.values), float(s)) for t, s in zip(tables, scales, strict=True)]  # type: ignore[union-attr, arg-type]  # checked above, a number


def expected(config: dict[str, Any], *types: str) -> list[tuple[list[float], float]]:
    """The same of transformers, of each type of layer where there are several."""
    settings = AutoConfig.for_model(**config)
    model = AutoModelForCausalLM.from_config(settings)
    rotary = model.model.rotary_emb
    prefixes = [f"{name}_" for name in types] or [""]
    return [
        (getattr(rotary, f"{p}inv_freq").tolist(), getattr(rotary, f"{p}attention_scaling"))
        for p in prefixes
    ]


def same(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for (frequencies, scale), (theirs, factor) in zip(found, wanted, strict=True):
        np.testing.assert_allclose(frequencies, theirs, rtol=1e-5)
        assert scale == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("rope", ropes(16), ids=lambda rope: rope["rope_type"])
@pytest.mark.parametrize("generation", ["parameters", "scaling"])
def test_every_kind_in_both_generations_of_the_file(rope: dict[str, Any], generation: str) -> None:
    torch.manual_seed(0)
    config = {"model_type": "llama", **SIZES}
    if generation == "parameters":
        config["rope_parameters"] = dict(rope)
    else:
        inner = {k: v for k, v in rope.items() if k != "rope_theta"}
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": inner}
    same(angles(network_of(config)), expected(config))


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "mixtral", "smollm3"])
@pytest.mark.parametrize(
    "extra", [{}, {"rope_theta": 1e5}, {"rope_theta": 1e5, "rope_scaling": None}]
)
def test_theta_beside_no_scaling(family: str, extra: dict[str, Any]) -> None:
    config = {"model_type": family, **SIZES, **extra}
    same(angles(network_of(config)), expected(config))


GEMMA: dict[str, Any] = {"model_type": "gemma3_text", **SIZES, "sliding_window_pattern": 2}


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"rope_theta": 5e5, "rope_local_base_freq": 300.0},
        {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        {"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 4e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 7e3},
        }},
    ],
)  # fmt: skip
def test_layers_with_a_rope_of_their_own(extra: dict[str, Any]) -> None:
    config = GEMMA | extra
    found = angles(network_of(config))  # a window first
    same(found, expected(config, "sliding_attention", "full_attention"))


@pytest.mark.parametrize("partial", [1.0, 0.75, 0.5])
@pytest.mark.parametrize("beside", [True, False])
def test_parts_of_a_head(partial: float, beside: bool) -> None:
    rope = {**ropes(16, int(16 * partial))[-1], "rope_type": "longrope"}
    config = {"model_type": "phi3", **SIZES, "original_max_position_embeddings": 64}
    if beside:
        rope.pop("rope_theta")
        config |= {"rope_scaling": {**rope, "type": rope.pop("rope_type")}, "rope_theta": 1e4}
        config["partial_rotary_factor"] = partial
        del config["rope_scaling"]["rope_type"]
    else:
        config["rope_parameters"] = {**rope, "partial_rotary_factor": partial}
    same(angles(network_of(config)), expected(config))


def test_a_text_ends_where_its_angles_would_change() -> None:
    long = {**ropes(16)[-1], "original_max_position_embeddings": 64}
    assert network_of({"model_type": "llama", **SIZES, "rope_parameters": long}).context == 64
    alike = {**long, "short_factor": long["long_factor"]}
    assert network_of({"model_type": "llama", **SIZES, "rope_parameters": alike}).context == 256
    dynamic = ropes(16)[2]
    assert network_of({"model_type": "llama", **SIZES, "rope_parameters": dynamic}).context == 256


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"rope_parameters": {"rope_type": "proportional"}}, "'proportional' is not supported"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0},
          "rope_parameters": {"rope_type": "default"}}, "disagree"),
        ({"rope_parameters": {**ropes(16)[-1], "short_factor": [1.0]}}, "short_factor has 1 numbers"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "lack factor"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "full_attention"),
    ],
)  # fmt: skip
def test_what_is_refused(extra: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        network_of({"model_type": "llama", **SIZES, **extra})
