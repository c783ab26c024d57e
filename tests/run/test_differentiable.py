"""A network in torch says what the float model says, learns what it should, and refuses what it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from family_builds import FAMILIES
from hnlpu.arithmetic.mx import dequantize, quantize_mxfp4
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint import read_model
from hnlpu.model.families import find_family
from hnlpu.run.differentiable import TorchNetwork
from hnlpu.run.emulate import float_model
from readers import sample, write_sample

OF_ATTENTION = (
    "gpt_oss",
    "bitnet",
    "deepseek_v3",
    "gemma2",
    "granitemoe",
    "llama",
    "phi3",
    "qwen3",
    "qwen3_moe",
)
RECURRENT = sorted(set(FAMILIES) - set(OF_ATTENTION))


def _network(name: str, folder: Path, **options: object) -> tuple[TorchNetwork, Path]:
    checkpoint = write_sample(sample(name, 1, folder / "theirs"), folder / "ours")
    values = json.loads((checkpoint / "config.json").read_text())
    model = read_model(checkpoint, find_family(values["model_type"]))
    return TorchNetwork(model, **options), checkpoint  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OF_ATTENTION)
def test_it_says_what_the_float_model_says(name: str, tmp_path: Path) -> None:
    network, checkpoint = _network(name, tmp_path)
    theirs = float_model(checkpoint).transformer
    tokens = np.random.default_rng(0).integers(0, theirs.architecture.vocab_size, (2, 14))
    ours = network(torch.tensor(tokens)).detach().numpy()
    for text, said in zip(tokens, ours, strict=True):
        expected = theirs.logits(theirs.forward(text, theirs.new_cache()))
        assert np.abs(said - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", RECURRENT)
def test_states_other_than_attentions_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchitecture, match=r"the state b\d+\.[\w.]+ has no gradient"):
        _network(name, tmp_path)


def test_every_constant_learns(tmp_path: Path) -> None:
    network, _ = _network("gpt_oss", tmp_path)
    tokens = torch.tensor(np.random.default_rng(0).integers(0, 32, (2, 30)))
    torch.nn.functional.cross_entropy(
        network(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()
    ).backward()
    still = [name for name, p in network.learnt().items() if p.grad is None or not p.grad.any()]
    assert still == []


def test_a_matrix_of_one_digit_is_held_by_it_while_it_learns(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.o_proj"
    network, _ = _network("llama", tmp_path, one_digit={name})
    tokens = torch.tensor(np.random.default_rng(0).integers(0, 32, (2, 30)))
    learner = torch.optim.SGD(network.parameters(), lr=0.1)
    before = network.learnt()[name].detach().clone()
    for _ in range(3):
        learner.zero_grad()
        network(tokens).square().mean().backward()
        learner.step()
    held = network.values(name)
    columns = np.pad(held, ((0, 0), (0, -held.shape[1] % 32)))
    assert np.array_equal(dequantize(*quantize_mxfp4(columns)), columns)
    assert not torch.equal(network.learnt()[name], before)
    assert not np.array_equal(held, network.learnt()[name].detach().numpy())
