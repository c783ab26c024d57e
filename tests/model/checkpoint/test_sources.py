"""Checkpoints of any family: every tensor is claimed, and what does not fit is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from family_builds import FAMILIES, made
from hnlpu.errors import HnlpuError, MalformedNetwork
from hnlpu.model.checkpoint import read_model
from hnlpu.model.families import network_of
from hnlpu.model.network import LeftOut, check, dump, load
from hnlpu.run.emulate import FloatConstants

Tensors = dict[str, np.ndarray]


@pytest.mark.parametrize("family", FAMILIES)
def test_constants_are_those_of_the_sources(family: str) -> None:
    of = made(family)
    model, network = read_model(of.checkpoint), network_of(of.sample.config)
    plain = FloatConstants(network, of.sample.tensors)
    assert model.network == network
    for matrix in network.matrices:
        found = model.matrices[matrix.name]
        for index in range(matrix.count):
            expected = plain._matrices[matrix.name][index]
            whole = found.dense(index)
            np.testing.assert_array_equal(whole[:, : matrix.columns], expected)
            assert not whole[:, matrix.columns :].any()
            rows = slice(1, 3)
            np.testing.assert_array_equal(found.dense(index, rows), whole[rows])
        assert (matrix.bias is None) == (found.bias() is None)
    for name, tensor in model.vectors.items():
        np.testing.assert_array_equal(model.vector(name), plain.parameter(name))
        assert tensor.shape == plain.parameter(name).shape


def copied(family: str, folder: Path, change: Callable[[Tensors], object]) -> Path:
    source = made(family).checkpoint
    folder.mkdir()
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder


DAMAGES: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "extra": (lambda t: t.update(more=np.zeros(3, np.float32)), "unexpected tensor more"),
    "missing": (lambda t: t.pop(min(t)), "is missing"),
    "shape": (lambda t: t.update({min(t): t[min(t)][:-1]}), "config.json implies"),
    "doubles": (
        lambda t: t.update({min(t): t[min(t)].astype(np.float64)}),
        "is F64, expected BF16 or F16 or F32",
    ),
    "integers": (lambda t: t.update({min(t): t[min(t)].astype(np.uint8)}), "is U8, expected"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tensor_that_does_not_fit(family: str, damage: str, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    if (family, damage) == ("bitnet", "integers"):  # bytes are four ternary weights each
        words = "config.json implies"
    with pytest.raises(HnlpuError, match=words):
        read_model(copied(family, tmp_path / "c", change))


def test_tensors_that_a_network_leaves_out(tmp_path: Path) -> None:
    """Layers that guess further tokens, as published checkpoints have them: told, and no others."""
    guess = {"mtp.layers.0.weight": np.ones((3, 3), np.float32)}
    folder = copied("qwen3_next", tmp_path / "c", lambda t: t.update(guess))
    (left_out,) = read_model(folder).network.left_out
    assert left_out.start == "mtp."
    assert "guess the token after the next" in left_out.reason
    with pytest.raises(HnlpuError, match=r"unexpected tensor mtpx"):
        read_model(
            copied("qwen3_next", tmp_path / "d", lambda t: t.update(mtpx=guess.popitem()[1]))
        )
    network = network_of(made("deepseek_v3").sample.config | {"num_nextn_predict_layers": 2})
    layers = network_of(made("deepseek_v3").sample.config).left_out[0].start
    assert [other.start for other in network.left_out] == [layers, layers.replace("2", "3")]
    assert load(dump(network)) == network
    taken = replace(network, left_out=(LeftOut("model.layers.0.", "a mistake"),))
    with pytest.raises(MalformedNetwork, match=r"begin with .model\.layers\.0\.. are left out"):
        check(taken)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_that_nobody_knows(family: str, tmp_path: Path) -> None:
    folder = copied(family, tmp_path / "c", lambda t: None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"wobble": 3}))
    with pytest.raises(HnlpuError, match=r"config\.json: wobble = 3 is no key") as refused:
        read_model(folder)
    assert str(refused.value).startswith(str(folder / "config.json"))


@pytest.mark.parametrize("ends", ["x", [1, "x"], 1.5, {"a": 1}])
def test_end_tokens_that_are_none(ends: object, tmp_path: Path) -> None:
    folder = copied("gru", tmp_path / "c", lambda t: None)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(HnlpuError, match=r"eos_token_id .* is no list of tokens"):
        read_model(folder)
