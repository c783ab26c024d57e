"""BitNet: what meets the metal are its own integers, so that a build says what the checkpoint says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from family_builds import made
from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families import network_of
from hnlpu.run.emulate import open_language_model
from hnlpu.silicon.hardwire import open_build


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
