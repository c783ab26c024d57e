"""What every family promises, held by one test each for all of them.

Its float numbers are those of an independent reader; states are a promise, to the bit; every tensor
of the checkpoint is taken and every key of the config is minded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families import families, network_of
from hnlpu.model.network import chosen_leaves, dump, leaf_tensors, load
from hnlpu.run.emulate import FUSED, FloatConstants, Interpreter, States
from readers import CONFIGS, Sample, sample

TOLERANCE = 1e-3
FAMILIES = list(CONFIGS)


ATTENTION = {"attend", "norm", "rope"}
AT_ONCE = {
    "gpt_oss": {*ATTENTION, "clamped_swiglu", "route"}, "mixtral": {*ATTENTION, "route"},
    "granitemoe": {"norm", "rope", "route"}, "granite": {"norm", "rope"}, "gemma2": {"rope"},
    "gemma3_text": {"rope"}, "phi3": {"attend", "norm"}, "qwen3_next": {"attend", "norm"},
    "deepseek_v3": {"norm", "rope"}, "bitnet": ATTENTION, "rwkv7": set(),
    "granitemoehybrid": {"norm", "rope", "route"}, "mamba": {"norm"}, "mamba2": {"norm"}, "gru": set(),
}  # fmt: skip
"""Composites done at once beside `dense`, where they are not those of attention.

Scores of another scale or with a cap, norms whose weights are computed, and heads of which a part
turns are done step by step.
"""
ROUNDED = {"bitnet"}
"""Whose activations are rounded: from the first that falls the other way on, texts are only near."""


def opened(of: Sample) -> Interpreter:
    network = network_of(of.config)
    return Interpreter(network, FloatConstants(network, of.tensors))


def tokens_for(of: Sample, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, of.config["vocab_size"], count)


def test_every_family_has_a_reader() -> None:
    assert {name for name, family in families().items() if family.of_text} == set(CONFIGS)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_another_reader(family: str, seed: int, tmp_path: Path) -> None:
    model = sample(family, seed, tmp_path)
    runs = opened(model)
    tokens = tokens_for(model, 21, seed)
    (logits,), _ = runs.run(tokens, runs.start())
    expected = model.logits(tokens)
    assert expected.std() > 0.05  # a model that says nothing would be easy to equal
    if family in ROUNDED:
        near = np.sqrt(np.mean((logits - expected) ** 2)) / expected.std()
        assert near < 0.1
        logits, expected = logits[:1], expected[:1]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_is_taken_once_and_whole(family: str, tmp_path: Path) -> None:
    model = sample(family, 0, tmp_path)
    network = network_of(model.config)
    sources = [p.source for p in network.parameters]
    for matrix in network.matrices:
        sources += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    taken: dict[str, tuple[int, ...]] = {}
    for source in sources:
        for leaf in chosen_leaves(source, model.tensors.__contains__):
            taken |= leaf_tensors(leaf)
    assert taken == {name: tensor.shape for name, tensor in model.tensors.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_goes_through_text(family: str, tmp_path: Path) -> None:
    network = network_of(sample(family, 1, tmp_path).config)
    assert load(dump(network)) == network


def after(runs: Interpreter, tokens: np.ndarray, states: States) -> tuple[bytes, States]:
    (logits,), states = runs.run(tokens, states)
    return logits.tobytes(), states


def bits(states: States) -> dict[str, bytes]:
    return {name: entries.tobytes() for name, entries in states.entries.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_any_split_gives_the_same_bits(family: str, tmp_path: Path) -> None:
    model = sample(family, 2, tmp_path)
    runs = opened(model)
    tokens = tokens_for(model, 17)
    whole, end = after(runs, tokens, runs.start())
    random = np.random.default_rng(5)
    splits = [list(range(1, 17))]
    splits += [
        sorted(random.choice(np.arange(1, 17), n, replace=False).tolist()) for n in (1, 3, 6)
    ]
    for split in splits:
        states, said = runs.start(), b""
        for piece in np.split(tokens, split):
            more, states = after(runs, piece, states)
            said += more
        assert said == whole
        assert bits(states) == bits(end)


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_done_at_once_have_the_bits_of_their_steps(family: str, tmp_path: Path) -> None:
    model = sample(family, 4, tmp_path)
    network = network_of(model.config)
    constants = FloatConstants(network, model.tensors)
    expanded, fused = Interpreter(network, constants), Interpreter(network, constants, FUSED)
    done = {part.spans[0].composite for part in fused.at_once}
    assert done == {*AT_ONCE.get(family, ATTENTION), "dense"}
    tokens = tokens_for(model, 15)
    whole, end = after(expanded, tokens, expanded.start())
    states, said = fused.start(), b""
    for piece in np.split(tokens, [4, 5, 12]):
        more, states = after(fused, piece, states)
        said += more
    assert said == whole
    assert bits(states) == bits(end)


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_restored_and_rewound(family: str, tmp_path: Path) -> None:
    model = sample(family, 3, tmp_path)
    runs = opened(model)
    first, second, other = (tokens_for(model, n, seed) for seed, n in enumerate((9, 7, 7)))
    _, saved = after(runs, first, runs.start())
    kept = bits(saved)
    expected, _ = after(runs, second, saved)
    astray, _ = after(runs, other, saved)  # another text from there on, then back
    again, _ = after(runs, second, saved)
    assert bits(saved) == kept
    assert again == expected
    assert astray != expected  # the control: what was read does change what is said
    rebuilt = States(
        saved.position, {name: entries.copy() for name, entries in saved.entries.items()}
    )
    assert after(runs, second, rebuilt)[0] == expected
    beginning, _ = after(runs, second, runs.start())
    assert beginning != expected  # the control: the states do matter


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_keys_are_refused_by_name(family: str, tmp_path: Path) -> None:
    config = sample(family, 0, tmp_path).config
    with pytest.raises(UnsupportedArchitecture, match="altup_active_idx = 3"):
        network_of(config | {"altup_active_idx": 3})
    for key, value in {"vocab_size": 0, "hidden_size": "wide", "num_hidden_layers": 2.5}.items():
        with pytest.raises(InvalidConfig, match=key):
            network_of(config | {key: value})
    with pytest.raises(InvalidConfig, match="vocab_size"):
        network_of({key: value for key, value in config.items() if key != "vocab_size"})


@pytest.mark.parametrize("model_type", ["bert", None, 3, ["llama"]])
def test_other_families_are_refused(model_type: Any) -> None:
    with pytest.raises(UnsupportedArchitecture, match=r"supported: .*gpt_oss, .*gru, .*llama"):
        network_of({"model_type": model_type})
