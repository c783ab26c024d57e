"""Adapters beside the wires of every family: what merging them says, whatever runs beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from family_adapters import ALPHA, RANK, modules, write_adapter
from family_builds import FAMILIES, made
from hnlpu.errors import DamagedAdapter
from hnlpu.model.checkpoint import read_model
from hnlpu.run.emulate import Interpreter, ModelConstants, float_model, open_language_model
from hnlpu.run.engine import Adapted, Engine, Limits, Request, Sampling, network_of, read_adapter
from hnlpu.run.engine import _open as opening
from hnlpu.run.engine._beside import beside
from hnlpu.run.engine._interpreted import BatchedInterpreter
from hnlpu.run.engine._taped import BatchedTape
from readers import Sample, sample, write_sample

TIED = {"gru": "embedding.weight", "rwkv7": "model.embeddings.weight"}
TIED |= dict.fromkeys(("mamba", "mamba2"), "backbone.embeddings.weight")
TIED |= dict.fromkeys(set(FAMILIES) - set(TIED), "model.embed_tokens.weight")
"""The table that is the head's as well where they are tied: a part of the head leaves it as it is."""
every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_it_is_the_model_with_the_parts_merged(family: str, seed: int, tmp_path: Path) -> None:
    """W + scaling * B A in the checkpoint itself, as LoRA defines it, in float on both sides."""
    found = sample(family, seed, tmp_path / "written")
    checkpoint = write_sample(found, tmp_path / "checkpoint")
    folder = write_adapter(tmp_path / "adapter", checkpoint, seed)
    parts = load_file(folder / "adapter_model.safetensors")
    tensors = dict(found.tensors)
    for name in modules(checkpoint):
        a, b = (parts[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
        stored = name + ".weight" if name + ".weight" in tensors else TIED[family]
        tensors[name + ".weight"] = tensors[stored] + ALPHA / RANK * b @ a
    config = found.config | {"tie_word_embeddings": False}
    merged = write_sample(Sample(config, tensors, found.logits), tmp_path / "merged")
    model = read_model(checkpoint)
    changed, arrays = beside(model.network, read_adapter(folder, model.network))
    interpreter = Interpreter(changed, ModelConstants(model).beside(arrays))
    tokens = np.random.default_rng(seed).integers(0, found.config["vocab_size"], 12)
    (logits,), _ = interpreter.run(list(tokens), interpreter.start())
    reference = float_model(merged)
    expected = reference.transformer.log_probabilities(_logits(reference, tokens))
    plain = float_model(checkpoint)
    before = plain.transformer.log_probabilities(_logits(plain, tokens))
    ours = reference.transformer.log_probabilities(np.asarray(logits, np.float32))
    assert np.abs(before - expected).max() > 0.05  # it matters
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def _logits(model, tokens):
    run = model.transformer
    return run.logits(run.forward(tokens, run.new_cache()))


def adapters_of(family: str, folder: Path):
    of = made(family)
    model = open_language_model(of.one)
    network = network_of(model)
    paths = {
        "all": write_adapter(folder / "all", of.checkpoint, 1),
        "some": write_adapter(folder / "some", of.checkpoint, 2, every=3),
    }
    return model, {name: read_adapter(path, network) for name, path in paths.items()}


@every_family
def test_each_request_has_its_own_bits_in_any_company(
    family: str, tmp_path: Path, monkeypatch
) -> None:
    model, adapters = adapters_of(family, tmp_path)
    random = np.random.default_rng(0)
    requests = [
        Request(
            tuple(random.integers(0, model.vocab_size, 3 + 7 * i).tolist()), max_tokens=6,
            sampling=Sampling(temperature=0.7, seed=i), top_logprobs=1, score_prompt=True,
            ignore_end=True, adapter=(None, "all", "some")[i % 3],
        )
        for i in range(6)
    ]  # fmt: skip
    together = Engine(model, Limits(rows=11), adapters).run(requests)
    alone = [Engine(model, adapters=adapters).run([request])[0] for request in requests]
    assert together == alone
    for request, result in zip(requests, alone, strict=True):
        plain = Request(**vars(request) | {"adapter": None})
        same = Engine(model).run([plain])[0].prompt_scores == result.prompt_scores
        assert same == (request.adapter is None)
    made_by = opening._by_network(model.transformer)
    assert isinstance(made_by, BatchedTape) == (model.transformer.taped is not None)
    monkeypatch.setattr(opening, "_by_network", BatchedInterpreter)  # the definition
    assert Engine(model, adapters=adapters).run(requests) == together


@every_family
def test_offline_is_what_the_engine_gives(family: str, tmp_path: Path) -> None:
    model, adapters = adapters_of(family, tmp_path)
    tokens = np.random.default_rng(3).integers(0, model.vocab_size, 20).tolist()
    request = Request(tuple(tokens), max_tokens=0, score_prompt=True, adapter="all")
    (result,) = Engine(model, adapters=adapters).run([request])
    found = Adapted(model, tmp_path / "all").score(tokens)
    assert found.logprobs == [score.logprob for score in result.prompt_scores]


@every_family
def test_modules_that_are_not_there_are_named(family: str, tmp_path: Path) -> None:
    of = made(family)
    folder = write_adapter(tmp_path / "a", of.checkpoint)
    tensors = folder / "adapter_model.safetensors"
    name = next(iter(modules(of.checkpoint)))
    raw = tensors.read_bytes()
    other = name[:-1] + ("a" if name[-1] != "a" else "b")
    tensors.write_bytes(raw.replace(f"{name}.lora".encode(), f"{other}.lora".encode()))
    with pytest.raises(DamagedAdapter, match=f"the model has no {other}"):
        read_adapter(folder, read_model(of.checkpoint).network)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"r": RANK + 1}))
    tensors.write_bytes(raw)
    with pytest.raises(DamagedAdapter, match=f"says {RANK + 1} for it"):
        read_adapter(folder, read_model(of.checkpoint).network)


def test_adapters_of_ternary_matrices_are_refused(tmp_path: Path) -> None:
    """PEFT adds B A x to what the layer gives; beside the wires it would be times the scale."""
    of = made("bitnet")
    network, name = read_model(of.checkpoint).network, "model.layers.0.self_attn.q_proj"
    assert list(modules(of.checkpoint)) == ["lm_head"]
    folder = write_adapter(tmp_path / "adapter", of.checkpoint)
    width = of.sample.config["hidden_size"]
    part = {"A": np.ones((RANK, width), np.float32), "B": np.ones((width, RANK), np.float32)}
    tensors = {f"base_model.model.{name}.lora_{end}.weight": part[end] for end in "AB"}
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(DamagedAdapter, match=f"rounds and scales what {name} multiplies"):
        read_adapter(folder, network)
