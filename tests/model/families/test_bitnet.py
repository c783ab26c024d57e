"""BitNet: what meets the metal are its own integers, so that a build says what the checkpoint says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers.integrations.bitnet import pack_weights

from family_builds import made
from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.checkpoint import read_model
from hnlpu.model.families import network_of
from hnlpu.run.emulate import open_language_model
from hnlpu.silicon.hardwire import open_build
from readers import CONFIGS, OWN


def test_a_build_has_the_bits_of_the_checkpoint() -> None:
    """Up to the unembedding, whose weights are no ternary ones."""
    of = made("bitnet")
    assert of.sample.config["quantization_config"]["linear_class"] == "autobitlinear"
    hidden = []
    for folder in (of.checkpoint, of.one):
        run = open_language_model(folder).transformer
        hidden.append(run.forward(of.tokens, run.new_cache()))
    assert hidden[0].std() > 0.1
    assert hidden[0].tobytes() == hidden[1].tobytes()


def test_ternary_weights_are_one_digit_and_exact() -> None:
    of = made("bitnet")
    build = open_build(of.one)
    ternary = [m for m in build.network.matrices if m.name != "lm_head"]
    assert len(ternary) == 7 * of.sample.config["num_hidden_layers"]
    for matrix in ternary:
        (held,) = build.stack(build.shapes()[matrix.name])
        expected = of.sample.tensors[f"{matrix.name}.weight"]
        assert set(np.unique(expected)) == {-1, 0, 1}
        np.testing.assert_array_equal(held.values()[:, : matrix.columns], expected)
        assert len(build.manifest.matrices[matrix.name].digits) == 1
    assert len(build.manifest.matrices["lm_head"].digits) == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quantization_mode": "online"}, "weights would be made ternary as they are loaded"),
    ({"use_rms_norm": True}, "use_rms_norm"),
    ({"linear_class": "linear"}, "linear_class"),
    ({"quant_method": "awq"}, "quant_method"),
    ({"modules_to_not_convert": ["q_proj"]}, "modules_to_not_convert"),
    ({"group": 4}, "group = 4"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_other_ways_to_quantise_are_refused(changes: dict[str, Any], words: str) -> None:
    config = made("bitnet").sample.config
    told = config["quantization_config"] | changes
    with pytest.raises(UnsupportedArchitecture, match=words):
        network_of(config | {"quantization_config": told})
    with pytest.raises(InvalidConfig, match="attn_sub_norm"):
        network_of(config | {"num_attention_heads": 2 * config["num_attention_heads"]})


@pytest.mark.parametrize("kind", ["bitlinear", "autobitlinear"])
@pytest.mark.parametrize("biased", [False, True])
def test_packed_weights_say_what_transformers_says(kind: str, biased: bool, tmp_path: Path) -> None:
    """Four to a byte, as BitNet b1.58 is published: ternary weights, scales apart, and the logits."""
    random = np.random.default_rng(5)
    config = CONFIGS["bitnet"](random) | {"attention_bias": biased}
    config["quantization_config"] = {
        "quant_method": "bitnet", "linear_class": kind, "quantization_mode": "offline",
        "modules_to_not_convert": None,
    }  # fmt: skip
    torch.manual_seed(5)
    of = OWN["bitnet"](config, random)
    ternary = [name for name in of.tensors if "_proj.weight" in name and "scale" not in name]
    packed = {n: pack_weights(torch.tensor(of.tensors[n])).numpy() for n in ternary}
    assert len(ternary) == 7 * config["num_hidden_layers"]
    assert {x.dtype.name for x in packed.values()} == {"uint8"}
    (tmp_path / "config.json").write_text(json.dumps(of.config))
    save_file(of.tensors | packed, tmp_path / "model.safetensors")

    model = read_model(tmp_path)
    for name in ternary:
        held = model.matrices[name.removesuffix(".weight")].dense(0)
        np.testing.assert_array_equal(held[:, : of.tensors[name].shape[1]], of.tensors[name])
    tokens = random.integers(0, config["vocab_size"], 9)
    run = open_language_model(tmp_path).transformer
    hidden = run.forward(tokens, run.new_cache())
    logits, expected = run.logits(hidden), of.logits(tokens)
    near = np.sqrt(np.mean((logits - expected) ** 2)) / expected.std()
    assert expected.std() > 0.05
    assert near < 0.1
