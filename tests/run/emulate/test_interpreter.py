"""A network as it is written: against the layers spelt out, and against its own types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_config, random_tensors, write_checkpoint
from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import bfloat16_to_float32, read_model
from hnlpu.model.families import network_of
from hnlpu.model.network import Given, Network, Positions, Step, check, chosen_leaves, leaf_tensors
from hnlpu.run.emulate import (
    Activations,
    FloatConstants,
    FloatWeights,
    HardwiredWeights,
    Interpreter,
    Transformer,
)
from hnlpu.run.emulate._layers import PlainLayers
from hnlpu.silicon.hardwire import build, open_build
from network_samples import every_operation, networks


def random_constants(network: Network, seed: int = 0) -> FloatConstants:
    """Constants of a network from random tensors."""
    random = np.random.default_rng(seed)
    sources = [p.source for p in network.parameters] + [m.source for m in network.matrices]
    sources += [m.bias for m in network.matrices if m.bias is not None]
    tensors = {
        name: random.normal(0, 0.3, shape).astype(np.float32)
        for source in sources
        for leaf in chosen_leaves(source, lambda name: True)
        for name, shape in leaf_tensors(leaf).items()
    }
    return FloatConstants(network, tensors)


def inputs_of(network: Network, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "token": random.integers(0, 11, count),
        "picture": random.normal(size=(count, 6, 5, 3)).astype(np.float32),
    }


KINDS: dict[str, Any] = {
    "real": np.float32, "wide": np.float64, "index": np.integer, "truth": np.bool_,
}  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(networks(), st.integers(0, 9))
def test_values_are_of_the_types_that_the_rules_say(network: Network, before: int) -> None:
    types = check(network)
    runs = Interpreter(network, random_constants(network))
    states = runs.start()
    if before:
        _, states = runs.run(inputs_of(network, before), states)
    seen: set[str] = set()

    def watch(step: Step, position: int, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.outs, results, strict=True):
            seen.add(name)
            if types[name].kind in ("digits", "sums"):
                continue
            positions = before + position + 1
            shape = tuple(
                dim.more + min(positions, dim.most or positions)
                if isinstance(dim, Positions)
                else dim
                for dim in types[name].shape
            )
            assert np.shape(value) == shape, name
            assert np.issubdtype(np.asarray(value).dtype, KINDS[types[name].kind]), name

    runs.run(inputs_of(network, 4, 1), states, watch)
    assert seen == {name for step in network.steps for name in step.outs}


def test_any_split_of_every_operation_gives_the_same_bits() -> None:
    network = every_operation()
    runs = Interpreter(network, random_constants(network))
    inputs = inputs_of(network, 12)
    whole, end = runs.run(inputs, runs.start())
    for size in (1, 5, 7):
        states, pieces = runs.start(), []
        for start in range(0, 12, size):
            piece = {name: values[start : start + size] for name, values in inputs.items()}
            outputs, states = runs.run(piece, states)
            pieces.append(outputs)
        for n, expected in enumerate(whole):
            assert np.concatenate([p[n] for p in pieces]).tobytes() == expected.tobytes()
        assert {k: v.tobytes() for k, v in states.entries.items()} == {
            k: v.tobytes() for k, v in end.entries.items()
        }


def test_inputs_that_do_not_fit_are_refused() -> None:
    network = every_operation()
    runs = Interpreter(network, random_constants(network))
    inputs = inputs_of(network, 3)
    with pytest.raises(InvalidInput, match="picture, which is not given"):
        runs.run([1, 2], runs.start())
    with pytest.raises(InvalidInput, match="at least one position"):
        runs.run({}, runs.start())
    with pytest.raises(InvalidInput, match="as many of every input"):
        runs.run(inputs | {"token": np.arange(2)}, runs.start())


class AsConstants:
    """`Weights` of a build or a checkpoint as the constants of its network."""

    def __init__(self, network: Network, weights: Any):
        self._network, self._weights = network.declared(), weights

    def prepare(self, x: np.ndarray) -> Activations:
        return self._weights.prepare(x)

    def project(self, name: str, x: Activations, index: int = 0) -> np.ndarray:
        return self._weights.project(name, x, index)

    def parameter(self, name: str) -> np.ndarray:
        source = self._network.parameters[name].source
        if isinstance(source, Given):
            return np.array(source.values, np.float32)
        return self._weights.vector(name)

    def rows(self, name: str, numbers: np.ndarray) -> np.ndarray:
        assert name == "model.embed_tokens.weight"
        return self._weights.embed(numbers.ravel()).reshape(*numbers.shape, -1)


SHAPES: list[dict[str, Any]] = [
    {},
    {"layers": 3, "experts": 1, "active": 1, "attention_bias": False},
    {"heads": 6, "kv_heads": 3, "head_dim": 16, "hidden": 96, "active": 3, "new_config": True},
    {"rope_scaling": {"rope_type": "default"}, "sliding_window": 3, "swiglu_limit": 0.4},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_build_gives_the_bits_of_the_layers_spelt_out(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "model", seed=3, **shape)
    build(tmp_path / "model", tmp_path / "build")
    network = network_of(make_config(**shape))
    weights = HardwiredWeights(open_build(tmp_path / "build"))
    spelt = Transformer(weights)
    spelt.compiled = None
    assert isinstance(spelt.plain, PlainLayers)
    tokens = np.random.default_rng(1).integers(0, 97, 25)
    expected = spelt.logits(spelt.forward(tokens, spelt.new_cache()))
    runs = Interpreter(network, AsConstants(network, weights))
    (logits,), _ = runs.run(tokens, runs.start())
    assert logits.tobytes() == expected.tobytes()


def test_a_trained_model_gives_the_bits_of_the_layers_spelt_out(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "checkpoints" / "stdlib-140k"
    build(folder, tmp_path / "build")
    network = network_of(json.loads((folder / "config.json").read_text()))
    weights = HardwiredWeights(open_build(tmp_path / "build"))
    spelt = Transformer(weights)  # in C, where it could be compiled
    tokens = np.random.default_rng(1).integers(0, weights.architecture.vocab_size, 50)
    expected = spelt.logits(spelt.forward(tokens, spelt.new_cache()))
    runs = Interpreter(network, AsConstants(network, weights))
    (first,), states = runs.run(tokens[:33], runs.start())
    (second,), _ = runs.run(tokens[33:], states)
    assert np.concatenate([first, second]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_a_checkpoint_is_close_to_the_float_model(packed: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, packed=packed)
    config = make_config()
    tensors = {
        name: tensor if tensor.dtype == np.uint8 else bfloat16_to_float32(tensor)
        for name, tensor in random_tensors(config, packed=packed).items()
    }
    network = network_of(config)
    runs = Interpreter(network, FloatConstants(network, tensors))
    tokens = np.random.default_rng(2).integers(0, 97, 30)
    (logits,), _ = runs.run(tokens, runs.start())
    spelt = Transformer(FloatWeights(read_model(tmp_path)))
    expected = spelt.logits(spelt.forward(tokens, spelt.new_cache()))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
