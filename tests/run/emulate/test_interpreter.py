"""A network as it is written: against its own types, and every faster form of it against the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_config, random_tensors, write_checkpoint
from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import bfloat16_to_float32
from hnlpu.model.families import network_of
from hnlpu.model.network import Network, Positions, Step, check, chosen_leaves, leaf_tensors
from hnlpu.run.emulate import (
    FUSED,
    FloatConstants,
    HardwiredConstants,
    InterpretedModel,
    Interpreter,
    float_model,
    hardwired,
)
from hnlpu.run.emulate._constants import project_in_order
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


SHAPES: list[dict[str, Any]] = [
    {},
    {"layers": 3, "experts": 1, "active": 1, "attention_bias": False},
    {"heads": 6, "kv_heads": 3, "head_dim": 16, "hidden": 96, "active": 3, "new_config": True},
    {"rope_scaling": {"rope_type": "default"}, "sliding_window": 3, "swiglu_limit": 0.4},
]


def logits_of(run: Any, tokens: np.ndarray) -> bytes:
    return bytes(run.logits(run.forward(tokens, run.new_cache())).tobytes())


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_spans_and_the_layers_in_c_have_the_same_bits(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    """gpt-oss step by step, with spans at once, and as the tape that serves it."""
    write_checkpoint(tmp_path / "model", seed=3, **shape)
    build(tmp_path / "model", tmp_path / "build")
    opened = open_build(tmp_path / "build")
    constants, tokens = HardwiredConstants(opened), np.random.default_rng(1).integers(0, 97, 25)
    steps = Interpreter(opened.network, constants)
    (expected,), _ = steps.run(tokens, steps.start())
    spans = InterpretedModel(opened.network, opened.facts, constants, opened.directory)
    spans.taped = None
    assert logits_of(spans, tokens) == expected.tobytes()
    assert logits_of(hardwired(opened).transformer, tokens) == expected.tobytes()


def test_a_trained_model_has_the_bits_of_its_layers_in_c(tmp_path: Path) -> None:
    build(Path(__file__).parents[3] / "checkpoints" / "stdlib-140k", tmp_path / "build")
    opened = open_build(tmp_path / "build")
    tokens = np.random.default_rng(1).integers(0, opened.facts.vocab_size, 50)
    runs = Interpreter(opened.network, HardwiredConstants(opened), FUSED)
    (first,), states = runs.run(tokens[:33], runs.start())
    (second,), _ = runs.run(tokens[33:], states)
    found = np.concatenate([first, second]).tobytes()
    assert found == logits_of(hardwired(opened).transformer, tokens)


@pytest.mark.parametrize("packed", [True, False])
def test_a_checkpoint_has_the_bits_of_its_tensors(packed: bool, tmp_path: Path) -> None:
    """Read lazily from files, with spans at once, and from arrays, step by step."""
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
    assert logits_of(float_model(tmp_path).transformer, tokens) == logits.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(1, 9), st.integers(1, 70))
def test_sums_in_order_are_those_of_each_row_alone(
    seed: int, tokens: int, rows: int, columns: int
) -> None:
    """However many rows are taken side by side: float64 sums in the order of the columns."""
    random = np.random.default_rng(seed)
    weights = (random.normal(size=(rows, columns)) * 10.0 ** random.integers(-9, 9)).astype("f4")
    x = (random.normal(size=(tokens, columns)) * 10.0 ** random.integers(-9, 9)).astype("f4")
    products = weights.astype(np.float64) * x[:, None].astype(np.float64)
    expected = np.cumsum(products, -1)[..., -1].astype(np.float32)
    assert project_in_order(weights, x).tobytes() == expected.tobytes()
