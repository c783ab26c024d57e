"""Facts about a model come from its network: each against a count by hand, or from its tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from family_builds import FAMILIES, made
from helpers import make_config
from hnlpu.errors import CheckpointNotFound, UnsupportedArchitecture
from hnlpu.model.checkpoint import NO_LIMIT
from hnlpu.model.families import network_of
from hnlpu.system.catalog import shape_of_folder, shape_of_network
from readers import CONFIGS


def test_weights_of_a_build_and_its_checkpoint_are_those_of_its_tensors() -> None:
    for family in FAMILIES:
        of = made(family)
        shape = shape_of_folder(of.checkpoint)
        assert shape.network == shape_of_folder(of.one).network
        kept = {p.name for p in shape.network.parameters}  # tables and what fades, in memory
        metal = sum(
            value.size for name, value in of.sample.tensors.items()
            if value.ndim == 2 and "embed" not in name and name not in kept
        )  # fmt: skip
        if of.sample.config.get("tie_word_embeddings"):
            tables = [v.size for name, v in of.sample.tensors.items() if "embed" in name]
            metal += max(tables) - sum("lm_head" in n for n in of.sample.tensors) * max(tables)
        stacked = sum(v.size for v in of.sample.tensors.values() if v.ndim == 3 and v.shape[1] > 1)
        assert shape.hardwired_weights == metal + stacked, family
        assert sum(count for count, _ in shape.stored()) == shape.hardwired_weights


def test_active_weights_are_those_of_the_chosen_experts() -> None:
    config = make_config(hidden=64, intermediate=96, layers=2, experts=4, active=3)
    shape = shape_of_network(network_of(config), "mine")
    idle = 2 * (64 * 192 + 96 * 64)
    assert shape.hardwired_weights - shape.active_weights == idle
    assert shape.expert_count == 4
    assert set(shape.chosen.values()) == {3}
    dense = CONFIGS["llama"](np.random.default_rng(0)) | {"model_type": "llama"}
    plain = shape_of_network(network_of(dense), "mine")
    assert plain.active_weights == plain.hardwired_weights
    assert (plain.expert_count, plain.chosen) == (0, {})


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3", "qwen3_moe"])
def test_keys_and_values_of_decoders(family: str) -> None:
    for seed in range(4):
        c = CONFIGS[family](np.random.default_rng(seed)) | {"model_type": family}
        shape = shape_of_network(network_of(c), family)
        per_layer = 2 * c["num_key_value_heads"] * c["head_dim"]
        assert shape.kv_values_per_position == c["num_hidden_layers"] * per_layer
        assert shape.held_values == 0
        assert shape.embedding_weights == c["vocab_size"] * c["hidden_size"]
        assert (shape.layers, shape.hidden) == (c["num_hidden_layers"], c["hidden_size"])
        assert shape.positions == 256
        windowed = c.get("use_sliding_window", family == "mistral" and c["sliding_window"])
        in_reach = family != "qwen3" or c["num_hidden_layers"] > 1
        assert shape.has_windows == bool(windowed and in_reach)


def test_states_of_recurrences() -> None:
    for seed in range(4):
        c = CONFIGS["mamba2"](np.random.default_rng(seed)) | {"model_type": "mamba2"}
        shape = shape_of_network(network_of(c), "mamba2")
        inner = c["num_heads"] * c["head_dim"]
        conv = (inner + 2 * c["n_groups"] * c["state_size"]) * c["conv_kernel"]
        assert shape.held_values == c["num_hidden_layers"] * (conv + inner * c["state_size"])
        g = CONFIGS["gru"](np.random.default_rng(seed)) | {"model_type": "gru"}
        shape = shape_of_network(network_of(g), "gru")
        assert shape.held_values == g["num_hidden_layers"] * g["hidden_size"]
        assert shape.kv_values_per_position == 0
        assert shape.positions == NO_LIMIT
        assert not shape.has_windows


def test_a_name_is_that_of_any_folder() -> None:
    network = network_of(make_config())
    assert shape_of_network(network, "My Model (v2)").name == "my-model-v2"
    assert shape_of_network(network, "-").name == "checkpoint"


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"no config\.json"):
        shape_of_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnsupportedArchitecture, match="model_type is 'bert'"):
        shape_of_folder(tmp_path)
