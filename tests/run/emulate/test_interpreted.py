"""Language models of any family: float as another reader says, hardwired near it, states a promise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from family_builds import FAMILIES, made
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.insight.verify._recorded import record_activations
from hnlpu.model.families import network_of
from hnlpu.model.network import Builder, Cut
from hnlpu.model.network.composites import dense
from hnlpu.run.emulate import (
    ChipModel,
    InterpretedModel,
    LanguageModel,
    _chip_model,
    open_language_model,
)
from hnlpu.run.emulate._interpreted import split_off_logits
from hnlpu.silicon.hardwire import open_build
from network_samples import tensor_matrix
from published_decoders import PUBLISHED

NEAR_IN_CHIP = 0.004
"""The same of what chip numerics change of a build; 0.0018 is the largest seen."""
ROUNDED_IN_CHIP = {"bitnet": 0.05}
"""The same where activations are rounded to whole numbers, some of which fall the other way."""
NEAR = 0.06
"""RMS of what hardwiring changes, over the standard deviation of the logits: two digits of MXFP4 and
activations of 12 bits, in random models, which have no outliers and no redundancy."""


HOW = ("checkpoint", "float", "chip")
"""As a checkpoint has it, or as a build in either kind of numerics."""


def opened(family: str, how: str) -> LanguageModel:
    of = made(family)
    if how == "checkpoint":
        return open_language_model(of.checkpoint)
    return open_language_model(of.one, numerics=how)  # type: ignore[arg-type]  # float or chip


def logits_of(model: LanguageModel, tokens: np.ndarray, cuts: tuple[int, ...] = ()) -> np.ndarray:
    """Logits at all positions, the tokens taken in as pieces that end at `cuts`."""
    run = model.transformer
    cache = run.new_cache()
    pieces = np.split(tokens, cuts)
    return np.concatenate([run.logits(run.forward(piece, cache)) for piece in pieces])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_float_model_is_that_of_another_reader(family: str) -> None:
    of = made(family)
    found = logits_of(open_language_model(of.checkpoint), of.tokens)
    np.testing.assert_allclose(found, of.sample.logits(of.tokens), atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_hardwired_is_near_float(family: str) -> None:
    of = made(family)
    expected = logits_of(open_language_model(of.checkpoint), of.tokens)
    for folder in (of.one, of.two):
        found = logits_of(open_language_model(folder), of.tokens)
        distance = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
        assert 0 < distance < NEAR
    rounded = open_language_model(of.one, float_activations=True)
    assert logits_of(rounded, of.tokens).tobytes() != found.tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_chip_numerics_are_near_float(family: str) -> None:
    of = made(family)
    expected = logits_of(opened(family, "float"), of.tokens)
    found = logits_of(opened(family, "chip"), of.tokens)
    assert found.dtype == np.int64
    distance = np.sqrt(np.mean((found / 65536 - expected) ** 2)) / expected.std()
    assert 0 < distance < ROUNDED_IN_CHIP.get(family, NEAR_IN_CHIP)
    # the control: a model of other weights, or of other tokens, is not near
    others = logits_of(opened(family, "chip"), of.tokens[::-1]) / 65536
    assert np.sqrt(np.mean((others - expected) ** 2)) > 20 * distance * expected.std()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", HOW)
def test_any_split_gives_the_same_bits(family: str, how: str) -> None:
    of, model = made(family), opened(family, how)
    whole = logits_of(model, of.tokens)
    for cuts in ((1,), (5, 6, 13), tuple(range(1, len(of.tokens)))):
        assert logits_of(model, of.tokens, cuts).tobytes() == whole.tobytes()
    other = of.tokens.copy()
    other[-2] = (other[-2] + 1) % model.vocab_size
    assert logits_of(model, other)[-1].tobytes() != whole[-1].tobytes()  # states do matter


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["float", "chip"])
def test_states_are_saved_and_restored(family: str, how: str) -> None:
    of = made(family)
    run: Any = opened(family, how).transformer
    assert isinstance(run, InterpretedModel | ChipModel)
    first, second, third = np.split(of.tokens, [6, 11])
    cache = run.new_cache()
    run.forward(first, cache)
    kept = cache.save()
    expected = run.logits(run.forward(second, cache))
    run.forward(third, cache)
    cache.restore(kept)  # back, and on with the same
    assert cache.length == len(first)
    assert run.logits(run.forward(second, cache)).tobytes() == expected.tobytes()
    another = run.new_cache()  # a sequence that begins with it
    another.restore(kept)
    assert run.logits(run.forward(second, another)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["float", "chip"])
def test_greedy_tokens_come_again(family: str, how: str) -> None:
    of, model = made(family), opened(family, how)
    prompt = of.tokens.tolist()[:5]
    written = [t.id for t in model.generate(prompt, max_tokens=8, ignore_end=True)]
    assert len(written) == 8
    for taken in (1, 4, 7):
        rest = model.generate(prompt + written[:taken], max_tokens=8 - taken, ignore_end=True)
        assert [t.id for t in rest] == written[taken:]
    drawn = [
        [
            t.id
            for t in model.generate(prompt, max_tokens=8, temperature=3.0, seed=s, ignore_end=True)
        ]
        for s in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_is_that_of_the_logits(family: str) -> None:
    of = made(family)
    model = open_language_model(of.one)
    logits = logits_of(model, of.tokens[:-1]).astype(np.float64)
    log_p = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    log_p -= logits.max(-1, keepdims=True)
    expected = log_p[np.arange(len(log_p)), of.tokens[1:]]
    found = model.score(of.tokens.tolist(), top=2)
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-5)
    assert found.top is not None
    assert [best[0][0] for best in found.top] == logits.argmax(-1).tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_of_a_run_are_recorded(family: str) -> None:
    build = open_build(made(family).one)
    recorded = record_activations(build, tokens=6, seed=2)
    shapes = build.shapes()
    assert set(recorded) == set(shapes)
    limit = 2 ** (build.manifest.policy.activation_bits - 1)
    for name, of_members in recorded.items():
        shape = shapes[name]
        assert all(x.shape[1] == shape.columns for x in of_members)
        if shape.role != "experts":
            assert len(of_members[0]) == 6
        if shape.padding:
            assert not any(x[:, -shape.padding :].any() for x in of_members)
        assert all(np.abs(x).max(initial=0) <= limit for x in of_members)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("mamba2", "backbone.layers.0.mixer.A_log"),
        ("mamba2", "backbone.norm_f.weight"),
        ("llama", "model.embed_tokens.weight"),
        ("mamba2", "backbone.layers.0.mixer.in_proj.bias"),
    ],
)
def test_a_parameter_that_is_no_number_is_named(family: str, name: str, tmp_path: Path) -> None:
    build = shutil.copytree(made(family).one, tmp_path / "build")
    tensors = open_build(build).tensors
    found = tensors[name]
    with found.file.open("r+b") as raw:
        raw.seek(found.offset)
        raw.write(b"\x00\x00\xc0\x7f")
    told = f"the bias of {name[:-5]}" if name.endswith(".bias") else name
    with pytest.raises(NotFinite, match=f"{re.escape(told)} holds NaN or infinity"):
        list(open_language_model(build, numerics="chip").generate([0], max_tokens=1))


def test_large_states_run_in_smaller_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    of = made("mamba2")
    whole = logits_of(opened("mamba2", "chip"), of.tokens)
    monkeypatch.setattr(_chip_model, "NUMBERS_AT_ONCE", 1)
    model = opened("mamba2", "chip")
    assert model.transformer._positions == 1
    assert logits_of(model, of.tokens).tobytes() == whole.tobytes()


def test_a_network_without_tokens_is_no_language_model() -> None:
    of = open_build(made("gru").one)
    b = Builder("pixels")
    from hnlpu.model.network import Input

    x = b.input(Input("picture", "data", (32,), "real"))
    network = b.finish(dense(x, b.matrix(tensor_matrix("m", 8, 32, cut=Cut("rows")))))
    with pytest.raises(InvalidInput, match=r"here: the network makes no logits \[\d+\] of tokens"):
        InterpretedModel(network, of.facts, None, "here")  # type: ignore[arg-type]  # not met


@pytest.mark.parametrize(
    "name", [n for n, (_, c) in PUBLISHED.items() if "granite" in c["model_type"]]
)
def test_logits_with_a_factor_leave_hidden_states(name: str) -> None:
    """What `/v1/embeddings` asks for: the last step is a matrix, whatever scales its result."""
    config = PUBLISHED[name][1]
    assert config["logits_scaling"] != 1
    parts = split_off_logits(network_of(config | {"num_hidden_layers": 1}))
    assert parts.matrix in ("lm_head", "model.embed_tokens")
